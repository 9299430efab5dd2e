package auth

import (
	"context"
	"errors"
	"time"
)

// errHidden: a change is committed, and no query sees it.
var errHidden = errors.New("a change has been committed and cannot be seen yet, perhaps because it waits for a synchronous standby")

// rowExpires takes in when the row's session ends.
func (one *Session) rowExpires(at time.Time) {
	one.expires = at
	if at.IsZero() || !one.ends.IsZero() && one.ends.Before(at) {
		one.expires = one.ends
	}
}

// moved is a change of a row that moved its session's end. A look-up which was under way then
// does not see it, and may be done later.
type moved struct {
	xid     uint32 // 0: there was none
	expires time.Time
}

// late reports that its time is over.
func (one *Session) late(now time.Time) bool {
	return !one.expires.IsZero() && !now.Before(one.expires)
}

// checkLate looks at a session whose time is over. mu is held.
func (s *Sessions) checkLate(one *Session) {
	if !s.endLate(one) {
		one.pause(true)
		s.enqueue(one)
	}
}

// endLate ends a session whose time is over, unless only a look-up can tell: then it reports
// false. mu is held.
func (s *Sessions) endLate(one *Session) bool {
	if one.found.row != nil && !one.expires.Equal(one.ends) { // it may have been extended while the WAL lags
		return false
	}
	s.end(one, endSignedOut, "expired")
	return true
}

// after is when a session ends that a look-up has found.
func (m moved) after(f found) time.Time {
	if m.xid != 0 && !f.snapshot.Has(m.xid) {
		return m.expires
	}
	return f.row.expires
}

// wind sets when the timers look at a session next. mu is held.
func (s *Sessions) wind(one *Session) {
	if one.src == nil || one.over != "" {
		return
	}
	next := one.expires
	sooner := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	if one.src.polled {
		sooner(one.read.Add(one.src.entry.Revalidate))
	}
	if one.streams.len() == 0 {
		sooner(one.idle.Add(idleFor))
	}
	if !next.IsZero() {
		s.timers.set(one, next)
	}
}

// maxNap is how long timers sleep at most: a clock that is set, or a machine that was asleep,
// moves the time at which sessions expire, and timers do not notice.
const maxNap = 30 * time.Second

// keepTime looks at sessions when their time has come.
func (s *Sessions) keepTime(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := s.pass()
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-s.timers.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

// pass looks at everything that is due and says how long nothing will be.
func (s *Sessions) pass() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		now := s.now()
		one, next := s.timers.next(now)
		switch {
		case one != nil:
			s.due(one, now)
		case next.IsZero():
			return maxNap
		default:
			return min(max(next.Sub(now), time.Millisecond), maxNap)
		}
	}
}

// due looks at a session whose deadline has come. mu is held.
func (s *Sessions) due(one *Session, now time.Time) {
	switch {
	case one.streams.len() == 0 && now.Sub(one.idle) >= idleFor:
		s.end(one, endRenew, "")
	case one.late(now):
		s.checkLate(one)
	case one.src.polled && now.Sub(one.read) >= one.src.entry.Revalidate:
		s.enqueue(one)
	default:
		s.wind(one)
	}
}

// forget asks what is visible by now, so that changes are forgotten also while nobody signs in.
func (s *Sessions) forget(ctx context.Context) error {
	tick := time.NewTicker(recentFor + time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.look(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// look asks once, if something is noted.
func (s *Sessions) look(ctx context.Context) {
	if s.figures().notes == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookupPatience)
	defer cancel()
	if visible, err := s.lookups.snapshot(ctx); err == nil { // else the next look may tell
		s.mu.Lock()
		defer s.mu.Unlock()
		s.recent.saw(visible, s.now())
	}
}

// listen ends the sessions of which nobody hears any more.
func (s *Sessions) listen(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.hear(s.o.Following == nil || s.o.Following())
		case <-ctx.Done():
			return nil
		}
	}
}

// hear takes in whether replication follows.
func (s *Sessions) hear(following bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	switch {
	case following:
		s.deaf = time.Time{}
	case s.deaf.IsZero():
		s.deaf = now
	case now.Sub(s.deaf) >= deafFor:
		for one := range s.index.all {
			if one.src != nil && one.src.hears() {
				s.end(one, endUnavailable, "deaf")
			}
		}
	}
}

// isDeaf reports that replication has not followed for too long.
func (s *Sessions) isDeaf() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.deaf.IsZero() && s.now().Sub(s.deaf) >= deafFor
}
