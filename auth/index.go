package auth

import "github.com/walrelay/walrelay/slimmap"

// index finds sessions by their cookie and by what changes concern them. It is guarded by
// Sessions.mu.
type index struct {
	// cookies are the sessions that a request may be answered with, by Session.cookie, and
	// known by Session.tag.
	cookies, known map[tag]*Session
	refs           map[ref]few[*Session]
	all            map[*Session]struct{}
	// peaks are those of the maps, for slimmap.
	peaks struct{ cookies, known, refs, all int }
}

func newIndex() index {
	return index{cookies: map[tag]*Session{}, known: map[tag]*Session{}, refs: map[ref]few[*Session]{}, all: map[*Session]struct{}{}}
}

func (x *index) add(one *Session) {
	x.cookies[one.cookie], x.known[one.tag] = one, one
	x.all[one] = struct{}{}
	for _, r := range one.refs {
		of := x.refs[r]
		of.add(one)
		x.refs[r] = of
	}
}

// remove takes a session out. Its cookie may stand for a newer one.
func (x *index) remove(one *Session) {
	if x.cookies[one.cookie] == one {
		slimmap.Delete(&x.cookies, &x.peaks.cookies, one.cookie)
	}
	if x.known[one.tag] == one {
		slimmap.Delete(&x.known, &x.peaks.known, one.tag)
	}
	slimmap.Delete(&x.all, &x.peaks.all, one)
	for _, r := range one.refs {
		of := x.refs[r]
		if of.remove(one); of.len() > 0 {
			x.refs[r] = of
		} else {
			slimmap.Delete(&x.refs, &x.peaks.refs, r)
		}
	}
}

// forgetCookies has every cookie opened again.
func (x *index) forgetCookies() {
	x.cookies, x.known = map[tag]*Session{}, map[tag]*Session{}
	x.peaks.cookies, x.peaks.known = 0, 0
}

// open counts streams for the limits. It is guarded by Sessions.mu.
type open struct {
	limits  Limits
	session map[tag]int
	person  map[tag]int
	streams int
	// peaks are those of the maps, for slimmap.
	peaks struct{ session, person int }
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
		slimmap.Delete(&o.session, &o.peaks.session, session)
	}
	if o.person[person]--; o.person[person] <= 0 {
		slimmap.Delete(&o.person, &o.peaks.person, person)
	}
}
