package integration

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// polled is the answer to a long poll.
type polled struct {
	Events      []wireEvent `json:"events"`
	LastEventID string      `json:"last_event_id"`
}

// poll asks once; wait is as in the query.
func (r *relay) poll(t testing.TB, lastID, wait string, channels ...string) polled {
	t.Helper()
	p, err := r.tryPoll(t.Context(), lastID, wait, channels...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// pollLater asks in the background; the function waits for the answer.
func (r *relay) pollLater(t testing.TB, lastID, wait string, channels ...string) func() polled {
	var p polled
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		p, err = r.tryPoll(t.Context(), lastID, wait, channels...)
	}()
	t.Cleanup(func() { <-done })
	return func() polled {
		t.Helper()
		if <-done; err != nil {
			t.Fatal(err)
		}
		return p
	}
}

func (r *relay) tryPoll(ctx context.Context, lastID, wait string, channels ...string) (p polled, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.streamURL(channels...)+"&wait="+wait, nil)
	if err != nil {
		return p, err
	}
	req.Header.Set("Accept", "application/json")
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := client.Do(req)
	if err != nil {
		return p, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return p, fmt.Errorf("long poll: %w", err)
	}
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/json" {
		return p, fmt.Errorf("long poll: got %s %s", resp.Status, body)
	}
	if err := json.Unmarshal(body, &p); err != nil || p.Events == nil || p.LastEventID == "" {
		return p, fmt.Errorf("long poll: got %s (%v)", body, err)
	}
	return p, nil
}

// ids are those in the keys of events.
func ids(events []wireEvent) []int {
	var out []int
	for _, e := range events {
		out = append(out, idOf(e))
	}
	return out
}

// A poll waits for events, answers at once when there are some, and a chain of
// polls is a stream.
func TestLongPoll(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, itemsTable)
	r := startRelay(t, db, settings{channels: itemsChannels}.yaml())

	first := r.poll(t, "", "0s", "items")
	if len(first.Events) != 0 {
		t.Errorf("first poll: got %+v", first)
	}
	began := time.Now()
	if p := r.poll(t, first.LastEventID, "700ms", "items"); len(p.Events) != 0 || time.Since(began) < 700*time.Millisecond {
		t.Errorf("nothing there: got %+v after %v, want none after 700ms", p, time.Since(began))
	}

	answered := r.pollLater(t, first.LastEventID, "25s", "items")
	r.waitMetric(t, `walrelay_connections{transport="long_poll"}`, func(v float64) bool { return v == 1 })
	db.exec(t, insertItem(1))
	p := answered()
	if !slices.Equal(ids(p.Events), []int{1}) || p.Events[0].Event != "insert" || p.Events[0].ID == "" || p.Events[0].Row["name"] != "item 1" {
		t.Errorf("after an insert: got %+v", p)
	}

	db.exec(t, insertItem(2), insertItem(3))
	began = time.Now()
	if p := r.poll(t, p.LastEventID, "25s", "items"); len(p.Events) == 0 || p.Events[0].Event != "insert" || idOf(p.Events[0]) != 2 {
		t.Errorf("with rows there already: got %+v", p)
	} else if time.Since(began) > 10*time.Second {
		t.Errorf("it took %v with rows there already", time.Since(began))
	}
}

// A chain of polls loses nothing and repeats nothing while rows are written.
func TestLongPollChain(t *testing.T) {
	t.Parallel()
	const rows = 400
	db := newDatabase(t, itemsTable)
	r := startRelay(t, db, settings{channels: itemsChannels}.yaml())
	last := r.poll(t, "", "0s", "items", "item/7").LastEventID
	conn := db.conn(t)
	wrote := make(chan error, 1)
	go func() {
		for id := range rows {
			if _, err := conn.Exec(t.Context(), insertItem(id)); err != nil {
				wrote <- err
				return
			}
		}
		wrote <- nil
	}()
	var got []int
	polls := 0
	for len(got) < rows+1 {
		p := r.poll(t, last, "5s", "items", "item/7")
		if len(p.Events) == 0 {
			t.Fatalf("nothing more after %d of %d rows", len(got), rows)
		}
		got = append(got, ids(p.Events)...)
		last = p.LastEventID
		polls++
	}
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
	if p := r.poll(t, last, "500ms", "items", "item/7"); len(p.Events) != 0 {
		t.Errorf("after the last row: got %+v", p)
	}
	var want []int
	for id := range rows {
		want = append(want, id)
		if id == 7 {
			want = append(want, id) // in both channels
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	t.Logf("%d rows in %d polls", rows, polls)
}

// lineStream is a subscriber by lines of JSON.
type lineStream struct {
	resp  *http.Response
	lines *bufio.Reader
}

func openLines(t testing.TB, url, lastID string) *lineStream {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/x-ndjson")
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("GET %s: got %s, %s", url, resp.Status, resp.Header.Get("Content-Type"))
	}
	return &lineStream{resp, bufio.NewReader(resp.Body)}
}

func (s *lineStream) next(t testing.TB) (e wireEvent) {
	t.Helper()
	line, err := s.lines.ReadBytes('\n')
	if err != nil {
		t.Fatalf("line stream: %v after %q", err, line)
	}
	if err := json.Unmarshal(line, &e); err != nil {
		t.Fatalf("line stream: %v: %s", err, line)
	}
	return e
}

// Lines carry what SSE carries: ready, rows, heartbeats that move the id, and the
// end.
func TestLines(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, itemsTable)
	r := startRelay(t, db, settings{http: "heartbeat: 500ms", channels: itemsChannels}.yaml())
	s := openLines(t, r.streamURL("items", "item/1"), "")
	ready := s.next(t)
	if ready.Event != "ready" || ready.Resumed || ready.ID == "" || !slices.Equal(ready.Channels, []string{"item/1", "items"}) {
		t.Errorf("first line: %+v", ready)
	}
	db.exec(t, insertItem(1))
	a, b := s.next(t), s.next(t)
	for a.Event == "heartbeat" {
		a, b = b, s.next(t)
	}
	if a.Event != "insert" || b.Event != "insert" || a.ID != "" || b.ID == "" || a.Channel != "items" || b.Channel != "item/1" {
		t.Errorf("one row in two channels: %+v, %+v", a, b)
	}
	db.exec(t, "select pg_logical_emit_message(true, 'nobody', '')")
	for {
		e := s.next(t)
		if e.Event != "heartbeat" {
			t.Fatalf("got %+v instead of a heartbeat", e)
		}
		if positionOf(t, b.ID).Less(positionOf(t, e.ID)) {
			break
		}
	}
	if got := r.terminate(t); got.code != 0 {
		t.Errorf("exit code %d", got.code)
	}
	e := s.next(t)
	for e.Event == "heartbeat" {
		e = s.next(t)
	}
	if e.Event != "end" || e.Reason != "draining" || e.ID != "" {
		t.Errorf("last line: %+v", e)
	}
}

