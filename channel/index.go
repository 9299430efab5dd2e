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
	rules   []*indexedRule
	tables  map[string][]*indexedRule
	named   map[string]*indexedAudience // by audience.name
	views   map[*view]*riddenView
	touched []*riddenView // views with frames not yet handed out
	large   []*riddenView // those of touched whose frames have grown to maxRun
	pending int           // bytes of the frames not yet handed out
	// suspended are the audiences that the batch has suspended.
	suspended []*indexedAudience
	free      []*runBuffer
}

// indexedRule is a rule with the audiences that have riders.
type indexedRule struct {
	rule      *Rule
	audiences map[string]*indexedAudience // by audience.key
	riders    int                         // audiences with views
}

type indexedAudience struct {
	*audience
	views []*riddenView
	// suspended counts the changes of the batch that the rule cannot judge.
	suspended int
}

// riddenView is a view with the subscribers of this lane.
type riddenView struct {
	view *view
	// Invariant: subs[i].slot == i.
	subs []*Subscriber
	out  *runBuffer // nil while nothing is pending
	// touched: the view is in index.touched, as it is while out is not nil.
	touched bool
}

func tableKey(schema, name string) string { return schema + "\x00" + name }

func newIndex(rules []*Rule) *index {
	x := &index{tables: map[string][]*indexedRule{}, views: map[*view]*riddenView{}, named: map[string]*indexedAudience{}}
	for _, r := range rules {
		ir := &indexedRule{rule: r, audiences: map[string]*indexedAudience{}}
		x.rules = append(x.rules, ir)
		k := tableKey(r.Schema, r.Table)
		x.tables[k] = append(x.tables[k], ir)
	}
	return x
}

// join adds a subscriber to its view.
func (x *index) join(s *Subscriber) {
	v := x.views[s.view]
	if v == nil {
		v = &riddenView{view: s.view}
		x.views[s.view] = v
		for _, a := range s.view.audiences {
			r := x.ruleOf(a)
			ia := r.audiences[a.key]
			if ia == nil {
				ia = &indexedAudience{audience: a}
				r.audiences[a.key] = ia
				x.named[a.name] = ia
				r.riders++
			}
			ia.views = append(ia.views, v)
		}
	}
	s.slot = len(v.subs)
	v.subs = append(v.subs, s)
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
	for _, a := range s.view.audiences {
		r := x.ruleOf(a)
		ia := r.audiences[a.key]
		ia.views = slices.DeleteFunc(ia.views, func(o *riddenView) bool { return o == v })
		if len(ia.views) == 0 {
			delete(r.audiences, a.key)
			delete(x.named, a.name)
			r.riders--
		}
	}
}

func (x *index) ruleOf(a *audience) *indexedRule {
	for _, r := range x.rules {
		if r.rule == a.rule {
			return r
		}
	}
	panic("channel: audience of a rule that is not configured: " + a.name) // unreachable: hubs make both from one list
}

// add appends a frame to a view's pending run.
func (x *index) add(v *riddenView, kind EventKind, data []byte, at change.Position, commit time.Time) {
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
	v.out.add(kind, data, at, v.view.tag)
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
	maxFreeBuffers = 64
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
