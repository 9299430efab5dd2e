package httpapi

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walrelay/walrelay/auth"
)

// onSinks runs a test on each sink, with real sockets, and once more with channels that compress:
// Go's client asks for that, and takes it apart.
func onSinks(t *testing.T, test func(t *testing.T, o Options)) {
	onSinksOf(t, false, test)
	onSinksOf(t, true, test)
}

// onSinksOf runs a test on each sink, with channels that compress or do not.
func onSinksOf(t *testing.T, compress bool, test func(t *testing.T, o Options)) {
	for _, response := range []bool{true, false} {
		name := "shards"
		if response {
			name = "response"
		}
		if compress {
			name += " compressed"
		}
		t.Run(name, func(t *testing.T) {
			if !response && runtime.GOOS != "linux" {
				return // there are no shards
			}
			hub := newFakeHub()
			hub.compress = compress
			test(t, Options{Hub: hub, ResponseSink: response})
		})
	}
}

// hubOf is the fake hub of options.
func (o Options) hub() *fakeHub { return o.Hub.(*fakeHub) }

// dial sends a request for a stream on a connection of its own.
func dial(t *testing.T, s *Server, request string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

const askHTTP11 = "GET /events/orders HTTP/1.1\r\nHost: x\r\n\r\n"

// answerOn reads the head of the answer on a connection. Its body ends with that.
func answerOn(t *testing.T, conn net.Conn) *http.Response {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// readBegin reads the opening and ready.
func readBegin(t *testing.T, r reader) {
	t.Helper()
	if got := r.block(t); !strings.HasPrefix(got, "retry: ") {
		t.Fatalf("stream begins with %q", got)
	}
	if got := r.block(t); !strings.HasPrefix(got, "event: ready\n") {
		t.Fatalf("after the opening comes %q", got)
	}
}

func TestSinkIsChosen(t *testing.T) {
	onSinks(t, func(t *testing.T, o Options) {
		s := start(t, o)
		resp := get(t, target(s, "/events/orders"))
		if !resp.Close {
			t.Error("the connection goes on")
		}
		want := 0 // shards have the socket alone
		if o.ResponseSink {
			want = 1
		}
		within := time.Now().Add(30 * time.Second)
		for s.handlers.count() != want && time.Now().Before(within) {
			time.Sleep(time.Millisecond)
		}
		if n := s.handlers.count(); n != want {
			t.Errorf("%d goroutines carry the stream, want %d", n, want)
		}
	})
}

// The head is the same.
func TestSinkHead(t *testing.T) {
	heads := map[bool]http.Header{}
	onSinks(t, func(t *testing.T, o Options) {
		o.AllowedOrigins = []string{"https://app.example"}
		s := start(t, o)
		resp := get(t, target(s, "/events/orders"), "Origin: https://app.example")
		heads[o.ResponseSink] = resp.Header
		if _, err := http.ParseTime(resp.Header.Get("Date")); err != nil {
			t.Error(err)
		}
		resp.Header.Del("Date")
		resp.Header.Del("Connection")
	})
	if diff := cmp.Diff(heads[true], heads[false]); len(heads) == 2 && diff != "" || heads[true].Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("head (-response sink +shards):\n%s", diff)
	}
}

// Everything that is queued arrives, in order and whole, in every encoding and protocol.
func TestSinkOrder(t *testing.T) {
	for _, tt := range []struct {
		name, proto, accept string
		encoding            encoding
	}{
		{"sse", "1.1", "text/event-stream", sse{}},
		{"sse over HTTP/1.0", "1.0", "text/event-stream", sse{}},
		{"ndjson", "1.1", "application/x-ndjson", ndjson{}},
		{"ndjson over HTTP/1.0", "1.0", "application/x-ndjson", ndjson{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onSinks(t, func(t *testing.T, o Options) {
				s := start(t, o)
				conn := dial(t, s, "GET /events/orders HTTP/"+tt.proto+"\r\nHost: x\r\nAccept: "+tt.accept+"\r\n\r\n")
				resp := answerOn(t, conn)
				if resp.StatusCode != 200 || resp.Proto != "HTTP/"+tt.proto || (len(resp.TransferEncoding) > 0) != (tt.proto == "1.1") || resp.Header.Get("Date") == "" {
					t.Errorf("%s %s, encoding %q, header %v", resp.Proto, resp.Status, resp.TransferEncoding, resp.Header)
				}
				sub := <-o.hub().came
				var want []byte
				for i := range 300 {
					size := 100
					if i%60 == 59 {
						size = 300 << 10
					}
					r := insert(fmt.Sprintf("0/20.%d.aaaaaa", i), `{"row":"`+strings.Repeat("x", size)+`"}`)
					b, _ := tt.encoding.bytes(nil, r)
					want = append(want, b...)
					sub.push(r)
				}
				sub.finish("gap")
				got, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Error(err)
				}
				if i := bytes.Index(got, want); i < 0 || !bytes.Contains(got[i+len(want):], []byte(`"reason":"gap"`)) {
					t.Errorf("%d bytes, of which %d are wanted, or others", len(got), len(want))
				}
				await(t, "end counted", func() bool { return ends(t, s, "gap") == 1 })
				checkTraffic(t, s, tt.accept, 1+300, len(got))
			})
		})
	}
}

