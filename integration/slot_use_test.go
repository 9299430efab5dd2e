package integration

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/walrelay/walrelay/pgtemp"
)

// A healthy start says so, in one line.
func TestSlotStreaming(t *testing.T) {
	t.Parallel()
	// A server of its own, on which nothing vacuums catalogs: sessions that begin after that need
	// pg_publication, which is locked below.
	cluster := newCluster(t, pgtemp.Options{Settings: map[string]string{"autovacuum": "off"}})
	db := newDatabaseOn(t, cluster, "create table items (id int primary key)")
	r := startRelay(t, db, standard(publicTables("items")))
	r.stderr.waitFor(t, `level=INFO msg=streaming slot=`+db.name+` from=[0-9A-F]+/[0-9A-F]+$`)
	began := time.Now()
	eventually(t, func() string { // the look that the start of the stream has made, or a later one
		got := r.wantSlot(t, "streaming", "").Slot
		if got.Name != db.name || got.Retained == nil || got.Budget != 10<<30 || got.BudgetFrom != "postgres.wal_budget" || got.WALStatus != "reserved" ||
			got.Error != "" || got.AsOf.After(time.Now()) || got.AsOf.Before(began.Add(-time.Hour)) {
			return fmt.Sprintf("/readyz: %+v", got)
		}
		return ""
	})
	// It is looked at again and again, also while the publication cannot be.
	altering := db.conn(t)
	script(t, []step{{altering, "begin"}, {altering, "lock table pg_publication in access exclusive mode"}})
	for range 2 {
		as := r.readiness(t).Slot.AsOf
		eventually(t, func() string {
			switch got := r.readiness(t); {
			case got.Slot.State == "unknown": // a busy machine may be too slow for one look
				return fmt.Sprintf("/readyz: %+v", got)
			case got.Slot.State != "streaming" || got.Slot.Retained == nil || !got.Ready:
				t.Fatalf("/readyz: %+v", got)
			case got.Slot.AsOf.Equal(as):
				return "as_of stands still"
			}
			return ""
		})
	}
	script(t, []step{{altering, "rollback"}})
	if text := r.stderr.String(); strings.Contains(text, "level=WARN") || strings.Contains(text, "level=ERROR") {
		t.Errorf("a healthy start complains:\n%s", text)
	}
}

// While Postgres is away nothing is claimed of the slot, and since when is kept.
func TestSlotUnknown(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, pgtemp.Options{})
	db := newDatabaseOn(t, cluster, "create table items (id int primary key)")
	r := startRelay(t, db, standard(publicTables("items")))
	s := r.live(t, "items")
	ids := seen(t, db, s, 2)
	r.waitMetric(t, "walrelay_wal_budget_bytes", func(v float64) bool { return v > 0 })
	stopCluster(t, cluster)
	got := r.wantSlot(t, "unknown", "slot "+db.name+": connect to Postgres at .*connection refused; fix: start Postgres")
	if got.Slot.Retained != nil || got.Slot.AsOf.IsZero() || r.metric(t, "walrelay_wal_budget_bytes") != 0 {
		t.Errorf("stale figures: %+v", got.Slot)
	}
	since := regexp.MustCompile(`^replication is down since \S+`).FindString(got.reason("postgres"))
	if since == "" {
		t.Errorf("/readyz: %+v", got)
	}
	r.wantServed(t, ids[0])
	time.Sleep(1100 * time.Millisecond) // the time is told in seconds
	eventually(t, func() string {       // after more attempts
		later := r.readiness(t)
		if later.Slot.AsOf.Equal(got.Slot.AsOf) {
			return "it was not looked at again"
		}
		if !strings.HasPrefix(later.reason("postgres"), since) {
			t.Fatalf("%q at first, then %q", since, later.reason("postgres"))
		}
		return ""
	})
	startCluster(t, cluster)
	r.wantSlot(t, "streaming", "")
	db.exec(t, "insert into items values (3)")
	s.wantRow(t, "insert", "items", 3)
	if n := strings.Count(r.stderr.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings of one outage:\n%s", n, r.stderr)
	}
}

