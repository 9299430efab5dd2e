package auth

import (
	"container/heap"
	"time"
)

// timers are the deadlines of sessions, the next one first. It is guarded by Sessions.mu.
// A deadline that moves back is found when the old one comes: a session that is touched at
// every request costs nothing here.
type timers struct {
	due deadlines
	// armed says which of a session's places in due counts.
	armed map[*Session]time.Time
	// wake has a value when the first deadline may be another.
	wake chan struct{} // capacity 1
}

func newTimers() timers {
	return timers{armed: map[*Session]time.Time{}, wake: make(chan struct{}, 1)}
}

type deadline struct {
	at  time.Time
	one *Session
}

type deadlines []deadline

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].at.Before(d[j].at) }
func (d deadlines) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }

// Push is for package heap.
func (d *deadlines) Push(x any) { *d = append(*d, x.(deadline)) }

// Pop is for package heap.
func (d *deadlines) Pop() any {
	old := *d
	last := old[len(old)-1]
	old[len(old)-1] = deadline{}
	*d = old[:len(old)-1]
	return last
}

// set makes at the deadline of a session.
func (t *timers) set(one *Session, at time.Time) {
	one.deadline = at
	if was, armed := t.armed[one]; armed && !at.Before(was) {
		return
	}
	t.push(one)
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

func (t *timers) push(one *Session) {
	t.armed[one] = one.deadline
	heap.Push(&t.due, deadline{one.deadline, one})
}

// stop forgets a session; what is left of it in due goes with time.
func (t *timers) stop(one *Session) {
	one.deadline = time.Time{}
	delete(t.armed, one)
}

// next is the session whose deadline has come, or nil and when to ask again (zero: when woken).
func (t *timers) next(now time.Time) (*Session, time.Time) {
	for len(t.due) > 0 {
		first := t.due[0]
		if first.at.After(now) {
			return nil, first.at
		}
		heap.Pop(&t.due)
		one := first.one
		if at, armed := t.armed[one]; !armed || !at.Equal(first.at) {
			continue // an earlier one has come meanwhile
		}
		if one.deadline.After(now) { // moved back since
			t.push(one)
			continue
		}
		delete(t.armed, one)
		return one, time.Time{}
	}
	return nil, time.Time{}
}
