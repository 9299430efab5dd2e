package httpapi

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/walrelay/walrelay/channel"
)

// poison is a run that cannot be written.
var poison = insert("0/66.0.aaaaaa", `{"row":"poison"}`)

// fragile is an encoding that panics at poison, and at heartbeats if it is told to.
type fragile struct {
	sse
	beats bool
}

func (e fragile) bytes(dst []byte, r *channel.Run) ([]byte, bool) {
	if r == poison {
		panic("poison")
	}
	return e.sse.bytes(dst, r)
}

func (e fragile) heartbeat(dst []byte, id channel.EventID) []byte {
	if e.beats {
		panic("heartbeat")
	}
	return e.sse.heartbeat(dst, id)
}

// badSub panics where it is told to.
type badSub struct {
	*fakeSub
	next, bind bool
}

func (s *badSub) Next() ([]*channel.Run, string, bool) {
	if s.next {
		panic("next")
	}
	return s.fakeSub.Next()
}

func (s *badSub) Bind(r *channel.Ready, id uint64) {
	if s.bind {
		panic("bind")
	}
	s.fakeSub.Bind(r, id)
}

// logged is a log that can be read while it is written.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), text)
}

// readUntil reads until text has come.
func (p peer) readUntil(t *testing.T, text string) {
	t.Helper()
	got := ""
	await(t, text, func() bool {
		got += p.read()
		return strings.Contains(got, text)
	})
}

// A panic costs the stream at which it happened, and no other, whatever was being done for it.
func TestShardSurvivesPanics(t *testing.T) {
	for _, tt := range []struct {
		name     string
		encoding fragile
		sub      badSub
		first    *channel.Run
		release  bool
	}{
		{name: "write", first: poison},
		{name: "next", sub: badSub{next: true}},
		{name: "bind", sub: badSub{bind: true}},
		{name: "heartbeat", encoding: fragile{beats: true}},
		{name: "poison", first: poison, release: true}, // its end panics too
	} {
		t.Run(tt.name, func(t *testing.T) {
			log := &logged{}
			s, err := newShard(shardOptions{heartbeat: 20 * time.Millisecond, writeTimeout: time.Minute, log: slog.New(slog.NewTextHandler(log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			var subs []*fakeSub
			var peers []peer
			ended := make(chan string, 10)
			for i := range 7 {
				sub := &fakeSub{wake: make(chan struct{}, 1), id: "0/10.0.aaaaaa"}
				var e encoding = fragile{}
				var bound Subscriber = sub
				release := func(reason string) { ended <- reason }
				if i%3 == 1 { // two among the others
					tt.sub.fakeSub = sub
					e, bound = tt.encoding, &badSub{sub, tt.sub.next, tt.sub.bind}
					if tt.first != nil {
						sub.push(tt.first)
					}
					if tt.release {
						release = func(reason string) { ended <- reason; panic("release") }
					}
				}
				sub.push(insert("0/20.0.aaaaaa", `{"row":1}`))
				c, p := adrift(t, bound, e, release)
				if !s.adopt(c) {
					t.Fatal("not adopted")
				}
				subs, peers = append(subs, sub), append(peers, p)
			}
			ctx, cancel := context.WithCancel(context.Background())
			var running sync.WaitGroup
			running.Go(s.poll)
			running.Go(func() { s.run(ctx) })
			for range 2 {
				if reason := <-ended; reason != codeInternal {
					t.Errorf("ended by %s", reason)
				}
			}
			for i, p := range peers {
				if i%3 == 1 {
					await(t, "socket closed", func() bool {
						n, err := unix.Read(int(p), make([]byte, 1<<10))
						return n == 0 && err == nil
					})
					if !subs[i].isClosed() {
						t.Error("the subscriber is open")
					}
					continue
				}
				p.readUntil(t, `{"row":1}`)
				subs[i].push(insert("0/21.0.aaaaaa", `{"row":2}`))
				p.readUntil(t, `{"row":2}`)
				p.readUntil(t, "id: 0/10.0.aaaaaa") // a heartbeat
			}
			cancel()
			running.Wait()
			if n := log.count("panic in a writer shard"); n != 1 && !tt.release || log.count("panic_linux_test.go") == 0 {
				t.Errorf("%d lines, or none with the place", n)
			}
			if len(ended) != 5 {
				t.Errorf("%d streams ended at the end, want 5", len(ended))
			}
		})
	}
}

// adrift is a connection of no shard yet.
func adrift(t *testing.T, sub Subscriber, e encoding, release func(string)) (*conn, peer) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(pair[1]) })
	return &conn{fd: pair[0], st: &stream{sub: &leash{Subscriber: sub}, encoding: e, retry: time.Second,
		traffic: newServer(t, Options{Hub: newFakeHub()}).metrics.traffic[kindSSE], release: release}}, peer(pair[1])
}

// A panic while many are ended, or looked at, keeps nothing from those behind.
func TestShardSurvivesPanicsWithMany(t *testing.T) {
	for _, tt := range []struct {
		name string
		act  func(*shard)
	}{
		{"drain", func(s *shard) {
			for !s.survives(func() { s.endAll(codeDraining) }) {
			}
		}},
		{"stop", func(s *shard) {
			for !s.survives(s.stop) {
			}
		}},
		{"wheel", func(s *shard) {
			s.now = time.Minute
			for !s.survives(func() { s.wheel.turn(s.now, maxLooks, func(c *conn) { s.current = c; s.drop(c, endSlow) }) }) {
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := still(t, shardOptions{heartbeat: time.Second, writeTimeout: time.Second})
			n := 0
			for range 9 {
				c, _, _ := s.join(t, &fakeSub{wake: make(chan struct{}, 1)}, sse{})
				s.wheel.remove(c)
				s.wheel.set(c, time.Second)
				c.st.release = func(string) {
					if n++; n%3 == 1 {
						panic("release")
					}
				}
			}
			if tt.act(s); n != 9 || s.table.live != 0 {
				t.Errorf("%d streams ended, %d are left", n, s.table.live)
			}
		})
	}
}

// A connection that is gone is not dropped again: its descriptor may be somebody else's.
func TestShardDropsOnce(t *testing.T) {
	s := still(t, shardOptions{heartbeat: time.Hour, writeTimeout: time.Hour})
	c, _, ended := s.join(t, &fakeSub{wake: make(chan struct{}, 1)}, sse{})
	s.drop(c, endSlow)
	fd, err := unix.Dup(2)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	c.fd = fd
	s.drop(c, endWrite)
	if err := unix.Fstat(fd, &unix.Stat_t{}); err != nil || len(ended) != 1 {
		t.Errorf("dropped twice: %v, ended %d times", err, len(ended))
	}
}

// Where very many are due, those who have something to take are served in between.
func TestWheelInPortions(t *testing.T) {
	w := newWheel(time.Second)
	for range 1000 {
		w.set(&conn{}, 100*time.Millisecond)
	}
	looks, portions := 0, 0
	for more := true; more; portions++ {
		before := looks
		more = w.turn(time.Second, 300, func(c *conn) {
			if looks++; looks <= 500 {
				w.set(c, 20*time.Second)
			}
		})
		if looks-before > 300 {
			t.Errorf("%d looks in a row", looks-before)
		}
	}
	if looks != 1000 || portions != 4 {
		t.Errorf("%d looks in %d portions", looks, portions)
	}
	w.turn(20*time.Second, 1000, func(*conn) { looks++ })
	if looks != 1500 {
		t.Errorf("%d looks, want 1500", looks)
	}
}
