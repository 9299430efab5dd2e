package httpapi

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/walrelay/walrelay/channel"
)

// Whatever part of it a socket takes at a time, a connection goes on where that ended.
func TestConnGoesOnAfterPartialWrites(t *testing.T) {
	s := newServer(t, Options{Hub: newFakeHub()})
	for _, e := range []encoding{sse{}, ndjson{}} {
		for _, f := range []framing{plain, chunked} {
			for seed := range uint64(50) {
				random := rand.New(rand.NewPCG(seed, 0))
				c := &conn{framing: f, st: &stream{encoding: e, traffic: s.metrics.traffic[kindSSE], sub: &leash{}}}
				c.rest = append(c.rest, "head\r\n"...)
				c.say([]byte("retry: 1\n\n"))
				want := bytes.Clone(c.rest)
				for range random.IntN(6) {
					r := insert("0/20.0.aaaaaa", strings.Repeat("x", random.IntN(4<<uint(random.IntN(17)))))
					c.runs = append(c.runs, r)
					b, _ := e.bytes(nil, r)
					want = f.piece(want, b)
				}
				if got := writeOut(t, c, random); !bytes.Equal(got, want) {
					t.Fatalf("%T, chunked %v, seed %d: %d bytes, want %d, or others", e, f, seed, len(got), len(want))
				}
			}
		}
	}
}

// writeOut takes what c has pending, in parts of random size.
func writeOut(t *testing.T, c *conn, random *rand.Rand) (got []byte) {
	t.Helper()
	var s scratch
	for c.pending() {
		p := c.gather(&s)
		if len(p) == 0 || len(p) > sliceSize {
			t.Fatalf("%d bytes to write", len(p))
		}
		n := len(p)
		if random.IntN(2) == 0 {
			n = random.IntN(n + 1)
		}
		got = append(got, p[:n]...)
		c.advance(n, &s)
	}
	return got
}

// Everything pending goes out in one write, unless that is very much.
func TestConnGathers(t *testing.T) {
	s := newServer(t, Options{Hub: newFakeHub()})
	c := &conn{framing: chunked, st: &stream{encoding: sse{}, traffic: s.metrics.traffic[kindSSE], sub: &leash{}}, rest: []byte("head")}
	for i := range 100 {
		c.runs = append(c.runs, insert(fmt.Sprintf("0/20.%d.aaaaaa", i), `{"row":1}`))
	}
	var sc scratch
	c.advance(len(c.gather(&sc)), &sc)
	if c.pending() {
		t.Errorf("after one write run %d is pending", c.at)
	}
}

// A session's end keeps from the client what has not begun to be written.
func TestConnCutOff(t *testing.T) {
	s := newServer(t, Options{Hub: newFakeHub()})
	run := insert("0/20.0.aaaaaa", `{"row":1}`)
	for _, tt := range []struct {
		written, left int
	}{{0, 0}, {1, 1}, {len(run.Bytes), 1}, {len(run.Bytes) + 1, 2}} {
		c := &conn{st: &stream{encoding: sse{}, traffic: s.metrics.traffic[kindSSE], sub: &leash{}}, runs: []*channel.Run{run, run, run}}
		var sc scratch
		c.advance(tt.written, &sc)
		if c.cutOff(); len(c.runs) != tt.left {
			t.Errorf("%d bytes written: %d runs are left, want %d", tt.written, len(c.runs), tt.left)
		}
	}
}

func TestFraming(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 255, 256, 65535, 65536} {
		for _, f := range []framing{plain, chunked} {
			if got := f.piece(nil, make([]byte, n)); len(got) != f.size(n) {
				t.Errorf("chunked %v: a piece of %d bytes has %d, not %d", f, n, len(got), f.size(n))
			}
		}
	}
	if got := string(chunked.close(chunked.piece(nil, []byte("0123456789abcdef")))); got != "10\r\n0123456789abcdef\r\n0\r\n\r\n" {
		t.Errorf("chunked body %q", got)
	}
}

// What a burst has left behind does not stay.
func TestTable(t *testing.T) {
	var tab table
	var conns []*conn
	for range 5000 {
		c := &conn{}
		tab.add(c)
		conns = append(conns, c)
	}
	stale := conns[17].key
	for _, c := range conns[10:] {
		tab.remove(c)
	}
	tab.shrink()
	if tab.live != 10 || cap(tab.conns) > 100 || len(tab.free) > 0 {
		t.Errorf("live %d, room for %d, %d free", tab.live, cap(tab.conns), len(tab.free))
	}
	for range 20 {
		tab.add(&conn{})
	}
	if tab.find(stale) != nil {
		t.Error("the key of one that is gone finds another")
	}
	seen := map[uint64]bool{}
	for _, c := range tab.conns {
		if c == nil || tab.find(c.key) != c || seen[c.key] {
			t.Fatalf("%v is not found by its key", c)
		}
		seen[c.key] = true
	}
	if len(seen) != 30 {
		t.Errorf("%d connections, want 30", len(seen))
	}
}

// Everybody is looked at once the time has come, and not before it is near.
func TestWheel(t *testing.T) {
	w := newWheel(320 * time.Millisecond) // ticks of 10 ms
	at := map[*conn]time.Duration{}
	for i := range 1000 {
		c := &conn{}
		at[c] = time.Duration(i*7) * time.Millisecond
		w.set(c, at[c])
	}
	gone := &conn{}
	w.set(gone, 40*time.Millisecond)
	w.remove(gone)
	looked := map[*conn]bool{}
	for now := time.Duration(0); now < 8*time.Second; now += 3 * time.Millisecond {
		w.turn(now, len(at)+1, func(c *conn) {
			switch late := now - at[c]; {
			case c == gone:
				t.Error("one that was removed is looked at")
			case looked[c]:
				t.Error("one is looked at again")
			case late < 0: // beyond the horizon
				w.set(c, at[c])
				return
			case late > 13*time.Millisecond:
				t.Errorf("looked at %v late", late)
			}
			looked[c] = true
		})
	}
	if len(looked) != len(at) {
		t.Errorf("%d of %d were looked at", len(looked), len(at))
	}
}

// A wheel that has not been turned for long looks at everybody once.
func TestWheelAfterSuspension(t *testing.T) {
	w := newWheel(time.Second)
	for range 10 {
		w.set(&conn{}, time.Second)
	}
	n := 0
	w.turn(1000*time.Hour, 100, func(*conn) { n++ })
	c := &conn{}
	w.set(c, 1000*time.Hour+time.Second)
	w.turn(1000*time.Hour+2*time.Second, 100, func(*conn) { n++ })
	if n != 11 {
		t.Errorf("%d looks, want 11", n)
	}
}

// An earlier time counts, a later one does not move a connection.
func TestWheelSetAgain(t *testing.T) {
	w := newWheel(time.Second)
	c := &conn{}
	var looks []time.Duration
	w.set(c, 5*time.Second)
	w.set(c, 2*time.Second)
	w.set(c, 6*time.Second)
	for now := time.Duration(0); now < 7*time.Second; now += 50 * time.Millisecond {
		w.turn(now, 100, func(*conn) { looks = append(looks, now) })
	}
	if len(looks) != 1 || looks[0] > 2100*time.Millisecond || looks[0] < 2*time.Second {
		t.Errorf("looked at %v, want once after 2 s", looks)
	}
}
