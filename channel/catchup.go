package channel

import (
	"context"
	"time"

	"github.com/walrelay/walrelay/change"
)

// passGap is how long those who wait may gather while another pass runs: a storm of
// reconnects then costs few passes, and nobody waits for the end of a long one.
const passGap = 250 * time.Millisecond

// board puts a subscriber on the next catch-up lane. All who wait when a lane
// starts share it.
func (h *Hub) board(s *Subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiting = append(h.waiting, s)
	h.startPassLocked()
}

// startPassLocked starts a catch-up lane for those who wait, or sees to it that one
// starts soon. h.mu is held.
func (h *Hub) startPassLocked() {
	if !h.running || len(h.waiting) == 0 || h.passes == maxPasses {
		return
	}
	if wait := passGap - time.Since(h.passed); h.passes > 0 && wait > 0 {
		if h.nextPass == nil {
			h.nextPass = time.AfterFunc(wait, func() {
				h.mu.Lock()
				defer h.mu.Unlock()
				h.nextPass = nil
				h.startPassLocked()
			})
		}
		return
	}
	h.passes++
	h.passed = time.Now()
	h.lanes.Go(func() { h.catchUp(h.ctx) })
}

// catchUp runs passes until nobody waits.
func (h *Hub) catchUp(ctx context.Context) {
	for {
		h.mu.Lock()
		riders := h.waiting
		h.waiting = nil
		if len(riders) == 0 || ctx.Err() != nil {
			h.passes--
			h.mu.Unlock()
			return
		}
		h.passed = time.Now()
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
	for ctx.Err() == nil {
		l.receive()
		more, err := l.step()
		switch {
		case err != nil:
			if !retry(ctx, err) {
				h.lost(l, err)
				return
			}
		case len(l.index.views) == 0: // all closed, or too slow and off the lane
			return
		case !more:
			h.merge(ctx, l)
			return
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

// merge hands the riders of a lane that has reached the head to the live lane. The
// live lane's goroutine does it while this one waits: it steps l up to its own
// position, which is a batch or two, so that both stand at the same place.
func (h *Hub) merge(ctx context.Context, l *lane) {
	done := make(chan struct{})
	h.live.post(func() {
		defer close(done)
		for l.at.Less(h.live.at) {
			more, err := l.step()
			if err != nil {
				h.lost(l, err)
				return
			}
			if !more {
				break
			}
		}
		l.receive()
		for _, s := range l.subscribers() {
			l.index.leave(s)
			s.raise(l.at)
			h.live.join(s)
		}
	})
	select {
	case <-done:
	case <-ctx.Done():
	}
}
