package httpapi

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestLimiter(t *testing.T) {
	l := newLimiter(Limits{Connections: 3, PerIP: 2})
	take := func(ip string) func() {
		t.Helper()
		p, err := l.acquire(ip)
		if err != nil {
			t.Fatal(err)
		}
		return func() { l.release(p) }
	}
	a := take("192.0.2.1")
	take("192.0.2.1")
	if _, err := l.acquire("192.0.2.1"); codeOf(err) != codeLimit || err.(*refusal).status != 429 {
		t.Errorf("third of one address: %v", err)
	}
	if _, err := l.acquire("::ffff:192.0.2.1"); err == nil {
		t.Error("the same address in IPv6 form has a count of its own")
	}
	take("192.0.2.2")
	if _, err := l.acquire("192.0.2.3"); codeOf(err) != codeLimit || err.(*refusal).status != 503 {
		t.Errorf("fourth of all: %v", err)
	}
	a()
	take("192.0.2.1")
	if l.open != 3 || len(l.byIP) != 2 {
		t.Errorf("open %d, addresses %d", l.open, len(l.byIP))
	}
}

func TestLimitKey(t *testing.T) {
	tests := []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.2", false},
		{"2001:db8::1", "2001:db8::ffff", true},
		{"2001:db8:0:1::1", "2001:db8:0:2::1", false},
		{"fe80::1%eth0", "fe80::2%eth1", true},
		{"", "garbage", true},
	}
	for _, tt := range tests {
		if got := (place{addressOf(tt.a)}).key() == (place{addressOf(tt.b)}).key(); got != tt.same {
			t.Errorf("%q and %q share a key: %v, want %v", tt.a, tt.b, got, tt.same)
		}
	}
}

// A place is given back when its stream ends, however it ends.
func TestLimitIsGivenBack(t *testing.T) {
	hub := newFakeHub()
	s := start(t, Options{Hub: hub, Limits: Limits{Connections: 1}})
	first := get(t, target(s, "/events/orders"))
	sub := <-hub.came
	second := get(t, target(s, "/events/orders"))
	if got := body(t, second); !strings.Contains(got, `event: end`+"\n"+`data: {"reason":"limit"}`) {
		t.Errorf("second stream got %q", got)
	}
	sub.finish("gap")
	newReader(first).rest(t)
	hub.fail(context.DeadlineExceeded) // not given to a subscriber: the place must come back too
	awaitOpen(t, s, 0)
	get(t, target(s, "/events/orders"), "Accept: application/json")
	awaitOpen(t, s, 0)
}

// awaitOpen waits until the limiter counts n.
func awaitOpen(t *testing.T, s *Server, n int) {
	t.Helper()
	await(t, "open connections", func() bool {
		s.limits.mu.Lock()
		defer s.limits.mu.Unlock()
		return s.limits.open == n
	})
}

// await polls for something that happens in a handler behind a real socket.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(until) {
			t.Fatalf("gave up waiting: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestGate(t *testing.T) {
	g := newGate()
	for range 2 {
		if !g.enter() {
			t.Fatal("an open gate lets nobody in")
		}
	}
	g.leave()
	g.close()
	g.close()
	if g.enter() {
		t.Error("a closed gate lets somebody in")
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if n := g.wait(over); n != 1 {
		t.Errorf("%d inside, want 1", n)
	}
	g.leave()
	if n := g.wait(context.Background()); n != 0 {
		t.Errorf("%d inside, want 0", n)
	}
}
