package integration

import (
	"fmt"
	"strings"
	"testing"
)

// A row above max_event_bytes is said with its key, not cut; live, and for a client
// that resumes at any index of the transaction, from memory and from disk.
func TestResumeOversize(t *testing.T) {
	t.Parallel()
	db := newDatabase(t,
		"create table items (id int primary key, body text); alter table items alter body set storage external",
		"create table fulls (id int primary key, body text); alter table fulls replica identity full; alter table fulls alter body set storage external")
	r := startRelay(t, db, settings{http: "heartbeat: 5m", log: "max_event_bytes: 4KiB", channels: "  items: {table: public.items, allow: public}\n  fulls: {table: public.fulls, allow: public}\n" +
		"  \"item/{id}\": {table: public.items, where: row.id == params.id, allow: public}\n"}.yaml())
	channels := []string{"items", "fulls", "item/2"}
	s := r.live(t, channels...)
	start := s.lastID
	x := func(n int) string { return "'" + strings.Repeat("x", n) + "'" }
	db.exec(t, strings.Join([]string{
		"insert into items values (1, 'a')", "insert into items values (2, " + x(5000) + ")", "insert into items values (3, 'c')",
		"insert into fulls values (1, 'a')", "update fulls set body = " + x(5000), "update fulls set body = 'b'", "update fulls set body = 'c'",
		"update items set body = " + x(9000) + " where id = 3", "update items set id = 4 where id = 2", "delete from fulls",
		"select pg_logical_emit_message(true, 'walrelay:items', '\"" + strings.Repeat("1", 5000) + "\"')", "insert into items values (5, 'e')"}, "; "),
		"insert into items values (6, "+x(100_000)+")", "delete from items where id = 6")
	want := []string{
		`1.0 items insert {"id":1} {"id":1,"body":"a"}`,
		`-   items insert {"id":2} null oversize true`,
		`1.1 item/2 insert {"id":2} null oversize true`,
		`1.2 items insert {"id":3} {"id":3,"body":"c"}`,
		`1.3 fulls insert {"id":1} {"id":1,"body":"a"}`,
		`1.4 fulls update {"id":1} null oversize true`,
		`1.5 fulls update {"id":1} null oversize true`, // the old row is too large
		`1.6 fulls update {"id":1} {"id":1,"body":"c"}`,
		`1.7 items update {"id":3} null oversize true`,
		`-   items delete {"id":2}`,
		`-   items insert {"id":4} {"id":4} missing ["body"]`, // the WAL has no value of it
		`1.8 item/2 delete {"id":2}`,
		`1.9 fulls delete {"id":1}`,
		`1.10 items message {"oversize":true}`,
		`1.11 items insert {"id":5} {"id":5,"body":"e"}`,
		`2.0 items insert {"id":6} null oversize true`,
		`3.0 items delete {"id":6}`,
	}
	story, frames := newStory(), s.nextN(t, len(want))
	for _, f := range frames {
		story.add(t, f)
	}
	wantLines(t, "live", story.lines, want)

	check := func(when string) {
		from := start
		for i, f := range frames {
			if i == 0 || frames[i-1].hasID {
				again := r.resumed(t, from, channels...)
				for _, want := range frames[i:] {
					if got := again.next(t); got != want {
						t.Fatalf("%s, from %s: got %s %s %.200s, want %s %s %.200s", when, from, got.id, got.event, got.data, want.id, want.event, want.data)
					}
				}
				again.close()
			}
			from = f.id
		}
	}
	check("from memory")
	db.waitConfirmed(t, s.lastID)
	r.kill9(t)
	r.start(t)
	r.waitReady(t)
	check("from disk")
	if n := fmt.Sprint(r.metric(t, "walrelay_replication_changes_total"), r.metric(t, "walrelay_resets_total")); n != "0 0" {
		t.Errorf("changes sent again, resets: %s", n)
	}
}
