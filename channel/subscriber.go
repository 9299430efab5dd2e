package channel

import (
	"sync"
	"time"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/filter"
)

// Subscriber is one subscription: a cursor, a bounded queue of runs, and a
// wake-up. One goroutine, the owner, calls its methods; End and Pause are anybody's.
// An owner of one subscriber waits for Changed and asks Ended and Take; an owner of
// many has called Bind and asks Next.
type Subscriber struct {
	hub *Hub
	// view is changed only by a reload, on the live lane, under Hub.mu and mu, while the
	// subscriber is on no lane.
	view *view
	// channels are those that were asked for, user the claims of who did: a reload asks again.
	channels []string
	user     *filter.Claims
	wake     chan struct{} // capacity 1; nil once bound

	// slot is the place in riddenView.subs; it belongs to the lane's goroutine.
	slot int

	mu sync.Mutex
	// aheadTimer ends the wait of a client whose id is ahead of the log, or nil.
	aheadTimer *time.Timer
	// lane is the one that this subscriber rides; nil while it waits for its queue to
	// be written, for a catch-up lane, or for a reset.
	lane *lane
	// at is the position up to which everything is queued. Invariant: never goes
	// back, except by a reset of a client that was ahead of the log.
	at     change.Position
	queue  []*Run
	out    []*Run // what Take returned last; its memory is queue's next
	queued int    // bytes in queue
	taken  int    // bytes of the runs that the owner is writing
	behind bool
	// held: it waits for a snapshot, or for the resets of its new view, and must not be told an id.
	held bool
	// written is called once what a snapshot left in the queue has been written, or nobody
	// will write it: at the Take after the one that took it, with handed set.
	written func()
	handed  bool
	closed  bool
	end     string
	// revoked: End has been called. Invariant: then end is set, and the queue is empty for good.
	revoked bool
	// paused keeps the queue from the owner.
	paused bool
	// ready is where the owner is woken, by its number id; nil: at wake. Set once, by Bind.
	ready *Ready
	id    uint64
	// listed: the owner has been told since it asked Next last, so that runs for a client that
	// does not read wake nobody.
	listed bool
}

// maxSpareQueue is the number of runs for which a subscriber keeps memory without need.
const maxSpareQueue = 16

// Changed has a value when there is something to Take or the stream has ended.
func (s *Subscriber) Changed() <-chan struct{} { return s.wake }

// Bind makes r the subscriber's wake-up, in place of Changed: r lists id when there is something
// to take or the stream has ended. What is there already is not listed: the owner asks Next after
// Bind, which it calls once.
func (s *Subscriber) Bind(r *Ready, id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready, s.id, s.wake = r, id, nil
}

// Take returns everything queued, in a slice that is the owner's until the next Take. The runs
// of the call before count as written now. An owner calls it until it returns nothing: that
// is what lets a subscriber whose queue was full go on.
func (s *Subscriber) Take() []*Run {
	runs, _, _ := s.Next()
	return runs
}

// Next is Take and Ended in one: where there is nothing to take it reports whether the stream has
// been ended, and why. From here on a bound subscriber is listed again when something comes.
func (s *Subscriber) Next() (runs []*Run, end string, ended bool) {
	s.mu.Lock()
	s.listed = false
	clear(s.out) // the owner is done with it: the memory is for what comes next
	s.taken = 0
	if !s.paused {
		runs = s.queue
		s.taken, s.queue, s.out, s.queued = s.queued, s.out[:0], runs, 0
	}
	if cap(s.out) > maxSpareQueue {
		s.out = nil
	}
	again := s.behind && len(runs)+len(s.queue) == 0 && !s.overLocked()
	if again {
		s.behind = false
	}
	written := s.snapshotWritten(!s.paused)
	if len(runs) == 0 {
		end = s.end
	}
	s.mu.Unlock()
	if written != nil {
		written()
	}
	if again {
		s.hub.board(s)
	}
	return runs, end, end != ""
}

// Held reports that a snapshot is on its way, or that the stream is paused: what has come so far
// is no end for a client that asks once.
func (s *Subscriber) Held() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return (s.held || s.paused) && s.end == ""
}

