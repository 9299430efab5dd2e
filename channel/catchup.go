package channel

import (
	"context"
	"time"

	"github.com/walrelay/walrelay/change"
)

const (
	// passGap is how long those who wait may gather while another pass runs: a storm of
	// reconnects then costs few passes, and nobody waits for the end of a long one.
	passGap = 250 * time.Millisecond
	// maxNear and maxFar bound the passes that run at once. They are apart so that
	// clients who return from long ago never delay those who were away for a moment.
	maxNear = 2
	maxFar  = 3
)

// boarding is where subscribers wait for a catch-up lane. Guarded by Hub.mu.
type boarding struct {
	waiting []*Subscriber
	passes  int       // lanes running
	started time.Time // the newest of them
	// next starts another one for those who wait, nil when none is due.
	next *time.Timer
}

func (b *boarding) stop() {
	if b.next != nil {
		b.next.Stop()
	}
}

// board puts a subscriber on the next catch-up lane. All who wait when a lane
// starts share it.
func (h *Hub) board(s *Subscriber) {
	b, limit := &h.far, maxFar
	if !s.position().Less(h.events.InMemory()) {
		b, limit = &h.near, maxNear
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	b.waiting = append(b.waiting, s)
	h.startPassLocked(b, limit)
}

// startPassLocked starts a catch-up lane for those who wait, or sees to it that one
// starts soon. h.mu is held.
func (h *Hub) startPassLocked(b *boarding, limit int) {
	if !h.running || len(b.waiting) == 0 || b.passes == limit {
		return
	}
	if wait := passGap - time.Since(b.started); b.passes > 0 && wait > 0 {
		if b.next == nil {
			b.next = time.AfterFunc(wait, func() {
				h.mu.Lock()
				defer h.mu.Unlock()
				b.next = nil
				h.startPassLocked(b, limit)
			})
		}
		return
	}
	b.passes++
	h.lanes.Go(func() { h.catchUp(h.ctx, b) })
}

// catchUp runs passes until nobody waits.
func (h *Hub) catchUp(ctx context.Context, b *boarding) {
	for {
		h.mu.Lock()
		riders := b.waiting
		b.waiting = nil
		if len(riders) == 0 || ctx.Err() != nil {
			b.passes--
			h.mu.Unlock()
			return
		}
		b.started = time.Now()
		h.mu.Unlock()
		h.pass(ctx, riders)
	}
}

// pass carries the riders from the oldest of their positions to the live lane.
func (h *Hub) pass(ctx context.Context, riders []*Subscriber) {
	l := h.passLane(riders)
	if l == nil {
		return
	}
	h.stats.passes.Add(1)
	l.gathers, l.flushed = true, time.Now()
	for ctx.Err() == nil {
		l.receive()
		more, err := l.step()
		switch {
		case err != nil:
			if !l.retry(ctx, err) {
				h.lost(l, err)
				return
			}
		case len(l.index.views) == 0: // all closed, or too slow and off the lane
			return
		case !more:
			if h.merge(ctx, l) {
				return
			}
		}
	}
}

// passLane makes a lane with the riders that can still be served from the log; the
// others go to the live lane with a reset. Nil when none is left.
func (h *Hub) passLane(riders []*Subscriber) *lane {
	floor := h.events.Bounds().Floor
	var start change.Position
	var aboard []*Subscriber
	for _, s := range riders {
		at := s.position()
		if at.Less(floor) {
			h.live.post(func() { h.restart(s, ReasonExpired) })
			continue
		}
		if len(aboard) == 0 || at.Less(start) {
			start = at
		}
		aboard = append(aboard, s)
	}
	if len(aboard) == 0 {
		return nil
	}
	l := newLane(h, start)
	for _, s := range aboard {
		l.join(s)
	}
	return l
}

// merge hands the riders of a lane that has reached the head to the live lane. It
// reports false when the lane must go on by itself because the log cannot be read
// just now.
//
// The live lane's goroutine does it while this one waits: it steps l up to its own
// position, which is a batch or two, so that both stand at the same place.
func (h *Hub) merge(ctx context.Context, l *lane) (merged bool) {
	done := make(chan bool, 1)
	h.live.post(func() { done <- h.mergeInto(l) })
	select {
	case merged = <-done:
		return merged
	case <-ctx.Done():
		return true
	}
}

// mergeInto runs on the live lane.
func (h *Hub) mergeInto(l *lane) bool {
	l.gathers = false // nor does it breathe: the live lane waits
	defer func() { l.gathers = true }()
	for l.at.Less(h.live.at) {
		more, err := l.step()
		if err != nil && passing(err) {
			return false
		}
		if err != nil {
			h.lost(l, err)
			return true
		}
		if !more {
			break
		}
	}
	l.receive()
	for _, s := range l.subscribers() {
		l.index.leave(s)
		s.alight(l.at)
		h.live.join(s) // not with a generation that the live lane has left
	}
	return true
}
