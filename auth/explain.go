package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/walrelay/walrelay/filter"
)

// Step is one step of how a request is resolved, for people. Text holds no secret, cookie,
// token, key or session id.
type Step struct {
	// Entry is the key of the configuration; empty: the request as a whole.
	Entry string
	// Name is what was looked at: cookie, decode, store, user, check, claims, session.
	Name string
	// OK: it goes on. The last step that is not is why the request is refused.
	OK   bool
	Text string
}

// lookupStep is the name of a step that says that Postgres could not be asked.
const lookupStep = "look-up"

// explanation collects steps.
type explanation struct {
	s     *Sessions
	steps []Step
}

func (x *explanation) add(entry, name string, ok bool, format string, args ...any) {
	x.steps = append(x.steps, Step{Entry: entry, Name: name, OK: ok, Text: fmt.Sprintf(format, args...)})
}

// Explain resolves a request afresh, without cache and limits, and says what happens. Learn
// must have been called where an entry reads tables.
func (s *Sessions) Explain(ctx context.Context, r *http.Request, c Client) []Step {
	x := &explanation{s: s}
	e, candidates, err := s.pick(r.Header)
	x.absent(r.Header, e)
	switch {
	case err != nil && e == nil:
		x.add("", "cookie", false, "%s", err)
	case e == nil:
		x.add("", "session", false, "the request carries nothing that an entry reads: it is nobody's, and gets 401 but for public channels")
	case err != nil:
		x.add(e.Key, "cookie", false, "%s", err)
	case e.forward != nil:
		x.ask(ctx, r, c, e)
	default:
		x.candidates(ctx, e, candidates)
	}
	return x.steps
}

// absent names the entries before the one that decides.
func (x *explanation) absent(header http.Header, picked *entry) {
	for i := range x.s.entries {
		e := &x.s.entries[i]
		if e == picked {
			return
		}
		switch {
		case e.Anonymous != nil:
			x.add(e.Key, "anonymous", true, "without a session a request is nobody's: it reaches public channels only")
			return
		case e.Forward != nil:
			x.add(e.Key, "forward", true, "not asked: none of the cookies %s is there", strings.Join(e.Forward.Cookies, ", "))
		case e.Session.Bearer:
			x.add(e.Key, "bearer", true, "there is no Authorization header with a bearer token")
		default:
			x.add(e.Key, "cookie", true, "there is no cookie %s; %s", strings.Join(e.Session.Cookies, " or "), namesOf(header))
		}
	}
}

// namesOf says what cookies a request has: their names are no secrets.
func namesOf(header http.Header) string {
	cookies, err := parseCookies(header["Cookie"])
	if err != nil || len(cookies) == 0 {
		return "the request has no cookies"
	}
	var names []string
	for _, c := range cookies {
		if !slices.Contains(names, c.name) && len(names) < 20 {
			names = append(names, c.name)
		}
	}
	return "the request has " + strings.Join(names, ", ")
}

func (x *explanation) candidates(ctx context.Context, e *entry, candidates []cookie) {
	users, unknown := map[string]bool{}, false
	for i, c := range candidates {
		what := "cookie " + c.name
		if e.Session.Bearer {
			what = "bearer token"
		}
		x.add(e.Key, "cookie", true, "%s: value %d of %d, %d bytes", what, i+1, len(candidates), len(c.value))
		if user, ok := x.candidate(ctx, e, c); ok {
			users[user] = true
		}
		unknown = unknown || x.steps[len(x.steps)-1].Name == lookupStep
	}
	switch {
	case unknown:
		x.add(e.Key, "session", false, "not known now: the stream is told to come back later")
	case len(users) == 0:
		x.add(e.Key, "session", false, "refused: 401")
	case len(users) == 1:
		x.add(e.Key, "session", true, "accepted; %s", x.lasting(e))
	default:
		x.add(e.Key, "session", false, "refused: values of the same name belong to different users, so one of them may have been planted by another subdomain")
	}
}