// checkTraffic compares what was counted with what arrived.
func checkTraffic(t *testing.T, s *Server, accept string, events, size int) {
	t.Helper()
	label := map[string]string{"text/event-stream": "sse", "application/x-ndjson": "ndjson"}[accept]
	if got := metric(t, s, `walrelay_events_written_total{transport="`+label+`"}`); got != float64(events) {
		t.Errorf("%v events counted, want %d", got, events)
	}
	if got := metric(t, s, `walrelay_written_bytes_total{transport="`+label+`"}`); got != float64(size) {
		t.Errorf("%v bytes counted, want %d", got, size)
	}
	if got := metric(t, s, `walrelay_connections{transport="`+label+`"}`); got != 0 {
		t.Errorf("%v connections counted", got)
	}
}

// A client that reads slowly gets everything, and nothing in between, and the queue is not taken
// before there is room. When it has caught up it gets heartbeats again.
func TestSinkSlowReader(t *testing.T) {
	onSinks(t, func(t *testing.T, o Options) {
		o.Heartbeat = 20 * time.Millisecond
		s := start(t, o)
		conn := dial(t, s, askHTTP11)
		sub := <-o.hub().came
		sub.push(bigRun())
		await(t, "the queue to be taken", func() bool { return sub.LastID() != "" })
		last := insert("0/30.0.aaaaaa", `{"row":"last"}`)
		sub.push(last)
		select {
		case <-time.After(5 * o.Heartbeat): // real sockets have real time
		case <-t.Context().Done():
		}
		resp := answerOn(t, conn)
		if sub.LastID() != "" {
			t.Error("more was taken from the queue while the socket is full")
		}
		events := newReader(resp)
		readBegin(t, events)
		if got := events.event(t); got != string(bigRun().Bytes) {
			t.Errorf("%d bytes, want %d", len(got), len(bigRun().Bytes))
		}
		if got := events.event(t); got != string(last.Bytes) {
			t.Errorf("got %q", got)
		}
		if got := events.block(t); got != "id: 0/10.0.aaaaaa\n" {
			t.Errorf("heartbeat %q", got)
		}
	})
}

// event is the next block that is no heartbeat, with the blank line.
func (r reader) event(t *testing.T) string {
	t.Helper()
	for {
		if b := r.block(t); !strings.HasPrefix(b, "id: ") {
			return b + "\n"
		}
	}
}

