package auth

import (
	"maps"
	"slices"
	"testing"
)

// BenchmarkDecode opens one valid cookie of every kind, with a ring of one key.
func BenchmarkDecode(b *testing.B) {
	all := allSealers()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		s := all[name]
		d := s.decoder(b, name, s.key(0))
		c := s.seal(b, s.key(0), sealName, s.body, sealed)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.decode(c, sealed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkToken opens the tokens of the vectors.
func BenchmarkToken(b *testing.B) {
	var v tokenVectors
	loadJSON(b, "jwt-set", &v)
	for _, e := range v.Valid[:5] {
		d := v.decoder(b, e)
		b.Run(e.Why, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.decode(cookie{value: e.Token}, v.MadeAt); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
