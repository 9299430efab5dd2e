package auth

// index finds sessions by their cookie and by what changes concern them. It is guarded by
// Sessions.mu.
type index struct {
	// cookies are the sessions that a request may be answered with, by Session.cookie, and
	// known by Session.tag.
	cookies, known map[tag]*Session
	refs           map[ref]map[*Session]struct{}
	all            map[*Session]struct{}
}

func newIndex() index {
	return index{cookies: map[tag]*Session{}, known: map[tag]*Session{}, refs: map[ref]map[*Session]struct{}{}, all: map[*Session]struct{}{}}
}

func (x *index) add(one *Session) {
	x.cookies[one.cookie], x.known[one.tag] = one, one
	x.all[one] = struct{}{}
	for _, r := range one.refs {
		if x.refs[r] == nil {
			x.refs[r] = map[*Session]struct{}{}
		}
		x.refs[r][one] = struct{}{}
	}
}

// remove takes a session out. Its cookie may stand for a newer one.
func (x *index) remove(one *Session) {
	if x.cookies[one.cookie] == one {
		delete(x.cookies, one.cookie)
	}
	if x.known[one.tag] == one {
		delete(x.known, one.tag)
	}
	delete(x.all, one)
	for _, r := range one.refs {
		if delete(x.refs[r], one); len(x.refs[r]) == 0 {
			delete(x.refs, r)
		}
	}
}

// open counts streams for the limits. It is guarded by Sessions.mu.
type open struct {
	limits  Limits
	session map[tag]int
	person  map[tag]int
	streams int
}

func newOpen(l Limits) open { return open{limits: l, session: map[tag]int{}, person: map[tag]int{}} }

// take counts a stream. The error is a *LimitError.
func (o *open) take(session, person tag) error {
	switch {
	case o.limits.PerSession > 0 && o.session[session] >= o.limits.PerSession:
		return &LimitError{Key: "per_session", Limit: o.limits.PerSession}
	case o.limits.PerUser > 0 && o.person[person] >= o.limits.PerUser:
		return &LimitError{Key: "per_user", Limit: o.limits.PerUser}
	}
	o.session[session]++
	o.person[person]++
	o.streams++
	return nil
}

func (o *open) release(session, person tag) {
	o.streams--
	if o.session[session]--; o.session[session] <= 0 {
		delete(o.session, session)
	}
	if o.person[person]--; o.person[person] <= 0 {
		delete(o.person, person)
	}
}
