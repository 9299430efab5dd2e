package integration

import (
	"slices"
	"testing"
)

// ALTER TABLE in the middle of the stream, also within a transaction: every row has
// the columns of its moment, and has them again when the log is read after a
// restart, by which time the catalog says something else.
func TestReplicationAlterTable(t *testing.T) {
	t.Parallel()
	db := newDatabase(t,
		"create table items (id int primary key, name text)",
		"create type mood as enum ('sad', 'ok')", "create table moods (id int primary key, m mood)",
		"create table full_items (id int primary key, name text); alter table full_items replica identity full")
	r := startRelay(t, db, standard(publicTables("items", "moods", "full_items")))
	channels := []string{"items", "moods", "full_items"}
	s := r.live(t, channels...)
	start := s.lastID
	if start == "" {
		t.Fatal("ready has no id")
	}
	var all []string // what a client gets that reads everything in one go
	var last string
	for _, test := range []struct {
		name string
		sql  []string
		want []string
	}{
		{"between transactions", []string{
			"insert into items values (1, 'a')",
			"alter table items add column n int default 7", "insert into items values (2, 'b')",
			"alter table items drop column name", "insert into items values (3)",
			"alter table items rename column n to number", "update items set number = 8 where id = 1",
			"alter table items alter column number type text using 'n' || number", "insert into items values (4, 'x')",
			"truncate items"},
			[]string{
				`1.0 items insert {"id":1} {"id":1,"name":"a"}`,
				`2.0 items insert {"id":2} {"id":2,"name":"b","n":7}`,
				`3.0 items insert {"id":3} {"id":3,"n":7}`,
				`4.0 items update {"id":1} {"id":1,"number":8}`,
				`5.0 items insert {"id":4} {"id":4,"number":"x"}`,
				`6.0 items reset truncate`}},
		{"within one transaction", []string{`
			insert into items values (11, 'a'); delete from items;
			alter table items add column b bool; insert into items values (12, 'b', true); delete from items;
			alter table items drop column number; insert into items values (13, false);
			alter table items rename column b to flag; update items set flag = null where id = 13;
			alter table items alter column flag type numeric using 1.50; insert into items values (14, 2.50);
			alter table items add column id2 int; update items set id2 = id; alter table items drop constraint items_pkey, add primary key (id2);
			delete from items;
			alter table items drop column id2; alter table items add primary key (id); insert into items values (15, 3)`},
			[]string{
				`1.0 items insert {"id":11} {"id":11,"number":"a"}`,
				`1.1 items delete {"id":11}`,
				`1.2 items insert {"id":12} {"id":12,"number":"b","b":true}`,
				`1.3 items delete {"id":12}`,
				`1.4 items insert {"id":13} {"id":13,"b":false}`,
				`1.5 items update {"id":13} {"id":13,"flag":null}`,
				`1.6 items insert {"id":14} {"id":14,"flag":2.50}`,
				`1.7 items update {"id":13} {"id":13,"flag":1.50,"id2":13}`,
				`1.8 items update {"id":14} {"id":14,"flag":2.50,"id2":14}`,
				`1.9 items delete {"id2":13}`,
				`1.10 items delete {"id2":14}`,
				`1.11 items insert {"id":15} {"id":15,"flag":3}`}},
		{"enums and domains", []string{
			"insert into moods values (1, 'ok')",
			"alter type mood add value 'great'", "insert into moods values (2, 'great')",
			"alter type mood rename value 'sad' to 'blue'", "insert into moods values (3, 'blue')",
			"create domain amount as numeric(10,2) check (value > 0); alter table moods add column price amount; insert into moods values (4, 'ok', 1.5)",
			"create type pair as (a int, b amount); alter table moods add column p pair[]; insert into moods values (5, 'ok', 2, array[row(1, 2.5)::pair])"},
			[]string{
				`1.0 moods insert {"id":1} {"id":1,"m":"ok"}`,
				`2.0 moods insert {"id":2} {"id":2,"m":"great"}`,
				`3.0 moods insert {"id":3} {"id":3,"m":"blue"}`,
				`4.0 moods insert {"id":4} {"id":4,"m":"ok","price":1.50}`,
				`5.0 moods insert {"id":5} {"id":5,"m":"ok","price":2.00,"p":[{"a":1,"b":2.50}]}`}},
		{"identity", []string{
			"insert into full_items values (1, 'a')",
			"update full_items set name = 'b'; alter table full_items replica identity default; update full_items set name = 'c'; delete from full_items",
			"alter table full_items rename to full_things", "insert into full_things values (2, 'd')",
			"alter table full_things rename to full_items", "insert into full_items values (3, 'e')",
			"alter table full_items replica identity full", "delete from full_items where id = 3"},
			[]string{
				`1.0 full_items insert {"id":1} {"id":1,"name":"a"}`,
				`2.0 full_items update {"id":1} {"id":1,"name":"b"}`,
				`2.1 full_items update {"id":1} {"id":1,"name":"c"}`,
				`2.2 full_items delete {"id":1}`,
				`3.0 full_items insert {"id":3} {"id":3,"name":"e"}`,
				`4.0 full_items delete {"id":3}`}},
	} {
		db.exec(t, test.sql...)
		last = endMark(t, db, "items")
		wantLines(t, test.name, s.readTo(t, last), test.want)
	}
	before := r.resumed(t, start, channels...)
	all = readAll(t, before, last)

	db.waitConfirmed(t, before.lastID) // or the last rows would be read from the database again, as tables of today
	r.kill9(t)
	db.exec(t, "alter table moods drop column m, drop column price, drop column p; drop type pair, mood, amount; alter table moods alter id type text",
		"alter table items drop column flag; alter table items rename id to name", "alter table full_items drop column id")
	r.start(t)
	r.waitReady(t)
	after := r.resumed(t, start, channels...)
	wantLines(t, "from the log, after a restart and with other columns and types", readAll(t, after, last), all)
}

// readAll reads up to a mark and keeps the other marks.
func readAll(t testing.TB, s *sse, last string) []string {
	t.Helper()
	story := newStory()
	for {
		story.add(t, s.next(t))
		if line := story.lines[len(story.lines)-1]; len(line) > len(last) && line[len(line)-len(last):] == last {
			return slices.Clone(story.lines)
		}
	}
}
