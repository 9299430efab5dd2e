package integration

import (
	"fmt"
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
