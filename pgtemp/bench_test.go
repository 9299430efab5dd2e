//go:build linux || darwin

package pgtemp_test

import (
	"testing"

	"github.com/walrelay/walrelay/pgtemp"
)

// BenchmarkStart measures what a test pays for a cluster of its own.
func BenchmarkStart(b *testing.B) {
	for name, noTemplate := range map[string]bool{"template": false, "initdb": true} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				c, err := pgtemp.Start(b.Context(), pgtemp.Options{NoTemplate: noTemplate})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := c.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}
