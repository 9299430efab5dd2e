package integration

import (
	"net/http"
	"strings"
	"testing"
)

// TestAuthCookies: which of several cookies says who it is.
func TestAuthCookies(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, plainSchema)
	r := startAuthRelay(t, db, plainAuth.with(func(s *authSettings) { s.limits = manyFailures }).yaml())
	ada, alan, again := db.newSession(t, 1), db.newSession(t, 2), db.newSession(t, 1)
	nobody := sessionID(t)
	for _, test := range []struct {
		name     string
		header   http.Header
		want     string
		channels []string // or notes
	}{
		{"none", http.Header{}, "401", nil},
		{"one", sid(ada), "ready", nil},
		{"of two users", cookieHeader("sid="+ada, "sid="+alan), "401", nil},
		{"of two users, in two headers", http.Header{"Cookie": {"sid=" + ada, "sid=" + alan}}, "401", nil},
		{"the same twice", cookieHeader("sid="+ada, "sid="+ada), "ready", nil},
		{"two of one user", cookieHeader("sid="+ada, "sid="+again), "ready", nil},
		{"one that is stale", cookieHeader("sid="+nobody, "sid="+ada), "ready", nil},
		{"another name", cookieHeader("SID=" + ada), "401", nil},
		{"none, for what is public", http.Header{}, "ready", []string{"open"}},
		{"none, for what is public and what is not", http.Header{}, "401", []string{"open", "notes"}},
		{"one, for both", sid(ada), "ready", []string{"open", "notes"}},
		{"one of nobody, for what is public", sid(nobody), "ready", []string{"open"}},
		{"empty", cookieHeader("sid="), "401", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.channels == nil {
				test.channels = []string{"notes"}
			}
			r.wantOutcome(t, test.want, test.header, test.channels...)
		})
	}
	// The same, of two users, when both are known already.
	r.signedIn(t, sid(ada), "notes")
	r.signedIn(t, sid(alan), "notes")
	r.wantOutcome(t, "401", cookieHeader("sid="+alan, "sid="+ada), "notes")
	r.wantOutcome(t, "403", sid(ada), "audit")
	a := ask(t, http.MethodGet, r.streamURL("notes"), http.Header{"Accept": {"text/event-stream"}})
	if a.status != http.StatusUnauthorized || !strings.Contains(a.body, `"unauthenticated"`) || a.header.Get("Www-Authenticate") != "Session" ||
		!strings.Contains(a.header.Get("Cache-Control"), "no-store") || !strings.Contains(a.header.Get("Vary"), "Cookie") {
		t.Errorf("without a session: %d %v %s", a.status, a.header, a.body)
	}
}

// TestAuthSignIn: who was nobody a moment ago is somebody as soon as the application says so.
func TestAuthSignIn(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, plainSchema)
	t.Run("a session that did not exist", func(t *testing.T) {
		t.Parallel()
		r := startAuthRelay(t, db, plainAuth.with(func(s *authSettings) { s.limits = manyFailures }).yaml())
		id := sessionID(t)
		r.wantOutcome(t, "401", sid(id), "notes")
		db.exec(t, insertSession(id, 1))
		eventually(t, func() string { return differs(r.outcome(t, sid(id), "notes"), "ready") })
	})
	// What is remembered of it is forgotten by what the WAL says, not by time.
	t.Run("a session that was nobody's", func(t *testing.T) {
		t.Parallel()
		db := newDatabase(t, plainSchema)
		r := startAuthRelay(t, db, plainAuth.with(func(s *authSettings) { s.limits = manyFailures }).entry("negative_ttl: 1h").yaml())
		id := sessionID(t)
		db.exec(t, "insert into sessions (id) values ('"+id+"')")
		r.wantOutcome(t, "401", sid(id), "notes")
		r.wantOutcome(t, "401", sid(id), "notes")
		db.exec(t, "update sessions set user_id = 1 where id = '"+id+"'")
		eventually(t, func() string { return differs(r.outcome(t, sid(id), "notes"), "ready") })
	})
}

// TestAuthLimits: streams of a session, of a user, and refused requests of an address.
func TestAuthLimits(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, plainSchema)
	r := startAuthRelay(t, db, plainAuth.with(func(s *authSettings) { s.limits = "per_session: 2, per_user: 3, failed_per_ip: 5/min" }).yaml())
	first, second, third := db.newSession(t, 1), db.newSession(t, 1), db.newSession(t, 2)
	streams := []*sse{r.signedIn(t, sid(first), "notes"), r.signedIn(t, sid(first), "notes")}
	full := func(id string) {
		t.Helper()
		if got := r.outcome(t, sid(id), "notes"); !strings.HasPrefix(got, "end ") || strings.Contains(got, "without") {
			t.Errorf("one stream too many got %q, want an end after which it comes back", got)
		}
		header := sid(id)
		header.Set("Accept", "application/x-ndjson")
		if a := ask(t, http.MethodGet, r.streamURL("notes"), header); a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") == "" {
			t.Errorf("one stream too many got %d %v", a.status, a.header)
		}
	}
	full(first)
	streams = append(streams, r.signedIn(t, sid(second), "notes"))
	full(second)
	r.wantOutcome(t, "ready", sid(third), "notes")
	for _, s := range streams {
		s.wantAlive(t, db, 1)
		for _, other := range streams {
			if other != s {
				other.next(t)
			}
		}
	}
	streams[0].close()
	eventually(t, func() string { return differs(r.outcome(t, sid(second), "notes"), "ready") })

	from := func(header http.Header, ip string) http.Header {
		header.Set("X-Forwarded-For", ip)
		return header
	}
	for range 5 {
		r.wantOutcome(t, "401", from(sid(sessionID(t)), "192.0.2.1"), "notes")
	}
	a := ask(t, http.MethodGet, r.streamURL("notes"), http.Header{"Accept": {"text/event-stream"}, "Cookie": {"sid=" + sessionID(t)}, "X-Forwarded-For": {"192.0.2.1"}})
	if a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") == "" {
		t.Errorf("after five refusals: %d %v", a.status, a.header)
	}
	r.wantOutcome(t, "401", from(sid(sessionID(t)), "192.0.2.2"), "notes")
	r.wantOutcome(t, "ready", from(sid(third), "192.0.2.2"), "notes")
}
