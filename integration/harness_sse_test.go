package integration

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// frame is what stood between two blank lines of an event stream. A browser
// dispatches only frames with data; a subscriber in a test sees all but those
// with nothing in them.
type frame struct {
	id      string // the last event id after this frame, set by it or before
	hasID   bool   // this frame set it
	event   string // "message" where the frame has data and names none
	data    string
	hasData bool
	retry   time.Duration // 0: not set
	comment string        // text of comment lines
}

// heartbeat tells whether this is the frame that only moves the last event id.
func (f frame) heartbeat() bool { return f.hasID && !f.hasData }

// decode reads the data as JSON.
func (f frame) decode(t testing.TB, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(f.data), into); err != nil {
		t.Fatalf("event %s %s: data is not JSON: %v\n%s", f.event, f.id, err, f.data)
	}
}

// parseSSE reads an event stream to its end by the rules of the HTML standard
// (section "Interpreting an event stream") and hands out every frame. A frame
// that the end of the stream cuts off is dropped, as browsers do. lastID is the
// last event id before the first frame.
func parseSSE(r io.Reader, lastID string, emit func(frame)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 64<<20)
	lines.Split(splitLine())
	current := frame{id: lastID}
	data := []string(nil)
	for first := true; lines.Scan(); first = false {
		line := lines.Text()
		if first {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		if line != "" {
			data = current.field(line, data)
			continue
		}
		if current.finish(data) {
			emit(current)
		}
		current, data = frame{id: current.id}, nil
	}
	return lines.Err()
}

// field takes one line that is not blank; data are the data lines so far.
func (f *frame) field(line string, data []string) []string {
	name, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch name {
	case "":
		f.comment += value
	case "data":
		return append(data, value)
	case "event":
		f.event = value
	case "id":
		if !strings.ContainsRune(value, 0) {
			f.id, f.hasID = value, true
		}
	case "retry":
		if ms, err := strconv.ParseUint(value, 10, 31); err == nil {
			f.retry = time.Duration(ms) * time.Millisecond
		}
	}
	return data
}

// finish completes the frame at its blank line and tells whether anything was
// in it. An event name without data means nothing.
func (f *frame) finish(data []string) bool {
	f.data, f.hasData = strings.Join(data, "\n"), data != nil
	if f.hasData && f.event == "" {
		f.event = "message"
	}
	return f.hasData || f.hasID || f.retry != 0 || f.comment != ""
}

// splitLine splits at LF, CR or CRLF. It does not wait for the byte after a CR,
// which may be long in coming.
func splitLine() bufio.SplitFunc {
	afterCR := false
	return func(data []byte, atEOF bool) (int, []byte, error) {
		skip := 0
		if afterCR && len(data) > 0 {
			afterCR = false
			if data[0] == '\n' {
				skip = 1
			}
		}
		end := bytes.IndexAny(data[skip:], "\r\n")
		if end < 0 {
			if atEOF {
				return len(data), nil, nil
			}
			return skip, nil, nil
		}
		end += skip
		afterCR = data[end] == '\r'
		return end + 1, data[skip:end], nil
	}
}

// sse is a subscriber. Its methods are for one goroutine, the test's.
type sse struct {
	url    string
	header http.Header // of the next request; Last-Event-ID is set by reconnect
	lastID string      // of the last frame handed out
	client *http.Client
	stream *sseStream
}

// sseStream is one connection. The goroutine that reads it ends with it.
type sseStream struct {
	resp   *http.Response
	ctx    context.Context // of the request
	cancel context.CancelFunc

	mu     sync.Mutex
	paused chan struct{} // nil: not paused; closed at resume
	frames []frame       // received, not handed out
	ended  bool
	err    error
	wake   chan struct{} // has room for one
	done   chan struct{}
}

// openSSE subscribes: url is the whole URL. header may be nil. The test fails
// unless the answer is an event stream.
func openSSE(t testing.TB, url string, header http.Header) *sse {
	t.Helper()
	return open(t, sseClient, url, header)
}

// openSlowSSE is openSSE with little room in the kernel, so that a subscriber
// who pauses is soon felt by the server.
func openSlowSSE(t testing.TB, url string, header http.Header) *sse {
	t.Helper()
	return open(t, slowSSEClient, url, header)
}

func open(t testing.TB, client *http.Client, url string, header http.Header) *sse {
	t.Helper()
	if header == nil {
		header = http.Header{}
	}
	s := &sse{url: url, header: header.Clone(), lastID: header.Get("Last-Event-ID"), client: client}
	s.connect(t)
	t.Cleanup(s.close)
	return s
}

// reconnect cuts the connection and comes back with the id of the last frame
// that was handed out: what had arrived but was not, counts as lost on the way.
func (s *sse) reconnect(t testing.TB) {
	t.Helper()
	s.close()
	s.header.Del("Last-Event-ID")
	if s.lastID != "" {
		s.header.Set("Last-Event-ID", s.lastID)
	}
	s.connect(t)
}

// close cuts the connection. Doing so again does nothing.
func (s *sse) close() {
	s.stream.cancel()
	<-s.stream.done
}

