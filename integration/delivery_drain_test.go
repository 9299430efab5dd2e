package integration

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// After SIGTERM open streams are told to come back, and on the next process they
// miss nothing.
func TestDrain(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, itemsTable)
	r := startRelay(t, db, settings{channels: itemsChannels}.yaml())
	streams := make([]*sse, 20)
	for i := range streams {
		streams[i] = openSSE(t, r.streamURL("items"), nil)
		streams[i].nextReady(t)
	}
	answered := r.pollLater(t, "", "25s", "item/1")
	r.waitMetric(t, `walrelay_connections{transport="long_poll"}`, func(v float64) bool { return v == 1 })
	db.exec(t, insertItem(0))
	for _, s := range streams {
		s.wantRow(t, "insert", "items", 0)
	}

	began := time.Now()
	got := r.terminate(t)
	if took := time.Since(began); got.code != 0 || took > 9*time.Second {
		t.Errorf("exit code %d after %v; last line: %s", got.code, took, got.lastLine)
	}
	waits := map[time.Duration]bool{}
	for _, s := range streams {
		id := s.lastID
		frames := s.waitEnd(t)
		if len(frames) != 1 {
			t.Fatalf("got %+v, want one end", frames)
		}
		f := frames[0]
		if f.event != "end" || eventOf(t, f).Reason != "draining" || f.hasID || s.lastID != id {
			t.Errorf("got %+v", f)
		}
		if f.retry < 100*time.Millisecond || f.retry > 10*time.Second {
			t.Errorf("retry: %v", f.retry)
		}
		waits[f.retry] = true
	}
	if len(waits) < len(streams)/2 {
		t.Errorf("all come back at once: %v", waits)
	}
	p := answered()
	if len(p.Events) == 0 || p.Events[len(p.Events)-1].Event != "end" || p.Events[len(p.Events)-1].Reason != "draining" {
		t.Errorf("the long poll: got %+v", p)
	}

	db.exec(t, insertItem(1))
	r.start(t)
	r.waitReady(t)
	for _, s := range streams {
		s.reconnect(t)
		if !s.nextReady(t).Resumed {
			t.Errorf("not resumed at %s", s.lastID)
		}
		s.wantRow(t, "insert", "items", 1)
	}
	if p := r.poll(t, p.LastEventID, "25s", "item/1"); len(p.Events) != 1 || idOf(p.Events[0]) != 1 {
		t.Errorf("the next long poll: got %+v", p)
	}
}

// While a client that hangs holds the drain up, new ones are refused in the way
// that brings them back, and the time is bounded.
func TestDrainRefusesPolitely(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id bigint primary key, name text)", "alter table items alter name set storage external")
	r := startRelay(t, db, settings{http: "heartbeat: 500ms, shutdown_timeout: 3s, limits: {queue: 256KiB}", channels: itemsChannels}.yaml())
	hanging := openSlowSSE(t, r.streamURL("items"), nil)
	hanging.nextReady(t)
	hanging.pause()
	db.exec(t, "insert into items select n, repeat('x', 8000) from generate_series(1, 1000) n")
	r.waitBlocked(t)

	r.signal(t, syscall.SIGTERM)
	for deadline := time.Now().Add(patience); ; {
		status, body := r.admin(t, "/readyz")
		if status == http.StatusServiceUnavailable && strings.Contains(body, "shutting down") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("/readyz: %d %s", status, body)
		}
	}
	wantEnd(t, r, nil, "draining")
	for _, accept := range []string{"application/json", "application/x-ndjson"} {
		got := ask(t, "GET", r.streamURL("items"), http.Header{"Accept": {accept}})
		wait, err := strconv.Atoi(got.header.Get("Retry-After"))
		if got.status != http.StatusServiceUnavailable || err != nil || wait < 1 || !strings.Contains(got.body, "draining") {
			t.Errorf("%s: got %d, Retry-After %q: %s", accept, got.status, got.header.Get("Retry-After"), got.body)
		}
	}
	if got := r.wait(t); got.code != 0 {
		t.Errorf("exit code %d; last line: %s", got.code, got.lastLine)
	}
	r.stderr.waitFor(t, "shutdown_timeout")
	hanging.resume()
	frames := hanging.waitEnd(t)
	r.start(t)
	r.waitReady(t)
	hanging.reconnect(t)
	if !hanging.nextReady(t).Resumed {
		t.Error("not resumed")
	}
	frames = append(frames, hanging.waitComplete(t, db.mark(t))...)
	last := 0
	for _, f := range frames {
		if f.event != "insert" {
			continue
		}
		if last++; idOf(eventOf(t, f)) != last {
			t.Fatalf("got %s %s, want row %d", f.id, f.event, last)
		}
	}
	if last != 1000 {
		t.Errorf("the last row is %d, want 1000", last)
	}
}

// waitBlocked waits until a client that hangs has stopped walrelay from writing.
func (r *relay) waitBlocked(t testing.TB) {
	t.Helper()
	r.waitMetric(t, "walrelay_queue_overflows_total", func(v float64) bool { return v > 0 })
	written, still := -1.0, 0
	r.waitMetric(t, "walrelay_written_bytes_total", func(v float64) bool {
		if still++; v != written {
			written, still = v, 0
		}
		return still == 20 // looks, one every 20 ms
	})
}

// Whatever a kill leaves behind, the next start works with it; what is really in
// the way is named.
func TestStartAfterKill(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, itemsTable)
	r := startRelay(t, db, settings{channels: itemsChannels}.yaml())
	s := openSSE(t, r.streamURL("items"), nil)
	s.nextReady(t)
	for round := range 5 {
		db.exec(t, fmt.Sprintf("insert into items select n, repeat('x', 1000) from generate_series(%d, %d) n", round*1000, round*1000+499))
		r.kill9(t) // in the middle of writing to the log
		r.start(t)
		r.waitReady(t)
		s.reconnect(t)
		s.nextReady(t)
		for n := range 500 {
			s.wantRow(t, "insert", "items", round*1000+n)
		}
	}

	second := *r
	second.process = startProcess(t, r.command(t, "serve", "-c", r.config))
	if got := second.wait(t); got.code != 1 || !strings.Contains(got.lastLine, r.logDir) || !strings.Contains(got.lastLine, strconv.Itoa(r.cmd.Process.Pid)) {
		t.Errorf("a second process with the same log: exit code %d: %s", got.code, got.lastLine)
	}
	db.exec(t, insertItem(9000))
	s.wantRow(t, "insert", "items", 9000)

	// Another program has taken the port meanwhile.
	r.kill9(t)
	for key, url := range map[string]string{"http.listen": r.url, "admin.listen": r.adminAt} {
		address := strings.TrimPrefix(url, "http://")
		other, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		r.start(t)
		if got := r.wait(t); got.code != 1 || !strings.Contains(got.lastLine, key+": "+address+" is taken by another process") {
			t.Errorf("port of %s taken: exit code %d: %s", key, got.code, got.lastLine)
		}
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
	}
	db.exec(t, insertItem(9001))
	r.start(t)
	r.waitReady(t)
	s.reconnect(t)
	s.nextReady(t)
	s.wantRow(t, "insert", "items", 9001)
}
