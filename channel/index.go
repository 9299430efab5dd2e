package channel

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/slimmap"
)

// index finds the views that a change concerns among the subscribers of one lane.
// It belongs to the lane's goroutine.
type index struct {
	rules  map[*Rule]*indexedRule
	tables map[string][]*indexedRule
	named  map[string][]*indexedAudience // by audience.name
	views  map[*view]*riddenView
	// peaks are those of the maps, for slimmap.
	peaks struct{ views, named int }
	// grown counts the rules that have come, so that what was prepared per table is
	// prepared again.
	grown   int
	touched []*riddenView // views with frames not yet handed out
	large   []*riddenView // those of touched whose frames have grown to maxRun
	pending int           // bytes of the frames not yet handed out
	free    []*runBuffer
	spare   int           // bytes that free keeps
	single  runBuffer     // where the only frames of views are made
	cuts    []*riddenView // views that were cut off in the batch
	// bare: frames get no id, because none of them says what the client has.
	bare bool
}

// riddenView is a view with the subscribers of this lane.
type riddenView struct {
	view *view
	// tag is that of the view.
	tag [tagLen]byte
	// seats are its places in the views of its audiences, in their order.
	seats []seat
	// Invariant: subs[i].slot == i.
	subs []*Subscriber
	// What is pending is one, a single frame, or out. Both nil: nothing is.
	one *Run
	out *runBuffer
	// many: it had several frames the last time, so that there is no use in making the first one
	// by itself.
	many bool
	// touched: the view is in index.touched, as it is while something is pending.
	touched bool
	// cut is set while the view gets nothing more in this batch: what follows needs a snapshot.
	cut *cut
	// aSub and aSeat are the memory of subs and seats while they have one element, as most have
	// where every user is an audience.
	aSub  [1]*Subscriber
	aSeat [1]seat
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
		v = x.view(s.view)
	}
	s.slot = len(v.subs)
	v.subs = append(v.subs, s)
}

// view is v's place in the index, with its audiences.
func (x *index) view(of *view) *riddenView {
	v := &riddenView{view: of}
	copy(v.tag[:], of.tag)
	v.subs, v.seats = v.aSub[:0], v.aSeat[:0]
	x.views[of] = v
	for i, a := range of.audiences {
		ia := x.audience(a)
		v.seats = append(v.seats, seat{ia, len(ia.views)})
		ia.views = append(ia.views, viewSeat{v, i})
	}
	return v
}

// audience is a's place in the index, made at its first view.
func (x *index) audience(a *audience) *indexedAudience {
	r := x.rule(a.rule)
	ia := r.audiences[a.id]
	if ia == nil {
		ia = &indexedAudience{audience: a, nameSlot: int32(len(x.named[a.name]))}
		ia.views = ia.aView[:0]
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
	v.subs = shortened(v.subs[:last])
	if last > 0 {
		return
	}
	slimmap.Delete(&x.views, &x.peaks.views, s.view)
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
		slimmap.Delete(&x.named, &x.peaks.named, ia.name)
		return
	}
	x.named[ia.name] = shortened(same[:last])
}

// add appends a frame to a view's pending run.
func (x *index) add(v *riddenView, kind EventKind, data []byte, at change.Position, commit time.Time) {
	if v.cut != nil {
		return
	}
	if !v.touched {
		v.touched = true
		x.touched = append(x.touched, v)
	}
	if v.out == nil && v.one == nil && !v.many && !x.bare {
		x.single.commit = commit
		x.single.add(kind, data, at, string(v.tag[:]))
		v.one = x.single.seal()
		x.grow(v, 0, len(v.one.Bytes))
		return
	}
	if v.out == nil {
		x.begin(v)
	}
	if len(v.out.frames) == 0 {
		v.out.commit = commit
	}
	was := len(v.out.buf)
	if x.bare {
		v.out.event(kind, data, at)
	} else {
		v.out.add(kind, data, at, string(v.tag[:]))
	}
	x.grow(v, was, len(v.out.buf))
}

// begin gives a view a buffer for several frames, with the one that it has.
func (x *index) begin(v *riddenView) {
	if n := len(x.free); n > 0 {
		v.out, x.free = x.free[n-1], x.free[:n-1]
		x.spare -= cap(v.out.buf)
	} else {
		v.out = &runBuffer{buf: make([]byte, 0, 1024), frames: make([]Frame, 0, 4)}
	}
	if v.one != nil {
		v.out.load(v.one)
		v.one = nil
	}
}

// grow counts what a view has pending.
func (x *index) grow(v *riddenView, was, is int) {
	x.pending += is - was
	if was < maxRun && is >= maxRun {
		x.large = append(x.large, v)
	}
}

// take returns the view's pending frames, nil if there are none, and gives the buffer back.
func (x *index) take(v *riddenView) *Run {
	if r := v.one; r != nil {
		v.one = nil
		x.pending -= len(r.Bytes)
		return r
	}
	out := v.out
	if out == nil {
		return nil
	}
	v.out, v.many = nil, len(out.frames) > 1
	x.pending -= len(out.buf)
	keep := len(x.free) < maxFreeBuffers && cap(out.buf) <= 2*maxRun && x.spare+cap(out.buf) <= maxSpareBytes
	var r *Run
	switch {
	case len(out.frames) == 0: // the view was cut off
	case !keep && 2*len(out.buf) >= cap(out.buf): // a copy would save little
		return &Run{Bytes: out.buf, Frames: out.frames, Commit: out.commit}
	default:
		r = out.seal()
	}
	if keep {
		x.free = append(x.free, out)
		x.spare += cap(out.buf)
	}
	return r
}

const (
	// maxRun is the size at which a run is handed out before its batch ends.
	maxRun = 256 << 10
	// maxFreeBuffers and maxSpareBytes bound what a burst over many views leaves behind.
	maxFreeBuffers = 4096
	maxSpareBytes  = 16 << 20
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
