package integration

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/walrelay/walrelay/change"
)

// After a restart, and with nothing written since, a client that comes back gets at
// once what it missed. (Another hub replays nothing until the next publish.)
func TestLogReplayWithoutNewWrites(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, numberedTable)
	r := startRelay(t, db, numbered("4MiB", "heartbeat: 5m"))
	w := liveWitness(t, r)
	insertNumbered(t, db, 1, 50)
	w.wantExact(t, 50)
	db.waitConfirmed(t, w.lastID) // Postgres has nothing to send again either
	for _, end := range []func(){func() { r.kill9(t) }, func() { r.terminate(t) }} {
		end()
		r.start(t)
		r.waitReady(t)
		for _, n := range []int{1, 25, 49} {
			back := newWitness(t, r, w.ids[n], n)
			back.wantResumed(t)
			back.wantExact(t, 50)
			back.close()
		}
		for next, last := 31, w.ids[30]; next <= 50; { // an answer may be a part
			p := r.poll(t, last, "25s", "items")
			for _, e := range p.Events {
				if idOf(e) != next {
					t.Fatalf("long poll at %s: got %+v, want row %d", last, e, next)
				}
				next++
			}
			last = p.LastEventID
		}
	}
	if n := r.metric(t, "walrelay_replication_changes_total"); n != 0 {
		t.Errorf("Postgres sent %v changes: this tests nothing", n)
	}
}

// An empty log on a database where others write: only its WAL position moves. It is
// kept over restarts, and heartbeats' ids are good.
func TestLogIdleRestarts(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, numberedTable, "create table others (id int)")
	r := startRelay(t, db, numbered("4MiB", "heartbeat: 200ms"))
	begun := r.metric(t, "walrelay_log_wal_lsn")
	w := liveWitness(t, r)
	at := positionOf(t, w.lastID)
	for round := range 4 {
		db.exec(t, "insert into others select generate_series(1, 10000)")
		target := db.walEnd(t)
		for at.Less(change.Before(target)) {
			next := positionOf(t, w.nextHeartbeat(t).id)
			if next.Less(at) {
				t.Fatalf("round %d: a heartbeat went back from %s to %s", round, at, next)
			}
			at = next
		}
		if round%2 == 0 {
			r.kill9(t)
		} else {
			r.terminate(t)
		}
		r.start(t)
		r.waitReady(t)
		w.reconnect(t)
		w.wantResumed(t)
		if wal := r.metric(t, "walrelay_log_wal_lsn"); wal <= begun || db.confirmed(t) > change.LSN(wal) {
			t.Errorf("round %d: the log's WAL is %s after a restart, it began at %s", round, change.LSN(wal), change.LSN(begun))
		}
	}
	if n := r.metric(t, "walrelay_log_batches"); n != 0 {
		t.Errorf("the log has %v batches: this tests nothing", n)
	}
	insertNumbered(t, db, 1, 1)
	w.wantExact(t, 1)
	if strings.Contains(r.stderr.String(), "cannot be continued") {
		t.Errorf("the log says:\n%s", r.stderr)
	}
}

// The edges of what the log has: the floor is good, one before it is not; the head is
// good and waits for what comes.
func TestResumeAtTheEdges(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, numberedTable)
	r := startRelay(t, db, numbered("1MiB", "heartbeat: 5m"))
	w := liveWitness(t, r)
	const rows = 600
	for first := 1; first <= rows; first += 50 {
		insertNumbered(t, db, first, first+49)
		w.wantExact(t, first+49)
	}
	passed := float64(positionOf(t, w.ids[rows/2+50]).Commit)
	r.waitMetric(t, "walrelay_log_floor_lsn", func(v float64) bool { return v > passed })
	eventually(t, func() string { // the floor stands still
		if n := r.metric(t, "walrelay_log_bytes"); n > 1<<20 {
			return fmt.Sprintf("the log has %v bytes", n)
		}
		return ""
	})
	db.waitConfirmed(t, w.lastID)
	before := r.bounds(t)
	r.kill9(t)
	r.start(t)
	r.waitReady(t)
	bounds := r.bounds(t)
	if bounds.last != before.last || bounds.floor.Less(before.floor) {
		t.Errorf("the log reaches from %s to %s after a restart, from %s to %s before", bounds.floor, bounds.last, before.floor, before.last)
	}
	tag := w.lastID[strings.LastIndexByte(w.lastID, '.'):]
	first := 0 // the first row that the log has
	for n, id := range w.ids {
		if bounds.floor.Less(positionOf(t, id)) && (first == 0 || n < first) {
			first = n
		}
	}
	if first < 2 || positionOf(t, w.ids[first-1]) != bounds.floor {
		t.Fatalf("the floor %s is not row %d", bounds.floor, first-1)
	}
	at := newWitness(t, r, bounds.floor.String()+tag, first-1)
	at.wantResumed(t)
	at.wantExact(t, rows)
	below := bounds.floor
	below.Commit--
	for _, id := range []string{w.ids[first-2], below.String() + tag, below.Commit.String()} {
		r.wantResetTo(t, id, "expired", "items").close()
	}
	// The bare LSN of the floor means all that was committed from there on, with the
	// floor's own row, which the log has not.
	r.wantResetTo(t, bounds.floor.Commit.String(), "expired", "items").close()
	head := newWitness(t, r, bounds.last.String()+tag, rows)
	head.wantResumed(t)
	head.wantExact(t, rows)
	insertNumbered(t, db, rows+1, rows+1)
	at.wantExact(t, rows+1)
	head.wantExact(t, rows+1)
}

// logBounds are the ends of the log as /readyz has them.
type logBounds struct{ floor, last change.Position }

func (r *relay) bounds(t testing.TB) logBounds {
	t.Helper()
	_, body := r.admin(t, "/readyz")
	var ready struct{ Log struct{ Floor, Last string } }
	if err := json.Unmarshal([]byte(body), &ready); err != nil {
		t.Fatalf("/readyz: %v: %s", err, body)
	}
	return logBounds{positionOf(t, ready.Log.Floor), positionOf(t, ready.Log.Last)}
}