// The slot is there and good, and something else keeps walrelay from streaming.
func TestSlotFree(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key)")
	r := startHoldable(t, db, standard(publicTables("items")))
	s := r.live(t, "items")
	ids := seen(t, db, s, 2)
	release := r.hold(t, db)
	// The last confirmation may have been on its way when the stream was ended.
	db.exec(t, fmt.Sprintf("select pg_replication_slot_advance('%s', greatest(confirmed_flush_lsn, '0/0'::pg_lsn + %.0f)) from pg_replication_slots where slot_name = '%s'",
		db.name, r.metric(t, "walrelay_log_durable_lsn"), db.name))
	r.wantSlot(t, "free", "slot "+db.name+": nobody streams from it; fix: none here, walrelay does once the other reasons are gone")
	r.stderr.waitFor(t, "level=ERROR.*replication stays down until somebody mends this.*"+held+".*fix: ALTER ROLE")
	r.wantServed(t, ids[0])
	release()
	r.wantSlot(t, "streaming", "")
	db.exec(t, "insert into items values (3)")
	s.wantRow(t, "insert", "items", 3)
	r.stderr.waitFor(t, "replication is back")
	if n := strings.Count(r.stderr.String(), held); n != 1 {
		t.Errorf("the cause was told %d times:\n%s", n, r.stderr)
	}
}

// Another process holds the slot at the start: serve waits a while for it, as it may
// be a walrelay that was killed, and then gives up.
func TestSlotInUse(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key); insert into items values (1)")
	first := startRelay(t, db, standard(publicTables("items")))
	second := newRelay(t, db, standard(publicTables("items")))
	second.start(t)
	problem := `replication slot "` + db.name + `" is in use by another process \(walsender PID \d+, application walrelay from 127.0.0.1\); ` +
		`fix: stop the other walrelay, give this one its own postgres.slot, or end it with: select pg_terminate_backend\(\d+\);`
	second.wantSlot(t, "in_use", problem)
	second.stderr.waitFor(t, "cannot stream yet, trying again.*is in use by another process")
	if frames := openSSE(t, second.streamURL("items"), nil).waitEnd(t); len(frames) != 1 || eventOf(t, frames[0]).Reason != "starting" {
		t.Errorf("a client of the second got %+v", frames)
	}
	second.wantRefusal(t, problem)
	if strings.Contains(second.stderr.String(), "cannot be continued") { // the first has moved the slot meanwhile
		t.Errorf("a gap in a log that was never written:\n%s", second.stderr)
	}
	db.wantWritable(t, "refused")

	second.start(t)
	second.wantSlot(t, "in_use", problem)
	first.kill9(t) // in time
	second.waitReady(t)
}

// Another process takes the slot when walrelay has streamed: it serves from its log,
// and goes on by itself when the slot is let go of.
func TestSlotInUseLater(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key)")
	r := startHoldable(t, db, standard(publicTables("items")))
	s := r.live(t, "items")
	ids := seen(t, db, s, 2)
	release := r.hold(t, db)
	other := db.consume(t)
	release()
	got := r.wantSlot(t, "in_use", `replication slot "`+db.name+`" is in use by another process \(walsender PID \d+, application another from 127.0.0.1\); fix: .*pg_terminate_backend\(\d+\);`)
	if got.Slot.Retained == nil {
		t.Errorf("no figures: %+v", got.Slot)
	}
	r.waitReason(t, "postgres", "^replication is down since .*is in use by another process")
	r.stderr.waitFor(t, "level=ERROR.*stays down.*is in use by another process")
	r.wantServed(t, ids[0])
	db.exec(t, "insert into items values (3)")
	other.stop()
	s.wantRow(t, "insert", "items", 3)
	r.wantSlot(t, "streaming", "")
	if n := strings.Count(r.stderr.String(), "stays down"); n > 2 { // what held it, and this
		t.Errorf("told %d times:\n%s", n, r.stderr)
	}
}

// Another process consumes from the slot. As long as it does, walrelay serves what its
// log has; what it has missed is told once, when it has the slot again.
func TestSlotInUseConsumed(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key)")
	r := startHoldable(t, db, standard(publicTables("items")))
	s := r.live(t, "items")
	ids := seen(t, db, s, 2)
	release := r.hold(t, db)
	other := db.consume(t)
	release()
	r.wantSlot(t, "in_use", "replication slot")
	for i := range 3 {
		db.exec(t, fmt.Sprintf("insert into items values (%d)", 3+i))
		other.confirm(t, db.walEnd(t))
		failed := r.readiness(t).Slot.AsOf
		eventually(t, func() string { // it is looked at after each attempt
			if r.readiness(t).Slot.AsOf.Equal(failed) {
				return "there was no further attempt"
			}
			return ""
		})
		r.wantServed(t, ids[0])
	}
	if strings.Contains(r.stderr.String(), "cannot be continued") {
		t.Fatalf("a gap before the slot is walrelay's again:\n%s", r.stderr)
	}
	other.stop()
	r.wantGap(t, db, s, ids[1], 10)
	if n := strings.Count(r.stderr.String(), "cannot be continued"); n != 1 {
		t.Errorf("%d gaps:\n%s", n, r.stderr)
	}
}

