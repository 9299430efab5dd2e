package integration

import (
	"strings"
	"testing"
)

// TestMembershipWhileStreaming: somebody takes a table out of the publication and puts
// it back, or puts another one in its place, as tools for online schema changes do.
// What was committed in between is not in the stream. Connected clients of its channels
// are told within seconds, and have everything from then on; others notice nothing.
func TestMembershipWhileStreaming(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		sql  []string
	}{
		{"taken out and put back", []string{"alter publication PUB drop table a", "insert into a values (2)", "alter publication PUB add table a"}},
		{"taken out", []string{"alter publication PUB drop table a", "insert into a values (2)"}},
		{"made anew", []string{"drop table a", "create table a (id int primary key)", "insert into a values (2)"}},
		{"swapped", []string{"create table next (id int primary key); insert into next select id from a; alter table a rename to old; alter table next rename to a", "insert into a values (2)"}},
		{"not all published for a while", []string{"alter publication PUB set (publish = 'update')", "insert into a values (2)", "alter publication PUB set (publish = 'insert, update, delete, truncate')"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t, "create table a (id int primary key)", "create table b (id int primary key)")
			r := startRelay(t, db, standard(publicTables("a", "b")))
			a, b := r.live(t, "a"), r.live(t, "b")
			db.exec(t, "insert into a values (1)", "insert into b values (1)")
			a.wantRow(t, "insert", "a", 1)
			b.wantRow(t, "insert", "b", 1)
			for _, sql := range test.sql {
				db.exec(t, strings.ReplaceAll(sql, "PUB", db.name))
			}
			a.wantReset(t, "gap", "a")
			db.exec(t, "insert into a values (3)", "insert into b values (2)")
			a.wantRow(t, "insert", "a", 3)
			a.reconnect(t)
			a.wantResumed(t)
			if !strings.HasPrefix(test.name, "not all") { // that concerns every table
				b.wantRow(t, "insert", "b", 2)
			}
		})
	}
}

// TestMembershipWhilePreparing: somebody takes a table out and puts it back at the very
// moment when walrelay extends the publication by another one. Here a trigger does.
func TestMembershipWhilePreparing(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table a (id int primary key)", "create table late (id int primary key)", "create table due (n int)")
	r := startRelay(t, db, standard(publicTables("a")))
	a := r.live(t, "a")
	db.exec(t, "insert into a values (1)")
	a.wantRow(t, "insert", "a", 1)
	r.terminate(t)
	db.exec(t, strings.ReplaceAll(`create function meddle() returns event_trigger language plpgsql set search_path = public as $$ begin
			if exists (select from due) then
				delete from due;
				alter publication PUB drop table a;
				insert into a values (2);
				alter publication PUB add table a;
			end if;
		end $$`, "PUB", db.name),
		"create event trigger meddle on ddl_command_end when tag in ('ALTER PUBLICATION') execute function meddle()",
		"insert into due values (1)")
	r.writeConfig(t, standard(publicTables("a", "late")))
	r.start(t)
	r.stderr.waitFor(t, "somebody else altered it, or a table of it, meanwhile")
	r.waitReady(t)
	a.reconnect(t)
	a.nextReady(t)
	a.wantReset(t, "gap", "a")
}

// TestMembershipWhileAway: the same while walrelay does not run.
func TestMembershipWhileAway(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table a (id int primary key)", "create table b (id int primary key)")
	r := startRelay(t, db, standard(publicTables("a", "b")))
	a, b := r.live(t, "a"), r.live(t, "b")
	db.exec(t, "insert into a values (1)", "insert into b values (1)")
	a.wantRow(t, "insert", "a", 1)
	b.wantRow(t, "insert", "b", 1)
	r.terminate(t)
	db.exec(t, "alter publication "+db.name+" drop table a", "insert into a values (2)", "alter publication "+db.name+" add table a", "insert into b values (2)")
	r.start(t)
	r.waitReady(t)
	a.reconnect(t)
	a.nextReady(t)
	a.wantReset(t, "gap", "a")
	b.reconnect(t)
	b.wantResumed(t)
	b.wantRow(t, "insert", "b", 2)
	r.kill9(t)
	r.start(t)
	r.waitReady(t)
	a.reconnect(t)
	a.wantResumed(t)
}
