package auth

import (
	"iter"

	"github.com/walrelay/walrelay/slimmap"
)

// few is a set that mostly has one element, and then takes no memory but its own. The zero value is
// empty. The zero K is no element.
type few[K comparable] struct {
	// Invariant: one is the zero K, or more is nil.
	one  K
	more *crowd[K]
}

// crowd are the elements of a set that has had several.
type crowd[K comparable] struct {
	is   map[K]struct{}
	peak int // for slimmap
}

func (f *few[K]) add(k K) {
	var none K
	switch {
	case f.one == k:
	case f.more != nil:
		f.more.is[k] = struct{}{}
	case f.one == none:
		f.one = k
	default:
		f.more = &crowd[K]{is: map[K]struct{}{f.one: {}, k: {}}}
		f.one = none
	}
}

func (f *few[K]) remove(k K) {
	var none K
	if f.one == k {
		f.one = none
	}
	if f.more == nil {
		return
	}
	if slimmap.Delete(&f.more.is, &f.more.peak, k); len(f.more.is) == 0 {
		f.more = nil
	}
}

func (f *few[K]) len() int {
	var none K
	switch {
	case f.one != none:
		return 1
	case f.more != nil:
		return len(f.more.is)
	}
	return 0
}

// all are the elements. The set may be changed meanwhile: elements that are removed may come all the same.
func (f few[K]) all() iter.Seq[K] {
	return func(yield func(K) bool) {
		var none K
		if f.one != none {
			yield(f.one)
			return
		}
		if f.more == nil {
			return
		}
		for k := range f.more.is {
			if !yield(k) {
				return
			}
		}
	}
}
