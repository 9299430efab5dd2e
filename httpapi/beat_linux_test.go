package httpapi

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/walrelay/walrelay/channel"
)

// counting is an encoding that says how often it was asked.
type counting struct {
	sse
	asked *int
}

func (e counting) heartbeat(dst []byte, id channel.EventID) []byte {
	*e.asked++
	return e.sse.heartbeat(dst, id)
}

// Each gets the heartbeat of its own position, encoding and framing, whoever was served before.
func TestBeatIsOnesOwn(t *testing.T) {
	var b beat
	for _, e := range []encoding{sse{}, sse{}, ndjson{}} {
		for _, f := range []framing{chunked, plain, chunked} {
			for _, id := range []string{"0/10.1.bbbbbb", "0/10.0.aaaaaa", "0/10.1.aaaaaa", "0/10.1.bbbbbb", "0/10.1.bbbbbb", "", "0/10.1.bbbbbb"} {
				c := &conn{framing: f, st: &stream{encoding: e, sub: &leash{Subscriber: &fakeSub{id: id}}}}
				want := e.heartbeat(nil, c.st.sub.Complete())
				text, framed := b.of(c)
				if string(text) != string(want) || string(framed) != string(f.piece(nil, want)) {
					t.Errorf("%T at %q, chunked %v: %q", e, id, f, framed)
				}
			}
		}
	}
}

// An encoding that may keep count of what it was asked for is asked for each heartbeat.
func TestBeatOfEncodingWithState(t *testing.T) {
	asked := 0
	var b beat
	c := &conn{st: &stream{encoding: counting{asked: &asked}, sub: &leash{Subscriber: &fakeSub{id: "0/10.0.aaaaaa"}}}}
	for range 3 {
		b.of(c)
	}
	if asked != 3 {
		t.Errorf("asked %d times, want 3", asked)
	}
}

// What a full socket does not take of a heartbeat comes later, and is the client's own.
func TestBeatInParts(t *testing.T) {
	s := still(t, shardOptions{heartbeat: time.Second, writeTimeout: time.Minute})
	c, client, _ := s.join(t, &fakeSub{wake: make(chan struct{}, 1), id: "0/10.0.aaaaaa"}, sse{})
	other, _, _ := s.join(t, &fakeSub{wake: make(chan struct{}, 1), id: "0/FFFF.0.bbbbbb"}, sse{})
	c.fill(t)
	s.beat(c)
	if !c.blocked {
		t.Fatal("the socket is not full")
	}
	s.beat(other)
	before := client.read()
	s.event(c.room())
	if got := before + client.read(); got != "id: 0/10.0.aaaaaa\n\n" {
		t.Errorf("got %q", got)
	}
}

// BenchmarkHeartbeat is a heartbeat of an idle connection, with the write.
func BenchmarkHeartbeat(b *testing.B) {
	server, err := New(Options{Hub: newFakeHub()})
	if err != nil {
		b.Fatal(err)
	}
	for _, e := range []encoding{sse{}, ndjson{}} {
		b.Run(fmt.Sprintf("%T", e), func(b *testing.B) {
			s, err := newShard(shardOptions{heartbeat: time.Second, writeTimeout: time.Minute})
			if err != nil {
				b.Fatal(err)
			}
			defer s.poller.close()
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
			if err != nil {
				b.Fatal(err)
			}
			defer unix.Close(pair[0])
			defer unix.Close(pair[1])
			c := &conn{fd: pair[0], framing: chunked, st: &stream{encoding: e, traffic: server.metrics.traffic[kindSSE], sub: &leash{Subscriber: &benchSub{}}}}
			s.table.add(c)
			sink := make([]byte, 1<<20)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				s.wheel.remove(c)
				if s.beat(c); i%64 == 0 {
					_, _ = unix.Read(pair[1], sink)
				}
			}
			if c.blocked {
				b.Fatal("the socket is full")
			}
		})
	}
}
