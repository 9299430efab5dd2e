package integration

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/pgtemp"
)

// TestSlotUnderDDL: Postgres forgets an ALTER TABLE and a TRUNCATE that commit while it
// looks for a new slot's consistent point with others running. Such a slot is made
// again; else the new column would be missing, and the truncated table's next row would
// end decoding for ever.
func TestSlotUnderDDL(t *testing.T) {
	t.Parallel()
	db := newDatabaseOn(t, newCluster(t, pgtemp.Options{}), "create table scratch (id int primary key)", "create table wide (id int primary key)", "create table other (id int)")
	first, second, third := db.conn(t), db.conn(t), db.conn(t)
	script(t, []step{{first, "begin"}, {first, "insert into other values (1)"}}) // running when the slot is begun
	r := newRelay(t, db, standard(publicTables("scratch", "wide")))
	r.start(t)
	db.waitSlotWaitsFor(t, first)
	script(t, []step{{second, "begin"}, {second, "insert into other values (2)"}})
	db.exec(t, "alter table wide add column x int default 7", "truncate scratch")
	script(t, []step{{first, "commit"}})
	db.waitSlotWaitsFor(t, second)
	script(t, []step{{third, "begin"}, {third, "insert into wide values (1)"}, {second, "commit"}})
	r.stderr.waitFor(t, "tables were altered while the replication slot was made: making it again")
	script(t, []step{{third, "commit"}})
	r.waitReady(t)
	s := r.live(t, "scratch", "wide")
	wantLines(t, "rows", s.told(t, db, "wide", "insert into wide values (2)", "insert into scratch values (1)"), []string{
		`1.0 wide insert {"id":2} {"id":2,"x":7}`,
		`2.0 scratch insert {"id":1} {"id":1}`,
	})
}

// TestSlotUnderDDLWhenKilled: the same, and walrelay is killed meanwhile. Postgres goes
// on making the slot, and must not leave it to the next walrelay, which would trust it.
func TestSlotUnderDDLWhenKilled(t *testing.T) {
	t.Parallel()
	db := newDatabaseOn(t, newCluster(t, pgtemp.Options{}), "create table scratch (id int primary key)", "create table wide (id int primary key)", "create table other (id int)")
	first, second, third := db.conn(t), db.conn(t), db.conn(t)
	script(t, []step{{first, "begin"}, {first, "insert into other values (1)"}})
	r := newRelay(t, db, standard(publicTables("scratch", "wide")))
	r.start(t)
	db.waitSlotWaitsFor(t, first)
	r.kill9(t)
	script(t, []step{{second, "begin"}, {second, "insert into other values (2)"}})
	db.exec(t, "alter table wide add column x int default 7", "truncate scratch")
	script(t, []step{{first, "commit"}})
	db.waitSlotWaitsFor(t, second)
	script(t, []step{{third, "begin"}, {third, "insert into wide values (1)"}, {second, "commit"}})
	eventually(t, func() string {
		return db.value(t, "select string_agg('slot of the killed: process '||pid, ', ') from pg_stat_activity where application_name like 'walrelay%'")
	})
	script(t, []step{{third, "commit"}})
	r.start(t)
	r.waitReady(t)
	s := r.live(t, "scratch", "wide")
	wantLines(t, "rows", s.told(t, db, "wide", "insert into wide values (2)", "insert into scratch values (1)"), []string{
		`1.0 wide insert {"id":2} {"id":2,"x":7}`,
		`2.0 scratch insert {"id":1} {"id":1}`,
	})
}

// waitSlotWaitsFor waits until the making of a slot waits for the transaction of a
// connection.
func (d *database) waitSlotWaitsFor(t testing.TB, holder *pgx.Conn) {
	t.Helper()
	pid := strconv.FormatUint(uint64(holder.PgConn().PID()), 10)
	eventually(t, func() string {
		if n := d.value(t, "select count(*) from pg_stat_activity where query like '%pg_create_logical_replication_slot%' and $1::int = any(pg_blocking_pids(pid))", pid); n == "0" {
			return fmt.Sprintf("no slot is being made that waits for %s", pid)
		}
		return ""
	})
}
