package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Between a client's disconnect and its return the table changes its shape, and
// walrelay ends and starts, before, during and after each change: the rows keep the
// shape of their moment, none is lost, and the client may come back from anywhere.
func TestResumeAcrossDDL(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key, a int, b text)", "create table others (id int primary key)")
	r := startRelay(t, db, quietConfig("items", "others"))
	live := r.live(t, "items", "others")
	away := live.lastID // the id of a client that is away from now on
	var frames []frame
	ends := []func(){func() { r.kill9(t) }, func() { r.terminate(t) }}
	for i, step := range []struct {
		name string
		sql  []string
		want []string // events, without positions
	}{
		{"before", []string{"insert into items values (1, 1, 'x')"}, []string{
			`items insert {"id":1} {"id":1,"a":1,"b":"x"}`}},
		{"add column", []string{"insert into items values (2, 2, 'x')", "alter table items add column c numeric default 1.50", "insert into items values (3, 3, 'x')",
			"update items set c = 2 where id = 1"}, []string{
			`items insert {"id":2} {"id":2,"a":2,"b":"x"}`,
			`items insert {"id":3} {"id":3,"a":3,"b":"x","c":1.50}`,
			`items update {"id":1} {"id":1,"a":1,"b":"x","c":2}`}},
		{"alter type", []string{"insert into items values (4, 4, 'x')", "alter table items alter a type text using 'n' || a", "insert into items values (5, 'five', 'x')",
			"update items set b = 'y' where id = 4"}, []string{
			`items insert {"id":4} {"id":4,"a":4,"b":"x","c":1.50}`,
			`items insert {"id":5} {"id":5,"a":"five","b":"x","c":1.50}`,
			`items update {"id":4} {"id":4,"a":"n4","b":"y","c":1.50}`}},
		{"drop column", []string{"insert into items values (6, '6', 'x')", "alter table items drop column b", "insert into items values (7, '7')", "delete from items where id = 6"}, []string{
			`items insert {"id":6} {"id":6,"a":"6","b":"x","c":1.50}`,
			`items insert {"id":7} {"id":7,"a":"7","c":1.50}`,
			`items delete {"id":6}`}},
		{"rename column", []string{"insert into items values (8, '8')", "alter table items rename a to z", "insert into items values (9, '9')", "alter table items add column a bool", "insert into items values (10, '10', 1, true)"}, []string{
			`items insert {"id":8} {"id":8,"a":"8","c":1.50}`,
			`items insert {"id":9} {"id":9,"z":"9","c":1.50}`,
			`items insert {"id":10} {"id":10,"z":"10","c":1,"a":true}`}},
		{"rename the key's column", []string{"insert into items values (11, '11')", "alter table items rename id to nr", "insert into items values (12, '12')", "delete from items where nr = 1",
			"alter table items rename nr to id", "delete from items where id = 2"}, []string{
			`items insert {"id":11} {"id":11,"z":"11","c":1.50,"a":null}`,
			`items insert {"nr":12} {"nr":12,"z":"12","c":1.50,"a":null}`,
			`items delete {"nr":1}`,
			`items delete {"id":2}`}},
		{"rename table and back", []string{"insert into items values (13, '13')", "alter table items rename to things", "insert into others values (1)", "alter table things rename to items", "insert into items values (14, '14')"}, []string{
			`items insert {"id":13} {"id":13,"z":"13","c":1.50,"a":null}`,
			`others insert {"id":1} {"id":1}`,
			`items insert {"id":14} {"id":14,"z":"14","c":1.50,"a":null}`}},
		{"within one transaction", []string{"insert into items values (15, '15'); alter table items drop column a; insert into items values (16, '16'); alter table items alter c type int; insert into items values (17, '17', 17)"}, []string{
			`items insert {"id":15} {"id":15,"z":"15","c":1.50,"a":null}`,
			`items insert {"id":16} {"id":16,"z":"16","c":1.50}`,
			`items insert {"id":17} {"id":17,"z":"17","c":17}`}},
	} {
		// Walrelay is down for the whole step, for its first statement, or for none.
		down := []int{0, len(step.sql), 1}[i%3]
		if down > 0 {
			ends[i%2]()
			db.exec(t, step.sql[:down]...)
			r.start(t)
			r.waitReady(t)
			live.reconnect(t)
			live.wantResumed(t)
		}
		db.exec(t, step.sql[down:]...)
		story := newStory()
		for range step.want {
			f := live.next(t)
			frames = append(frames, f)
			story.add(t, f)
		}
		for i, line := range story.lines {
			_, line, _ = strings.Cut(line, " ")
			story.lines[i] = strings.TrimLeft(line, " ")
		}
		wantLines(t, step.name, story.lines, step.want)
	}

	check := func(when string) {
		ids := []string{away}
		for i := 0; i < len(frames); i += 3 {
			ids = append(ids, frames[i].id)
		}
		for i, id := range ids {
			want := frames[max(0, 3*i-2):]
			back := r.resumed(t, id, "items", "others")
			if diff := cmp.Diff(want, back.nextN(t, len(want)), cmp.AllowUnexported(frame{})); diff != "" {
				t.Errorf("%s, from %s: (-live +resumed)\n%s", when, id, diff)
			}
			back.close()
		}
	}
	check("at once")
	db.waitConfirmed(t, live.lastID)
	r.kill9(t)
	r.start(t)
	r.waitReady(t)
	check("from disk")
	if n := fmt.Sprint(r.metric(t, "walrelay_replication_changes_total"), r.metric(t, "walrelay_resets_total")); n != "0 0" {
		t.Errorf("changes sent again, resets: %s", n)
	}
}

// A table that is dropped and made anew under its name, or replaced by another, is not
// the table that clients know: they are told, also when walrelay was away meanwhile, and
// get the rows of the new one.
func TestResumeAcrossNewTable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		ddl  []string
	}{
		{"dropped and created", []string{"drop table items", "create table items (id int primary key, body text)"}},
		{"replaced", []string{"create table next (like items including all)", "insert into next select * from items", "alter table items rename to old", "alter table next rename to items"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t, "create table items (id int primary key, body text)", "create table others (id int primary key)")
			r := startRelay(t, db, quietConfig("items", "others"))
			s, others := r.live(t, "items"), r.live(t, "others")
			db.exec(t, "insert into items values (1)", "insert into others values (1)")
			s.wantRow(t, "insert", "items", 1)
			others.wantRow(t, "insert", "others", 1)
			r.kill9(t)
			db.exec(t, "insert into items values (2)")
			db.exec(t, c.ddl...)
			db.exec(t, "insert into items values (3)", "insert into others values (2)")
			r.start(t)
			r.waitReady(t)
			s.reconnect(t)
			s.nextReady(t)
			told := 0
			db.exec(t, "insert into items values (4)")
			for row := 0; row != 4; { // before that row 2 may come, of the old table, and be taken back
				switch f := s.next(t); f.event {
				case "reset":
					told, row = told+1, 0
				case "insert":
					row = idOf(eventOf(t, f))
				default:
					t.Fatalf("got %s %s", f.event, f.data)
				}
			}
			if told == 0 {
				t.Error("the client was not told that the table is another one")
			}
			others.reconnect(t)
			others.wantResumed(t)
			others.wantRow(t, "insert", "others", 2)
			s.reconnect(t)
			s.wantResumed(t)
			db.exec(t, "insert into items values (5)")
			s.wantRow(t, "insert", "items", 5)
		})
	}
}
