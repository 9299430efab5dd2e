package channel

import (
	"errors"
	"slices"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/filter"
)

// endRules ends a stream whose channels are not what they were: the client comes back and is
// told.
const endRules = "rules_changed"

// prepared makes the rules ready, and keeps those that are what they were: their audiences and
// views go on.
func (h *Hub) prepared(rules, old []*Rule) []*Rule {
	out := slices.Clone(rules)
	for i, r := range out {
		r.prepare()
		h.serial++
		r.order, r.serial = i, h.serial
		for _, o := range old {
			if same(o, r) {
				out[i] = o
			}
		}
	}
	return out
}

// same reports whether an old rule can stay in the place of a new one.
func same(old, r *Rule) bool {
	return old.order == r.order && old.Name == r.Name && old.print == r.print && old.Compress == r.Compress && sameParams(old.Program, r.Program) &&
		old.Snapshot == r.Snapshot && (r.Snapshot == 0 || sameRelation(old.Relation, r.Relation))
}

// sameParams reports whether the same texts are values of the parameters: an enum may have a label more.
func sameParams(a, b *filter.Program) bool {
	if a == nil || b == nil {
		return a == b
	}
	return slices.EqualFunc(a.Params(), b.Params(), func(p, q filter.Parameter) bool {
		return p.Type.Name == q.Type.Name && slices.Equal(p.Type.Labels, q.Type.Labels)
	})
}

func sameRelation(a, b *change.Relation) bool { return a == b || a != nil && b != nil && a.ID == b.ID }

func (h *Hub) currentRules() []*Rule {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rules
}

// SetRules replaces the rules. Streams all of whose rules judge as before go on; the others get
// reset{view} for the channels whose rule is another one, or end where a channel is gone or closed to
// them. It returns when new subscriptions follow the new rules; open ones follow soon.
func (h *Hub) SetRules(rules []*Rule) {
	h.mu.Lock()
	h.rules = h.prepared(rules, h.rules)
	running := h.running
	var stale []*Subscriber
	for s := range h.members {
		if !h.upToDateLocked(s.view) {
			stale = append(stale, s)
		}
	}
	h.mu.Unlock()
	if !running || h.live == nil {
		return
	}
	h.live.post(func() {
		for _, s := range stale {
			h.review(s)
		}
		h.live.index.forget(func(r *Rule) bool { return slices.Contains(h.currentRules(), r) })
	})
}

// upToDateLocked reports whether all rules of a view still stand. h.mu is held.
func (h *Hub) upToDateLocked(v *view) bool {
	for _, a := range v.audiences {
		if !slices.Contains(h.rules, a.rule) {
			return false
		}
	}
	return true
}

// review gives a subscriber the view that the rules of now lead to. It runs on the live lane. Who
// does not ride it is told to come back: its id has a tag that does not fit any more.
func (h *Hub) review(s *Subscriber) {
	if !s.rides(h.live) {
		s.finish(endRules)
		return
	}
	h.live.index.leave(s) // first: whom the rules do not let in gets nothing more
	s.alight(h.live.at)
	as, err := audiences(h.currentRules(), Request{Channels: s.channels, User: s.user})
	if err != nil {
		s.finish(h.reviewEnd(err))
		return
	}
	lin := h.events.Bounds().Lineage
	was := s.view
	v := newView(viewKey(as, lin.Generation), as, lin)
	if was.compresses() && !v.compresses() { // what comes must not be compressed, and the stream may be
		s.finish(endRules)
		return
	}
	h.mu.Lock()
	err = h.moveLocked(s, v)
	h.mu.Unlock()
	if err != nil {
		s.finish(h.reviewEnd(err))
		return
	}
	h.welcome(s, was)
}

// moveLocked takes a subscriber from its view to another one. It has no id before it knows what that
// changes: one with the new view's tag would be resumed as if it did. h.mu is held.
func (h *Hub) moveLocked(s *Subscriber, v *view) error {
	if _, open := h.members[s]; !open {
		return nil
	}
	was := s.view
	s.mu.Lock()
	err := h.enterViewLocked(s, v)
	s.held = err == nil
	s.mu.Unlock()
	if err == nil {
		h.leaveViewLocked(was)
	}
	return err
}

// welcome tells a subscriber which of its channels are others, and goes on.
func (h *Hub) welcome(s *Subscriber, was *view) {
	b := &runBuffer{}
	for _, a := range s.view.audiences {
		if slices.ContainsFunc(was.audiences, func(o *audience) bool { return o.rule.print == a.rule.print && o.id == a.id }) {
			continue
		}
		h.reset(b, s.view, a, h.live.at, ReasonView)
	}
	if len(b.frames) > 0 {
		h.begin(s, b.seal(), false)
		return
	}
	b.idOnly(h.live.at, s.view.tag) // it gets the same as before: only what snapshots are read with has changed
	s.control(b.seal(), h.live.at)
	h.live.join(s)
}

// reviewEnd is what ends the stream of a subscriber that the new rules do not let in.
func (h *Hub) reviewEnd(err error) string {
	var gone *UnknownChannelError
	var refused *RefusedError
	switch {
	case errors.As(err, &gone):
		return "channel_removed"
	case errors.As(err, &refused):
		return "not_allowed"
	}
	return endRules
}
