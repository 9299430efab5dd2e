package integration

import (
	"strings"
	"testing"
)

// What the WAL carries of the row before depends on the table's replica identity.
func TestReplicationIdentity(t *testing.T) {
	t.Parallel()
	db := newDatabase(t,
		"create table plain (id int primary key, name text)",
		"create table toast (id int primary key, n int, body text)",
		"create table toast_full (id int primary key, n int, body text); alter table toast_full replica identity full",
		"alter table toast alter body set storage external; alter table toast_full alter body set storage external",
		`create table indexed (id int primary key, code text not null, name text);
		 create unique index indexed_code on indexed (code, id); alter table indexed replica identity using index indexed_code`,
		"create table keyless (a int, b text); alter table keyless replica identity full",
		`create table pair (a int, b text, v int, primary key (b, a))`)
	r := startRelay(t, db, standard(publicTables("plain", "toast", "toast_full", "indexed", "keyless", "pair")))
	s := r.live(t, "plain", "toast", "toast_full", "indexed", "keyless", "pair")
	big := strings.Repeat("large ", 2000)
	for _, test := range []struct {
		name string
		sql  []string
		want []string
	}{
		{"default, key kept", []string{"insert into plain values (1, 'a')", "update plain set name = 'b'", "update plain set name = null"}, []string{
			`1.0 plain insert {"id":1} {"id":1,"name":"a"}`,
			`2.0 plain update {"id":1} {"id":1,"name":"b"}`,
			`3.0 plain update {"id":1} {"id":1,"name":null}`}},
		{"default, key changed", []string{"update plain set id = 2, name = 'c'"}, []string{
			`-   plain delete {"id":1}`,
			`1.0 plain insert {"id":2} {"id":2,"name":"c"}`}},
		{"default, key changed within many", []string{"insert into plain values (3, 'd'); update plain set id = id + 10; update plain set name = 'e' where id = 12"}, []string{
			`1.0 plain insert {"id":3} {"id":3,"name":"d"}`,
			`-   plain delete {"id":2}`,
			`1.1 plain insert {"id":12} {"id":12,"name":"c"}`,
			`-   plain delete {"id":3}`,
			`1.2 plain insert {"id":13} {"id":13,"name":"d"}`,
			`1.3 plain update {"id":12} {"id":12,"name":"e"}`}},
		{"default, deleted", []string{"delete from plain where id = 12", "delete from plain"}, []string{
			`1.0 plain delete {"id":12}`,
			`2.0 plain delete {"id":13}`}},
		{"default, key of several columns", []string{"insert into pair values (1, 'x', 7)", "update pair set a = 2", "delete from pair"}, []string{
			`1.0 pair insert {"b":"x","a":1} {"a":1,"b":"x","v":7}`,
			`-   pair delete {"b":"x","a":1}`,
			`2.0 pair insert {"b":"x","a":2} {"a":2,"b":"x","v":7}`,
			`3.0 pair delete {"b":"x","a":2}`}},
		{"default, unchanged TOAST", []string{"insert into toast values (1, 1, '" + big + "')", "update toast set n = 2", "update toast set body = null"}, []string{
			`1.0 toast insert {"id":1} {"id":1,"n":1,"body":"BIG"}`,
			`2.0 toast update {"id":1} {"id":1,"n":2} unchanged ["body"]`,
			`3.0 toast update {"id":1} {"id":1,"n":2,"body":null}`}},
		{"default, unchanged TOAST under another key", []string{"update toast set body = '" + big + "'", "update toast set id = 2"}, []string{
			`1.0 toast update {"id":1} {"id":1,"n":2,"body":"BIG"}`,
			`-   toast delete {"id":1}`,
			`2.0 toast insert {"id":2} {"id":2,"n":2} missing ["body"]`}},
		{"full, unchanged TOAST", []string{"insert into toast_full values (1, 1, '" + big + "')", "update toast_full set n = 2", "update toast_full set id = 2", "delete from toast_full"}, []string{
			`1.0 toast_full insert {"id":1} {"id":1,"n":1,"body":"BIG"}`,
			`2.0 toast_full update {"id":1} {"id":1,"n":2,"body":"BIG"}`,
			`-   toast_full delete {"id":1}`,
			`3.0 toast_full insert {"id":2} {"id":2,"n":2,"body":"BIG"}`,
			`4.0 toast_full delete {"id":2}`}},
		{"index", []string{"insert into indexed values (1, 'x', 'a')", "update indexed set name = 'b'", "update indexed set code = 'y'", "update indexed set id = 2", "delete from indexed"}, []string{
			`1.0 indexed insert {"id":1} {"id":1,"code":"x","name":"a"}`,
			`2.0 indexed update {"id":1} {"id":1,"code":"x","name":"b"}`,
			`3.0 indexed update {"id":1} {"id":1,"code":"y","name":"b"}`,
			`-   indexed delete {"id":1}`,
			`4.0 indexed insert {"id":2} {"id":2,"code":"y","name":"b"}`,
			`5.0 indexed delete {"id":2}`}},
		{"full without key", []string{"insert into keyless values (1, 'x'), (1, 'x'), (2, null)", "update keyless set b = 'y' where a = 2", "delete from keyless where a = 1"}, []string{
			`1.0 keyless insert {"a":1,"b":"x"} {"a":1,"b":"x"}`,
			`1.1 keyless insert {"a":1,"b":"x"} {"a":1,"b":"x"}`,
			`1.2 keyless insert {"a":2,"b":null} {"a":2,"b":null}`,
			`-   keyless delete {"a":2,"b":null}`,
			`2.0 keyless insert {"a":2,"b":"y"} {"a":2,"b":"y"}`,
			`3.0 keyless delete {"a":1,"b":"x"}`,
			`3.1 keyless delete {"a":1,"b":"x"}`}},
	} {
		got := s.told(t, db, "plain", test.sql...)
		for i := range got {
			got[i] = strings.ReplaceAll(got[i], big, "BIG")
		}
		wantLines(t, test.name, got, test.want)
	}
}

