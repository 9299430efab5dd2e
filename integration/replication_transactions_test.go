package integration

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/pgtemp"
)

// Only what was committed arrives, whole, in the order of the commits.
func TestReplicationTransactions(t *testing.T) {
	t.Parallel()
	// A cluster of its own: transactions that stay open keep other tests' slots from
	// being created.
	db := newDatabaseOn(t, newCluster(t, pgtemp.Options{}), "create table items (id int primary key, name text)")
	r := startRelay(t, db, standard(publicTables("items")))
	s := r.live(t, "items")
	wantLines(t, "rolled back", s.told(t, db, "items",
		"begin; insert into items values (1); rollback",
		"begin; insert into items values (2); prepare transaction 'a'", "rollback prepared 'a'",
		"begin; insert into items values (3); savepoint a; insert into items values (4); rollback to a; insert into items values (5); savepoint b; insert into items values (6); release b; "+
			"savepoint c; insert into items values (7); savepoint d; insert into items values (8); release d; rollback to c; delete from items where id = 3; commit",
		"do $$ begin insert into items values (9); begin insert into items values (10), (9); exception when unique_violation then insert into items values (11); end; end $$"), []string{
		`1.0 items insert {"id":3} {"id":3,"name":null}`,
		`1.1 items insert {"id":5} {"id":5,"name":null}`,
		`1.2 items insert {"id":6} {"id":6,"name":null}`,
		`1.3 items delete {"id":3}`,
		`2.0 items insert {"id":9} {"id":9,"name":null}`,
		`2.1 items insert {"id":11} {"id":11,"name":null}`,
	})
	wantLines(t, "prepared", s.told(t, db, "items",
		"begin; insert into items values (20); insert into items values (21); prepare transaction 'a'",
		"insert into items values (22)", "commit prepared 'a'"), []string{
		`1.0 items insert {"id":22} {"id":22,"name":null}`,
		`2.0 items insert {"id":20} {"id":20,"name":null}`,
		`2.1 items insert {"id":21} {"id":21,"name":null}`,
	})
	a, b, c := db.conn(t), db.conn(t), db.conn(t)
	script(t, []step{
		{a, "begin"}, {b, "begin"}, {c, "begin"},
		{a, "insert into items values (30, 'a')"}, {b, "insert into items values (31, 'b')"}, {c, "insert into items values (32, 'c')"},
		{b, "insert into items values (33, 'b')"}, {a, "insert into items values (34, 'a')"},
		{b, "commit"}, {c, "rollback"}, {b, "insert into items values (35, 'b')"}, {a, "commit"},
	})
	wantLines(t, "interleaved", s.readTo(t, endMark(t, db, "items")), []string{
		`1.0 items insert {"id":31} {"id":31,"name":"b"}`,
		`1.1 items insert {"id":33} {"id":33,"name":"b"}`,
		`2.0 items insert {"id":35} {"id":35,"name":"b"}`,
		`3.0 items insert {"id":30} {"id":30,"name":"a"}`,
		`3.1 items insert {"id":34} {"id":34,"name":"a"}`,
	})
}

type step struct {
	conn *pgx.Conn
	sql  string
}

func script(t testing.TB, steps []step) {
	t.Helper()
	for _, s := range steps {
		if _, err := s.conn.PgConn().Exec(t.Context(), s.sql).ReadAll(); err != nil {
			t.Fatalf("%s: %v", s.sql, err)
		}
	}
}

// The walsender sends a transaction when its commit record is on disk; other
// sessions see it later, under synchronous replication much later. The types of its
// rows may have been made in it.
func TestReplicationTransactionNotYetVisible(t *testing.T) {
	t.Parallel()
	db := newDatabaseOn(t, newCluster(t, pgtemp.Options{Settings: map[string]string{"synchronous_commit": "local", "synchronous_standby_names": "nobody"}}),
		"create table items (id int primary key)")
	r := startRelay(t, db, standard(publicTables("items")))
	s := r.live(t, "items")
	before := r.metric(t, "walrelay_replication_messages_total")
	writer := db.conn(t)
	committed := make(chan error, 1)
	go func() {
		_, err := writer.PgConn().Exec(t.Context(), `begin; set local synchronous_commit = on; create domain amount as numeric;
			alter table items add column price amount; insert into items values (1, 1.50); commit`).ReadAll()
		committed <- err
	}()
	r.waitMetric(t, "walrelay_replication_messages_total", func(v float64) bool { return v >= before+2 }) // begin, relation
	if n := db.value(t, "select count(*) from pg_type where typname = 'amount'"); n != "0" {
		t.Error("the transaction is visible already: this tests nothing")
	}
	db.exec(t, "alter system set synchronous_standby_names = ''", "select pg_reload_conf()")
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
	wantLines(t, "row", s.readTo(t, endMark(t, db, "items")), []string{`1.0 items insert {"id":1} {"id":1,"price":1.50}`})
}

// TestReplicationSynchronousStandby: with synchronous_standby_names = '*' and nobody else
// there the application's commits wait for walrelay. Its own, before it streams, must not.
func TestReplicationSynchronousStandby(t *testing.T) {
	t.Parallel()
	db := newDatabaseOn(t, newCluster(t, pgtemp.Options{}), "create table items (id int primary key)", "create table late (id int primary key)",
		"alter system set synchronous_standby_names = '*'", "select pg_reload_conf()")
	r := startRelay(t, db, standard(publicTables("items"))) // makes the publication
	r.terminate(t)
	r.writeConfig(t, standard(publicTables("items", "late"))) // extends it
	r.start(t)
	r.waitReady(t)
}

// logLast is the position of the newest change in the event log; zero while the
// admin port does not answer.
func (r *relay) logLast(t testing.TB) change.Position {
	t.Helper()
	_, body, err := r.get(r.adminAt + "/readyz")
	if err != nil {
		return change.Position{}
	}
	var ready struct{ Log struct{ Last string } }
	if err := json.Unmarshal([]byte(body), &ready); err != nil {
		t.Fatalf("/readyz: %v: %s", err, body)
	}
	return positionOf(t, ready.Log.Last)
}

// comeBack resumes when the relay answers again.
func (s *sse) comeBack(t testing.TB, r *relay) {
	t.Helper()
	eventually(t, func() string {
		if status, body, err := r.get(r.adminAt + "/healthz"); err != nil || status != 200 {
			return fmt.Sprintf("/healthz: %d %s %v", status, body, err)
		}
		return ""
	})
	s.reconnect(t)
}