// One that does not read holds up nobody.
func TestSinkStuckClient(t *testing.T) {
	onSinks(t, func(t *testing.T, o Options) {
		s := start(t, o)
		for range 8 { // of every shard
			defer dialStuck(t, s).Close()
			(<-o.hub().came).push(bigRun())
		}
		for range 4 {
			events := newReader(get(t, target(s, "/events/orders")))
			sub := <-o.hub().came
			readBegin(t, events)
			r := insert("0/20.0.aaaaaa", `{"row":1}`)
			sub.push(r)
			if got := events.block(t) + "\n"; got != string(r.Bytes) {
				t.Errorf("got %q", got)
			}
		}
	})
}

func TestSinkWriteTimeout(t *testing.T) {
	onSinks(t, func(t *testing.T, o Options) {
		o.WriteTimeout = 200 * time.Millisecond
		s := start(t, o)
		defer dialStuck(t, s).Close()
		sub := <-o.hub().came
		sub.push(bigRun())
		await(t, "subscriber closed", sub.isClosed)
		if o.ResponseSink { // by what finds it first: the deadline, the kernel, or net/http that reads
			await(t, "end counted", func() bool { return ends(t, s, endSlow)+ends(t, s, endWrite)+ends(t, s, endClient) == 1 })
		} else {
			await(t, "end counted", func() bool { return ends(t, s, endSlow) == 1 })
		}
		awaitOpen(t, s, 0)
	})
}

func TestSinkHeartbeats(t *testing.T) {
	onSinks(t, func(t *testing.T, o Options) {
		o.Heartbeat = 30 * time.Millisecond
		s := start(t, o)
		events := newReader(get(t, target(s, "/events/orders")))
		sub := <-o.hub().came
		readBegin(t, events)
		if got := events.block(t); got != "id: 0/10.0.aaaaaa\n" {
			t.Errorf("heartbeat %q", got)
		}
		sub.Pause(true)
		for got := ""; got != ":\n"; got = events.block(t) {
		}
		await(t, "heartbeats to be counted", func() bool { return metric(t, s, `walrelay_heartbeats_total{transport="sse"}`) >= 2 })
	})
}

// However a client goes, it is noticed without anything being written.
func TestSinkHangUp(t *testing.T) {
	for _, tt := range []struct {
		name  string
		leave func(*net.TCPConn) error
	}{
		{"closed", (*net.TCPConn).Close},
		{"half closed", (*net.TCPConn).CloseWrite},
		{"reset", func(c *net.TCPConn) error { _ = c.SetLinger(0); return c.Close() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onSinks(t, func(t *testing.T, o Options) {
				s := start(t, o)
				conn := dial(t, s, askHTTP11)
				sub := <-o.hub().came
				readBegin(t, newReader(answerOn(t, conn)))
				if err := tt.leave(conn); err != nil {
					t.Fatal(err)
				}
				await(t, "subscriber closed", sub.isClosed)
				await(t, "end counted", func() bool { return ends(t, s, endClient) == 1 })
				awaitOpen(t, s, 0)
			})
		})
	}
}

// A second request on a stream's connection gets no answer, and does not keep the end of the
// stream from arriving.
func TestSinkPipelinedRequest(t *testing.T) {
	for _, ask := range []string{askHTTP11, strings.Replace(askHTTP11, "1.1", "1.0", 1)} {
		onSinks(t, func(t *testing.T, o Options) {
			if o.ResponseSink && ask != askHTTP11 {
				return // net/http closes with the request unread, which resets the connection
			}
			s := start(t, o)
			conn := dial(t, s, ask+ask)
			sub := <-o.hub().came
			events := newReader(answerOn(t, conn))
			readBegin(t, events)
			if _, err := io.WriteString(conn, ask); err != nil {
				t.Fatal(err)
			}
			r := insert("0/20.0.aaaaaa", `{"row":1}`)
			sub.push(r)
			if got := events.block(t) + "\n"; got != string(r.Bytes) {
				t.Errorf("got %q", got)
			}
			sub.finish("gap")
			checkEnd(t, events.rest(t), "gap", 1600, 2400)
		})
	}
}