// lasting says how long streams of an entry go on and what ends them.
func (x *explanation) lasting(e *entry) string {
	out := "streams are renewed after " + e.Session.MaxStream.String() + " at most"
	switch {
	case e.source.polled:
		out += "; its table is UNLOGGED, so a logout is noticed within " + e.Session.Revalidate.String()
	case e.Session.Live():
		out += "; a logout ends them at once"
	default:
		out += "; the cookie holds its session, so a logout is noticed only then"
	}
	return out
}

// candidate follows one value; it returns the user of one that is good.
func (x *explanation) candidate(ctx context.Context, e *entry, c cookie) (string, bool) {
	now := x.s.now()
	asked, opened, err := e.source.ask(ctx, c, now)
	if _, refused := ReasonOf(err); err != nil && !refused {
		x.refused(e, err)
		return "", false
	}
	if err != nil {
		x.add(e.Key, "decode", false, "%s: %s", e.Session.Decode, err)
		return "", false
	}
	text := e.Session.Decode + ": the signature is right"
	if kinds[e.Session.Decode].secret == "" {
		text = e.Session.Decode + ": it carries no signature, the store decides"
	}
	if !opened.expires.IsZero() {
		text += ", and it is good until " + opened.expires.UTC().Format(time.RFC3339)
	}
	x.add(e.Key, "decode", true, "%s", text)
	f, err := x.s.lookups.lookup(ctx, e.source, asked)
	if err != nil {
		x.refused(e, err)
		return "", false
	}
	x.found(e, f)
	return f.user, x.claims(e.Key, f.claims)
}

// refused says which step of a look-up a refusal belongs to.
func (x *explanation) refused(e *entry, err error) {
	reason, ok := ReasonOf(err)
	if !ok {
		x.add(e.Key, lookupStep, false, "it cannot be said now: %s", err)
		return
	}
	name := "store"
	switch reason {
	case NoUser:
		name = "user"
	case PasswordChanged:
		name = "check"
	case NoClaims:
		name = "claims"
	}
	x.add(e.Key, name, false, "%s", err)
}

func (x *explanation) found(e *entry, f found) {
	if st := e.Session.Store; st != nil {
		text := "the row is there"
		if f.row != nil && !f.row.expires.IsZero() {
			left := f.row.expires.Sub(x.s.now()).Round(time.Second)
			text += fmt.Sprintf(", its session ends in %s (%s)", left, f.row.expires.UTC().Format(time.RFC3339))
		}
		x.add(e.Key, "store", true, "%s.%s: %s", st.Schema, st.Table, text)
	}
	x.add(e.Key, "user", true, "%s is %s", e.Session.User, f.user)
	if e.Session.Check != "" && e.Session.Check != "none" {
		x.add(e.Key, "check", true, "%s: it fits", e.Session.Check)
	}
}

// claims shows them as rules see them.
func (x *explanation) claims(key string, claims []byte) bool {
	if _, err := filter.ParseClaims(x.s.declared(), claims); err != nil {
		x.add(key, "claims", false, "%s: compare claims: in the configuration", err)
		return false
	}
	x.add(key, "claims", true, "%s", claims)
	return true
}

func (x *explanation) ask(ctx context.Context, r *http.Request, c Client, e *entry) {
	f, err := e.forward.ask(ctx, r, c)
	switch {
	case errors.Is(err, ErrNoSession):
		x.add(e.Key, "forward", false, "%s: the application says that nobody is signed in", e.Forward.URL.Redacted())
	case errors.Is(err, ErrForbidden):
		x.add(e.Key, "forward", false, "%s: the application refuses this user (403)", e.Forward.URL.Redacted())
	case err != nil:
		x.add(e.Key, "forward", false, "it cannot be said now: %s", err)
	default:
		x.add(e.Key, "user", true, "the application says %s", f.user)
		if x.claims(e.Key, f.claims) {
			x.add(e.Key, "session", true, "accepted; streams are renewed after %s at most, and only then a logout is noticed", e.Forward.MaxStream)
		}
	}
}
