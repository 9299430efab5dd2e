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
