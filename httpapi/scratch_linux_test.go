package httpapi

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/walrelay/walrelay/channel"
)

// Connections that write by the same memory, in turn, each write their own runs, in their encoding and
// framing, whatever they have in common.
func TestConnsShareScratch(t *testing.T) {
	s := newServer(t, Options{Hub: newFakeHub()})
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		var runs []*channel.Run
		for range 1 + random.IntN(8) {
			runs = append(runs, insert("0/20.0.aaaaaa", strings.Repeat("x", random.IntN(4<<uint(random.IntN(16))))))
		}
		var conns []*conn
		want, got := make([][]byte, 6), make([][]byte, 6)
		for i := range want {
			e := []encoding{sse{}, sse{}, ndjson{}}[random.IntN(3)]
			c := &conn{framing: framing(random.IntN(3) > 0), st: &stream{encoding: e, traffic: s.metrics.traffic[kindSSE], sub: &leash{}}}
			if random.IntN(4) == 0 {
				c.rest = []byte("head")
				want[i] = []byte("head")
			}
			from := random.IntN(len(runs)) * random.IntN(2)
			c.runs = runs[from : from+1+random.IntN(len(runs)-from)]
			for _, r := range c.runs {
				b, _ := e.bytes(nil, r)
				want[i] = c.framing.piece(want[i], b)
			}
			conns = append(conns, c)
		}
		var sc scratch
		for pending := true; pending; {
			pending = false
			for i, c := range conns {
				if !c.pending() {
					continue
				}
				pending = true
				p := c.gather(&sc)
				n := len(p)
				if random.IntN(3) == 0 {
					n = random.IntN(n + 1)
				}
				got[i] = append(got[i], p[:n]...)
				c.advance(n, &sc)
			}
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("seed %d: connection %d got %d bytes, want %d, or others", seed, i, len(got[i]), len(want[i]))
			}
		}
	}
}

// Who has the same pending as the one before writes the same memory.
func TestConnsShareBlock(t *testing.T) {
	runs := []*channel.Run{insert("0/20.0.aaaaaa", `{}`), insert("0/21.0.aaaaaa", `{}`)}
	var sc scratch
	for _, e := range []encoding{sse{}, ndjson{}} {
		var first *byte
		for i := range 3 {
			c := &conn{framing: chunked, runs: append([]*channel.Run(nil), runs...), st: &stream{encoding: e, sub: &leash{}}}
			p := c.gather(&sc)
			if i == 0 {
				first = &p[0]
				sc.made = nil // who makes anything more makes it elsewhere
			}
			if &p[0] != first || sc.made != nil {
				t.Errorf("%T: gathered again", e)
			}
			if c.advance(len(p), &sc); c.pending() {
				t.Errorf("%T: something is pending", e)
			}
		}
		more := &conn{framing: chunked, runs: append(runs, runs[0]), st: &stream{encoding: e, sub: &leash{}}}
		if more.advance(len(more.gather(&sc)), &sc); more.pending() {
			t.Errorf("%T: who has more than the one before needs two writes", e)
		}
	}
}

// Nothing of what was written is kept.
func TestScratchLetsGo(t *testing.T) {
	var sc scratch
	c := &conn{st: &stream{encoding: ndjson{}, sub: &leash{}}}
	for range 2 * maxSpareBlock {
		c.runs = append(c.runs, insert("0/20.0.aaaaaa", `{}`))
	}
	for _, c.runs = range [][]*channel.Run{c.runs, c.runs[:1]} {
		c.at = 0
		c.gather(&sc)
	}
	if sc.release(); sc.run != nil || sc.as != nil || sc.block.as != nil {
		t.Error("a run or an encoding is kept")
	}
	for _, r := range sc.block.runs[:cap(sc.block.runs)] {
		if r != nil {
			t.Fatal("a run is kept")
		}
	}
}
