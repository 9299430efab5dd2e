package channel

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"github.com/walrelay/walrelay/change"
)

// index finds the views that a change concerns among the subscribers of one lane.
// It belongs to the lane's goroutine.
type index struct {
	rules  map[*Rule]*indexedRule
	tables map[string][]*indexedRule
	named  map[string][]*indexedAudience // by audience.name
	views  map[*view]*riddenView
	// grown counts the rules that have come, so that what was prepared per table is
	// prepared again.
	grown   int
	touched []*riddenView // views with frames not yet handed out
	large   []*riddenView // those of touched whose frames have grown to maxRun
	pending int           // bytes of the frames not yet handed out
	free    []*runBuffer
	cuts    []*riddenView // views that were cut off in the batch
	// bare: frames get no id, because none of them says what the client has.
	bare bool
}

// riddenView is a view with the subscribers of this lane.
type riddenView struct {
	view *view
	// seats are its places in the views of its audiences, in their order.
	seats []seat
	// Invariant: subs[i].slot == i.
	subs []*Subscriber
	out  *runBuffer // nil while nothing is pending
	// touched: the view is in index.touched, as it is while out is not nil.
	touched bool
	// cut is set while the view gets nothing more in this batch: what follows needs a snapshot.
	cut *cut
}

// seat is a view's place among those of an audience. Invariant: audience.views[slot] is
// the view with this seat.
type seat struct {
	audience *indexedAudience
	slot     int
}

func tableKey(schema, name string) string { return schema + "\x00" + name }

func newIndex() *index {
	return &index{rules: map[*Rule]*indexedRule{}, tables: map[string][]*indexedRule{}, named: map[string][]*indexedAudience{}, views: map[*view]*riddenView{}}
}

// rule is the rule's place in the index, made at its first rider.
func (x *index) rule(r *Rule) *indexedRule {
	ir := x.rules[r]
	if ir == nil {
		ir = newIndexedRule(r)
		x.rules[r] = ir
		k := tableKey(r.Schema, r.Table)
		x.tables[k] = append(x.tables[k], ir)
		slices.SortFunc(x.tables[k], func(a, b *indexedRule) int { return a.rule.order - b.rule.order })
		x.grown++
	}
	return ir
}

// forget drops the rules that nobody rides and keep does not name.
func (x *index) forget(keep func(*Rule) bool) {
	for r, ir := range x.rules {
		if len(ir.audiences) > 0 || keep(r) {
			continue
		}
		delete(x.rules, r)
		k := tableKey(r.Schema, r.Table)
		x.tables[k] = slices.DeleteFunc(x.tables[k], func(o *indexedRule) bool { return o == ir })
		if len(x.tables[k]) == 0 {
			delete(x.tables, k)
		}
		x.grown++
	}
}

// join adds a subscriber to its view.
func (x *index) join(s *Subscriber) {
	v := x.views[s.view]
	if v == nil {
		v = &riddenView{view: s.view, seats: make([]seat, len(s.view.audiences))}
		x.views[s.view] = v
		for i, a := range s.view.audiences {
			ia := x.audience(a)
			v.seats[i] = seat{ia, len(ia.views)}
			ia.views = append(ia.views, viewSeat{v, i})
		}
	}
	s.slot = len(v.subs)
	v.subs = append(v.subs, s)
}

// audience is a's place in the index, made at its first view.
func (x *index) audience(a *audience) *indexedAudience {
	r := x.rule(a.rule)
	ia := r.audiences[a.id]
	if ia == nil {
		ia = &indexedAudience{audience: a, nameSlot: len(x.named[a.name])}
		x.named[a.name] = append(x.named[a.name], ia)
		r.add(ia)
	}
	return ia
}

// leave removes a subscriber; a view without subscribers goes too.
func (x *index) leave(s *Subscriber) {
	v := x.views[s.view]
	if v == nil || s.slot >= len(v.subs) || v.subs[s.slot] != s {
		return
	}
	last := len(v.subs) - 1
	v.subs[s.slot] = v.subs[last]
	v.subs[s.slot].slot = s.slot
	v.subs[last] = nil
	v.subs = v.subs[:last]
	if last > 0 {
		return
	}
	delete(x.views, s.view)
	for _, st := range v.seats {
		if st.audience.rise(st.slot); len(st.audience.views) == 0 {
			x.drop(st.audience)
		}
	}
}

// drop removes an audience that has no views.
func (x *index) drop(ia *indexedAudience) {
	x.rules[ia.rule].remove(ia)
	same := x.named[ia.name]
	last := len(same) - 1
	same[ia.nameSlot] = same[last]
	same[ia.nameSlot].nameSlot = ia.nameSlot
	same[last] = nil
	if last == 0 {
		delete(x.named, ia.name)
		return
	}
	x.named[ia.name] = same[:last]
}

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
		if v.out != nil {
			x.pending -= v.out.dropAt(at)
		}
	}
	if _, ok := v.cut.why[a]; !ok {
		v.cut.why[a] = reason
	}
}

// add appends a frame to a view's pending run.
func (x *index) add(v *riddenView, kind EventKind, data []byte, at change.Position, commit time.Time) {
	if v.cut != nil {
		return
	}
	if v.out == nil {
		if n := len(x.free); n > 0 {
			v.out, x.free = x.free[n-1], x.free[:n-1]
		} else {
			v.out = &runBuffer{buf: make([]byte, 0, 1024), frames: make([]Frame, 0, 4)}
		}
		if !v.touched {
			v.touched = true
			x.touched = append(x.touched, v)
		}
	}
	if len(v.out.frames) == 0 {
		v.out.commit = commit
	}
	was := len(v.out.buf)
	if x.bare {
		v.out.event(kind, data, at)
	} else {
		v.out.add(kind, data, at, v.view.tag)
	}
	x.pending += len(v.out.buf) - was
	if was < maxRun && len(v.out.buf) >= maxRun {
		x.large = append(x.large, v)
	}
}

// take seals the view's pending frames and gives the buffer back.
func (x *index) take(v *riddenView) *Run {
	out := v.out
	v.out = nil
	x.pending -= len(out.buf)
	keep := len(x.free) < maxFreeBuffers && cap(out.buf) <= 2*maxRun
	if !keep && 2*len(out.buf) >= cap(out.buf) { // a copy would save little
		return &Run{Bytes: out.buf, Frames: out.frames, Commit: out.commit}
	}
	r := out.seal()
	if keep {
		x.free = append(x.free, out)
	}
	return r
}

const (
	// maxRun is the size at which a run is handed out before its batch ends.
	maxRun = 256 << 10
	// maxFreeBuffers bounds what a burst over many views leaves behind.
	maxFreeBuffers = 4096
)

// appendReset appends the data of a reset event.
func appendReset(dst []byte, channel string, reason Reason) []byte {
	dst = change.AppendJSONString(append(dst, `{"channel":`...), []byte(channel))
	dst = append(dst, `,"reason":"`...)
	dst = append(dst, reason...)
	return append(dst, `"}`...)
}

// appendCompact appends valid JSON without white space, so that it is one line.
func appendCompact(dst, src []byte) []byte {
	b := bytes.NewBuffer(dst)
	if err := json.Compact(b, src); err != nil {
		return change.AppendJSONString(dst, src)
	}
	return b.Bytes()
}
