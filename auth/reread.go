package auth

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

// A session is looked up again when the WAL tells of a change whose effect only Postgres
// knows (claims, a watched value), when its time is over, and from time to time where the WAL
// tells nothing. Streams pause meanwhile unless nothing is known to have changed.

// doubtOne has a session looked up again by a query that sees a transaction. mu is held.
func (s *Sessions) doubtOne(one *Session, xid uint32) {
	if n := len(one.doubts); n == 0 || one.doubts[n-1] != xid {
		one.doubts = append(one.doubts, xid)
	}
	one.pause(true)
	s.enqueue(one)
}

// enqueue hands a session to rereadAll. mu is held.
func (s *Sessions) enqueue(one *Session) {
	if one.rereading || one.over != "" {
		return
	}
	one.rereading = true
	s.queue = append(s.queue, one)
	select {
	case s.queued <- struct{}{}:
	default:
	}
}

// rereadAll looks up what is in the queue, several at a time.
func (s *Sessions) rereadAll(ctx context.Context) error {
	var g errgroup.Group
	g.SetLimit(s.o.Limits.Lookups)
	for {
		s.mu.Lock()
		batch := s.queue
		s.queue = nil
		s.mu.Unlock()
		for _, one := range batch {
			g.Go(func() error { s.reread(ctx, one); return nil })
		}
		select {
		case <-s.queued:
		case <-ctx.Done():
			return g.Wait()
		}
	}
}

// reread looks a session up until it is known again, or for lookupPatience.
func (s *Sessions) reread(ctx context.Context, one *Session) {
	s.mu.Lock()
	pause := churn - s.now().Sub(one.read)
	s.mu.Unlock()
	if pause > 0 { // rows that change all the time: once in a while will do
		_ = sleep(ctx, pause)
	}
	ctx, cancel := context.WithTimeout(ctx, lookupPatience)
	defer cancel()
	for wait := 2 * time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		f, err := s.lookUp(ctx, one)
		if s.settle(one, f, err) {
			return
		}
		if sleep(ctx, wait) != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.giveUp(one, err)
			return
		}
	}
}

// giveUp ends a session that cannot be known again. mu is held.
func (s *Sessions) giveUp(one *Session, cause error) {
	if cause == nil {
		cause = errHidden
	}
	if one.over == "" {
		s.log.Warn("a session could not be looked up again: its streams end and come back", "entry", one.entry, "cause", cause)
	}
	s.metrics.reread("failed")
	s.end(one, endUnavailable, "unavailable")
}

// settle decides with a new look-up. It reports false when another is needed.
func (s *Sessions) settle(one *Session, f found, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	reason, refused := ReasonOf(err)
	switch {
	case one.over != "":
		return true
	case refused:
		s.metrics.reread("gone")
		s.end(one, endSignedOut, string(reason))
		return true
	case err != nil || s.stale(f):
		return false
	}
	switch {
	case one.unseen(f.snapshot):
		return false
	case !one.found.same(s.keep(f)):
		s.metrics.reread("changed")
		s.end(one, endClaims, "claims")
		return true
	}
	if s.take(one, f); one.late(s.now()) { // by a change that the look-up did not see, or since it began
		return s.endLate(one)
	}
	s.metrics.reread("same")
	one.rereading, one.doubts = false, nil
	one.pause(false)
	s.wind(one)
	return true
}
