package integration

import (
	"os"
	"strings"
	"testing"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/pgtemp"
)

// Clients are served before a change is on disk. When walrelay dies then, what they
// have seen is ahead of its log: they wait, also while Postgres is away, and get
// exactly the rest, because the same WAL gives the same ids again.
func TestAheadOfLog(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, pgtemp.Options{})
	db := newDatabaseOn(t, cluster, numberedTable)
	r := startRelay(t, db, numbered("64MiB", "heartbeat: 200ms"))
	w := liveWitness(t, r)
	insertNumbered(t, db, 1, 10)
	w.wantExact(t, 10)
	db.waitConfirmed(t, w.lastID)
	behind := newWitness(t, r, w.ids[9], 9)
	behind.wantExact(t, 10)

	// Nothing can be stored: the file has another name for the moment.
	file := logSegments(t, r)[0]
	rename(t, file, file+".away")
	db.exec(t, "insert into items select n from generate_series(11, 3000) n") // one transaction, of which the first batch is served
	inside := newWitness(t, r, w.ids[10], 10)
	inside.wantExact(t, 11)
	w.wantExact(t, 11)
	r.waitUnready(t, `"check":"log"`)
	behind.close() // at row 10
	stored := change.LSN(r.metric(t, "walrelay_log_durable_lsn"))
	r.kill9(t)
	rename(t, file+".away", file)
	if at := positionOf(t, w.lastID); at.Commit < stored || db.confirmed(t) > stored {
		t.Fatalf("%s is not ahead of the log, which has %s; confirmed is %s", at, stored, db.confirmed(t))
	}

	stopCluster(t, cluster)
	r.start(t)
	r.waitUnready(t, `"check":"postgres"`)
	for _, s := range []*witness{w, inside, behind} {
		s.reconnect(t)
		s.wantResumed(t)
	}
	for _, s := range []*witness{w, inside} { // with Postgres away nobody can know; the id stays
		was := s.lastID
		for range 3 {
			if f := s.nextHeartbeat(t); f.id != was {
				t.Errorf("a heartbeat moved a client that waits from %s to %s", was, f.id)
			}
		}
	}
	startCluster(t, cluster)
	for _, s := range []*witness{w, inside, behind} {
		s.wantExact(t, 3000)
	}
	insertNumbered(t, db, 3001, 3001)
	for _, s := range []*witness{w, inside, behind} {
		s.wantExact(t, 3001)
	}
	if n := r.metric(t, "walrelay_resets_total"); n != 0 || strings.Contains(r.stderr.String(), "cannot be continued") {
		t.Errorf("%v resets\n%s", n, r.stderr)
	}
}

func rename(t testing.TB, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}
