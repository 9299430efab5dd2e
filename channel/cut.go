package channel

import "github.com/walrelay/walrelay/change"

// cut is where a view was cut off, because what follows needs a snapshot.
type cut struct {
	// at is the position of the reset that is due: the view has nothing at it or behind.
	at change.Position
	// why the rows of audiences are not worth anything any more.
	why map[*audience]Reason
}

// cutOff gives a view nothing more of this batch, nor what it has at this position
// already: it is to come again, behind the snapshot.
func (x *index) cutOff(v *riddenView, a *audience, reason Reason, at change.Position) {
	if v.cut == nil {
		v.cut = &cut{at: at, why: map[*audience]Reason{}}
		x.cuts = append(x.cuts, v)
		switch {
		case v.out != nil:
			x.pending -= v.out.dropAt(at)
		case v.one != nil && v.one.last() == at:
			x.pending -= len(v.one.Bytes)
			v.one = nil
		}
	}
	if _, ok := v.cut.why[a]; !ok {
		v.cut.why[a] = reason
	}
}

// cutOff takes the subscribers of views that were cut off from the lane: they get the resets
// that are due, without an id, and then a snapshot. The lane has not yet said that it is
// further than that.
func (l *lane) cutOff() {
	for i, v := range l.index.cuts {
		l.index.cuts[i] = nil
		c := v.cut
		v.cut = nil
		known := c.at.Prev()
		near := l == l.hub.live || !known.Less(l.hub.events.InMemory())
		run := l.hub.cutRun(v.view, c, near)
		if live := l.hub.live.position(); !near && known.Less(live) { // all channels begin again
			known = live
		}
		for len(v.subs) > 0 {
			s := v.subs[len(v.subs)-1]
			l.index.leave(s)
			at := known
			if have := s.position(); at.Less(have) { // it came back with an id behind the cut
				at = have
			}
			l.hub.renew(s, run, at, !near)
		}
	}
	l.index.cuts = l.index.cuts[:0]
}

// cutRun renders the resets. From far back in the log the view's other channels are not read
// again to bring them up to the snapshot: they are reset too.
func (h *Hub) cutRun(v *view, c *cut, near bool) *Run {
	b := &runBuffer{}
	for _, a := range v.audiences {
		reason, stale := c.why[a]
		switch {
		case stale:
		case !near && a.rule.Snapshot == 0:
			reason = ReasonGap
			h.stats.reset(reason)
		default:
			continue
		}
		b.event(EventReset, appendReset(nil, a.name, reason), c.at)
	}
	return b.seal()
}
