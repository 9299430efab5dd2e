package auth

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestFew: it is a set, whatever comes and goes.
func TestFew(t *testing.T) {
	t.Parallel()
	var f few[int]
	want := map[int]struct{}{}
	for range 10_000 {
		k := 1 + rand.IntN(4)
		if rand.IntN(2) == 0 {
			f.add(k)
			want[k] = struct{}{}
		} else {
			f.remove(k)
			delete(want, k)
		}
		if got := slices.Sorted(f.all()); f.len() != len(want) || !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
			t.Fatalf("%d elements, %v; want %v", f.len(), got, want)
		}
		if f.one != 0 && f.more != nil || len(want) == 0 && f.more != nil {
			t.Fatalf("%d and %v at once", f.one, f.more)
		}
	}
}

// TestFewChanged: a set may be emptied while it is looked at.
func TestFewChanged(t *testing.T) {
	t.Parallel()
	var f few[int]
	for k := range 10 {
		f.add(k + 1)
	}
	met := map[int]int{}
	for k := range f.all() {
		met[k]++
		f.remove(k)
	}
	if len(met) != 10 || f.len() != 0 {
		t.Errorf("%v were met, %d are left", met, f.len())
	}
}

// TestFewOfOne: the one element costs nothing.
func TestFewOfOne(t *testing.T) {
	var f few[*int]
	k := new(int)
	if n := testing.AllocsPerRun(100, func() { f.add(k); f.remove(k) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