// A slot that is not walrelay's ends it at the start.
func TestSlotWrong(t *testing.T) {
	t.Parallel()
	other := newDatabase(t)
	for _, test := range []struct{ name, sql, problem string }{
		{"other plugin", "select pg_create_logical_replication_slot('SLOT', 'test_decoding')",
			`slot SLOT: its plugin is test_decoding, walrelay needs pgoutput; fix: choose another postgres.slot, or select pg_drop_replication_slot\('SLOT'\);`},
		{"physical", "select pg_create_physical_replication_slot('SLOT')", `slot SLOT: it is a physical slot; fix: choose another postgres.slot`},
		{"of another database", "", `slot SLOT: it belongs to database ` + other.name + `, postgres.url names DB; fix: choose another postgres.slot`},
	} {
		t.Run(test.name, func(t *testing.T) {
			db := newDatabase(t, "create table items (id int primary key); insert into items values (1)")
			r := newRelay(t, db, standard(publicTables("items")))
			slot := db.name
			if test.sql == "" {
				slot = other.name
				r.env = append(r.env, "SLOT="+slot)
				other.exec(t, "select pg_create_logical_replication_slot('"+slot+"', 'pgoutput')")
			} else {
				db.exec(t, strings.ReplaceAll(test.sql, "SLOT", slot))
			}
			r.wantRefused(t, strings.NewReplacer("SLOT", slot, "DB", db.name).Replace(test.problem))
			if out := runWalrelay(t, r.env, "teardown", "--yes", "-c", r.config); out.code != 1 || !strings.Contains(out.lastLine, "is not walrelay's: ") {
				t.Errorf("teardown: exit code %d: %s", out.code, out.stderr)
			}
			db.wantWritable(t, "refused")
			db.exec(t, "select pg_drop_replication_slot('"+slot+"')")
		})
	}
}

// A slot that becomes another's while walrelay runs: it serves from its log until
// somebody has run the SQL that it tells.
func TestSlotWrongLater(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key)")
	r := startHoldable(t, db, standard(publicTables("items")))
	s := r.live(t, "items")
	ids := seen(t, db, s, 2)
	release := r.hold(t, db)
	db.exec(t, "select pg_drop_replication_slot('"+db.name+"')", "select pg_create_logical_replication_slot('"+db.name+"', 'test_decoding')")
	release()
	got := r.wantSlot(t, "wrong", "slot "+db.name+": its plugin is test_decoding, walrelay needs pgoutput; fix: ")
	r.stderr.waitFor(t, "level=ERROR.*stays down.*its plugin is test_decoding")
	r.wantServed(t, ids[0])
	if r.metric(t, "walrelay_wal_budget_bytes") != 0 {
		t.Error("there is a budget for somebody else's slot")
	}
	db.exec(t, regexp.MustCompile(`select [^;]*;`).FindString(got.reason("slot")))
	r.wantGap(t, db, s, ids[1], 3)
}

// A slot that standbys do not keep is worth a warning, once, and the command that it
// tells mends it. Before 17 there is no such thing.
func TestSlotFailover(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key)", "create publication unused for table items")
	db.exec(t, "alter publication unused rename to "+db.name, "alter publication "+db.name+" set (publish_via_partition_root = true)",
		"select pg_create_logical_replication_slot('"+db.name+"', 'pgoutput')")
	r := startRelay(t, db, standard(publicTables("items")))
	const warning = "is no failover slot"
	if db.cluster.Version() < 17 {
		if strings.Contains(r.stderr.String(), warning) {
			t.Errorf("before 17:\n%s", r.stderr)
		}
		return
	}
	r.stderr.waitFor(t, "level=WARN.*slot "+db.name+": it "+warning)
	db.exec(t, "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = '"+db.name+"'")
	r.stderr.waitFor(t, "replication is back")
	if n := strings.Count(r.stderr.String(), warning); n != 1 {
		t.Errorf("told %d times:\n%s", n, r.stderr)
	}
	r.terminate(t)
	out := runWalrelay(t, r.env, "check", "-c", r.config)
	m := regexp.MustCompile(`fix: stop walrelay, then run: psql "dbname=` + db.name + ` replication=database" -c '([^']*)'`).FindStringSubmatch(out.stdout)
	if m == nil {
		t.Fatalf("check says %s%s", out.stdout, out.stderr)
	}
	conn := db.replication(t)
	if _, err := conn.Exec(t.Context(), m[1]).ReadAll(); err != nil {
		t.Fatalf("%s: %v", m[1], err)
	}
	r.wantCheck(t, `^ok `)
}