// A row that an UPDATE moves to another parameter leaves one channel and enters
// the other, at one position.
func TestReplicationIdentityParameters(t *testing.T) {
	t.Parallel()
	db := newDatabase(t,
		"create table full_rows (id int primary key, room int, body text); alter table full_rows replica identity full",
		`create table indexed_rows (id int primary key, room int not null, body text);
		 create unique index by_room on indexed_rows (room, id); alter table indexed_rows replica identity using index by_room`)
	r := startRelay(t, db, standard(`channels:
  "full/{room}": {table: public.full_rows, where: row.room == params.room, allow: public}
  "indexed/{room}": {table: public.indexed_rows, columns: [body], where: row.room == params.room, allow: public}
`))
	for _, test := range []struct {
		name, channel, table string
		row                  func(room, body string) string
	}{
		{"full", "full", "full_rows", func(room, body string) string { return `{"id":1,"room":` + room + `,"body":"` + body + `"}` }},
		{"index", "indexed", "indexed_rows", func(_, body string) string { return `{"id":1,"body":"` + body + `"}` }},
	} {
		t.Run(test.name, func(t *testing.T) {
			one, two, both := r.live(t, test.channel+"/1"), r.live(t, test.channel+"/2"), r.live(t, test.channel+"/1", test.channel+"/2")
			table := test.table
			db.exec(t,
				"insert into "+table+" values (1, 1, 'a'), (2, 3, 'elsewhere')",
				"update "+table+" set body = 'b' where id = 1",
				"update "+table+" set room = 2, body = 'secret of 2' where id = 1",
				"update "+table+" set room = 1 where id = 1",
				"update "+table+" set id = 5, room = 2 where id = 1",
				"delete from "+table)
			mark1, mark2 := endMark(t, db, test.channel+"/1"), endMark(t, db, test.channel+"/2")
			line := func(position, channel, rest string) string {
				return position + " " + strings.ReplaceAll(channel, "C", test.channel) + " " + rest
			}
			row5 := strings.Replace(test.row("2", "secret of 2"), `"id":1`, `"id":5`, 1)
			wantLines(t, "room 1", one.readTo(t, mark1), []string{
				line("1.0", "C/1", `insert {"id":1} `+test.row("1", "a")),
				line("2.0", "C/1", `update {"id":1} `+test.row("1", "b")),
				line("3.0", "C/1", `delete {"id":1}`),
				line("4.0", "C/1", `insert {"id":1} `+test.row("1", "secret of 2")),
				line("5.0", "C/1", `delete {"id":1}`),
			})
			wantLines(t, "room 2", two.readTo(t, mark2), []string{
				line("1.0", "C/2", `insert {"id":1} `+test.row("2", "secret of 2")),
				line("2.0", "C/2", `delete {"id":1}`),
				line("3.0", "C/2", `insert {"id":5} `+row5),
				line("4.1", "C/2", `delete {"id":5}`),
			})
			wantLines(t, "both rooms", both.readTo(t, mark1), []string{
				line("1.0", "C/1", `insert {"id":1} `+test.row("1", "a")),
				line("2.0", "C/1", `update {"id":1} `+test.row("1", "b")),
				line("-  ", "C/1", `delete {"id":1}`),
				line("3.0", "C/2", `insert {"id":1} `+test.row("2", "secret of 2")),
				line("-  ", "C/2", `delete {"id":1}`),
				line("4.0", "C/1", `insert {"id":1} `+test.row("1", "secret of 2")),
				line("-  ", "C/1", `delete {"id":1}`),
				line("5.0", "C/2", `insert {"id":5} `+row5),
				line("6.1", "C/2", `delete {"id":5}`),
			})
		})
	}
	// A row without a room is in no channel.
	s := r.live(t, "full/1")
	wantLines(t, "NULL", s.told(t, db, "full/1", "insert into full_rows values (9, null, 'x')", "update full_rows set room = 1 where id = 9",
		"update full_rows set room = null where id = 9", "delete from full_rows"), []string{
		`1.0 full/1 insert {"id":9} {"id":9,"room":1,"body":"x"}`,
		`2.0 full/1 delete {"id":9}`,
	})
}
