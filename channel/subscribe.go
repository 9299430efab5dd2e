package channel

import "context"

// Request asks for a subscription.
type Request struct {
	// Channels are concrete names, for example orders and order/7.
	Channels []string
	// LastEventID is the client's, empty on a first connect.
	LastEventID string
}

// Subscribe admits a subscriber. It returns once the subscription is in place: its
// first run begins with the ready event, and every change behind the position that
// ready names will follow. Errors: *UnknownChannelError, *ParamError, ErrStarting,
// ErrDraining, or that of ctx.
func (h *Hub) Subscribe(ctx context.Context, r Request) (*Subscriber, error) {
	audiences, err := h.audiences(r.Channels)
	if err != nil {
		return nil, err
	}
	s, err := h.admit(audiences)
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

// audiences resolves names to audiences, sorted, each once.
func (h *Hub) audiences(names []string) ([]*audience, error) {
	var out []*audience
	for _, name := range names {
		a, err := h.audience(name)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return sortAudiences(out), nil
}

func (h *Hub) audience(name string) (*audience, error) {
	for _, r := range h.rules {
		if params, ok := r.match(name); ok {
			types, err := h.bindingTypes(r)
			if err != nil {
				return nil, err
			}
			return newAudience(r, name, params, types)
		}
	}
	return nil, &UnknownChannelError{Channel: name}
}

// admit registers a subscriber of the view of these audiences.
func (h *Hub) admit(audiences []*audience) (*Subscriber, error) {
	lin := h.events.Bounds().Lineage
	if lin.SystemID == "" { // the log has not been bound to a cluster yet
		return nil, ErrStarting
	}
	key := viewKey(audiences, lin.Generation)
	h.mu.Lock()
	v := h.views[key]
	h.mu.Unlock()
	if v == nil { // made without the lock, which the lanes need
		v = newView(key, audiences, lin)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.running {
		if h.ctx != nil {
			return nil, ErrDraining
		}
		return nil, ErrStarting
	}
	if have := h.views[key]; have != nil {
		v = have
	} else {
		h.views[key] = v
	}
	v.users++
	s := &Subscriber{hub: h, view: v, wake: make(chan struct{}, 1)}
	h.members[s] = struct{}{}
	return s, nil
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
	if id.Tag != "" && id.Tag != v.tag {
		for _, e := range h.events.History() {
			if viewTag(v.audiences, e.Lineage) == id.Tag {
				return id, Reason(e.Reason)
			}
		}
		return id, ReasonView
	}
	if id.At.Less(h.events.Bounds().Floor) {
		return id, h.belowFloor(id)
	}
	return id, ""
}

// belowFloor is why an id of this log, or one without tag, is older than what the log
// has: it aged out, or, without tag, it may be of a generation that has ended.
func (h *Hub) belowFloor(id EventID) Reason {
	if id.Tag == "" {
		for _, e := range h.events.History() {
			if id.At.Compare(e.Last) <= 0 {
				return Reason(e.Reason)
			}
		}
	}
	return ReasonExpired
}
