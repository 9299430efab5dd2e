package auth

import (
	"context"
	"sync"
)

// flights are look-ups under way, one for each cookie. Who asks may go away before the
// answer is there; the look-up goes on for the others. The zero value is ready for use.
type flights struct {
	mu     sync.Mutex
	flying map[tag]*flight
	wg     sync.WaitGroup
}

// flight is one look-up. one and err do not change once done is closed.
type flight struct {
	done chan struct{}
	one  *Session
	err  error
}

// do gives the answer of the look-up for a cookie, which begin makes unless it is under way.
// begin ends by itself soon after the owner of flights says so; land waits for it.
func (f *flights) do(ctx context.Context, t tag, begin func() (*Session, error)) (*Session, error) {
	f.mu.Lock()
	one := f.flying[t]
	if one == nil {
		one = &flight{done: make(chan struct{})}
		if f.flying == nil {
			f.flying = map[tag]*flight{}
		}
		f.flying[t] = one
		f.wg.Go(func() {
			defer close(one.done)
			one.one, one.err = begin()
			f.mu.Lock()
			defer f.mu.Unlock()
			delete(f.flying, t)
		})
	}
	f.mu.Unlock()
	select {
	case <-one.done:
		return one.one, one.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// land waits for all look-ups. Nobody calls do any more.
func (f *flights) land() { f.wg.Wait() }
