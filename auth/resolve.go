package auth

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/walrelay/walrelay/filter"
)

// Resolve finds the session of a request, see Resolver. The first entry whose cookie or
// header is present decides: a bad value never falls through to a later one.
func (s *Sessions) Resolve(r *http.Request, c Client) (*Session, error) {
	e, candidates, err := s.pick(r.Header)
	if err == nil && e == nil {
		return nil, ErrNoSession // nothing was tried: it costs nothing
	}
	wait := s.failures.blocked(c.IP, s.now())
	var one *Session
	switch {
	case err != nil:
	case e.forward == nil:
		one, err = s.firstOf(r.Context(), e, candidates, wait)
	case wait > 0:
		err = &TooManyFailuresError{Wait: wait}
	default:
		one, err = s.ask(r, c, e)
	}
	return one, s.answer(c, e, err)
}

// answer counts how a request was resolved and takes out of an error what is nobody's business.
func (s *Sessions) answer(c Client, e *entry, err error) error {
	key := "auth"
	if e != nil {
		key = e.Key
	}
	reason, refused := ReasonOf(err)
	var many *TooManyFailuresError
	switch {
	case err == nil:
		s.metrics.accepted(key)
		return nil
	case errors.As(err, &many):
		s.metrics.refused(key, TooManyFailures)
		return err
	case refused:
		s.metrics.refused(key, reason)
		s.failures.failed(c.IP, s.now())
		s.log.Debug("session refused", "entry", key, "reason", string(reason))
		return ErrNoSession
	case errors.Is(err, ErrNoSession) || errors.Is(err, ErrForbidden): // of the application
		s.metrics.refused(key, NotSignedIn)
		s.failures.failed(c.IP, s.now())
		return err
	}
	s.metrics.failed(key)
	return &NotReadyError{Cause: err}
}

// pick finds the entry that decides, and what it is to be asked about. No entry: the request
// carries nothing, or the first that is present is anonymous.
func (s *Sessions) pick(header http.Header) (*entry, []cookie, error) {
	cookies, err := parseCookies(header["Cookie"])
	if err != nil {
		return nil, nil, err
	}
	for i := range s.entries {
		e := &s.entries[i]
		switch {
		case e.Anonymous != nil:
			return nil, nil, nil
		case e.forward != nil:
			if e.forward.present(cookies, header) {
				return e, nil, nil
			}
		case e.Session.Bearer:
			if token, present, err := bearerToken(header); present {
				return e, []cookie{token}, err
			}
		default:
			for _, name := range e.Session.Cookies {
				if cookies.present(name, kinds[e.Session.Decode]) {
					candidates, err := cookies.candidates(name, kinds[e.Session.Decode])
					if err == nil && len(candidates) == 0 {
						err = refuse(Malformed, "only a part of it is there")
					}
					return e, candidates, err
				}
			}
		}
	}
	return nil, nil, nil
}

// firstOf resolves the values of one name. Two that belong to two users are refused: a
// sibling subdomain may have set one of them, and frameworks differ in which one counts.
func (s *Sessions) firstOf(ctx context.Context, e *entry, candidates []cookie, wait time.Duration) (*Session, error) {
	var got *Session
	var refusal error
	for _, c := range candidates {
		one, err := s.resolve(ctx, e, c, wait)
		_, refused := ReasonOf(err)
		switch {
		case refused:
			refusal = err
		case err != nil:
			return nil, err
		case got == nil:
			got = one
		case got.person != one.person:
			return nil, refuse(Conflict, "two values of the same name belong to two users")
		}
	}
	if got == nil {
		return nil, refusal
	}
	return got, nil
}

// resolve finds the session of one value: from the cache, or by one look-up for all that ask
// at the same time. An address that must wait gets what is in the cache: whoever guesses
// there does not keep its neighbours from coming back.
func (s *Sessions) resolve(ctx context.Context, e *entry, c cookie, wait time.Duration) (*Session, error) {
	t := s.tagOf("cookie", e.Key, c.name, c.value, c.signature)
	if one := s.cached(t); one != nil {
		s.metrics.cache("hit")
		if err := one.expired(s.now()); err != nil {
			return nil, err
		}
		return one, nil
	}
	if wait > 0 {
		return nil, &TooManyFailuresError{Wait: wait}
	}
	if was, ok := s.refused.Get(t); ok && s.now().Before(was.until) {
		s.metrics.cache("negative")
		return nil, refuse(was.reason, "it was refused a moment ago")
	}
	s.metrics.cache("miss")
	one, err := s.flights.do(ctx, t, func() (*Session, error) { return s.begin(e, c, t) })
	if err != nil {
		s.refuseAgain(e, t, err)
		return nil, err
	}
	return one, nil
}

