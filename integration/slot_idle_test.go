package integration

import (
	"fmt"
	"testing"
	"time"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/pgtemp"
)

// A database in which nothing is written moves its slot on with what the server
// itself writes: else the slot would keep that for ever.
func TestSlotIdleDatabase(t *testing.T) {
	t.Parallel()
	db := newDatabaseOn(t, newCluster(t, pgtemp.Options{}), "create table items (id int primary key)")
	testSlotNeverPins(t, db, func() { db.exec(t, "select pg_switch_wal()") })
}

// Neither does a busy database beside it.
func TestSlotBusyNeighbour(t *testing.T) {
	t.Parallel()
	db, busy := newDatabase(t, "create table items (id int primary key)"), newDatabase(t, "create table noise (n int)")
	testSlotNeverPins(t, db, func() { busy.exec(t, "insert into noise select generate_series(1, 10000)") })
}

func testSlotNeverPins(t *testing.T, db *database, write func()) {
	r := startRelay(t, db, standard(publicTables("items")))
	s := r.live(t, "items")
	for range 2 {
		write()
		written := db.walEnd(t)
		eventually(t, func() string {
			if at := db.confirmed(t); at < written {
				return fmt.Sprintf("confirmed_flush_lsn is %s, before %s", at, written)
			}
			return ""
		})
		db.waitRestart(t, written)
		// What was confirmed is remembered: the next start does not take it for a gap.
		r.kill9(t)
		r.start(t)
		r.waitReady(t)
		s.reconnect(t)
		s.wantResumed(t)
	}
	wantLines(t, "after that", s.told(t, db, "items", "insert into items values (1)"), []string{`1.0 items insert {"id":1} {"id":1}`})
	r.wantSlot(t, "streaming", "")
}

// waitRestart waits until restart_lsn has moved past at: the WAL before may go. It
// moves where the server has listed its running transactions, as a checkpoint does.
func (d *database) waitRestart(t testing.TB, at change.LSN) {
	t.Helper()
	var last time.Time
	eventually(t, func() string {
		if time.Since(last) > time.Second {
			d.exec(t, "checkpoint")
			last = time.Now()
		}
		if restart := lsn(t, d.value(t, "select restart_lsn from pg_replication_slots where slot_name = $1", d.name)); restart < at {
			return fmt.Sprintf("restart_lsn is %s, before %s", restart, at)
		}
		return ""
	})
}
