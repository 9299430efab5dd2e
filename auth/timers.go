package auth

import (
	"container/heap"
	"slices"
	"time"
)

// timers are the deadlines of sessions, the next one first. It is guarded by Sessions.mu.
// A deadline that moves back is found when the old one comes: a session that is touched at
// every request costs nothing here.
type timers struct {
	// due has each session once at most, see Session.place: what is over leaves nothing.
	due deadlines
	// wake has a value when the first deadline may be another.
	wake chan struct{} // capacity 1
}

func newTimers() timers { return timers{wake: make(chan struct{}, 1)} }

// deadline is when a session is looked at: its own, or an earlier one that has moved back.
type deadline struct {
	at  time.Time
	one *Session
}

type deadlines []deadline

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].at.Before(d[j].at) }
func (d deadlines) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].one.place, d[j].one.place = i+1, j+1
}

// Push is for package heap.
func (d *deadlines) Push(x any) {
	*d = append(*d, x.(deadline))
	(*d)[len(*d)-1].one.place = len(*d)
}

// Pop is for package heap.
func (d *deadlines) Pop() any {
	old := *d
	last := old[len(old)-1]
	old[len(old)-1] = deadline{}
	if *d = old[:len(old)-1]; cap(old) >= minDue && len(*d) <= cap(old)/4 {
		*d = slices.Clone(*d)
	}
	last.one.place = 0
	return last
}

// minDue is the room for deadlines below which none is given back.
const minDue = 512

// set makes at the deadline of a session.
func (t *timers) set(one *Session, at time.Time) {
	one.deadline = at
	switch i := one.place - 1; {
	case i < 0:
		heap.Push(&t.due, deadline{at, one})
	case at.Before(t.due[i].at):
		t.due[i].at = at
		heap.Fix(&t.due, i)
	default:
		return
	}
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// stop forgets a session.
func (t *timers) stop(one *Session) {
	one.deadline = time.Time{}
	if one.place > 0 {
		heap.Remove(&t.due, one.place-1)
	}
}

// next is the session whose deadline has come, or nil and when to ask again (zero: when woken).
func (t *timers) next(now time.Time) (*Session, time.Time) {
	for len(t.due) > 0 {
		first := t.due[0]
		switch {
		case first.at.After(now):
			return nil, first.at
		case first.one.deadline.After(now): // moved back since
			t.due[0].at = first.one.deadline
			heap.Fix(&t.due, 0)
		default:
			heap.Pop(&t.due)
			return first.one, time.Time{}
		}
	}
	return nil, time.Time{}
}
