package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/pgtemp"
)

// A log that was wiped while the slot stayed begins at what the slot has confirmed.
// Ids before that expire. Those from there on are of another log, which cannot know
// whether it is the same past: they get reset too.
func TestSlotWithoutLog(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key)")
	r := startRelay(t, db, standard(publicTables("items")))
	ids := seen(t, db, r.live(t, "items"), 3)
	db.waitConfirmed(t, ids[2])
	r.kill9(t)
	db.exec(t, "insert into items values (4)", "insert into items values (5)")
	confirmed := db.confirmed(t)
	if err := os.RemoveAll(r.logDir); err != nil {
		t.Fatal(err)
	}
	r.start(t)
	r.waitReady(t)
	tag := ids[0][strings.LastIndexByte(ids[0], '.'):]
	for _, id := range ids {
		r.wantResetTo(t, id, "expired", "items")
	}
	s := r.wantResetTo(t, change.Before(confirmed).String()+tag, "view", "items") // as a heartbeat was
	db.exec(t, "insert into items values (6)")
	for f := s.next(t); !strings.Contains(f.data, `"row":{"id":6}`); f = s.next(t) { // 4 and 5 may come before
	}
	again := r.resumed(t, s.lastID, "items")
	wantLines(t, "resumed", again.told(t, db, "items", "insert into items values (7)"), []string{`1.0 items insert {"id":7} {"id":7}`})
}

// wantRefusal waits for the end of a walrelay that must have said why on one line.
func (r *relay) wantRefusal(t testing.TB, patterns ...string) {
	t.Helper()
	wantProblems(t, r.wait(t), patterns...)
}

// An older state of the same cluster: the log has changes that the server never
// made.
func TestSlotServerRestored(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		timeline bool // the restored server begins a new timeline
		beyond   bool // it is ahead of the log when walrelay sees it
	}{{"to a copy", false, false}, {"to a copy that went on", false, true}, {"by recovery", true, true}} {
		t.Run(test.name, func(t *testing.T) {
			cluster := newCluster(t, pgtemp.Options{Settings: map[string]string{"restore_command": "false"}})
			db := newDatabaseOn(t, cluster, "create table items (id int primary key)")
			r := startRelay(t, db, standard(publicTables("items")))
			seen(t, db, r.live(t, "items"), 2)
			r.kill9(t)
			backup := backUp(t, cluster)

			r.start(t)
			r.waitReady(t)
			s := r.live(t, "items")
			db.exec(t, "insert into items select generate_series(10, 50000)")
			id := s.next(t).id
			r.waitMetric(t, "walrelay_replication_changes_total", func(v float64) bool { return v > 100 }) // durable
			r.kill9(t)                                                                                     // most probably in the middle of the transaction
			putBack(t, cluster, backup)
			if test.timeline {
				run(t, "touch", filepath.Join(cluster.DataDir(), "recovery.signal"))
			}
			startCluster(t, cluster)
			if test.timeline {
				db.waitPromoted(t)
			}
			if test.beyond {
				db.exec(t, "create table noise as select generate_series(1, 150000)", "insert into items values (3)")
			}
			r.start(t)
			r.waitReady(t)
			r.stderr.waitFor(t, "the event log cannot be continued: all clients get reset.*reason=lineage")
			s = r.wantResetTo(t, id, "lineage", "items")
			lines := s.told(t, db, "items", "insert into items values (4)")
			if last := lines[len(lines)-1]; !strings.HasSuffix(last, `items insert {"id":4} {"id":4}`) { // rows 1 and 2 may come again before
				t.Errorf("afterwards: %q", lines)
			}
		})
	}
}

// TestSlotServerRestoredWhenIdle: an older state has the log's last transaction, but it
// went on otherwise before the place up to which the log, and clients by heartbeats,
// have everything. Its slot is confirmed before that: what it sends of the way there the
// log would have.
func TestSlotServerRestoredWhenIdle(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, pgtemp.Options{})
	db := newDatabaseOn(t, cluster, "create table items (id int primary key)")
	r := startRelay(t, db, standard(publicTables("items")))
	ids := seen(t, db, r.live(t, "items"), 2)
	db.waitConfirmed(t, ids[1])
	r.kill9(t)
	backup := backUp(t, cluster)

	r.start(t)
	r.waitReady(t)
	db.exec(t, "create table noise as select generate_series(1, 100000) n") // not published
	db.waitConfirmed(t, change.Before(db.walEnd(t)).String())
	tag := ids[1][strings.LastIndexByte(ids[1], '.'):]
	beat := change.Before(db.confirmed(t)).String() + tag // as a heartbeat's
	r.kill9(t)
	putBack(t, cluster, backup)
	startCluster(t, cluster)
	db.exec(t, "insert into items values (3)", "create table noise as select generate_series(1, 200000) n")
	if other := change.Before(db.walEnd(t)); !positionOf(t, beat).Less(other) {
		t.Fatalf("the restored server ends at %s, before the log", other)
	}
	r.start(t)
	r.stderr.waitFor(t, "the event log cannot be continued: all clients get reset.*reason=lineage.*the event log has every transaction committed before")
	r.waitReady(t)
	s := r.wantResetTo(t, beat, "lineage", "items")
	lines := s.told(t, db, "items", "insert into items values (4)")
	if last := lines[len(lines)-1]; !strings.HasSuffix(last, `items insert {"id":4} {"id":4}`) { // others may come again before
		t.Errorf("afterwards: %q", lines)
	}
}

