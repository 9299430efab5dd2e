package main

import (
	"context"
	"sync"
	"time"
)

// pump publishes a load until stopped.
type pump struct {
	*peer
	load   load
	window int64 // messages on their way when saturated
	quit   chan struct{}
}

// pump starts a load; stop ends it and says what went wrong.
func (p *peer) pump(ctx context.Context, l load, window int64) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	u := &pump{p, l, window, make(chan struct{})}
	ended := make(chan error, 1)
	go func() {
		if l.rate > 0 {
			ended <- u.steadily(ctx)
		} else {
			ended <- u.saturate(ctx)
		}
	}()
	return sync.OnceValue(func() error {
		close(u.quit) // what is being published is finished
		defer cancel()
		return <-ended
	})
}

// steadily publishes groups at their times. Those that are late come at once.
func (u *pump) steadily(ctx context.Context) error {
	began := time.Now()
	for group := 0; ; group++ {
		if more, err := u.wait(ctx, time.Until(began.Add(u.load.due(group))), nil); !more {
			return err
		}
		if err := u.publish(ctx, u.load.burst); err != nil {
			return err
		}
	}
}

// saturate publishes what there is room for, again and again.
func (u *pump) saturate(ctx context.Context) error {
	n := int64(len(u.fleet.clients))
	for {
		free := room(u.window, n, u.published.Load(), u.fleet.rows.Load())
		var long time.Duration
		if free < 1 {
			long = time.Second // moved comes before, or the clients have failed
		}
		if more, err := u.wait(ctx, long, u.fleet.moved); !more {
			return err
		}
		if free > 0 {
			if err := u.publish(ctx, int(free)); err != nil {
				return err
			}
		}
	}
}

func (u *pump) publish(ctx context.Context, n int) error {
	return u.publisher.publish(ctx, u.published.Add(int64(n))-int64(n)+1, n)
}

// wait waits for a time or until something has moved. It reports whether to go on.
func (u *pump) wait(ctx context.Context, d time.Duration, moved <-chan struct{}) (more bool, err error) {
	select {
	case <-u.quit:
		return false, nil
	default:
	}
	if d <= 0 {
		return true, ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-u.quit:
		return false, nil
	case <-u.fleet.dead:
		return false, u.fleet.err
	case <-ctx.Done():
		return false, ctx.Err()
	case <-moved:
	case <-timer.C:
	}
	return true, nil
}
