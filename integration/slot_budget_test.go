package integration

import (
	"strings"
	"testing"

	"github.com/walrelay/walrelay/pgtemp"
)

// While the slot is in use elsewhere its WAL grows: half of the budget is worth a
// warning, at 80 % walrelay is not ready for that reason too, and when the figures
// fall all is well again.
func TestSlotWALBudget(t *testing.T) {
	t.Parallel()
	db := newDatabaseOn(t, newCluster(t, pgtemp.Options{}), "create table items (id int primary key)")
	const budget = 4 << 20
	r := startHoldable(t, db, strings.Replace(standard(publicTables("items")), "postgres: {", "postgres: {wal_budget: 4MiB, ", 1))
	s := r.live(t, "items")
	ids := seen(t, db, s, 2)
	release := r.hold(t, db)
	other := db.consume(t)
	release()
	r.wantSlot(t, "in_use", "replication slot")
	const much = "the slot holds back much WAL"
	if strings.Contains(r.stderr.String(), much) {
		t.Fatalf("warned too early:\n%s", r.stderr)
	}
	db.writeWAL(t, 55, budget)
	r.stderr.waitFor(t, `level=WARN msg="`+much+`" slot=`+db.name+` retained_bytes=\d+ percent=[567]\d budget_bytes=4194304 budget_from=postgres.wal_budget fix=`)
	if got := r.readiness(t); got.reason("wal_budget") != "" || got.Slot.Budget != budget {
		t.Errorf("at 55 %%: %+v", got)
	}
	db.writeWAL(t, 85, budget)
	message := r.waitReason(t, "wal_budget", "^slot "+db.name+` holds back \d+ bytes of WAL, \d+ % of the 4194304 bytes that postgres.wal_budget allows; fix: .*, or raise postgres.wal_budget$`)
	if held, all := r.metric(t, "walrelay_slot_retained_bytes"), r.metric(t, "walrelay_wal_budget_bytes"); held < 0.8*all || all != budget {
		t.Errorf("%v of %v bytes by the metrics, readiness says: %s", held, all, message)
	}
	r.wantServed(t, ids[0])

	other.stop()
	r.wantSlot(t, "streaming", "")
	// The slot lets go of WAL at the next checkpoint that walrelay has seen.
	written := db.walEnd(t)
	db.waitRestart(t, written)
	r.waitReady(t)
	r.stderr.waitFor(t, "the slot holds back little WAL again")
	db.exec(t, "insert into items values (3)")
	s.wantRow(t, "insert", "items", 3)
	if n := strings.Count(r.stderr.String(), much); n != 1 {
		t.Errorf("warned %d times:\n%s", n, r.stderr)
	}
}
