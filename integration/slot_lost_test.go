package integration

import (
	"regexp"
	"strings"
	"testing"

	"github.com/walrelay/walrelay/pgtemp"
)

// keepLittle makes the server give up slots that hold back WAL.
func keepLittle() pgtemp.Options {
	return pgtemp.Options{Settings: map[string]string{"max_slot_wal_keep_size": "16MB"}}
}

// lostReason is what a lost slot is told by, for the server's reason.
func lostReason(slot, reason string) string {
	cause := map[string]string{
		"wal_removed":  "it held back more WAL than max_slot_wal_keep_size allows, and the server has removed that",
		"idle_timeout": "nobody streamed from it for longer than idle_replication_slot_timeout",
	}[reason]
	return "slot " + slot + `: it is lost \(` + reason + `\): ` + cause + `; changes since [0-9A-F]+/[0-9A-F]+ cannot be had any more; ` +
		`fix: select pg_drop_replication_slot\('` + slot + `'\); and walrelay creates it anew \(start it again if it has ended\), and clients get reset\{gap\}`
}

// The slot is lost while walrelay is stopped: check and serve say so and with which
// SQL to mend it, and after that clients are told of the gap.
func TestSlotLost(t *testing.T) {
	t.Parallel()
	db := newDatabaseOn(t, newCluster(t, keepLittle()), "create table items (id int primary key)")
	r := startRelay(t, db, standard(publicTables("items")))
	ids := seen(t, db, r.live(t, "items"), 2)
	r.terminate(t)
	db.exec(t, "insert into items values (3)")
	db.loseWAL(t)
	r.wantRefused(t, lostReason(db.name, "wal_removed")+"$")
	db.exec(t, printedSQL(t, r.stderr.String()))
	r.start(t)
	r.waitReady(t)
	r.stderr.waitFor(t, "cannot be continued.*reason=gap")
	s := r.wantResetTo(t, ids[1], "gap", "items")
	db.exec(t, "insert into items values (4)")
	s.wantRow(t, "insert", "items", 4)
	r.wantSlot(t, "streaming", "")
}

// The slot is lost while walrelay hangs: it runs on, serves clients from its log, and
// begins anew by itself when the SQL has been run that it tells.
func TestSlotLostWhileRunning(t *testing.T) {
	t.Parallel()
	db := newDatabaseOn(t, newCluster(t, keepLittle()), "create table items (id int primary key)")
	r := startRelay(t, db, standard(publicTables("items")))
	s := r.live(t, "items")
	ids := seen(t, db, s, 2)
	resume := r.stall(t)
	db.exec(t, "insert into items values (3)")
	db.loseWAL(t)
	resume()
	r.wantLost(t, db, s, ids, "wal_removed")
}

// wantLost checks that a lost slot is told, that clients are served meanwhile, and
// that what is told mends it without a restart.
func (r *relay) wantLost(t testing.TB, db *database, s *sse, ids []string, reason string) {
	t.Helper()
	got := r.wantSlot(t, "lost", lostReason(db.name, reason)+"$")
	if got.Slot.Retained == nil || *got.Slot.Retained != 0 || r.metric(t, "walrelay_slot_retained_bytes") != 0 || got.reason("wal_budget") != "" {
		t.Errorf("a lost slot holds back nothing: %+v", got)
	}
	r.waitReason(t, "postgres", "^replication is down since .*it is lost")
	r.stderr.waitFor(t, "level=ERROR.*the replication slot is lost: clients are served from the event log only.*fix: select pg_drop")
	r.wantServed(t, ids[0])
	if n := db.value(t, "select count(*) from pg_replication_slots where slot_name = $1", db.name); n != "1" {
		t.Error("walrelay dropped the slot")
	}
	db.exec(t, printedSQL(t, got.reason("slot")))
	r.wantGap(t, db, s, ids[1], 10)
	if n := strings.Count(r.stderr.String(), "level=ERROR"); n > 3 { // lost, the gap, and what kept it down before
		t.Errorf("%d errors told:\n%s", n, r.stderr)
	}
}

// The server gives up a slot that nobody streams from, from 18 on after a time. Before
// it does that only for the WAL that the slot holds back.
func TestSlotIdleTimeout(t *testing.T) {
	t.Parallel()
	opts, reason := keepLittle(), "wal_removed"
	if sharedCluster(t).Version() >= 18 {
		opts.Settings, reason = map[string]string{"idle_replication_slot_timeout": "1s"}, "idle_timeout"
	}
	t.Logf("Postgres %d: the slot is lost by %s", sharedCluster(t).Version(), reason)
	db := newDatabaseOn(t, newCluster(t, opts), "create table items (id int primary key)")
	r := startHoldable(t, db, standard(publicTables("items")))
	s := r.live(t, "items")
	ids := seen(t, db, s, 2)
	release := r.hold(t, db)
	if reason == "wal_removed" {
		db.loseWAL(t)
	} else {
		eventually(t, func() string {
			db.exec(t, "checkpoint")
			return db.value(t, "select case when wal_status <> 'lost' then 'wal_status is ' || wal_status end from pg_replication_slots where slot_name = $1", db.name)
		})
		if got := db.value(t, "select restart_lsn from pg_replication_slots where slot_name = $1", db.name); !regexp.MustCompile("^[0-9A-F]+/[0-9A-F]+$").MatchString(got) {
			t.Errorf("restart_lsn is %q: this test means a lost slot that still has one", got)
		}
	}
	release()
	r.wantLost(t, db, s, ids, reason)
}
