package auth

import (
	"time"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/slimmap"
)

// Session is what a request has been resolved to: one generation of one session. It is
// never revived once it has ended.
type Session struct {
	claims    Claims
	maxStream time.Duration
	cookies   []string

	// sessions is nil of a session that nothing ends and nothing bounds.
	sessions *Sessions
	// entry is the key of the configuration, for metrics.
	entry string
	// tag stands for the session, person for its user, in limits.
	tag, person tag
	// cookie stands for the cookie that brought it first; others may be the same session.
	cookie tag
	// src and asked are how it can be looked up again; src is nil where that cannot be, n is
	// its place among the entries.
	src   *source
	n     int
	asked question
	// until is when the cookie lets nobody in any more; zero: it does not say. Streams that are
	// open may go on until ends.
	until time.Time
	// ends is when the cookie itself ends; zero: it does not.
	ends time.Time
	// rings is Sessions.rings before its cookie was opened; gap is Sessions.gaps before its claims
	// were read, of one that cannot be looked up again.
	rings, gap uint64

	// The rest is guarded by Sessions.mu.

	found known
	// read is when.
	read time.Time
	// expires is when it ends by time, zero: it does not. Of a store's session it is looked
	// at again then.
	expires time.Time
	// moved is the last change of the row that did nothing but move its end.
	moved moved
	// deadline is when the timers look at it next; zero: never.
	deadline time.Time
	// place is where it stands in timers.due, from 1; 0: nowhere.
	place   int
	streams few[Stream]
	// idle is since when there is no stream.
	idle time.Time
	// over is the reason for which the session has ended; empty: it has not.
	over string
	// doubts are transactions that a look-up must see before the session counts again.
	doubts []uint32
	// doubtful: what was found may not be so any more; the streams pause until reread has
	// been at it.
	doubtful bool
	// rereading: a goroutine looks it up again.
	rereading bool
	// refs are where it stands in the index.
	refs []ref
}

// Claims are those of the user.
func (one *Session) Claims() Claims { return one.claims }

// expired is the refusal of a cookie that was good once.
func (one *Session) expired(now time.Time) error {
	if one.until.IsZero() || now.Before(one.until) {
		return nil
	}
	return refuse(Expired, "its time is over")
}

// MaxStream is how long a stream of the session may last; 0: as long as it likes.
func (one *Session) MaxStream() time.Duration { return one.maxStream }

// SetCookies are values of Set-Cookie that the application wants to be set.
func (one *Session) SetCookies() []string { return one.cookies }

// Attach ties a stream to the session: the session ends it when it is over itself, and
// pauses it while it is not known whether it is. A session that has ended already ends the
// stream at once. detach must be called when the stream is over, once. The error is a
// *LimitError: the session or its user has too many streams.
func (one *Session) Attach(st Stream) (detach func(), err error) {
	s := one.sessions
	if s == nil {
		return func() {}, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open.take(one.tag, one.person); err != nil {
		return nil, err
	}
	if one.src == nil && one.gap != s.gaps {
		s.end(one, endClaims, "") // nobody knew of it when other claims were declared
	}
	switch {
	case one.over != "":
		st.End(one.over)
	case one.doubtful:
		st.Pause(true)
	}
	one.streams.add(st)
	if one.over == "" {
		s.index.all[one] = struct{}{} // those that are not looked up again are known by their streams
	}
	return func() { s.detach(one, st) }, nil
}

func (s *Sessions) detach(one *Session, st Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open.release(one.tag, one.person)
	if one.streams.remove(st); one.streams.len() == 0 {
		one.idle = s.now()
		s.wind(one)
		if one.src == nil {
			slimmap.Delete(&s.index.all, &s.index.peaks.all, one)
		}
	}
}

// end ends a session and its streams. mu is held.
func (s *Sessions) end(one *Session, reason, cause string) {
	if one.over != "" {
		return
	}
	one.over = reason
	s.index.remove(one)
	s.timers.stop(one)
	for st := range one.streams.all() {
		st.End(reason)
	}
	if cause != "" {
		s.metrics.ended(cause)
	}
}

// pause stops or continues the streams of a session. mu is held.
func (one *Session) pause(on bool) {
	if one.doubtful == on {
		return
	}
	one.doubtful = on
	for st := range one.streams.all() {
		st.Pause(on)
	}
}

// sees reports whether what was found has a transaction in it already.
func (one *Session) sees(xid uint32) bool {
	return one.found.snapshot.Xmax > 0 && one.found.snapshot.Has(xid)
}

// unseen reports whether a snapshot lacks a transaction that brought the session into doubt.
func (one *Session) unseen(snapshot change.Snapshot) bool {
	for _, xid := range one.doubts {
		if !snapshot.Has(xid) {
			return true
		}
	}
	return false
}

// Stream is what a session needs of a stream. Its methods never block, may be called by any
// goroutine and after the stream is over.
type Stream interface {
	// End ends the stream for reason. What is queued is dropped: nothing is written after
	// End has returned but what was being written, and the end itself.
	End(reason string)
	// Pause(true) keeps everything that is queued, or will be, from being written until
	// Pause(false).
	Pause(on bool)
}
