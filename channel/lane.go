package channel

import (
	"context"
	"errors"
	"runtime"
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
	// at is the position up to which everything was evaluated.
	at change.Position
	// queued is the position up to which everything was also queued. Invariant: at most
	// at, and equal to it unless the lane gathers.
	queued change.Position
	// gathers: the frames of several batches go into one run, see flush.
	gathers bool
	flushed time.Time // the last flush of a lane that gathers
	woken   int       // subscribers that were given runs by a lane that gathers
	due     wakes     // owners to wake when all runs are handed out
	// done is a copy of queued for other goroutines. Invariant: stored only after every
	// run up to it was queued.
	done   atomic.Pointer[change.Position]
	reader change.Reader
	// waiting: a passing error of the log has been reported.
	waiting bool
	change  change.Change
	// crossings before the lane, as of version late of the log's Since; 0: not looked.
	crossings []crossing
	late      uint64
	// known is index.grown of then: crossings are those of the tables that it had.
	known int

	mu    sync.Mutex
	inbox []func()
	wake  chan struct{} // capacity 1
}

func newLane(h *Hub, at change.Position) *lane {
	l := &lane{hub: h, index: newIndex(), wake: make(chan struct{}, 1), generation: h.events.Bounds().Lineage.Generation}
	l.match = matcher{index: l.index, hub: h, plans: map[*change.Relation][]*boundRule{}}
	l.move(at)
	return l
}

// position may be called by any goroutine.
func (l *lane) position() change.Position { return *l.done.Load() }

// move goes to a position up to which there is nothing left to queue.
func (l *lane) move(at change.Position) {
	l.at, l.queued = at, at
	l.done.Store(&at)
}

// post hands f to the lane's goroutine. It never blocks. A lane that has ended
// runs nothing more.
func (l *lane) post(f func()) {
	l.mu.Lock()
	l.inbox = append(l.inbox, f)
	l.mu.Unlock()
	signal(l.wake)
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
		err = errGeneration
	}
	if err != nil {
		l.flush()
		return false, err
	}
	l.waiting = false
	if late := l.hub.events.SinceVersion(); late != l.late || l.index.grown != l.known {
		l.noteLate(late)
	}
	if b == nil {
		if idle := change.Before(bounds.WAL); bounds.Last.Compare(l.at) <= 0 && l.at.Less(idle) {
			l.cross(idle)
			l.at = idle
		}
		l.flush()
		l.release()
		return false, nil
	}
	return true, l.batch(b)
}

// batch evaluates one batch and queues the runs that are due.
func (l *lane) batch(b *change.Batch) error {
	before := l.at
	if len(l.index.views) > 0 {
		l.reader.Reset(b)
		for l.reader.Next(&l.change) {
			if l.change.Position.Compare(before) <= 0 {
				continue
			}
			l.cross(l.change.Position)
			if err := l.match.match(&l.change); err != nil {
				l.flush()
				return err
			}
			l.flushLarge() // between changes only: frames of one position stay together
		}
		l.match.endBatch(b.Last)
		if err := l.reader.Err(); err != nil {
			l.flush() // what came before the error
			return err
		}
	}
	l.cross(b.Last) // without riders: to forget them
	l.at = b.Last
	if !l.gathers || len(l.index.cuts) > 0 || l.index.pending >= maxGathered || time.Since(l.flushed) >= gatherTime {
		l.flush()
	}
	return nil
}

const (
	// gatherTime and maxGathered bound what a lane that gathers keeps from its riders:
	// how long, and the bytes of all views together.
	gatherTime  = 50 * time.Millisecond
	maxGathered = 8 << 20
	// wakeAtOnce is how many riders such a lane wakes before it lets them run.
	wakeAtOnce = 64
)

// flush hands every pending run to its subscribers. It happens after each batch, on a
// lane that gathers less often: its riders were away for long, and one large write
// costs much less than many small ones.
func (l *lane) flush() {
	for i, v := range l.index.touched {
		l.index.touched[i], v.touched = nil, false
		l.handOut(v)
	}
	l.index.touched = l.index.touched[:0]
	l.due.send()
	l.cutOff() // before the lane says that it is further
	l.move(l.at)
	if l.gathers {
		l.flushed = time.Now()
	}
}

// flushLarge hands out the runs that have grown to maxRun.
func (l *lane) flushLarge() {
	for i, v := range l.index.large {
		l.index.large[i] = nil
		l.handOut(v)
	}
	l.index.large = l.index.large[:0]
	l.due.send()
}

func (l *lane) handOut(v *riddenView) {
	run := l.index.take(v)
	if run == nil { // it was large, or cut off
		return
	}
	l.hub.stats.events.Add(uint64(len(run.Frames) * len(v.subs)))
	l.deliver(v, run, l.queued)
}

func (l *lane) deliver(v *riddenView, run *Run, before change.Position) {
	for i := len(v.subs) - 1; i >= 0; i-- { // backwards: leave moves the last one here
		s := v.subs[i]
		switch s.push(run) {
		case listed:
			l.due.add(s.ready, s.id)
			l.breathe()
		case pushed:
			l.breathe()
		case overflow:
			l.hub.stats.overflows.Add(1)
			l.index.leave(s) // first: once behind, its owner may put it on another lane at any moment
			s.fallBehind(before)
		case gone:
			l.index.leave(s)
		}
	}
}

// breathe lets the riders write whom a lane that gathers has woken. Thousands woken at
// once would keep the processors from the live lane, and its riders, for as long as
// all their writes take.
func (l *lane) breathe() {
	if !l.gathers {
		return
	}
	if l.woken++; l.woken%wakeAtOnce == 0 {
		l.due.send()
		runtime.Gosched()
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
