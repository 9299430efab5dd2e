package httpapi

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// still is a shard that does not run: a test takes its steps.
func still(t *testing.T, o shardOptions) *shard {
	t.Helper()
	o.log = slog.New(slog.DiscardHandler)
	s, err := newShard(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	return s
}

// peer is the other end of a connection's socket.
type peer int

// join puts a stream on a shard that does not run. Nothing has been written to its socket.
func (s *shard) join(t *testing.T, sub Subscriber, e encoding) (*conn, peer, chan string) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(pair[1]) })
	ended := make(chan string, 2)
	c := &conn{fd: pair[0], st: &stream{sub: &leash{Subscriber: sub}, encoding: e, retry: time.Second,
		traffic: newServer(t, Options{Hub: newFakeHub()}).metrics.traffic[kindSSE], release: func(reason string) { ended <- reason }}}
	s.admit(c)
	return c, peer(pair[1]), ended
}

const filler = '~'

// fill leaves no room in the connection's socket.
func (c *conn) fill(t *testing.T) {
	t.Helper()
	for p := []byte(strings.Repeat(string(filler), 64<<10)); ; {
		if _, err := transmit(c.fd, p); err == unix.EAGAIN {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// read is what has been written, without what filled the socket.
func (p peer) read() string {
	var out strings.Builder
	for buf := make([]byte, 64<<10); ; {
		n, err := unix.Read(int(p), buf)
		if n <= 0 || err != nil {
			return strings.Trim(out.String(), string(filler))
		}
		out.Write(buf[:n])
	}
}

// room is the event of a socket that takes something again.
func (c *conn) room() *unix.EpollEvent {
	return &unix.EpollEvent{Events: unix.EPOLLOUT, Fd: int32(uint32(c.key)), Pad: int32(c.key >> 32)}
}

// A stream that ends while its socket is full, with nothing of a run written, says so as soon as there
// is room, and names no id: what was taken from the queue has been dropped.
func TestShardEndsBlockedStream(t *testing.T) {
	for _, tt := range []struct {
		reason string
		end    func(*shard, *conn)
	}{
		{codeDraining, func(s *shard, _ *conn) { s.endAll(codeDraining) }},
		{endRenew, func(s *shard, c *conn) { s.now++; c.expires = s.now; s.lookAt(c) }},
		{endSigned, func(_ *shard, c *conn) { c.st.sub.End(endSigned) }},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			s := still(t, shardOptions{heartbeat: time.Second, writeTimeout: time.Minute})
			sub := &fakeSub{wake: make(chan struct{}, 1), id: "0/30.0.aaaaaa"}
			c, client, ended := s.join(t, sub, sse{})
			c.fill(t)
			sub.push(insert("0/30.0.aaaaaa", `{"row":1}`))
			s.serve(c)
			if !c.blocked {
				t.Fatal("the socket is not full")
			}
			tt.end(s, c)
			sub.id = "0/30.0.aaaaaa" // as if the hub did not know yet
			s.now += 2 * time.Second
			s.lookAt(c) // when a heartbeat would be due
			before := client.read()
			s.event(c.room())
			got := before + client.read()
			if !strings.Contains(got, `"reason":"`+tt.reason+`"`) || strings.Contains(got, "id: ") || strings.Contains(got, "row") {
				t.Errorf("the client got %q", got)
			}
			if len(ended) != 1 || <-ended != tt.reason {
				t.Errorf("ended for another reason, or not")
			}
		})
	}
}

// Between the end of a session and the hub's knowing of it nothing names an id either.
func TestLeashNamesNoID(t *testing.T) {
	l := &leash{Subscriber: &fakeSub{wake: make(chan struct{}, 1), id: "0/10.0.aaaaaa"}}
	if l.LastID() == "" || l.Complete().Tag == "" {
		t.Fatal("no id before the end")
	}
	l.cut.Store(true)
	if id, at := l.LastID(), l.Complete(); id != "" || at.Tag != "" {
		t.Errorf("id %q, complete up to %q", id, at)
	}
}

// A client that has read is not slow, although its shard has been asleep for longer than the write
// timeout and has not heard of it.
func TestShardTriesBeforeItGivesUp(t *testing.T) {
	s := still(t, shardOptions{heartbeat: time.Hour, writeTimeout: time.Second})
	sub := &fakeSub{wake: make(chan struct{}, 1)}
	c, client, ended := s.join(t, sub, sse{})
	c.fill(t)
	sub.push(insert("0/30.0.aaaaaa", `{"row":1}`))
	s.serve(c)
	client.read()
	s.now += time.Hour
	s.lookAt(c)
	if got := client.read(); !strings.Contains(got, "row") || len(ended) > 0 || c.blocked {
		t.Errorf("got %q, blocked %v, ended %d", got, c.blocked, len(ended))
	}
	c.fill(t)
	sub.push(insert("0/31.0.aaaaaa", `{"row":2}`))
	s.serve(c)
	s.now += time.Hour
	if s.lookAt(c); len(ended) != 1 || <-ended != endSlow {
		t.Error("a client that does not read is kept")
	}
}

// Once its stream is over a client has one write timeout to take the rest of a run, however little it
// takes at a time.
func TestShardBoundsTheEnd(t *testing.T) {
	for _, end := range []func(*conn){
		func(c *conn) { c.end(endRenew) },
		func(c *conn) { c.st.sub.End(endSigned) },
	} {
		s := still(t, shardOptions{heartbeat: time.Hour, writeTimeout: time.Second})
		sub := &fakeSub{wake: make(chan struct{}, 1)}
		c, client, ended := s.join(t, sub, sse{})
		sub.push(bigRun())
		s.serve(c)
		end(c)
		for range 5 {
			buf := make([]byte, 1<<10)
			for range 40 { // room for something, less than a write's worth
				_, _ = unix.Read(int(client), buf)
			}
			s.now += 400 * time.Millisecond
			s.event(c.room())
			if len(ended) > 0 {
				break
			}
			s.lookAt(c)
		}
		if len(ended) != 1 || <-ended != endSlow {
			t.Error("a client that takes little at a time is kept")
		}
	}
}

// What a session's end keeps from a client that does not read is let go at once.
func TestShardDropsRunsOfBlockedStream(t *testing.T) {
	s := still(t, shardOptions{heartbeat: time.Hour, writeTimeout: time.Hour})
	sub := &fakeSub{wake: make(chan struct{}, 1)}
	c, _, _ := s.join(t, sub, sse{})
	c.fill(t)
	sub.push(insert("0/30.0.aaaaaa", `{"row":1}`), insert("0/31.0.aaaaaa", `{"row":2}`))
	s.serve(c)
	c.st.sub.End(endSigned)
	s.listed, s.next = s.ready.Take(nil), 0
	s.serveListed()
	if len(c.runs) > 0 || !c.blocked {
		t.Errorf("%d runs are kept, blocked %v", len(c.runs), c.blocked)
	}
}
