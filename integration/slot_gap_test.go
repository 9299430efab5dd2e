package integration

import (
	"strings"
	"testing"
)

// What was committed while the slot did not exist, or was moved past, while walrelay
// was stopped, cannot be had any more. Clients are told.

func TestSlotDropped(t *testing.T) {
	t.Parallel()
	testSlotGap(t, "slot SLOT: it does not exist, but the event log was written from it up to", "select pg_drop_replication_slot('SLOT')")
}

func TestSlotRecreated(t *testing.T) {
	t.Parallel()
	testSlotGap(t, "slot SLOT: it is confirmed up to .*, beyond the event log's end", "select pg_drop_replication_slot('SLOT')", "select pg_create_logical_replication_slot('SLOT', 'pgoutput')")
}

func TestSlotAdvanced(t *testing.T) {
	t.Parallel()
	testSlotGap(t, "slot SLOT: it is confirmed up to .*, beyond the event log's end", "select pg_replication_slot_advance('SLOT', pg_current_wal_lsn())")
}

func testSlotGap(t *testing.T, cause string, sql ...string) {
	db := newDatabase(t, "create table items (id int primary key)")
	r := startRelay(t, db, standard(publicTables("items")))
	ids := seen(t, db, r.live(t, "items"), 2)
	r.kill9(t)
	db.waitSlotFree(t)
	db.exec(t, "insert into items values (3)")
	for _, sql := range sql {
		db.exec(t, strings.ReplaceAll(sql, "SLOT", db.name))
	}
	db.exec(t, "insert into items values (4)")
	r.start(t)
	r.waitReady(t)
	r.stderr.waitFor(t, `the event log cannot be continued: all clients get reset.*reason=gap.*cause="`+strings.ReplaceAll(cause, "SLOT", db.name))
	s := r.wantResetTo(t, ids[1], "gap", "items")
	older := r.wantResetTo(t, ids[0], "gap", "items")
	db.exec(t, "insert into items values (5)")
	for f := s.next(t); !strings.Contains(f.data, `"row":{"id":5}`); f = s.next(t) {
		if !strings.Contains(f.data, `"row":{"id":4}`) { // it came in after the slot
			t.Fatalf("after the reset: %s %s", f.event, f.data)
		}
	}
	// From here on it is an ordinary log.
	r.kill9(t)
	r.start(t)
	r.waitReady(t)
	if strings.Contains(r.stderr.String(), "cannot be continued") {
		t.Errorf("a gap again:\n%s", r.stderr)
	}
	s.reconnect(t)
	s.wantResumed(t)
	older.close()
}

// The slot goes while walrelay runs and cannot stream: it is made anew when it can.
func TestSlotMissing(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key)")
	r := startHoldable(t, db, standard(publicTables("items")))
	s := r.live(t, "items")
	ids := seen(t, db, s, 2)
	release := r.hold(t, db)
	db.exec(t, "select pg_drop_replication_slot('"+db.name+"')", "insert into items values (3)")
	got := r.wantSlot(t, "missing", "slot "+db.name+`: it does not exist, but the event log was written from it up to [0-9A-F]+/[0-9A-F]+: what was committed since is lost; `+
		`fix: .*walrelay creates it anew, and clients get reset\{gap\}`)
	if got.Slot.Retained != nil || got.Slot.AsOf.IsZero() || r.metric(t, "walrelay_wal_budget_bytes") != 0 {
		t.Errorf("figures of a slot that does not exist: %+v", got.Slot)
	}
	r.wantServed(t, ids[0])
	release()
	r.wantGap(t, db, s, ids[1], 4)
	r.stderr.waitFor(t, `cannot be continued.*reason=gap cause="slot `+db.name+`: it does not exist`)
}

// Somebody else advances the slot: what is between cannot be had any more.
func TestSlotAhead(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key)")
	r := startHoldable(t, db, standard(publicTables("items")))
	s := r.live(t, "items")
	ids := seen(t, db, s, 2)
	release := r.hold(t, db)
	db.exec(t, "insert into items values (3)", "select pg_replication_slot_advance('"+db.name+"', pg_current_wal_lsn())")
	r.wantSlot(t, "ahead", "slot "+db.name+`: it is confirmed up to [0-9A-F]+/[0-9A-F]+, beyond the event log's end [0-9A-F]+/[0-9A-F]+: .* are lost; `+
		`fix: give whoever did that a slot of its own; walrelay begins anew at .*, and clients get reset\{gap\}`)
	r.wantServed(t, ids[0])
	release()
	r.wantGap(t, db, s, ids[1], 4)
	r.stderr.waitFor(t, `cannot be continued.*reason=gap cause="slot `+db.name+`: it is confirmed up to`)
}

// A slot that stands before the log's end, as after a crash between storing and
// confirming, sends again what the log has. Nobody sees it twice.
func TestSlotBehind(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key)")
	r := startHoldable(t, db, standard(publicTables("items")))
	s := r.live(t, "items")
	db.exec(t, "select pg_copy_logical_replication_slot('"+db.name+"', '"+db.name+"_old')")
	ids := seen(t, db, s, 2)
	db.waitConfirmed(t, ids[1])
	release := r.hold(t, db)
	db.exec(t, "select pg_drop_replication_slot('"+db.name+"')",
		"select pg_copy_logical_replication_slot('"+db.name+"_old', '"+db.name+"')", "select pg_drop_replication_slot('"+db.name+"_old')")
	got := r.wantSlot(t, "behind", "slot "+db.name+`: nobody streams from it, and it is confirmed up to [0-9A-F]+/[0-9A-F]+, before the event log's end, .*dropped; fix: none here`)
	if at := lsn(t, got.Slot.Confirmed); at >= positionOf(t, ids[0]).Commit {
		t.Errorf("confirmed_flush_lsn is %s, not before the first row at %s", at, ids[0])
	}
	r.wantServed(t, ids[0])
	release()
	r.wantSlot(t, "streaming", "")
	db.exec(t, "insert into items values (3)")
	s.wantRow(t, "insert", "items", 3)
	again := r.resumed(t, ids[0], "items")
	again.wantRow(t, "insert", "items", 2)
	again.wantRow(t, "insert", "items", 3)
	if n := r.metric(t, "walrelay_resets_total"); n != 0 {
		t.Errorf("%v resets", n)
	}
}
