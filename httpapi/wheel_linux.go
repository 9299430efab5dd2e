package httpapi

import "time"

// wheelSlots is the number of ticks that a wheel looks ahead.
const wheelSlots = 256

// wheel has the connections of a shard by the time at which they are to be looked at, in ticks.
// A look comes at most a tick late, and it may come too early: for times beyond the horizon, and
// because a connection that has just been written to is not moved. Whoever is looked at says when
// to look again. Times count from the start of the shard. Not safe for concurrent use.
type wheel struct {
	tick time.Duration
	// turned is the last tick that is over. Invariant: every connection in the wheel has a later
	// one, at most wheelSlots-1 later, but for those of turned that turn has not come to.
	turned int64
	slots  [wheelSlots]*conn
}

// spoke is a connection's place in the wheel.
type spoke struct {
	next, prev *conn
	tick       int64 // 0: in no slot
}

// newWheel has ticks that suit the shortest of the times to keep.
func newWheel(shortest time.Duration) *wheel {
	return &wheel{tick: min(max(shortest/32, time.Millisecond), 250*time.Millisecond)}
}

// set sees to it that c is looked at when the time comes, or earlier.
func (w *wheel) set(c *conn, at time.Duration) {
	tick := int64((at + w.tick - 1) / w.tick)
	tick = min(max(tick, w.turned+1), w.turned+wheelSlots-1)
	if c.tick != 0 && c.tick <= tick {
		return
	}
	w.remove(c)
	head := &w.slots[tick%wheelSlots]
	c.tick, c.next = tick, *head
	if c.next != nil {
		c.next.prev = c
	}
	*head = c
}

// remove takes c out, if it is in.
func (w *wheel) remove(c *conn) {
	if c.tick == 0 {
		return
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		w.slots[c.tick%wheelSlots] = c.next
	}
	c.spoke = spoke{}
}

// turn takes out those whose time has come, up to now, but not more than most, and has look look at each,
// which may set it again or be done with it, and leaves all others alone. It reports whether there are
// more. It may be called again after a panic of look.
func (w *wheel) turn(now time.Duration, most int, look func(*conn)) (more bool) {
	until := int64(now / w.tick)
	w.turned = max(w.turned, until-wheelSlots) // the rest is the same slots again
	for {
		for slot := &w.slots[w.turned%wheelSlots]; *slot != nil; most-- {
			if most == 0 {
				return true
			}
			c := *slot
			w.remove(c)
			look(c)
		}
		if w.turned >= until {
			return false
		}
		w.turned++
	}
}