// Compresses reports whether what is sent may be compressed: all channels of the stream say so. Where
// a reload takes that back, the stream ends.
func (s *Subscriber) Compresses() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view.compresses()
}

// snapshotWritten is the function to call when a snapshot has been written just now; taken says
// that the owner gets what was queued. mu is held.
func (s *Subscriber) snapshotWritten(taken bool) (written func()) {
	switch {
	case s.written == nil:
	case !s.handed:
		s.handed = taken
	default:
		written, s.written, s.handed = s.written, nil, false
	}
	return written
}

// Ended reports that the stream has been ended, and why. What was queued before is
// still there to Take if it was the hub that ended it, and gone after End.
func (s *Subscriber) Ended() (reason string, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end, s.end != ""
}

// Complete is the id up to which this subscriber is complete, for a heartbeat. It is zero with
// runs still queued: those speak for themselves. So it is while the stream is paused, and after End.
func (s *Subscriber) Complete() EventID {
	// The lane's position is read before the queue is looked at: whatever the lane handed out up to
	// it was queued earlier, so an empty queue means that the owner has it all.
	s.mu.Lock()
	l := s.lane
	s.mu.Unlock()
	var at change.Position
	if l != nil {
		at = l.position()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) > 0 || s.held || s.paused || s.revoked {
		return EventID{}
	}
	if s.lane == l && s.end == "" && s.at.Less(at) { // a stream that has ended gets no more
		s.at = at
	}
	return EventID{At: s.at, Tag: s.view.tag}
}

// LastID is Complete as text.
func (s *Subscriber) LastID() string { return s.Complete().Text() }

// End ends the stream for reason and drops what is queued: once End has returned, Take returns
// nothing any more. It never blocks and may be called by any goroutine, at any time; calls after
// the first, and after Close, do nothing.
func (s *Subscriber) End(reason string) {
	s.mu.Lock()
	if s.closed || s.revoked {
		s.mu.Unlock()
		return
	}
	s.revoked, s.end = true, reason // also where the hub has ended it: what is queued must not go out
	s.queue, s.queued = nil, 0
	if s.aheadTimer != nil {
		s.aheadTimer.Stop()
	}
	var written func()
	if !s.handed { // else the owner is writing it, until the next Take
		written, s.written = s.written, nil
	}
	s.mu.Unlock()
	if written != nil {
		written()
	}
	s.signal()
}

// Pause(true) keeps what is queued, or will be, from the owner until Pause(false): Take returns
// nothing, and no id is given. The queue fills up meanwhile, and what does not fit into it comes by
// a catch-up lane later. It never blocks and may be called by any goroutine, at any time.
func (s *Subscriber) Pause(on bool) {
	s.mu.Lock()
	s.paused = on
	s.mu.Unlock()
	if !on {
		s.signal()
	}
}

// Close ends the subscription. It may be called more than once.
func (s *Subscriber) Close() {
	s.mu.Lock()
	was, l, written := s.closed, s.lane, s.written
	s.closed, s.queue, s.lane, s.written = true, nil, nil, nil
	if s.aheadTimer != nil {
		s.aheadTimer.Stop()
	}
	s.mu.Unlock()
	if was {
		return
	}
	if written != nil {
		written()
	}
	if l != nil {
		l.post(func() { l.index.leave(s) })
	}
	s.hub.left(s)
}

// pushResult is what became of a run.
type pushResult int

const (
	pushed   pushResult = iota // queued, or known to the client already
	listed                     // queued, and the caller must have Subscriber.ready list it
	overflow                   // the queue is full: the subscriber must leave the lane and fall behind
	gone                       // closed, or ended by the hub
)

// push queues the part of r that is behind s.at.
func (s *Subscriber) push(r *Run) pushResult {
	s.mu.Lock()
	if s.overLocked() {
		s.mu.Unlock()
		return gone
	}
	if !s.at.Less(r.first()) {
		if r = r.after(s.at); r == nil {
			s.mu.Unlock()
			return pushed
		}
	}
	if pending := s.queued + s.taken; pending > 0 && pending+len(r.Bytes) > s.hub.queueLimit {
		s.mu.Unlock()
		return overflow
	}
	s.queue = append(s.queue, r)
	s.queued += len(r.Bytes)
	s.at = r.last()
	wake, bound, told := s.wake, s.ready != nil, s.listed
	s.listed = bound
	s.mu.Unlock()
	switch {
	case !bound:
		signal(wake)
	case !told:
		return listed
	}
	return pushed
}

