//go:build !race

package change

import (
	"strings"
	"testing"
)

// The race detector makes sync.Pool forget at random, so this is not run under it.
func TestAppendJSONAllocations(t *testing.T) {
	for _, c := range samples {
		dst := make([]byte, 0, 1<<20)
		text := []byte(c.text)
		c.typ.AppendJSON(dst, text)
		if n := testing.AllocsPerRun(100, func() { c.typ.AppendJSON(dst, text) }); n > 0.5 {
			t.Errorf("%s: %v allocations per value", c.name, n)
		}
	}
	long := strings.Repeat("column", 20)
	dst := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { AppendKey(dst, long) }); n > 0 {
		t.Errorf("AppendKey: %v allocations", n)
	}
}
