package integration

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fleet is very many subscribers of one channel over plain HTTP/1.1 that cost little, a socket
// and a goroutine each. Who is cut off comes back with its id. Rows must come in the order of
// their numbers, from 1, each once.
type fleet struct {
	address, request string
	members          []*member
	// last is the number of the row after which a member is done; 0: not known yet.
	last atomic.Int64

	ctx  context.Context
	done sync.WaitGroup

	mu    sync.Mutex
	wrong []string // what should not have come
}

// member is one of a fleet.
type member struct {
	fleet   *fleet
	lastID  string       // of the last whole frame
	row     atomic.Int64 // number of the last row
	streams atomic.Int64 // that were ready

	mu   sync.Mutex
	conn net.Conn // the present one
	ends []ending // of streams that were ready
}

// ending is how a stream ended.
type ending struct {
	reason string // of the end event; empty: none came
	retry  time.Duration
	err    error // nil: the body had an end
}

// openFleet opens streams of a channel and waits until all are ready.
func openFleet(t testing.TB, r *relay, channel string, size int) *fleet {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	f := &fleet{address: strings.TrimPrefix(r.url, "http://"), request: "GET /events/" + channel + " HTTP/1.1\r\nHost: x\r\n", ctx: ctx}
	t.Cleanup(func() {
		cancel()
		f.cut(1)
		f.done.Wait()
	})
	for range size {
		m := &member{fleet: f}
		f.members = append(f.members, m)
		f.done.Go(m.run)
	}
	f.await(t, "a stream that is ready", func(m *member) bool { return m.streams.Load() > 0 })
	return f
}

// await waits until all members are so far.
func (f *fleet) await(t testing.TB, what string, ok func(*member) bool) {
	t.Helper()
	missing := 0
	for deadline := time.Now().Add(2 * patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		f.check(t)
		missing = 0
		for _, m := range f.members {
			if !ok(m) {
				missing++
			}
		}
		if missing == 0 {
			return
		}
	}
	t.Fatalf("%d of %d have not got %s", missing, len(f.members), what)
}

// check fails the test if anything came that should not have come.
func (f *fleet) check(t testing.TB) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.wrong) > 0 {
		t.Fatalf("%d things went wrong, the first:\n%s", len(f.wrong), strings.Join(f.wrong[:min(5, len(f.wrong))], "\n"))
	}
}

// finish waits until all members have the rows up to last, each once, and have gone.
func (f *fleet) finish(t testing.TB, last int) {
	t.Helper()
	f.last.Store(int64(last))
	f.await(t, fmt.Sprintf("row %d", last), func(m *member) bool { return m.row.Load() == int64(last) })
	f.cut(1)
	f.done.Wait()
	f.check(t)
}

// cut cuts every connection off, each every-th by a reset.
func (f *fleet) cut(every int) {
	for i, m := range f.members {
		m.mu.Lock()
		if tcp, ok := m.conn.(*net.TCPConn); ok {
			if i%every == 0 {
				_ = tcp.SetLinger(0) // it may be closed
			}
			_ = tcp.Close()
		}
		m.mu.Unlock()
	}
}

// run keeps a stream open until the last row has come.
func (m *member) run() {
	for m.fleet.ctx.Err() == nil && !m.complete() {
		before := m.streams.Load()
		end := m.stream()
		if m.streams.Load() > before {
			m.mu.Lock()
			m.ends = append(m.ends, end)
			m.mu.Unlock()
			continue
		}
		select { // nobody there, or on the way out
		case <-m.fleet.ctx.Done():
		case <-time.After(200*time.Millisecond + rand.N(200*time.Millisecond)):
		}
	}
}

func (m *member) complete() bool {
	last := m.fleet.last.Load()
	return last > 0 && m.row.Load() >= last
}

// stream opens one and reads it to its end.
func (m *member) stream() (end ending) {
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(m.fleet.ctx, "tcp", m.fleet.address)
	if err != nil {
		return ending{err: err}
	}
	defer conn.Close()
	m.mu.Lock()
	m.conn = conn
	m.mu.Unlock()
	if m.fleet.ctx.Err() != nil {
		return ending{err: m.fleet.ctx.Err()}
	}
	request := m.fleet.request
	if m.lastID != "" {
		request += "Last-Event-ID: " + m.lastID + "\r\n"
	}
	if _, err := conn.Write([]byte(request + "\r\n")); err != nil {
		return ending{err: err}
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 2048), nil)
	if err != nil {
		return ending{err: err}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		m.wrong("%s", resp.Status)
	}
	end.err = parseSSE(resp.Body, m.lastID, func(f frame) { m.take(f, &end) })
	return end
}

// take looks at a frame.
func (m *member) take(f frame, end *ending) {
	switch f.event {
	case "", "end":
		if f.event == "end" {
			_, reason, _ := strings.Cut(f.data, `"reason":"`)
			end.reason, _, _ = strings.Cut(reason, `"`)
			end.retry = f.retry
		}
	case "ready":
		if m.lastID != "" && !strings.Contains(f.data, `"resumed":true`) {
			m.wrong("not resumed at %s: %s", m.lastID, f.data)
		}
		m.streams.Add(1)
	case "insert":
		_, key, _ := strings.Cut(f.data, `"key":{"id":`)
		digits, _, _ := strings.Cut(key, "}")
		if n, err := strconv.ParseInt(digits, 10, 64); err != nil || n != m.row.Load()+1 {
			m.wrong("row %s (%s) after row %d (%s)", digits, f.id, m.row.Load(), m.lastID)
		}
		m.row.Add(1)
	default:
		m.wrong("%s %s", f.event, f.data)
	}
	m.lastID = f.id
}

func (m *member) wrong(format string, args ...any) {
	m.fleet.mu.Lock()
	defer m.fleet.mu.Unlock()
	m.fleet.wrong = append(m.fleet.wrong, fmt.Sprintf(format, args...))
}

// rowWriter commits transactions of one to five rows with rising numbers, until it is stopped.
type rowWriter struct {
	cancel context.CancelFunc
	done   chan struct{}
	last   int
	err    error
}

// writeRows starts to insert rows with numbers from 1 on, one transaction every pause.
func (d *database) writeRows(t testing.TB, table string, pause time.Duration) *rowWriter {
	t.Helper()
	conn := d.conn(t)
	ctx, cancel := context.WithCancel(t.Context())
	w := &rowWriter{cancel: cancel, done: make(chan struct{})}
	t.Cleanup(func() {
		cancel()
		<-w.done
	})
	go func() {
		defer close(w.done)
		for n := 1; ctx.Err() == nil; n = n%5 + 1 {
			if _, w.err = conn.Exec(t.Context(), fmt.Sprintf("insert into %s select n, 'row ' || n from generate_series(%d, %d) n", table, w.last+1, w.last+n)); w.err != nil {
				return
			}
			w.last += n
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
	}()
	return w
}

// stop stops it and gives the number of the last row.
func (w *rowWriter) stop(t testing.TB) (last int) {
	t.Helper()
	w.cancel()
	<-w.done
	if w.err != nil {
		t.Fatal(w.err)
	}
	return w.last
}