func (s *Sessions) cached(t tag) *Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.index.cookies[t]
}

// lasting are refusals that stay for a moment. Others may be over with the next request: a
// login can be an UPDATE of the row that says nobody is signed in.
var lasting = []Reason{Malformed, TooLarge, BadSignature, Expired, WrongPurpose, WrongAlgorithm, WrongIssuer, WrongAudience, Unsupported, NoRow, BadValue}

func (s *Sessions) refuseAgain(e *entry, t tag, err error) {
	reason, ok := ReasonOf(err)
	if ok && slices.Contains(lasting, reason) {
		s.refused.Add(t, refused{until: s.now().Add(e.Session.NegativeTTL), reason: reason})
	}
}

// begin makes a session of a cookie. It goes on when the request is over that asked first:
// others may wait for it.
func (s *Sessions) begin(e *entry, c cookie, t tag) (*Session, error) {
	ctx, cancel := context.WithTimeout(s.run, lookupPatience)
	defer cancel()
	_, rings := s.gap()
	asked, opened, err := e.source.ask(ctx, c, s.now())
	if err != nil {
		return nil, err
	}
	one := &Session{sessions: s, entry: e.Key, cookie: t, tag: s.tagOfSession(e, t, asked), rings: rings, src: e.source, n: e.n, asked: asked,
		maxStream: e.Session.MaxStream}
	if !opened.expires.IsZero() {
		one.until, one.ends = opened.expires, opened.expires.Add(e.Session.StreamPastExp)
	}
	if same := s.sameAs(one); same != nil {
		return same, nil
	}
	if err := s.slots.Acquire(ctx, 1); err != nil {
		return nil, errors.New("too many look-ups at once")
	}
	defer s.slots.Release(1)
	if same := s.sameAs(one); same != nil { // somebody was faster
		return same, nil
	}
	for wait := 2 * time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		f, err := s.lookUp(ctx, one)
		if err != nil {
			return nil, err
		}
		admitted, err := s.admit(one, f)
		if admitted || err != nil {
			return one, err
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, errors.New("a change of the session has been committed and cannot be seen yet")
		}
	}
}

// tagOfSession is that of what the cookie says: it can be written in many ways, and some
// frameworks encrypt it anew with every answer.
func (s *Sessions) tagOfSession(e *entry, cookie tag, asked question) tag {
	payload := ""
	if asked.payload != nil {
		if !spellsItself(asked.payload) {
			return cookie
		}
		payload = string(marshal(asked.payload))
	}
	return s.tagOf("session", e.Key, asked.cookie, string(asked.key), payload)
}

// spellsItself reports whether no other payload has the same JSON.
func spellsItself(v any) bool {
	switch v := v.(type) {
	case nil, bool:
		return true
	case json.Number:
		return json.Valid([]byte(v))
	case string:
		return utf8.ValidString(v)
	case []any:
		return !slices.ContainsFunc(v, func(one any) bool { return !spellsItself(one) })
	case map[string]any:
		for name, one := range v {
			if !utf8.ValidString(name) || !spellsItself(one) {
				return false
			}
		}
		return true
	}
	return false // bytes and times are written as strings
}

// sameAs is the session that is known by another cookie already; nil: there is none.
func (s *Sessions) sameAs(one *Session) *Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	same := s.index.known[one.tag]
	if same == nil || one.rings != s.rings || !same.ends.Equal(one.ends) {
		return nil
	}
	return same
}

