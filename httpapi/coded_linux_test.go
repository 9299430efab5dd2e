package httpapi

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// Whatever part of it a socket takes at a time, and wherever it is cut off, what arrives is whole.
func TestCodedConnGoesOnAfterPartialWrites(t *testing.T) {
	s := newServer(t, Options{Hub: newFakeHub()})
	for _, c := range codings {
		for seed := range uint64(10) {
			random := rand.New(rand.NewPCG(seed, 0))
			e := s.metrics.code(sse{}, c)
			k := &conn{st: &stream{encoding: e, traffic: s.metrics.traffic[kindSSE], sub: &leash{}}}
			k.say(e.opening(nil, 1))
			want := sse{}.opening(nil, 1)
			k.runs = variedRuns(64)[56+random.IntN(4):]
			var got []byte
			var sc scratch
			for cut := random.IntN(6); k.pending(); cut-- {
				p := k.gather(&sc)
				n := random.IntN(len(p) + 1)
				got = append(got, p[:n]...)
				k.advance(n, &sc)
				if cut == 0 {
					k.end("gap")
				}
			}
			for _, r := range k.runs {
				want = append(want, r.Bytes...)
			}
			k.end("gap")
			k.tell()
			got = append(got, k.rest...)
			if text := decoded(t, c, got); !bytes.HasPrefix(text, want) || !bytes.Contains(text[len(want):], []byte(`"reason":"gap"`)) {
				t.Errorf("%s, seed %d: %d bytes, want %d and an end", c, seed, len(text), len(want))
			}
		}
	}
}

// What was gathered for one stream is written to the next one of the same form, and of no other.
func TestCodedBlocksAreShared(t *testing.T) {
	s := newServer(t, Options{Hub: newFakeHub()})
	runs := variedRuns(3)
	var sc scratch
	first := &conn{st: &stream{encoding: s.metrics.code(sse{}, codings[0]), traffic: s.metrics.traffic[kindSSE], sub: &leash{}}, runs: runs}
	first.gather(&sc)
	for _, c := range codings {
		for _, e := range []encoding{sse{}, ndjson{}} {
			k := &conn{st: &stream{encoding: s.metrics.code(e, c), traffic: s.metrics.traffic[kindSSE], sub: &leash{}}, runs: runs}
			if _, lines := e.(ndjson); sc.block.is(k) != (c == codings[0] && !lines) {
				t.Errorf("%s of %T: shared %v", c, e, sc.block.is(k))
			}
		}
	}
	plain := &conn{st: &stream{encoding: sse{}, sub: &leash{}}, runs: runs}
	if sc.block.is(plain) {
		t.Error("what was compressed is written to a stream that is not")
	}
}
