package integration

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Any text comes through every transport as it is in the table.
func TestAnyText(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, itemsTable)
	r := startRelay(t, db, settings{channels: itemsChannels}.yaml())
	texts := []string{
		"", " ", "\n", "\r", "\r\n\r\n", "a\n\nevent: end\ndata: {}\n\nid: 0/0.0", "data: x\nid: \x01\n", "\t\b\f\v\x7f\x1b", `"\\/"`, `\u0000 \n`,
		"\u2028\u2029\u0085\ufeff", "Größe 日本語 🎉 e\u0301", "</script><!--", strings.Repeat("\n", 10000), "\ufeff: comment", "null",
	}
	sse := openSSE(t, r.streamURL("items"), nil)
	sse.nextReady(t)
	lines := openLines(t, r.streamURL("items"), "")
	lines.next(t)
	last := r.poll(t, "", "0s", "items").LastEventID
	conn := db.conn(t)
	for id, text := range texts {
		if _, err := conn.Exec(t.Context(), "insert into items values ($1, $2)", id, text); err != nil {
			t.Fatal(err)
		}
	}
	var polled []wireEvent
	for len(polled) < len(texts) {
		p := r.poll(t, last, "25s", "items")
		polled, last = append(polled, p.Events...), p.LastEventID
	}
	for id, want := range texts {
		for transport, e := range map[string]wireEvent{"SSE": sse.wantRow(t, "insert", "items", id), "lines": lines.next(t), "long poll": polled[id]} {
			if e.Row["name"] != want || idOf(e) != id {
				t.Errorf("%s: row %d: got %q, want %q", transport, id, e.Row["name"], want)
			}
		}
	}
}

// Rows larger than the queue of a client come whole; rows larger than the log takes
// say so.
func TestLargeRows(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, itemsTable)
	r := startRelay(t, db, settings{http: "limits: {queue: 64KiB}", log: "max_event_bytes: 700000", channels: itemsChannels}.yaml())
	s := openSSE(t, r.streamURL("items", "item/3"), nil)
	ready := s.nextReady(t)
	if ready.Position == "" {
		t.Fatal("no position")
	}
	first := s.lastID
	const rows = 12
	for id := range rows {
		db.exec(t, fmt.Sprintf("insert into items values (%d, repeat('%c', 500000))", id, 'a'+id))
	}
	db.exec(t, fmt.Sprintf("insert into items values (%d, repeat('x', 800000))", rows), insertItem(rows+1))
	check := func(s *sse) {
		t.Helper()
		for id := range rows {
			e := s.wantRow(t, "insert", "items", id)
			if id == 3 {
				s.wantRow(t, "insert", "item/3", id)
			}
			if name, _ := e.Row["name"].(string); name != strings.Repeat(string(rune('a'+id)), 500000) {
				t.Errorf("row %d: %d bytes that begin with %.5q", id, len(name), name)
			}
		}
		f := s.next(t)
		if !strings.Contains(f.data, `"row":null,"oversize":true`) || idOf(eventOf(t, f)) != rows {
			t.Errorf("the row that is too large: got %.200s", f.data)
		}
		s.wantRow(t, "insert", "items", rows+1)
	}
	check(s)
	again := openSSE(t, r.streamURL("items", "item/3"), resumeAt(first))
	if !again.nextReady(t).Resumed {
		t.Error("not resumed")
	}
	check(again)
	var polled []int
	for last := first; len(polled) < rows+3; {
		p := r.poll(t, last, "25s", "items", "item/3")
		polled, last = append(polled, ids(p.Events)...), p.LastEventID
	}
	if !slices.Equal(polled, []int{0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}) {
		t.Errorf("long polls: got %v", polled)
	}
	if n := r.metric(t, "walrelay_replication_oversize_total"); n != 1 {
		t.Errorf("walrelay_replication_oversize_total is %v", n)
	}
}

