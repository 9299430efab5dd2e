package httpapi

import (
	"context"
	"sync"
)

// gate counts who is inside and can be closed for new ones: a wait group that knows
// when it is over.
type gate struct {
	ctx   context.Context // ended by close
	end   context.CancelFunc
	empty chan struct{} // closed once close was called and nobody is inside

	mu     sync.Mutex
	inside int
	closed bool
}

func newGate() *gate {
	ctx, end := context.WithCancel(context.Background())
	return &gate{ctx: ctx, end: end, empty: make(chan struct{})}
}

// enter reports whether the caller is let in; it calls leave then.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.inside++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.closed && g.inside == 0 {
		close(g.empty)
	}
}

// close lets nobody in any more. It may be called more than once.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	g.closed = true
	g.end()
	if g.inside == 0 {
		close(g.empty)
	}
}

// wait waits until the closed gate is empty, or for ctx. It returns how many are
// still inside.
func (g *gate) wait(ctx context.Context) int {
	select {
	case <-g.empty:
		return 0
	case <-ctx.Done():
	}
	return g.count()
}

// count is how many are inside.
func (g *gate) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inside
}
