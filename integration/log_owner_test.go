package integration

import (
	"fmt"
	"testing"

	"github.com/walrelay/walrelay/pgtemp"
)

// One log belongs to one walrelay: a second one says who has it, and ends. The first
// is not disturbed.
func TestLogTwoProcesses(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key)")
	r := startRelay(t, db, standard(publicTables("items")))
	s := r.live(t, "items")
	other := newRelay(t, db, standard(publicTables("items")))
	other.env = append(other.env, "LOG_DIR="+r.logDir)
	other.start(t)
	other.wantRefusal(t, `log.*in use by another walrelay \(pid `+fmt.Sprint(r.cmd.Process.Pid)+`\): stop that one, or give each its own log.dir`)
	wantLines(t, "the first", s.told(t, db, "items", "insert into items values (1)"), []string{`1.0 items insert {"id":1} {"id":1}`})
}

// One log belongs to one cluster: led to another, walrelay ends and has made nothing
// there.
func TestLogOfAnotherCluster(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key)")
	r := startRelay(t, db, standard(publicTables("items")))
	r.terminate(t)
	elsewhere := newDatabaseOn(t, newCluster(t, pgtemp.Options{}), "create table items (id int primary key)")
	r.env = append(r.env, "DATABASE_URL="+elsewhere.url())
	r.start(t)
	r.wantRefusal(t, `event log.*it belongs to the cluster with system identifier \d+, postgres.url leads to \d+; fix: correct postgres.url, or give this cluster its own log.dir`)
	for table, d := range map[string]*database{"here": db, "there": elsewhere} {
		d.wantWritable(t, table)
	}
	if got := elsewhere.value(t, "select (select count(*) from pg_replication_slots) + (select count(*) from pg_publication)"); got != "0" {
		t.Errorf("%s slots and publications were left on the wrong cluster", got)
	}
}
