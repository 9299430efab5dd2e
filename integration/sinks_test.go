package integration

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/walrelay/walrelay/change"
)

// Both sinks carry a snapshot, rows, heartbeats that move the id and the end of a session, and
// count what arrives.
func TestSinksServe(t *testing.T) {
	onSinks(t, func(t *testing.T, w way) {
		db := newDatabase(t, plainSchema, "insert into notes (user_id, body) select 1, 'note ' || n from generate_series(1, 1200) n")
		r := w.start(t, newAuthRelay(t, db, plainAuth.with(func(s *authSettings) { s.http = w.http }).yaml()))
		id := db.newSession(t, 1)
		rows := &snapshotted{sse: w.open(t, r, sid(id), "board"), rows: rowView{}}
		live := w.open(t, r, sid(id), "notes")
		r.waitMetric(t, `walrelay_connections{transport="sse"}`, func(v float64) bool { return v == 2 })
		rows.wantTable(t, db, "select * from notes")
		db.exec(t, insertNote(1, "one"), insertNote(2, "foreign"), insertNote(1, "two"))
		rows.wantTable(t, db, "select * from notes where user_id = 1")
		live.wantBody(t, "one")
		live.wantBody(t, "two")
		for end := db.mark(t); positionOf(t, live.lastID).Less(change.Before(end)); {
			live.nextHeartbeat(t)
		}
		db.exec(t, "delete from sessions", insertNote(1, "late"))
		for _, s := range []*sse{rows.sse, live} {
			if late := bodies(t, s.ended(t, "signed_out")); len(late) > 0 {
				t.Errorf("after the end of the session: %q", late)
			}
		}
		r.waitMetric(t, `walrelay_ends_total{reason="signed_out"}`, func(v float64) bool { return v == 2 })
		for name, want := range map[string]float64{
			`walrelay_connections{transport="sse"}`:         0,
			`walrelay_connections_total{transport="sse"}`:   2,
			`walrelay_written_bytes_total{transport="sse"}`: float64(w.got.Load()),
		} {
			if got := r.metric(t, name); got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
		if got := r.metric(t, `walrelay_heartbeats_total{transport="sse"}`); got < 1 {
			t.Errorf("%v heartbeats counted", got)
		}
	})
}

// Of clients that hang with a backlog, one whose session ends gets nothing that was committed
// after that, and one whose session goes on gets everything from the log. Others do not notice.
func TestSinksStalledClients(t *testing.T) {
	const rows = 1000
	onSinks(t, func(t *testing.T, w way) {
		db := newDatabase(t, plainSchema, "alter table notes alter body set storage external")
		r := w.start(t, newAuthRelay(t, db, plainAuth.with(func(s *authSettings) { s.http, s.limits = w.http, "queue: 256KiB" }).yaml()))
		over := db.newSession(t, 1)
		leaves, stays := w.open(t, r, sid(over), "notes"), w.open(t, r, sid(db.newSession(t, 1)), "notes")
		well := w.open(t, r, sid(db.newSession(t, 1)), "notes")
		leaves.pause()
		stays.pause()
		for first := 1; first <= rows; first += rows / 10 {
			db.exec(t, fmt.Sprintf("insert into notes (user_id, body) select 1, repeat('x', 8000) from generate_series(1, %d)", rows/10))
			wantNoteIDs(t, well, first, first+rows/10-1)
		}
		r.waitMetric(t, "walrelay_queue_overflows_total", func(v float64) bool { return v >= 2 })
		db.exec(t, "delete from sessions where id = '"+over+"'", insertNote(1, "late"))
		wantNoteIDs(t, well, rows+1, rows+1)
		leaves.resume()
		got := leaves.ended(t, "signed_out")
		for i, f := range got {
			if n := idOf(eventOf(t, f)); n != i+1 || n > rows {
				t.Fatalf("the client whose session is over got note %d as event %d", n, i+1)
			}
		}
		stays.resume()
		wantNoteIDs(t, stays, 1, rows+1)
		if n := r.metric(t, "walrelay_resets_total"); n != 0 {
			t.Errorf("%v resets", n)
		}
		t.Logf("%d of %d notes before the end", len(got), rows)
	})
}

// wantNoteIDs checks that the next events are these notes.
func wantNoteIDs(t testing.TB, s *sse, first, last int) {
	t.Helper()
	for n := first; n <= last; n++ {
		if f := s.next(t); f.event != "insert" || idOf(eventOf(t, f)) != n {
			t.Fatalf("got %s %s %.100s, want note %d", f.event, f.id, f.data, n)
		}
	}
}

// Every limit is the same on both sinks, says which it is, and has room again when streams end.
func TestSinksLimits(t *testing.T) {
	onSinks(t, func(t *testing.T, w way) {
		db := newDatabase(t, plainSchema)
		r := w.start(t, newAuthRelay(t, db, plainAuth.with(func(s *authSettings) {
			s.http, s.limits = w.http, "connections: 6, per_ip: 4, per_user: 3, per_session: 2"
		}).yaml()))
		from := func(header http.Header, ip string) http.Header {
			header.Set("X-Forwarded-For", ip)
			return header
		}
		first, second, other := db.newSession(t, 1), db.newSession(t, 1), db.newSession(t, 2)
		var streams []*sse
		for _, step := range []struct {
			header  http.Header // of a stream that is let in, and of the next, which is not
			channel string
			streams int
			status  int
			says    string
		}{
			{from(sid(first), "192.0.2.1"), "notes", 2, 429, "per_session"},
			{from(sid(second), "192.0.2.1"), "notes", 1, 429, "per_user"},
			{from(sid(other), "192.0.2.1"), "notes", 1, 429, "http.limits.per_ip"},
			{from(http.Header{}, "192.0.2.2"), "open", 2, 503, "http.limits.connections"},
		} {
			for range step.streams {
				streams = append(streams, w.open(t, r, step.header, step.channel))
			}
			got := w.refusal(t, r, step.header, step.channel)
			wait, err := strconv.Atoi(got.header.Get("Retry-After"))
			if got.status != step.status || got.header.Get("Content-Type") != "application/json" || err != nil || wait < 1 ||
				!strings.Contains(got.body, `"limit"`) || !strings.Contains(got.body, step.says) {
				t.Errorf("one more than %s: %d, Retry-After %q, %s", step.says, got.status, got.header.Get("Retry-After"), got.body)
			}
			s := open(t, w.client, r.streamURL(step.channel), step.header)
			s.ended(t, "limit")
		}
		for _, s := range streams {
			s.close()
		}
		r.waitMetric(t, `walrelay_ends_total{reason="client_closed"}`, func(v float64) bool { return v == 6 })
		r.waitMetric(t, "walrelay_connections", func(v float64) bool { return v == 0 })
		for range 2 {
			w.open(t, r, from(sid(first), "192.0.2.1"), "notes")
		}
	})
}

// A stream that has lasted long enough comes back and misses nothing.
func TestSinksRenew(t *testing.T) {
	onSinks(t, func(t *testing.T, w way) {
		db := newDatabase(t, plainSchema)
		r := w.start(t, newAuthRelay(t, db, plainAuth.with(func(s *authSettings) { s.http = w.http }).entry("max_stream: 1s").yaml()))
		s := w.open(t, r, sid(db.newSession(t, 1)), "notes")
		var got []string
		for _, body := range []string{"first", "second", "third"} {
			db.exec(t, insertNote(1, body))
			got = append(got, bodies(t, s.ended(t, "renew"))...)
			s.reconnect(t)
			s.wantResumed(t)
		}
		if fmt.Sprint(got) != "[first second third]" {
			t.Errorf("the streams got %q", got)
		}
	})
}

// New rules reset the streams whose rules they are, end those of a channel that is gone, and
// leave others alone.
func TestSinksReload(t *testing.T) {
	onSinks(t, func(t *testing.T, w way) {
		config := func(kind, gone string) string {
			return settings{http: w.settings("heartbeat: 1s"), channels: `
  same: {table: public.items, allow: public}
  other: {table: public.items, where: "row.kind == '` + kind + `'", allow: public}
` + gone}.yaml()
		}
		db := newDatabase(t, reloadTables)
		r := w.start(t, newRelay(t, db, config("a", "  gone: {table: public.items, allow: public}\n")))
		same, other, gone := w.open(t, r, nil, "same"), w.open(t, r, nil, "other"), w.open(t, r, nil, "gone")
		r.writeConfig(t, config("b", ""))
		r.signal(t, syscall.SIGHUP)
		gone.wantEnd(t, "channel_removed")
		other.wantReset(t, "view", "other")
		db.exec(t, "insert into items values (3, 'a'), (4, 'b')")
		same.wantRow(t, "insert", "same", 3)
		same.wantRow(t, "insert", "same", 4)
		other.wantRow(t, "insert", "other", 4)
	})
}

// SIGTERM ends streams that are idle and one that hangs with a backlog and then reads on, all
// with the reason and a time to come back; nothing is missed then.
func TestSinksDrain(t *testing.T) {
	const rows = 1000
	onSinks(t, func(t *testing.T, w way) {
		db := newDatabase(t, itemsTable, "create table bulk (id bigint primary key, body text)", "alter table bulk alter body set storage external")
		r := w.start(t, newRelay(t, db, settings{http: w.settings("limits: {queue: 256KiB}"),
			channels: itemsChannels + "  bulk: {table: public.bulk, allow: public}\n"}.yaml()))
		streams := make([]*sse, 10)
		for i := range streams {
			streams[i] = w.open(t, r, nil, "items")
		}
		stalled := w.open(t, r, nil, "bulk")
		stalled.pause()
		db.exec(t, fmt.Sprintf("insert into bulk select n, repeat('x', 8000) from generate_series(1, %d) n", rows))
		r.waitBlocked(t)

		r.signal(t, syscall.SIGTERM)
		waits := map[time.Duration]bool{}
		for _, s := range streams {
			frames := s.waitEnd(t)
			last := frames[len(frames)-1]
			if last.event != "end" || eventOf(t, last).Reason != "draining" || last.retry < 100*time.Millisecond || last.hasID || s.stream.err != nil {
				t.Errorf("got %+v (%v), want an end with a time to come back", last, s.stream.err)
			}
			waits[last.retry] = true
		}
		if len(waits) < len(streams)/2 {
			t.Errorf("all come back at once: %v", waits)
		}
		stalled.resume()
		got := len(stalled.ended(t, "draining"))
		if exit := r.wait(t); exit.code != 0 {
			t.Errorf("exit code %d; last line: %s", exit.code, exit.lastLine)
		}

		db.exec(t, insertItem(1))
		r.start(t)
		r.waitReady(t)
		for _, s := range streams {
			s.reconnect(t)
			s.wantResumed(t)
			s.wantRow(t, "insert", "items", 1)
		}
		stalled.reconnect(t)
		if stalled.nextReady(t).Resumed != (got > 0 || stalled.lastID != "") {
			t.Error("the stream that hung is not resumed")
		}
		for n := got + 1; n <= rows; n++ {
			stalled.wantRow(t, "insert", "bulk", n)
		}
	})
}