// An id is good on every transport.
func TestIDsAcrossTransports(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, itemsTable)
	r := startRelay(t, db, settings{channels: itemsChannels}.yaml())
	s := openSSE(t, r.streamURL("items"), nil)
	s.nextReady(t)
	write := func(id int) { db.exec(t, insertItem(id)) }

	write(1)
	s.wantRow(t, "insert", "items", 1)
	s.close()
	write(2)
	p := r.poll(t, s.lastID, "25s", "items")
	if !slices.Equal(ids(p.Events), []int{2}) {
		t.Errorf("SSE, then a poll: got %+v", p)
	}
	write(3)
	lines := openLines(t, r.streamURL("items"), p.LastEventID)
	ready := lines.next(t)
	if e := lines.next(t); !ready.Resumed || idOf(e) != 3 {
		t.Errorf("a poll, then lines: got %+v, %+v", ready, e)
	} else {
		s.lastID = e.ID
	}
	write(4)
	s.reconnect(t)
	if !s.nextReady(t).Resumed {
		t.Error("lines, then SSE: not resumed")
	}
	s.wantRow(t, "insert", "items", 4)

	// In the query, for a first connect; the header, which a browser sets when it
	// reconnects, wins.
	streams := []*sse{s}
	for _, query := range []string{"last_event_id", "lastEventId"} {
		again := openSSE(t, r.streamURL("items")+"&"+query+"="+p.LastEventID, nil)
		if !again.nextReady(t).Resumed {
			t.Errorf("%s: not resumed", query)
		}
		again.wantRow(t, "insert", "items", 3)
		again.wantRow(t, "insert", "items", 4)
		again.reconnect(t)
		again.nextReady(t)
		streams = append(streams, again)
	}
	write(5)
	for _, s := range streams {
		s.wantRow(t, "insert", "items", 5)
	}
}

// One stream takes many channels, whatever their order and spelling, and a row
// that is in several of them comes with one id.
func TestManyChannelsOnOneStream(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, resumeTables)
	r := startRelay(t, db, settings{http: "heartbeat: 1s", channels: resumeChannels}.yaml())
	var names []string
	for i := range 30 {
		names = append(names, fmt.Sprintf("note/%d", i), fmt.Sprintf("room/%d", i))
	}
	s := openSSE(t, r.streamURL(append(names, "items", "room/007")...), nil)
	ready := s.nextReady(t)
	if len(ready.Channels) != 61 || !slices.IsSorted(ready.Channels) || strings.Contains(strings.Join(ready.Channels, " "), "007") {
		t.Errorf("ready: %v", ready.Channels)
	}
	db.exec(t, "insert into items values (1, 7, 'a'); insert into notes values (3, 1, 'b')",
		"update items set room = 8", "update items set id = 2", "delete from items")
	var got []string
	for _, f := range s.waitComplete(t, db.mark(t)) {
		e := eventOf(t, f)
		got = append(got, fmt.Sprintf("%s %s %v %v", e.Channel, f.event, e.Key["id"], f.hasID))
	}
	want := []string{
		"items insert 1 false", "room/7 insert 1 true", "note/3 insert 3 true",
		"items update 1 false", "room/7 delete 1 false", "room/8 insert 1 true",
		"items delete 1 false", "items insert 2 false", "room/8 delete 1 false", "room/8 insert 2 true",
		"items delete 2 false", "room/8 delete 2 true",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	// The same channels in another order are the same view.
	slices.Reverse(names)
	again := openSSE(t, r.streamURL(append(names, "room/7", "items")...), resumeAt(s.lastID))
	if !again.nextReady(t).Resumed {
		t.Error("the same channels in another order: not resumed")
	}
}