// A client that has pipelined a request and goes is noticed by shards, which watch for the end
// itself. (net/http does not read so far: there the heartbeat finds it.)
func TestShardHangUpBehindPipelinedRequest(t *testing.T) {
	onSinks(t, func(t *testing.T, o Options) {
		if o.ResponseSink {
			o.Heartbeat = 50 * time.Millisecond
		}
		s := start(t, o)
		conn := dial(t, s, askHTTP11+askHTTP11)
		sub := <-o.hub().came
		readBegin(t, newReader(answerOn(t, conn)))
		conn.Close()
		await(t, "subscriber closed", sub.isClosed)
	})
}

func TestSinkLife(t *testing.T) {
	onSinks(t, func(t *testing.T, o Options) {
		o.MaxStream = 50 * time.Millisecond
		s := start(t, o)
		events := newReader(get(t, target(s, "/events/orders")))
		readBegin(t, events)
		checkEnd(t, events.rest(t), endRenew, 50, 500)
		await(t, "end counted", func() bool { return ends(t, s, endRenew) == 1 })
	})
}

// A session pauses a stream, lets it go on, and ends it.
func TestSinkSession(t *testing.T) {
	onSinks(t, func(t *testing.T, o Options) {
		o.hub().private = true
		s, u := start(t, o), &fakeUser{}
		s.resolve = func(*http.Request, auth.Client) (user, error) { return u, nil }
		events := newReader(get(t, target(s, "/events/orders")))
		sub := <-o.hub().came
		readBegin(t, events)
		u.pause(true)
		r := insert("0/20.0.aaaaaa", `{"row":1}`)
		sub.push(r)
		u.pause(false)
		if got := events.block(t) + "\n"; got != string(r.Bytes) {
			t.Errorf("got %q", got)
		}
		u.end(endSigned)
		checkEnd(t, events.rest(t), endSigned, 1000, 1000)
	})
}

// Behind the end of a session a slow client gets no more than the run that was being written.
func TestSinkSessionEndsSlowClient(t *testing.T) {
	onSinks(t, func(t *testing.T, o Options) {
		o.hub().private = true
		s, u := start(t, o), &fakeUser{}
		s.resolve = func(*http.Request, auth.Client) (user, error) { return u, nil }
		conn := dial(t, s, askHTTP11)
		sub := <-o.hub().came
		secret := insert("0/30.0.aaaaaa", `{"row":"secret"}`)
		sub.push(bigRun(), secret)
		await(t, "the queue to be taken", func() bool { return sub.LastID() != "" })
		u.end(endSigned)
		events := newReader(answerOn(t, conn))
		readBegin(t, events)
		if got := events.block(t) + "\n"; got != string(bigRun().Bytes) {
			t.Errorf("%d bytes, want %d", len(got), len(bigRun().Bytes))
		}
		checkEnd(t, events.rest(t), endSigned, 1000, 1000)
	})
}

// Streams end with the reason, whatever they are at; those that do not read are cut off in time.
func TestSinkDrain(t *testing.T) {
	onSinks(t, func(t *testing.T, o Options) {
		o.ShutdownTimeout = 300 * time.Millisecond
		o.Listen = "127.0.0.1:0"
		s := newServer(t, o)
		stop := run(t, s)
		var streams []reader
		for range 20 {
			r := newReader(get(t, target(s, "/events/orders")))
			readBegin(t, r)
			streams = append(streams, r)
			<-o.hub().came
		}
		defer dialStuck(t, s).Close()
		stuck := <-o.hub().came
		stuck.push(bigRun())
		await(t, "the queue to be taken", func() bool { return stuck.LastID() != "" })
		stopped := make(chan error, 1)
		go func() { stopped <- stop() }()
		for _, r := range streams {
			checkEnd(t, r.rest(t), codeDraining, 500, 5000)
		}
		if err := <-stopped; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if got := ends(t, s, codeDraining); got != 20 {
			t.Errorf("%v streams ended by draining, want 20", got)
		}
		if !stuck.isClosed() {
			t.Error("the stream of the client that does not read is open")
		}
	})
}