// lookUp asks once.
func (s *Sessions) lookUp(ctx context.Context, one *Session) (found, error) {
	if one.src.hears() && s.isDeaf() {
		return found{}, errDeaf
	}
	asked := one.asked
	asked.now = s.now()
	began := time.Now()
	gap, _ := s.gap()
	f, err := s.lookups.lookup(ctx, one.src, asked)
	f.gap, f.asked = gap, asked.now
	_, refused := ReasonOf(err)
	s.metrics.lookup(time.Since(began), err != nil && !refused)
	return f, err
}

// errDeaf: a logout would not be noticed.
var errDeaf = errors.New("replication does not follow: nobody would hear of a logout")

// admit puts a session into the index, unless what was found may be out of date: then it
// reports false.
func (s *Sessions) admit(one *Session, f found) (bool, error) {
	values, err := filter.ParseClaims(s.declared(), f.claims)
	if err != nil {
		s.log.Warn("a user's claims are not what the configuration declares: refused", "entry", one.entry, "cause", err)
		return false, refuse(BadClaims, "the claims are not of their types, or one that is required is missing")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	refs := s.refsOf(one, f)
	switch {
	case one.rings != s.rings:
		return false, errRings
	case s.stale(f), f.snapshot.Xmax > 0 && s.recent.hides(f.snapshot, refs...):
		return false, nil
	}
	one.claims = Claims{verified: true, values: values}
	one.person = s.tagOf("person", one.entry, f.user)
	one.refs, one.idle = refs, s.now()
	s.take(one, f)
	s.index.add(one)
	s.wind(one)
	return true, nil
}

// errRings: the secrets that opened the cookie may be in force no more.
var errRings = errors.New("secrets have been read again meanwhile")

// stale takes in the snapshot of a look-up, and reports whether the look-up does not count. mu is
// held.
func (s *Sessions) stale(f found) bool {
	now := s.now()
	if f.gap != s.gaps || now.Sub(f.asked) >= recentFor { // notes may be forgotten that it does not see
		return true
	}
	if f.snapshot.Xmax > 0 {
		s.recent.saw(f.snapshot, now)
	}
	return false
}

// take makes found what is known of a session.
func (s *Sessions) take(one *Session, f found) {
	one.found, one.read = s.keep(f), s.now()
	if f.row != nil {
		one.rowExpires(one.moved.after(f))
	} else {
		one.expires = one.ends
	}
}

// refsOf are what changes concern the session.
func (s *Sessions) refsOf(one *Session, f found) []ref {
	refs := []ref{{one.n, ofAll, tag{}}}
	if f.row != nil {
		refs = append(refs, ref{one.n, ofRow, s.tagOf("row", f.row.identity)})
	}
	for i, user := range f.dependUsers {
		refs = append(refs, ref{one.n, i, s.tagOf("user", user)})
	}
	return refs
}

// ask asks the application.
func (s *Sessions) ask(r *http.Request, c Client, e *entry) (*Session, error) {
	began := time.Now()
	gap, _ := s.gap()
	f, err := e.forward.ask(r.Context(), r, c)
	s.metrics.lookup(time.Since(began), err != nil && !errors.Is(err, ErrNoSession) && !errors.Is(err, ErrForbidden))
	if err != nil {
		return nil, err
	}
	values, err := filter.ParseClaims(s.declared(), f.claims)
	if err != nil {
		s.log.Warn("a user's claims are not what the configuration declares: refused", "entry", e.Key, "cause", err)
		return nil, refuse(BadClaims, "the claims are not of their types, or one that is required is missing")
	}
	return &Session{sessions: s, entry: e.Key, claims: Claims{verified: true, values: values}, maxStream: e.Forward.MaxStream, cookies: f.setCookies, gap: gap,
		tag: s.tagOf("cookie", sentOn(e, r.Header)...), person: s.tagOf("person", e.Key, f.user)}, nil
}

// sentOn is what of a request an application is asked with.
func sentOn(e *entry, header http.Header) []string {
	out := []string{e.Key}
	cookies, _ := parseCookies(header["Cookie"]) // the request has been read already
	for _, c := range cookies {
		if e.forward.travels(c.name) {
			out = append(out, c.name, c.value)
		}
	}
	if token, present, _ := bearerToken(header); present && e.Forward.Bearer {
		out = append(out, "", token.value)
	}
	return out
}

// sleep waits, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
