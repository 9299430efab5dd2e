package integration

import (
	"testing"
)

// Rows enter and leave by an identity index as by FULL: it carries what the rule reads.
func TestFilterByIdentityIndex(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, `create table tasks (id int primary key, owner int not null, state text not null, note text, body text);
		create unique index covering on tasks (id, owner, state); alter table tasks replica identity using index covering; alter table tasks alter body set storage external`,
		`insert into tasks values (1, 1, 'open', 'n', repeat('x', 3000)), (2, 2, 'open', 'n', repeat('y', 3000)), (3, 1, 'done', 'n', 'short')`)
	r := startRelay(t, db, standard(`channels:
  tasks: {table: public.tasks, columns: [id, note, body], where: "row.owner == 1 && row.state == 'open'", allow: public}
`))
	s := r.live(t, "tasks")
	wantLines(t, "identity index", s.told(t, db, "tasks",
		"update tasks set note = 'o' where id = 1", // no old tuple: it was what it is
		"update tasks set note = 'o' where id = 2", // neither before nor after
		"update tasks set owner = 1 where id = 2",  // enters; the body is not in the WAL
		"update tasks set owner = 2 where id = 1",  // leaves
		"update tasks set id = 9 where id = 2",     // another key
		"update tasks set id = 8 where id = 1",     // of a row that is not seen
		"update tasks set state = 'open' where id = 3",
		"update tasks set body = 'new', note = null where id = 3",
		"delete from tasks where id = 8",
		"delete from tasks where id = 3",
	), []string{
		`1.0 tasks update {"id":1} {"id":1,"note":"o"} unchanged ["body"]`,
		`2.0 tasks insert {"id":2} {"id":2,"note":"o"} missing ["body"]`,
		`3.0 tasks delete {"id":1}`,
		`-   tasks delete {"id":2}`,
		`4.0 tasks insert {"id":9} {"id":9,"note":"o"} missing ["body"]`,
		`5.0 tasks insert {"id":3} {"id":3,"note":"n","body":"short"}`,
		`6.0 tasks update {"id":3} {"id":3,"note":null,"body":"new"}`,
		`7.0 tasks delete {"id":3}`,
	})
}

// identity: loose takes DEFAULT: what the old row was is not known, and nothing is told of a row
// that may have left. Strictly, such a rule is refused, with the DDL that would do.
func TestFilterByLooseIdentity(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table tasks (id int primary key, owner int, note text); insert into tasks values (1, 1, 'n'), (2, 2, 'n'), (3, 1, 'n')")
	strict := `channels:
  tasks: {table: public.tasks, columns: [id, note], allow: "row.owner == 1 || row.owner == user.id"}
auth: [{anonymous: {}}]
`
	r := newRelay(t, db, standard("claims: {id: bigint}\n"+strict))
	r.wantRefused(t, `walrelay.yaml:7:\d+: channels.tasks.allow: table public.tasks: its replica identity does not carry column "owner", .*fix: ALTER TABLE public.tasks REPLICA IDENTITY FULL;`)
	r.writeConfig(t, standard(`channels:
  tasks: {table: public.tasks, columns: [id, note], where: row.owner == 1, allow: public, identity: loose}
`))
	r.start(t)
	r.waitReady(t)
	s := r.live(t, "tasks")
	wantLines(t, "DEFAULT identity", s.told(t, db, "tasks",
		"insert into tasks values (4, 1, 'new'), (5, 2, 'new')",
		"update tasks set note = 'o' where id = 1", // whether it was seen is not known: put
		"update tasks set note = 'o' where id = 2",
		"update tasks set owner = 1 where id = 2", // enters
		"update tasks set owner = 2 where id = 1", // leaves: nobody is told
		"update tasks set id = 6 where id = 3",    // another key: that the old one was seen is not known
		"delete from tasks where id = 4",          // the same
		"truncate tasks",
	), []string{
		`1.0 tasks insert {"id":4} {"id":4,"note":"new"}`,
		`2.0 tasks insert {"id":1} {"id":1,"note":"o"}`,
		`3.0 tasks insert {"id":2} {"id":2,"note":"o"}`,
		`4.0 tasks insert {"id":6} {"id":6,"note":"n"}`,
		`5.0 tasks reset truncate`,
	})
}
