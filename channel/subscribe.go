package channel

import (
	"context"
	"slices"
	"strings"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/eventlog"
	"github.com/walrelay/walrelay/filter"
)

// Request asks for a subscription.
type Request struct {
	// Channels are concrete names, for example orders and order/7.
	Channels []string
	// LastEventID is the client's, empty on a first connect.
	LastEventID string
	// User are the claims of who asks; nil: nobody is signed in.
	User *filter.Claims
}

// Subscribe admits a subscriber. It returns once the subscription is in place: its
// first run begins with the ready event, and every change behind the position that
// ready names will follow. Errors: *UnknownChannelError, *ParamError, *NoUserError,
// *RefusedError, *ScanLimitError, ErrStarting, ErrDraining, or that of ctx.
func (h *Hub) Subscribe(ctx context.Context, r Request) (*Subscriber, error) {
	s, err := h.admit(r)
	if err != nil {
		return nil, err
	}
	id, reason := h.resumable(s.view, r.LastEventID)
	if r.LastEventID != "" && reason == "" && id.At.Less(h.live.position()) {
		h.resume(s, id) // without the live lane, which goes on for the others
		return s, nil
	}
	placed := make(chan struct{})
	h.live.post(func() {
		h.place(s, r.LastEventID != "", id, reason)
		close(placed)
	})
	select {
	case <-placed:
		return s, nil
	case <-ctx.Done():
		s.Close()
		return nil, ctx.Err()
	case <-h.ctx.Done():
		s.Close()
		return nil, ErrDraining
	}
}

// audiences resolves the names of a request to audiences, sorted, each once.
func audiences(rules []*Rule, r Request) ([]*audience, error) {
	var out []*audience
	for _, name := range r.Channels {
		a, err := findAudience(rules, name, r.User)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return sortAudiences(out), nil
}

func findAudience(rules []*Rule, name string, user *filter.Claims) (*audience, error) {
	for _, r := range rules {
		params, ok := r.match(name)
		switch {
		case !ok:
			continue
		case !r.Public && user == nil:
			return nil, &NoUserError{Channel: name}
		case r.Program == nil:
			return nil, ErrStarting
		}
		if r.Public {
			user = nil // who asks makes no difference, nor another audience
		}
		return newAudience(r, name, user, params)
	}
	return nil, &UnknownChannelError{Channel: name}
}

// admit registers a subscriber of the view that the request leads to.
func (h *Hub) admit(r Request) (*Subscriber, error) {
	for {
		rules := h.currentRules()
		as, err := audiences(rules, r)
		if err != nil {
			return nil, err
		}
		lin := h.events.Bounds().Lineage
		if lin.SystemID == "" { // the log has not been bound to a cluster yet
			return nil, ErrStarting
		}
		s := &Subscriber{hub: h, wake: make(chan struct{}, 1), channels: keptNames(r.Channels, as), user: r.User}
		if entered, err := h.enter(s, rules, as, lin); entered || err != nil {
			return s, err
		}
	}
}

// keptNames are names that keep nothing of the request they came with.
func keptNames(asked []string, as []*audience) []string {
	if len(asked) == 1 && asked[0] == as[0].name {
		return as[0].names
	}
	names := make([]string, len(asked))
	for i, name := range asked {
		names[i] = strings.Clone(name)
	}
	return names
}

// enter makes a subscriber one of the view of these audiences. It reports false when the rules are
// others by now.
func (h *Hub) enter(s *Subscriber, rules []*Rule, as []*audience, lin eventlog.Lineage) (bool, error) {
	key := viewKey(as, lin.Generation)
	h.mu.Lock()
	v := h.views[key]
	h.mu.Unlock()
	if v == nil { // made without the lock, which the lanes need
		v = newView(key, as, lin)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.running {
		if h.ctx != nil {
			return false, ErrDraining
		}
		return false, ErrStarting
	}
	if !slices.Equal(rules, h.rules) {
		return false, nil
	}
	if err := h.enterViewLocked(s, v); err != nil {
		return false, err
	}
	h.members[s] = struct{}{}
	return true, nil
}

// enterViewLocked counts a subscriber into its view, which v is unless there is one already. h.mu is
// held.
func (h *Hub) enterViewLocked(s *Subscriber, v *view) error {
	if have := h.views[v.key]; have != nil {
		v = have
	} else {
		for _, a := range v.audiences {
			if a.binding.Scan() && h.scans[a.rule] >= h.maxScans {
				return &ScanLimitError{Channel: a.name, Limit: h.maxScans}
			}
		}
		for _, a := range v.audiences {
			if a.binding.Scan() {
				h.scans[a.rule]++
			}
		}
		h.views[v.key] = v
	}
	v.users++
	s.view = v
	return nil
}

// resumable decides whether a stream can go on at the id that the client named. An
// empty reason means yes, or that there is no id.
func (h *Hub) resumable(v *view, lastEventID string) (EventID, Reason) {
	if lastEventID == "" {
		return EventID{}, ""
	}
	id, err := ParseEventID(lastEventID)
	if err != nil {
		h.log.Debug("client gets reset: its last event id is not understood", "cause", err)
		return id, ReasonUnknownID
	}
	floor := h.events.Bounds().Floor
	if id.Tag != v.tag {
		if reason := h.ended(v, id, floor); reason != "" {
			return id, reason
		}
	}
	switch {
	case id.At.Less(floor):
		return id, ReasonExpired
	case id.Tag != "" && id.Tag != v.tag: // other rules or claims, or another log
		return id, ReasonView
	}
	return id, ""
}

// ended is why an id cannot be continued that is of a generation of the log that has
// ended, as its tag says. One without tag may be: if it lies below what the log has now,
// or in another past, which had that position too.
func (h *Hub) ended(v *view, id EventID, floor change.Position) Reason {
	for _, e := range h.events.History() {
		reason := Reason(e.Reason)
		switch {
		case id.Tag != "":
			if viewTag(v.audiences, e.Lineage) == id.Tag {
				return reason
			}
		case id.At.Compare(e.Last) <= 0 && (reason == ReasonLineage || id.At.Less(floor)):
			return reason
		}
	}
	return ""
}