// pause stops reading from the socket, as a client that hangs does. A read that
// waits already still ends. See openSlowSSE.
func (s *sse) pause() {
	s.stream.mu.Lock()
	defer s.stream.mu.Unlock()
	if s.stream.paused == nil {
		s.stream.paused = make(chan struct{})
	}
}

// resume reads on after pause.
func (s *sse) resume() {
	s.stream.mu.Lock()
	defer s.stream.mu.Unlock()
	if s.stream.paused != nil {
		close(s.stream.paused)
		s.stream.paused = nil
	}
}

func (s *sse) connect(t testing.TB) {
	t.Helper()
	// Not the test's context: that ends before the cleanup, which waits.
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	req.Header = s.header.Clone()
	req.Header.Set("Accept", "text/event-stream")
	resp, err := s.client.Do(req)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || !strings.HasPrefix(got, "text/event-stream") {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 4096)) // for the message only
		resp.Body.Close()
		cancel()
		t.Fatalf("GET %s: got %s, %s: %s", s.url, resp.Status, got, body)
	}
	s.stream = &sseStream{resp: resp, ctx: ctx, cancel: cancel, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go s.stream.read(s.lastID)
}

// newSSEClient makes a client without a timeout that keeps no connections. With
// receiveBuffer (in bytes) the kernel holds no more than about that for it.
func newSSEClient(receiveBuffer int) *http.Client {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, network, address)
		if tcp, ok := conn.(*net.TCPConn); ok && receiveBuffer > 0 {
			err = tcp.SetReadBuffer(receiveBuffer)
		}
		return conn, err
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true, DisableCompression: true}}
}

var (
	sseClient     = newSSEClient(0)
	slowSSEClient = newSSEClient(256 << 10) // less than a few segments of the loopback interface makes TCP crawl
)

// Read makes the stream a reader that stands still while it is paused.
func (s *sseStream) Read(p []byte) (int, error) {
	s.mu.Lock()
	paused := s.paused
	s.mu.Unlock()
	if paused != nil {
		select {
		case <-paused:
		case <-s.ctx.Done():
		}
	}
	return s.resp.Body.Read(p)
}

func (s *sseStream) read(lastID string) {
	defer close(s.done)
	err := parseSSE(s, lastID, func(f frame) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.frames = append(s.frames, f)
		s.notify()
	})
	s.resp.Body.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended, s.err = true, err
	s.notify()
}

func (s *sseStream) notify() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// take is the next frame, if there is one.
func (s *sseStream) take() (f frame, ok, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.frames) == 0 {
		return frame{}, false, s.ended
	}
	f, s.frames = s.frames[0], s.frames[1:]
	return f, true, false
}

// nextFrame waits for the next frame, of whatever kind. ok is false when the
// server has ended the stream.
func (s *sse) nextFrame(t testing.TB) (f frame, ok bool) {
	t.Helper()
	return s.frameBefore(t, time.Now().Add(patience))
}

// frameBefore is nextFrame with a deadline of the caller's.
func (s *sse) frameBefore(t testing.TB, deadline time.Time) (f frame, ok bool) {
	t.Helper()
	timeout := time.NewTimer(time.Until(deadline))
	defer timeout.Stop()
	for {
		f, ok, ended := s.stream.take()
		if ok {
			s.lastID = f.id
			return f, true
		}
		if ended {
			return frame{}, false
		}
		select {
		case <-s.stream.wake:
		case <-timeout.C:
			t.Fatalf("%s: waited %v in vain; the last id was %q", s.url, patience, s.lastID)
		}
	}
}

// next waits for the next event, which a browser would dispatch, and passes over
// heartbeats and comments. The test fails if the stream ends instead.
func (s *sse) next(t testing.TB) frame {
	t.Helper()
	deadline := time.Now().Add(patience) // heartbeats do not move it
	for {
		f, ok := s.frameBefore(t, deadline)
		if !ok {
			t.Fatalf("%s: the stream ended; the last id was %q (%v)", s.url, s.lastID, s.stream.err)
		}
		if f.hasData {
			return f
		}
	}
}

// nextN is next n times.
func (s *sse) nextN(t testing.TB, n int) []frame {
	t.Helper()
	frames := make([]frame, n)
	for i := range frames {
		frames[i] = s.next(t)
	}
	return frames
}

// nextHeartbeat waits for the next id-only frame and fails the test if an event
// comes first: the way to tell that nothing was sent.
func (s *sse) nextHeartbeat(t testing.TB) frame {
	t.Helper()
	for {
		f, ok := s.nextFrame(t)
		switch {
		case !ok:
			t.Fatalf("%s: the stream ended instead of a heartbeat", s.url)
		case f.hasData:
			t.Fatalf("%s: got event %s %s instead of a heartbeat: %s", s.url, f.event, f.id, f.data)
		case f.heartbeat():
			return f
		}
	}
}

// waitEnd reads to the end of the stream, which the server must make, and gives
// the frames on the way.
func (s *sse) waitEnd(t testing.TB) []frame {
	t.Helper()
	var frames []frame
	deadline := time.Now().Add(patience)
	for {
		f, ok := s.frameBefore(t, deadline)
		if !ok {
			return frames
		}
		frames = append(frames, f)
	}
}
