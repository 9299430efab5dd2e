package integration

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// weather is what all actors of a round know.
type weather struct {
	round int
	seed  uint64 // of the round
	// calm: nobody misbehaves, so that all become complete.
	calm bool
	// losses: the round makes a reset inevitable; whoever has an id keeps it.
	losses bool
}

// The actors, each of which has random numbers of its own.
const (
	actorChaos      = 1
	actorScribe     = 100
	actorSubscriber = 1000
)

func (w weather) random(actor int) *rand.Rand { return rand.New(rand.NewPCG(w.seed, uint64(actor))) }

// moment is a random duration.
func moment(r *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(r.Int64N(int64(high-low)))
}

// forecast announces the weather. Safe for concurrent use.
type forecast struct {
	mu      sync.Mutex
	is      weather
	changed chan struct{}
}

func newForecast() *forecast { return &forecast{changed: make(chan struct{})} }

func (f *forecast) now() weather {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.is
}

func (f *forecast) set(w weather) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.is = w
	close(f.changed)
	f.changed = make(chan struct{})
}

// wait waits until the weather changes, for d at most.
func (f *forecast) wait(ctx context.Context, d time.Duration) {
	f.mu.Lock()
	changed := f.changed
	f.mu.Unlock()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-changed:
	case <-ctx.Done():
	}
}