// TestSlotServerRestoredWithoutLog: an older state of the cluster is to go on, and the log is
// moved away for that, as the message says that refuses it. The new log counts like the old
// one and passes the places of its ids, and yet nobody goes on with them.
func TestSlotServerRestoredWithoutLog(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, pgtemp.Options{})
	db := newDatabaseOn(t, cluster, "create table items (id int primary key)")
	r := startRelay(t, db, standard(publicTables("items")))
	r.terminate(t)
	backup := backUp(t, cluster)
	r.start(t)
	r.waitReady(t)
	ids := seen(t, db, r.live(t, "items"), 2)
	r.kill9(t)
	putBack(t, cluster, backup)
	startCluster(t, cluster)
	db.exec(t, "insert into items values (3)")
	db.passed(t, positionOf(t, ids[1]).Commit)
	run(t, "mv", r.logDir, r.logDir+".away")
	r.start(t)
	r.waitReady(t)
	for _, id := range ids {
		r.wantResetTo(t, id, "view", "items").close()
	}
}

// A promotion that lost nothing of what the log has goes on in the same log.
func TestSlotPromotion(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, pgtemp.Options{Settings: map[string]string{"restore_command": "false"}})
	db := newDatabaseOn(t, cluster, "create table items (id int primary key)")
	r := startRelay(t, db, standard(publicTables("items")))
	s := r.live(t, "items")
	ids := seen(t, db, s, 2)
	stopCluster(t, cluster)
	run(t, "touch", filepath.Join(cluster.DataDir(), "recovery.signal"))
	startCluster(t, cluster)
	db.waitPromoted(t)
	r.stderr.waitFor(t, "timeline changed, the log goes on.*from=1 to=2")
	r.waitReady(t)
	wantLines(t, "goes on", s.told(t, db, "items", "insert into items values (3)"), []string{`1.0 items insert {"id":3} {"id":3}`})
	r.resumed(t, ids[0], "items")
}

// Postgres creates a slot when the transactions open at that moment have ended. That
// is said, and does not keep walrelay from ending.
func TestSlotWaits(t *testing.T) {
	t.Parallel()
	db := newDatabaseOn(t, newCluster(t, pgtemp.Options{}), "create table items (id int primary key)")
	open := db.conn(t)
	script(t, []step{{open, "begin"}, {open, "insert into items values (1)"}})
	r := newRelay(t, db, standard(publicTables("items")))
	for _, last := range []bool{false, true} {
		r.start(t)
		r.stderr.waitFor(t, "the replication slot can only be created when the transactions that are open now have ended")
		if last {
			break
		}
		if out := r.terminate(t); out.code != 0 {
			t.Errorf("terminated meanwhile: exit code %d\n%s", out.code, out.stderr)
		}
		eventually(t, func() string { // the server takes a moment to notice
			return db.value(t, "select 'terminated meanwhile, it left ' || slot_name from pg_replication_slots union all select null order by 1 nulls last limit 1")
		})
	}
	script(t, []step{{open, "commit"}})
	r.waitReady(t)
	s := r.live(t, "items")
	wantLines(t, "rows", s.told(t, db, "items", "insert into items values (2)"), []string{`1.0 items insert {"id":2} {"id":2}`})
}

func (d *database) waitPromoted(t testing.TB) {
	t.Helper()
	eventually(t, func() string {
		return d.value(t, "select case when pg_is_in_recovery() then 'the server is in recovery' end")
	})
}

func stopCluster(t testing.TB, c *pgtemp.Cluster) {
	t.Helper()
	if err := c.Stop(t.Context(), pgtemp.Fast); err != nil {
		t.Fatal(err)
	}
}

func startCluster(t testing.TB, c *pgtemp.Cluster) {
	t.Helper()
	if err := c.StartAgain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// backUp copies a cluster's state while it stands still, and gives the copy's directory.
func backUp(t testing.TB, c *pgtemp.Cluster) string {
	t.Helper()
	stopCluster(t, c)
	backup := filepath.Join(t.TempDir(), "backup")
	run(t, "cp", "-a", c.DataDir(), backup)
	startCluster(t, c)
	return backup
}

// putBack stops a cluster and gives it the state of a copy.
func putBack(t testing.TB, c *pgtemp.Cluster, backup string) {
	t.Helper()
	stopCluster(t, c)
	run(t, "rm", "-rf", c.DataDir())
	run(t, "cp", "-a", backup, c.DataDir())
}

func run(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}