// Messages without a table go to the channel that they name, with the transaction
// that wrote them.
func TestMessages(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, itemsTable)
	r := startRelay(t, db, settings{channels: itemsChannels}.yaml())
	s := openSSE(t, r.streamURL("items", "item/7"), nil)
	s.nextReady(t)
	emit := func(transactional bool, prefix, content string) string {
		return fmt.Sprintf("select pg_logical_emit_message(%v, '%s', '%s')", transactional, prefix, content)
	}
	db.exec(t, strings.Join([]string{
		"begin", insertItem(7), emit(true, "walrelay:item/7", "{\"typing\": [1,  2],\n \"who\":\"a\"}"), emit(true, "walrelay:items", `12345678901234567890.10`), "commit",
		"begin", emit(true, "walrelay:items", `{"rolled":"back"}`), "rollback"}, "; "),
		emit(false, "walrelay:items", `{"not":"transactional"}`), emit(true, "items", `{"prefix":"missing"}`), emit(true, "walrelay:item/8", `{"other":"channel"}`),
		emit(true, "walrelay:items", "not\nJSON"), emit(true, "walrelay:items", ""))
	row := s.wantRow(t, "insert", "items", 7)
	s.wantRow(t, "insert", "item/7", 7)
	for _, want := range []string{
		`{"channel":"item/7","op":"message","data":{"typing":[1,2],"who":"a"},"params":{"id":7},"tx":{"xid":` + strconv.Itoa(int(row.Tx.XID)),
		`{"channel":"items","op":"message","data":12345678901234567890.10,"tx":{"xid":` + strconv.Itoa(int(row.Tx.XID)),
		`{"channel":"items","op":"message","data":"not\nJSON","tx":`,
		`{"channel":"items","op":"message","data":"","tx":`,
	} {
		if f := s.next(t); f.event != "message" || !f.hasID || !strings.HasPrefix(f.data, want) {
			t.Errorf("got %s %s, want message %s…", f.event, f.data, want)
		}
	}
}

// Names that need quotes in SQL, in JSON or in URLs.
func TestOddNames(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, `create schema "My Shop"`,
		`create table "My Shop"."Order ""Items""" ("Id" bigint primary key, "größe, ""x""" text, tag text not null)`,
		`create unique index tag on "My Shop"."Order ""Items""" ("Id", tag)`,
		`alter table "My Shop"."Order ""Items""" replica identity using index tag`)
	r := startRelay(t, db, settings{channels: `
  odd: {table: '"My Shop"."Order ""Items"""', columns: ['größe, "x"'], allow: public}
  "tag/{tag}": {table: '"My Shop"."Order ""Items"""', where: row.tag == params.tag, allow: public}
`}.yaml())
	odd := openSSE(t, r.streamURL("odd"), nil)
	odd.nextReady(t)
	tags := []string{"a", "a b", "größe", "100%", "a+b?c&d=e#f", `"'\`, "a.b", "..", "%2F", "日本語", " a", "\u00a0", "A"}
	streams := map[string]*sse{}
	for _, tag := range tags {
		streams[tag] = openSSE(t, r.streamURL("tag/"+tag), nil)
		if ready := streams[tag].nextReady(t); ready.Channels[0] != "tag/"+tag {
			t.Errorf("ready of %q: %v", tag, ready.Channels)
		}
	}
	conn := db.conn(t)
	for id, tag := range tags {
		if _, err := conn.Exec(t.Context(), `insert into "My Shop"."Order ""Items""" values ($1, 'x', $2)`, id, tag); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf(`{"channel":"odd","op":"insert","key":{"Id":%d},"row":{"Id":%d,"größe, \"x\"":"x"},"tx":`, id, id)
		if f := odd.next(t); !strings.HasPrefix(f.data, want) {
			t.Errorf("got %s, want %s…", f.data, want)
		}
		f := streams[tag].next(t)
		if e := eventOf(t, f); e.Channel != "tag/"+tag || e.Params["tag"] != tag || e.Row["tag"] != tag {
			t.Errorf("channel of %q: got %s", tag, f.data)
		}
	}
	// In the path, escaped, it is the same channel.
	inPath := openSSE(t, r.url+"/events/tag/"+url.PathEscape("a b"), nil)
	if ready := inPath.nextReady(t); ready.Channels[0] != "tag/a b" {
		t.Errorf("ready: %v", ready.Channels)
	}
	// What no text column can hold is no value.
	for _, bad := range []string{"a%00b", "a%ff"} {
		if got := ask(t, "GET", r.url+"/events?channel=tag/"+bad, http.Header{"Accept": {"application/json"}}); got.status != 400 || !strings.Contains(got.body, "bad_parameter") {
			t.Errorf("%s: got %d %s", bad, got.status, got.body)
		}
	}
}