// A stream that always has something to write does not keep others from being served, or
// itself from being ended.
func TestSinkBusyStream(t *testing.T) {
	onSinks(t, func(t *testing.T, o Options) {
		sub := &busySub{fakeSub: &fakeSub{wake: make(chan struct{}, 1)}, run: insert("0/20.0.aaaaaa", `{}`)}
		o.Hub = hubOf(func() Subscriber { return sub })
		o.MaxStream = 100 * time.Millisecond
		s := start(t, o)
		resp := get(t, target(s, "/events/orders"))
		got := body(t, resp)
		if i := strings.LastIndex(got, "retry: "); i <= 0 {
			t.Errorf("no end in %d bytes", len(got))
		} else {
			checkEnd(t, got[i:], endRenew, 50, 500)
		}
	})
}

// Connections that come and go leave nothing behind.
func TestSinkChurn(t *testing.T) {
	onSinks(t, func(t *testing.T, o Options) {
		o.Limits.PerIP = 1 << 20
		hub := o.hub()
		hub.came = make(chan *fakeSub, 10_000)
		s := start(t, o)
		get(t, target(s, "/events/orders")).Body.Close() // once the server has all that it keeps
		sub := <-hub.came
		await(t, "subscriber closed", sub.isClosed)
		http.DefaultClient.CloseIdleConnections()
		awaitOpen(t, s, 0)
		before := openFiles(t)
		for range 20 {
			var conns []net.Conn
			for range 50 {
				conns = append(conns, dial(t, s, askHTTP11))
			}
			for i := range conns {
				sub := <-hub.came
				if i%2 == 0 {
					sub.push(insert("0/20.0.aaaaaa", `{}`))
				}
				if i%3 == 0 {
					sub.finish("gap")
				}
			}
			for _, c := range conns {
				c.Close()
			}
		}
		awaitOpen(t, s, 0)
		await(t, "descriptors to be closed", func() bool { return openFiles(t) <= before })
		for _, sub := range hub.subs {
			if !sub.isClosed() {
				t.Fatal("a subscriber was not closed")
			}
		}
	})
}

// openFiles is the number of descriptors of this process, 0 where it cannot be known.
func openFiles(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if os.IsNotExist(err) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// The streams of a real hub, many at once, all get every event.
func TestSinkManyStreams(t *testing.T) {
	onSinks(t, func(t *testing.T, o Options) {
		o.Limits.PerIP = 1 << 20
		hub := o.hub()
		hub.came = make(chan *fakeSub, 1000)
		s := start(t, o)
		const streams, rows = 200, 50
		var subs []*fakeSub
		got := make(chan error, streams)
		for range streams {
			resp := answerOn(t, dial(t, s, askHTTP11))
			subs = append(subs, <-hub.came)
			go func() { got <- countRows(newReader(resp), rows) }()
		}
		for i := range rows {
			r := insert(fmt.Sprintf("0/20.%d.aaaaaa", i), fmt.Sprintf(`{"row":%d}`, i))
			for _, sub := range subs {
				sub.push(r)
			}
		}
		for range streams {
			if err := <-got; err != nil {
				t.Error(err)
			}
		}
	})
}

// countRows reads rows with rising numbers.
func countRows(r reader, rows int) error {
	for i := 0; i < rows; {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		data, ok := strings.CutPrefix(line, `data: {"row":`)
		if !ok {
			continue
		}
		if want := fmt.Sprintf("%d}\n", i); data != want {
			return fmt.Errorf("row %q, want %q", data, want)
		}
		i++
	}
	return nil
}
