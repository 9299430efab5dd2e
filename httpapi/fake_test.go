package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/walrelay/walrelay/channel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeHub gives out fakeSubs and remembers what it was asked.
type fakeHub struct {
	stats channel.Stats
	id    string // up to which subscribers are complete
	// heldFor: subscribers begin held. Whoever asked lets them go.
	heldFor time.Duration
	// private: its channels are for users.
	private bool
	// compress: its channels say so.
	compress bool

	mu    sync.Mutex
	err   error
	first []*channel.Run // what every subscriber begins with
	asked []channel.Request
	subs  []*fakeSub
	came  chan *fakeSub
}

func newFakeHub() *fakeHub {
	return &fakeHub{id: "0/10.0.aaaaaa", first: []*channel.Run{readyRun}, came: make(chan *fakeSub, 100)}
}

var readyRun = newRun(time.Time{}, channel.Event{Name: "ready", ID: "0/10.0.aaaaaa", Data: []byte(`{"resumed":false,"channels":["orders"],"position":"0/10"}`)})

func (h *fakeHub) Subscribe(_ context.Context, r channel.Request) (Subscriber, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.private && r.User == nil {
		return nil, &channel.NoUserError{Channel: r.Channels[0]}
	}
	h.asked = append(h.asked, r)
	if h.err != nil {
		return nil, h.err
	}
	s := &fakeSub{wake: make(chan struct{}, 1), id: h.id, held: h.heldFor > 0, compress: h.compress}
	s.push(h.first...)
	h.subs = append(h.subs, s)
	h.came <- s
	return s, nil
}

func (h *fakeHub) Stats() channel.Stats { return h.stats }

func (h *fakeHub) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err = err
}

// fakeSub is a queue.
type fakeSub struct {
	wake chan struct{}

	mu     sync.Mutex
	queue  []*channel.Run
	end    string
	id     string
	closed bool
	held   bool
	paused bool
	// compress is the hub's.
	compress bool
	ready    *channel.Ready
	number   uint64
}

func (s *fakeSub) Bind(r *channel.Ready, id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready, s.number = r, id
}

func (s *fakeSub) Next() (runs []*channel.Run, end string, ended bool) {
	end, ended = s.Ended() // first: what was queued before the end is there
	if runs = s.Take(); len(runs) > 0 {
		return runs, "", false
	}
	return nil, end, ended
}

func (s *fakeSub) End(reason string) {
	s.mu.Lock()
	s.end, s.queue, s.id = reason, nil, ""
	s.mu.Unlock()
	s.signal()
}

func (s *fakeSub) Pause(on bool) {
	s.mu.Lock()
	s.paused = on
	s.mu.Unlock()
	s.signal()
}

// hold, and let go.
func (s *fakeSub) hold(held bool) {
	s.mu.Lock()
	s.held = held
	s.mu.Unlock()
	s.signal()
}

func (s *fakeSub) push(runs ...*channel.Run) {
	s.mu.Lock()
	s.queue = append(s.queue, runs...)
	s.mu.Unlock()
	s.signal()
}

func (s *fakeSub) finish(reason string) {
	s.mu.Lock()
	s.end = reason
	s.mu.Unlock()
	s.signal()
}

func (s *fakeSub) signal() {
	s.mu.Lock()
	ready, number := s.ready, s.number
	s.mu.Unlock()
	if ready != nil {
		ready.Add(number)
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *fakeSub) Changed() <-chan struct{} { return s.wake }

func (s *fakeSub) Take() []*channel.Run {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused {
		return nil
	}
	q := s.queue
	s.queue = nil
	return q
}

func (s *fakeSub) Ended() (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end, s.end != ""
}

func (s *fakeSub) Complete() channel.EventID {
	text := s.LastID()
	if text == "" {
		return channel.EventID{}
	}
	id, err := channel.ParseEventID(text)
	if err != nil {
		panic(err)
	}
	return id
}

func (s *fakeSub) LastID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) > 0 || s.paused {
		return ""
	}
	return s.id
}

func (s *fakeSub) Held() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return (s.held || s.paused) && s.end == ""
}

func (s *fakeSub) Compresses() bool { return s.compress }

func (s *fakeSub) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

func (s *fakeSub) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func kindOf(name string) channel.EventKind {
	for k := channel.EventInsert; ; k++ {
		if k.String() == name {
			return k
		}
	}
}

// newRun renders events as the hub does.
func newRun(commit time.Time, events ...channel.Event) *channel.Run {
	r := &channel.Run{Commit: commit}
	var b bytes.Buffer
	for _, e := range events {
		f := channel.Frame{Kind: kindOf(e.Name), HasID: e.ID != ""}
		b.WriteString("event: " + e.Name + "\ndata: ")
		f.Data = uint32(b.Len())
		b.Write(e.Data)
		f.DataEnd = uint32(b.Len())
		if e.ID != "" {
			b.WriteString("\nid: " + e.ID)
		}
		b.WriteString("\n\n")
		f.End = uint32(b.Len())
		r.Frames = append(r.Frames, f)
	}
	r.Bytes = b.Bytes()
	return r
}

// insert is a run of one row event.
func insert(id, data string) *channel.Run {
	return newRun(time.Now(), channel.Event{Name: "insert", ID: id, Data: []byte(data)})
}

// memWriter is a response in memory for handlers that run without sockets.
type memWriter struct {
	mu       sync.Mutex
	header   http.Header
	status   int
	body     bytes.Buffer
	writes   int
	flushes  int
	deadline time.Time // the last that was set
	renewals int       // how many were set
	err      error     // of the next Write
}

func newMemWriter() *memWriter { return &memWriter{header: http.Header{}} }

func (w *memWriter) Header() http.Header { return w.header }

func (w *memWriter) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status = status
}

func (w *memWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return 0, w.err
	}
	w.writes++
	return w.body.Write(p)
}

func (w *memWriter) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flushes++
	return nil
}

func (w *memWriter) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline = t
	w.renewals++
	return nil
}

// take returns what was written since the last take.
func (w *memWriter) take() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.body.String()
	w.body.Reset()
	return out
}

// newServer builds a server that does not listen.
func newServer(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// start runs a server on loopback ports and stops it at the end of the test.
func start(t *testing.T, o Options) *Server {
	t.Helper()
	o.Listen = "127.0.0.1:0"
	s := newServer(t, o)
	stop := run(t, s)
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

// run lets s serve; stop drains it and returns what Serve did.
func run(t *testing.T, s *Server) (stop func() error) {
	t.Helper()
	if err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	return sync.OnceValue(func() error {
		cancel()
		return <-done
	})
}

func target(s *Server, path string) string { return "http://" + s.Addr().String() + path }

// get sends a GET request with headers "Name: value".
func get(t *testing.T, where string, headers ...string) *http.Response {
	t.Helper()
	return send(t, http.DefaultClient, http.MethodGet, where, headers...)
}

func send(t *testing.T, client *http.Client, method, where string, headers ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, where, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Add(name, value)
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		resp.Body.Close()
		client.CloseIdleConnections()
	})
	return resp
}

func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// reader reads an event stream block by block.
type reader struct{ *bufio.Reader }

func newReader(resp *http.Response) reader { return reader{bufio.NewReader(resp.Body)} }

// block reads to the next blank line.
func (r reader) block(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("stream ended with %v after %q", err, out.String()+line)
		}
		if line == "\n" {
			return out.String()
		}
		out.WriteString(line)
	}
}

// rest reads to the end of the stream.
func (r reader) rest(t *testing.T) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
