package channel

import (
	"sync"
	"sync/atomic"

	"github.com/walrelay/walrelay/coding"
)

// Form is what a writer makes of a run: another encoding, compressed. Who names them decides
// which is which.
type Form uint8

// Forms is how many there are.
const Forms = 4

// forms are those of one run. They live as long as it does, and are no part of what bounds a
// queue: each is at most as large as the run's text in that encoding, and shared as the run is.
type forms [Forms]form

type form struct {
	made   atomic.Pointer[coding.Piece]
	making sync.Mutex
}

// Coded is a form that has been made, else nil.
func (r *Run) Coded(f Form) *coding.Piece {
	if fs := r.forms.Load(); fs != nil {
		return fs[f].made.Load()
	}
	return nil
}

// Code returns a form, and has it made where it is not yet: once, whoever asks at the same time
// waits. It may be called by any goroutine.
func (r *Run) Code(f Form, make func() *coding.Piece) *coding.Piece {
	fs := r.forms.Load()
	if fs == nil {
		r.forms.CompareAndSwap(nil, new(forms))
		fs = r.forms.Load()
	}
	form := &fs[f]
	form.making.Lock()
	defer form.making.Unlock()
	p := form.made.Load()
	if p == nil {
		p = make()
		form.made.Store(p)
	}
	return p
}
