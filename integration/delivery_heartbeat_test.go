package integration

import (
	"fmt"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/walrelay/walrelay/change"
)

// Heartbeats move a quiet subscriber's id along with everybody else's rows, and
// never beyond what it has.
func TestHeartbeatsMoveTheID(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, itemsTable, "create table bulk (id bigserial primary key, body text)")
	r := startRelay(t, db, settings{http: "heartbeat: 100ms", channels: itemsChannels + "  bulk: {table: public.bulk, allow: public}\n"}.yaml())
	s := openSSE(t, r.streamURL("items"), nil)
	s.nextReady(t)
	at := positionOf(t, s.lastID)
	for range 5 {
		before := db.walEnd(t)
		db.exec(t, "insert into bulk (body) values ('x')")
		for !change.Before(before).Less(at) { // until it has passed the row of the other table
			f := s.nextHeartbeat(t)
			next := positionOf(t, f.id)
			if next.Less(at) {
				t.Fatalf("a heartbeat went back from %v to %v", at, next)
			}
			at = next
		}
	}
	// What is committed after a heartbeat comes after it.
	for id := range 20 {
		heartbeat := s.nextHeartbeat(t).id
		db.exec(t, insertItem(id))
		s.wantRow(t, "insert", "items", id)
		again := openSSE(t, r.streamURL("items"), resumeAt(heartbeat))
		again.nextReady(t)
		again.wantRow(t, "insert", "items", id)
		again.close()
	}
	if n := r.metric(t, `walrelay_heartbeats_total{transport="sse"}`); n < 25 {
		t.Errorf("walrelay_heartbeats_total counts %v", n)
	}
}

// A heartbeat's id may stand within a transaction: of one that is still open when it
// comes, everything follows; of one that walrelay has in part, the rest does, also
// after a kill.
func TestHeartbeatsInsideTransactions(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, itemsTable, "create table bulk (id bigserial primary key, body text)")
	r := startRelay(t, db, settings{http: "heartbeat: 100ms", channels: itemsChannels + "  bulk: {table: public.bulk, allow: public}\n"}.yaml())
	s := openSSE(t, r.streamURL("items"), nil)
	s.nextReady(t)

	open := db.conn(t)
	script(t, []step{{open, "begin"}, {open, insertItem(1)}})
	db.exec(t, "insert into bulk (body) values ('x')")
	for target := db.mark(t); positionOf(t, s.lastID).Less(change.Before(target)); {
		s.nextHeartbeat(t)
	}
	early := s.lastID
	script(t, []step{{open, insertItem(2)}, {open, "commit"}})
	s.wantRow(t, "insert", "items", 1)
	s.wantRow(t, "insert", "items", 2)
	again := openSSE(t, r.streamURL("items"), resumeAt(early))
	again.nextReady(t)
	again.wantRow(t, "insert", "items", 1)
	again.wantRow(t, "insert", "items", 2)
	again.close()

	const bulk = 100_000
	stop := db.walsenderStopper(t) // found before: 100,000 rows do not take long
	db.exec(t, fmt.Sprintf("begin; %s; insert into bulk (body) select 'x' from generate_series(1, %d); %s; %s; commit", insertItem(3), bulk, insertItem(4), insertItem(5)))
	s.wantRow(t, "insert", "items", 3)
	commit := positionOf(t, s.lastID).Commit
	goOn := stop()
	stuck := s.nextHeartbeat(t).id
	for next := s.nextHeartbeat(t).id; next != stuck; next = s.nextHeartbeat(t).id {
		stuck = next
	}
	if at := positionOf(t, stuck); at.Commit != commit || at.Index == 0 || at.Index > bulk {
		t.Fatalf("the heartbeats stand still at %s, want a place within the transaction %s", at, commit)
	}
	r.kill9(t)
	goOn()
	r.start(t)
	r.waitReady(t)
	s.reconnect(t)
	if !s.nextReady(t).Resumed || s.lastID != stuck {
		t.Errorf("not resumed at %s but %s", stuck, s.lastID)
	}
	s.wantRow(t, "insert", "items", 4)
	s.wantRow(t, "insert", "items", 5)
	if at := positionOf(t, s.lastID); at != (change.Position{Commit: commit, Index: bulk + 2}) {
		t.Errorf("the last row is at %s", at)
	}
}

// stopWalsender makes the server fall silent to its consumer until goOn.
func (d *database) stopWalsender(t testing.TB) (goOn func()) {
	t.Helper()
	return d.walsenderStopper(t)()
}

// walsenderStopper finds the server's process that serves the consumer. stop makes it fall silent until goOn.
func (d *database) walsenderStopper(t testing.TB) (stop func() (goOn func())) {
	t.Helper()
	pid, err := strconv.Atoi(d.walsender(t))
	if err != nil {
		t.Fatal(err)
	}
	signal := func(s syscall.Signal) {
		if err := syscall.Kill(pid, s); err != nil {
			t.Errorf("send %v to the walsender: %v", s, err)
		}
	}
	return func() (goOn func()) {
		signal(syscall.SIGSTOP)
		var once sync.Once
		goOn = func() { once.Do(func() { signal(syscall.SIGCONT) }) }
		t.Cleanup(goOn)
		return goOn
	}
}

// A subscriber that saw no event for longer than the log goes back resumes exactly,
// because its heartbeats moved it on; without them it would have to start afresh.
func TestHeartbeatsOutliveRetention(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, itemsTable, "create table bulk (id bigserial primary key, body text)")
	r := startRelay(t, db, settings{http: "heartbeat: 200ms", log: "max_bytes: 1MiB", channels: itemsChannels + "  bulk: {table: public.bulk, allow: public}\n"}.yaml())
	quiet, absent := openSSE(t, r.streamURL("items"), nil), openSSE(t, r.streamURL("items"), nil)
	quiet.nextReady(t)
	absent.nextReady(t)
	absent.close()
	fillLog(t, db, r, positionOf(t, absent.lastID).Commit)
	for target := db.mark(t); positionOf(t, quiet.lastID).Less(change.Before(target)); {
		quiet.nextHeartbeat(t)
	}
	quiet.close()

	for round := range 3 {
		db.exec(t, insertItem(round))
		quiet.reconnect(t)
		if ready := quiet.nextReady(t); !ready.Resumed {
			t.Fatalf("round %d: got %+v", round, ready)
		}
		quiet.wantRow(t, "insert", "items", round)
	}
	absent.reconnect(t)
	if absent.nextReady(t).Resumed {
		t.Error("the log has what it should have dropped")
	}
	absent.wantReset(t, "expired", "items")
}

// On an idle database heartbeats go on, and an id of theirs is good after any kind
// of end.
func TestHeartbeatsOverRestarts(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, itemsTable)
	r := startRelay(t, db, settings{http: "heartbeat: 200ms", channels: itemsChannels}.yaml())
	s := openSSE(t, r.streamURL("items"), nil)
	s.nextReady(t)
	for round := range 4 {
		s.nextHeartbeat(t)
		s.nextHeartbeat(t)
		if round%2 == 0 {
			r.kill9(t)
		} else {
			r.terminate(t)
		}
		db.exec(t, insertItem(round))
		r.start(t)
		r.waitReady(t)
		s.reconnect(t)
		if ready := s.nextReady(t); !ready.Resumed {
			t.Fatalf("round %d: got %+v", round, ready)
		}
		s.wantRow(t, "insert", "items", round)
	}
	if got := fmt.Sprint(r.metric(t, "walrelay_resets_total")); got != "0" {
		t.Errorf("%s resets", got)
	}
}
