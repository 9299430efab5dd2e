package auth

import (
	"strings"
	"testing"

	"github.com/walrelay/walrelay/change"
)

// BenchmarkRow is what an UPDATE of a session costs that has open streams.
func BenchmarkRow(b *testing.B) {
	s := compile(b, passport(), nil)
	if _, err := s.learn(tables(passportTable, usersTable, memberTable)); err != nil {
		b.Fatal(err)
	}
	cookie := `"cookie":{"originalMaxAge":2592000000,"expires":"2026-12-20T21:42:31.550Z","httpOnly":true,"path":"/"}`
	for _, c := range []struct{ name, data string }{
		{"passport", `{` + cookie + `,"passport":{"user":42},"org":"x"}`},
		{"4KiB", `{` + cookie + `,"passport":{"user":42},"org":"x","flash":["` + strings.Repeat("y", 4000) + `"]}`},
	} {
		tuple := values(1, "ma0HZoIjdEB4PRRoi4E09nnnq_S3SvKL", c.data, "2026-12-20 21:42:32", "web")
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.row(passportTable, tuple); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkIdentity is what every change of the store costs, and BenchmarkTouched every
// change of a table of depends.
func BenchmarkIdentity(b *testing.B) {
	s := compile(b, passport(), nil)
	if _, err := s.learn(tables(passportTable, usersTable, memberTable)); err != nil {
		b.Fatal(err)
	}
	tuple := values(1, change.Missing, change.Missing, change.Missing, change.Missing)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = s.appendIdentity(buf[:0], passportTable, tuple)
	}
}

func BenchmarkTouched(b *testing.B) {
	s := compile(b, passport(), nil)
	if _, err := s.learn(tables(passportTable, usersTable, memberTable)); err != nil {
		b.Fatal(err)
	}
	c := &change.Change{Op: change.Update, Relation: usersTable}
	after, before := values(42, "Ada"), values(42, change.Missing)
	b.ReportAllocs()
	for b.Loop() {
		s.touched(c, after, before)
	}
}