// fallBehind makes the owner board a catch-up lane once it has written what is
// queued. The subscriber is off its lane's index, and complete at least up to at.
func (s *Subscriber) fallBehind(at change.Position) {
	s.mu.Lock()
	if s.at.Less(at) {
		s.at = at
	}
	s.lane, s.behind = nil, true
	s.mu.Unlock()
	s.signal()
}

// control queues a run of control events that moves the cursor to at, unless the subscriber is over.
func (s *Subscriber) control(r *Run, at change.Position) {
	s.mu.Lock()
	if s.overLocked() {
		s.mu.Unlock()
		return
	}
	s.held = false
	s.queue = append(s.queue, r)
	s.queued += len(r.Bytes)
	s.at = at
	s.mu.Unlock()
	s.signal()
}

// hold takes the subscriber, which is off its lane's index, out of the log's way until
// unhold: it has what it knew up to at, and nothing is an id for it.
func (s *Subscriber) hold(first *Run, at change.Position) {
	s.mu.Lock()
	s.lane, s.held, s.at = nil, true, at
	if first != nil && !s.overLocked() {
		s.queue = append(s.queue, first)
		s.queued += len(first.Bytes)
	}
	s.mu.Unlock()
	s.signal()
}

// unhold queues what the subscriber was held for, after which it is complete up to at.
// written is called once, when that has been written or never will be. It reports false for one that
// is over: the rules under which a snapshot was read may be gone.
func (s *Subscriber) unhold(runs []*Run, at change.Position, written func()) bool {
	s.mu.Lock()
	if s.overLocked() {
		s.mu.Unlock()
		written()
		return false
	}
	if unread := s.written; unread != nil { // the snapshot before has not been written yet
		latest := written
		written = func() { unread(); latest() }
	}
	s.held, s.at, s.written, s.handed = false, at, written, false
	s.queue = append(s.queue, runs...)
	for _, r := range runs {
		s.queued += len(r.Bytes)
	}
	s.mu.Unlock()
	s.signal()
	return true
}

// isOver reports that nothing more may be queued: the stream is closed, or it has been ended,
// perhaps because its user may not see the channel any more.
func (s *Subscriber) isOver() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.overLocked()
}

// overLocked is isOver; mu is held.
func (s *Subscriber) overLocked() bool { return s.closed || s.end != "" }

// finish ends the stream with a reason, once its owner has taken what is queued.
func (s *Subscriber) finish(reason string) {
	s.mu.Lock()
	if s.end == "" {
		s.end = reason
	}
	s.mu.Unlock()
	s.signal()
}

// ride puts the subscriber on l, unless it is over.
func (s *Subscriber) ride(l *lane) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.overLocked() {
		return false
	}
	s.lane = l
	return true
}

func (s *Subscriber) position() change.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at
}

// signal wakes the owner, also one that has been told: this may be what cannot wait until
// its client has read something.
func (s *Subscriber) signal() {
	s.mu.Lock()
	wake, ready, id := s.wake, s.ready, s.id
	s.mu.Unlock()
	if ready != nil {
		ready.Add(id)
		return
	}
	signal(wake)
}

// alight takes the subscriber off its lane, complete up to at: from here on nobody
// moves its cursor but the events that it is given.
func (s *Subscriber) alight(at change.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at.Less(at) {
		s.at = at
	}
	s.lane = nil
}

// giveUpAfter calls f after d, unless the subscriber is over by then.
func (s *Subscriber) giveUpAfter(d time.Duration, f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.overLocked() { // Subscribe may have been given up while the lane placed it
		s.aheadTimer = time.AfterFunc(d, f)
	}
}

// rides reports whether l is the subscriber's lane.
func (s *Subscriber) rides(l *lane) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lane == l
}
