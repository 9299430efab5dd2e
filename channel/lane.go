package channel

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/eventlog"
)

// lane is one cursor over the log and the subscribers that ride it. All fields
// but inbox and done belong to the goroutine that runs it.
type lane struct {
	hub   *Hub
	index *index
	match matcher
	// generation of the log that at belongs to.
	generation uint32
	// at is the position up to which everything was evaluated and queued.
	at change.Position
	// done is a copy of at for other goroutines. Invariant: stored only after every
	// run up to it was queued.
	done   atomic.Pointer[change.Position]
	reader change.Reader
	// waiting: a passing error of the log has been reported.
	waiting bool
	change  change.Change
	// crossings before the lane, as of version late of the log's Since; 0: not looked.
	crossings []crossing
	late      uint64

	mu    sync.Mutex
	inbox []func()
	wake  chan struct{} // capacity 1
}

func newLane(h *Hub, at change.Position) *lane {
	l := &lane{hub: h, index: newIndex(h.rules), wake: make(chan struct{}, 1), generation: h.events.Bounds().Lineage.Generation}
	l.match = matcher{index: l.index, hub: h, plans: map[*change.Relation][]*boundRule{}}
	l.move(at)
	return l
}

// position may be called by any goroutine.
func (l *lane) position() change.Position { return *l.done.Load() }

func (l *lane) move(at change.Position) {
	l.at = at
	l.done.Store(&at)
}

// post hands f to the lane's goroutine. It never blocks. A lane that has ended
// runs nothing more.
func (l *lane) post(f func()) {
	l.mu.Lock()
	l.inbox = append(l.inbox, f)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// receive runs what was posted.
func (l *lane) receive() {
	l.mu.Lock()
	fs := l.inbox
	l.inbox = nil
	l.mu.Unlock()
	for _, f := range fs {
		f()
	}
}

// join puts a subscriber on the lane. One whose view belongs to a generation that has
// ended is told so instead: it comes back with a tag that does not fit and is reset.
func (l *lane) join(s *Subscriber) {
	if s.view.generation != l.generation {
		s.finish(string(l.hub.endedReason()))
		return
	}
	if s.ride(l) {
		l.index.join(s)
	}
}

// errGeneration: the log was begun anew. Positions of the lane mean nothing in it.
var errGeneration = errors.New("the event log has begun a new generation")

// step handles the next batch. It reports whether there was one.
func (l *lane) step() (bool, error) {
	bounds := l.hub.events.Bounds() // before Next: at the head this WAL is complete
	b, err := l.hub.events.Next(l.at)
	if l.hub.events.Bounds().Lineage.Generation != l.generation {
		return false, errGeneration
	}
	if err != nil {
		return false, err
	}
	l.waiting = false
	if late := l.hub.events.SinceVersion(); late != l.late {
		l.noteLate(late)
	}
	if b == nil {
		if idle := change.Before(bounds.WAL); bounds.Last.Compare(l.at) <= 0 && l.at.Less(idle) {
			before := l.at
			l.cross(idle)
			l.flush(before)
			l.move(idle)
		}
		return false, nil
	}
	return true, l.batch(b)
}

// batch evaluates one batch and queues its runs.
func (l *lane) batch(b *change.Batch) error {
	before := l.at
	if len(l.index.views) > 0 {
		l.reader.Reset(b)
		for l.reader.Next(&l.change) {
			if l.change.Position.Compare(before) <= 0 {
				continue
			}
			l.cross(l.change.Position)
			if err := l.match.change(&l.change); err != nil {
				l.flush(before)
				return err
			}
			if l.index.large { // between changes only: frames of one position stay together
				l.flush(before)
			}
		}
		l.match.endBatch(b.Last)
		l.flush(before) // also what came before an error
		if err := l.reader.Err(); err != nil {
			return err
		}
	}
	l.cross(b.Last) // without riders: to forget them
	l.move(b.Last)
	return nil
}

// flush hands every pending run to its subscribers.
func (l *lane) flush(before change.Position) {
	for i, v := range l.index.touched {
		l.index.touched[i] = nil
		run := l.index.take(v)
		l.hub.stats.events.Add(uint64(len(run.Frames) * len(v.subs)))
		l.deliver(v, run, before)
	}
	l.index.touched, l.index.large = l.index.touched[:0], false
}

func (l *lane) deliver(v *riddenView, run *Run, before change.Position) {
	for i := len(v.subs) - 1; i >= 0; i-- { // backwards: leave moves the last one here
		s := v.subs[i]
		switch s.push(run) {
		case overflow:
			l.hub.stats.overflows.Add(1)
			l.index.leave(s) // first: once behind, its owner may put it on another lane at any moment
			s.fallBehind(before)
		case gone:
			l.index.leave(s)
		}
	}
}

// subscribers lists everybody on the lane.
func (l *lane) subscribers() []*Subscriber {
	var out []*Subscriber
	for _, v := range l.index.views {
		out = append(out, v.subs...)
	}
	return out
}

// follow is the loop of the live lane: it ends with ctx.
func (l *lane) follow(ctx context.Context) {
	for ctx.Err() == nil {
		changed := l.hub.events.Changed() // before step: no change is missed
		l.receive()
		more, err := l.step()
		switch {
		case err != nil:
			if l.retry(ctx, err) {
				continue
			}
			if errors.Is(err, eventlog.ErrClosed) {
				return
			}
			l.hub.lost(l, err)
			continue
		case more:
			continue
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-l.wake:
		}
	}
}

// retry waits a moment after errors of the log that pass, and reports whether err is
// one of them.
func (l *lane) retry(ctx context.Context, err error) bool {
	if !passing(err) {
		return false
	}
	if !l.waiting {
		l.waiting = true
		l.hub.log.Warn("event log cannot be read just now, trying again", "after", l.at.String(), "cause", err)
	}
	t := time.NewTimer(100 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	return true
}

func passing(err error) bool { return errors.Is(err, eventlog.ErrUnavailable) }
