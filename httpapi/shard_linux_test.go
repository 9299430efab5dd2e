package httpapi

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/labstack/echo/v4"
	"golang.org/x/sys/unix"

	"github.com/walrelay/walrelay/channel"
)

// Streams that become idle together do not all get their heartbeats together, nor later than they
// should.
func TestHeartbeatsAreSpread(t *testing.T) {
	s, err := newShard(shardOptions{heartbeat: 15 * time.Second, writeTimeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer s.poller.close()
	ticks := map[int64]int{}
	for range 10_000 {
		c := &conn{}
		s.schedule(c)
		ticks[c.tick]++
	}
	for tick, n := range ticks {
		if at := time.Duration(tick) * s.wheel.tick; at < 12*time.Second || at > 15*time.Second+s.wheel.tick {
			t.Errorf("a heartbeat after %v", at)
		}
		if n > 2000 {
			t.Errorf("%d heartbeats in %v", n, s.wheel.tick)
		}
	}
}

// A connection that is blocked is looked at when its write timeout is over, also where that is before
// the heartbeat.
func TestScheduleOfBlocked(t *testing.T) {
	s, err := newShard(shardOptions{heartbeat: 15 * time.Second, writeTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer s.poller.close()
	c := &conn{wrote: time.Second}
	s.schedule(c)
	c.blocked = true
	s.schedule(c)
	if at := time.Duration(c.tick) * s.wheel.tick; at < 6*time.Second || at > 6*time.Second+s.wheel.tick {
		t.Errorf("looked at after %v, want 6 s", at)
	}
	c.expires = 3 * time.Second
	s.schedule(c)
	if at := time.Duration(c.tick) * s.wheel.tick; at < 3*time.Second || at > 3*time.Second+s.wheel.tick {
		t.Errorf("looked at after %v, want 3 s", at)
	}
}

// Once there is room again, the heartbeat counts.
func TestScheduleOfUnblocked(t *testing.T) {
	s, err := newShard(shardOptions{heartbeat: 15 * time.Second, writeTimeout: 60 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer s.poller.close()
	c := s.paired(t, &fakeSub{})
	c.blocked, c.rest = true, []byte("rest")
	s.schedule(c)
	s.event(&unix.EpollEvent{Events: unix.EPOLLOUT, Fd: int32(uint32(c.key)), Pad: int32(c.key >> 32)})
	if at := time.Duration(c.tick) * s.wheel.tick; c.blocked || at > 15*time.Second+s.wheel.tick {
		t.Errorf("blocked %v, looked at after %v", c.blocked, at)
	}
}

// paired is a connection of the shard, which does not run, on a socket pair.
func (s *shard) paired(t *testing.T, sub Subscriber) *conn {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(pair[0])
		unix.Close(pair[1])
	})
	c := &conn{fd: pair[0], st: &stream{sub: &leash{Subscriber: sub}, encoding: sse{}, traffic: newServer(t, Options{Hub: newFakeHub()}).metrics.traffic[kindSSE]}}
	s.table.add(c)
	return c
}

// onShard starts a shard with a stream on a socket pair, of which nobody reads the other end.
func onShard(t *testing.T, o shardOptions, sub Subscriber) (end <-chan string) {
	t.Helper()
	o.log = slog.New(slog.DiscardHandler)
	s, err := newShard(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(s.poll)
	running.Go(func() { s.run(ctx) })
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		running.Wait()
		unix.Close(pair[1])
	})
	ended := make(chan string, 1)
	st := &stream{sub: &leash{Subscriber: sub}, encoding: sse{}, traffic: newServer(t, Options{Hub: newFakeHub()}).metrics.traffic[kindSSE], release: func(reason string) { ended <- reason }}
	if !s.adopt(&conn{st: st, fd: pair[0]}) {
		t.Fatal("a new shard takes no connection")
	}
	return ended
}

// Where the kernel does not mind that nothing is read, the shard does.
func TestShardWriteTimeout(t *testing.T) {
	sub := &fakeSub{wake: make(chan struct{}, 1)}
	sub.push(bigRun())
	end := onShard(t, shardOptions{heartbeat: time.Hour, writeTimeout: 50 * time.Millisecond}, sub)
	if reason := <-end; reason != endSlow || !sub.isClosed() {
		t.Errorf("ended by %s, subscriber closed %v", reason, sub.isClosed())
	}
}

// Others get their turn, whatever one has to write.
func TestShardYields(t *testing.T) {
	s, err := newShard(shardOptions{heartbeat: time.Hour, writeTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer s.poller.close()
	c := s.paired(t, &busySub{fakeSub: &fakeSub{}, run: &channel.Run{}}) // which takes no room in the socket
	s.serve(c)
	if ids := s.ready.Take(nil); len(ids) != 1 || ids[0] != c.key {
		t.Errorf("listed %v, want the connection, which has not been served to the end", ids)
	}
}

// A shard that has stopped takes nothing, and has ended what it had.
func TestShardStops(t *testing.T) {
	s, err := newShard(shardOptions{heartbeat: time.Hour, writeTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	ended := make(chan string, 2)
	sub := &fakeSub{wake: make(chan struct{}, 1)}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[1])
	c := &conn{fd: pair[0], st: &stream{sub: &leash{Subscriber: sub}, release: func(reason string) { ended <- reason }}}
	if !s.adopt(c) {
		t.Fatal("a new shard takes no connection")
	}
	s.run(over)
	if reason := <-ended; reason != endClient || !sub.isClosed() {
		t.Errorf("ended by %s, subscriber closed %v", reason, sub.isClosed())
	}
	if s.adopt(c) {
		t.Error("a shard that has stopped takes a connection")
	}
	if n, err := unix.Read(pair[1], make([]byte, 1)); n != 0 || err != nil {
		t.Errorf("the socket is open: read %d, %v", n, err)
	}
}

// A stream that comes too late for its shard holds nothing.
func TestShardHasStopped(t *testing.T) {
	s, err := newShard(shardOptions{heartbeat: time.Hour, writeTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	s.stop()
	k := &shards{all: []*shard{s}}
	traffic := newServer(t, Options{Hub: newFakeHub()}).metrics.traffic[kindSSE]
	ended := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.carry(echo.NewResponse(w, echo.New()), r, &stream{sub: &leash{Subscriber: &fakeSub{}}, encoding: sse{}, traffic: traffic, release: func(reason string) { ended <- reason }})
	}))
	defer server.Close()
	if resp, err := http.Get(server.URL); err == nil {
		resp.Body.Close()
		t.Errorf("status %d", resp.StatusCode)
	}
	if reason := <-ended; reason != endClient {
		t.Errorf("ended by %s", reason)
	}
}

// There may be 50,000 of them.
func TestConnIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(conn{}) + unsafe.Sizeof(stream{}); size > 400 {
		t.Errorf("a connection takes %d bytes", size)
	}
}

// BenchmarkConn is what a shard adds to each write: an event, a transaction of ten rows as one run, or
// the sixteen single events that have come meanwhile, from the queue to what the socket is given.
func BenchmarkConn(b *testing.B) {
	row := channel.Event{Name: "insert", ID: "0/16B3748.3.k7x2mq", Data: []byte(`{"channel":"orders","op":"insert","key":{"id":7},"row":{"id":7,"note":"` + strings.Repeat("x", 100) + `"}}`)}
	s, err := New(Options{Hub: newFakeHub()})
	if err != nil {
		b.Fatal(err)
	}
	for _, bm := range []struct{ runs, events int }{{1, 1}, {1, 10}, {16, 1}} {
		for _, e := range []encoding{sse{}, ndjson{}} {
			b.Run(fmt.Sprintf("%T/runs=%d/events=%d", e, bm.runs, bm.events), func(b *testing.B) {
				var runs []*channel.Run
				for range bm.runs {
					runs = append(runs, newRun(time.Now(), slices.Repeat([]channel.Event{row}, bm.events)...))
				}
				sub := &benchSub{runs: runs}
				shard := &shard{}
				c := &conn{framing: chunked, st: &stream{encoding: e, traffic: s.metrics.traffic[kindSSE], sub: &leash{Subscriber: sub}}}
				b.ReportAllocs()
				for b.Loop() {
					shard.ask(c)
					shard.breathe()
					shard.tally.to(c.st.traffic).bytes += uint64(c.advance(len(c.gather(&shard.scratch)), &shard.scratch))
				}
			})
		}
	}
}
