package auth

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/walrelay/walrelay/filter"
)

// members is an application: who has the cookie NAME is user NAME.
type members struct {
	mu     sync.Mutex
	status int // 0: as it should be
	asked  int
}

func (m *members) RoundTrip(r *http.Request) (*http.Response, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	w := httptest.NewRecorder()
	cookie, err := r.Cookie("sid")
	switch {
	case m.status != 0:
		w.WriteHeader(m.status)
	case err != nil || cookie.Value == "nobody":
		w.WriteHeader(http.StatusUnauthorized)
	case cookie.Value == "banned":
		w.WriteHeader(http.StatusForbidden)
	default:
		w.Header().Set("Set-Cookie", "sid="+cookie.Value+"; Max-Age=60")
		w.Header().Set("X-User", cookie.Value)
		w.Header().Set("X-Roles", "a,b")
	}
	return w.Result(), nil
}

func (m *members) be(status int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.status = status
}

// askMembers is a world with an entry that asks an application before one that reads sessions.
func askMembers(t *testing.T, test func(t *testing.T, w *world, m *members)) {
	t.Helper()
	inWorld(t, func(o *Options) {
		e := Entry{Key: "auth.0", Forward: &ForwardEntry{URL: &url.URL{Scheme: "http", Host: "app:3000", Path: "/api/me"}, Cookies: []string{"sid"}, PassSetCookie: true,
			Claims: ClaimSource{Headers: map[string]string{"id": "X-User", "role": "X-Roles"}}, MaxStream: 10 * time.Minute}}
		o.Entries[0].Key = "auth.1"
		o.Entries = append([]Entry{e}, o.Entries...)
	}, func(t *testing.T, w *world) {
		m := &members{}
		w.entries[0].forward.client.Transport = m
		test(t, w, m)
	})
}

func TestSessionsOfAnApplication(t *testing.T) {
	t.Parallel()
	askMembers(t, func(t *testing.T, w *world, m *members) {
		reg := prometheus.NewPedanticRegistry()
		w.Register(reg)
		one, err := w.come("sid=ann")
		if err != nil || one.Claims().Anonymous() || one.MaxStream() != 10*time.Minute || len(one.SetCookies()) != 1 {
			t.Fatalf("%+v, %v", one, err)
		}
		st := w.attach(one)
		_, err = w.come("sid=nobody")
		wantError(t, err, ErrNoSession)
		_, err = w.come("sid=banned")
		wantError(t, err, ErrForbidden)
		m.be(404)
		if _, err = w.come("sid=ann"); outcomeOf(err) != "not ready" {
			t.Error(err)
		}
		if w.queries() != 0 || m.asked != 4 {
			t.Errorf("%d look-ups, %d questions", w.queries(), m.asked)
		}
		got := gathered(t, reg)
		for name, want := range map[string]float64{
			"walrelay_auth_accepted_total{entry=auth.0}": 1, "walrelay_auth_refused_total{entry=auth.0,reason=not_signed_in}": 2, "walrelay_auth_failed_total{entry=auth.0}": 1,
			"walrelay_auth_lookups_seconds{} count": 4, "walrelay_auth_lookup_errors_total{}": 1, "walrelay_auth_sessions{}": 1, "walrelay_auth_streams{}": 1,
		} {
			if got[name] != want {
				t.Errorf("%s is %v, want %v", name, got[name], want)
			}
		}
		st.is(t, "open")
		st.detach()
		if got := gathered(t, reg); got["walrelay_auth_streams{}"] != 0 || got["walrelay_auth_sessions{}"] != 0 {
			t.Errorf("%v streams, %v sessions are left", got["walrelay_auth_streams{}"], got["walrelay_auth_sessions{}"])
		}
	})
}

// Two users whom only claims tell apart are two users.
func TestLimitsOfAnApplicationsUsers(t *testing.T) {
	t.Parallel()
	askMembers(t, func(t *testing.T, w *world, _ *members) {
		for range 4 {
			w.enter("sid=ann")
		}
		one, err := w.come("sid=ann")
		if err != nil {
			t.Fatal(err)
		}
		var limit *LimitError
		if _, err := one.Attach(&fakeStream{}); !errors.As(err, &limit) || limit.Key != "per_session" {
			t.Errorf("a fifth stream: %v", err)
		}
		for range 4 {
			w.enter("sid=bob")
		}
	})
}

// A claim that is declared as a list now is read as a list now.
func TestReloadOfAnApplicationsClaims(t *testing.T) {
	t.Parallel()
	askMembers(t, func(t *testing.T, w *world, _ *members) {
		st := w.enter("sid=ann")
		list, err := filter.ParseType("text[]")
		if err != nil {
			t.Fatal(err)
		}
		w.SetDeclared([]filter.Claim{{Name: "id", Type: textType(t)}, {Name: "role", Type: list}})
		st.is(t, "claims_changed")
		w.enter("sid=ann").is(t, "open")
	})
}

// Tokens in the Authorization header, with keys that are fetched.
func TestSessionsOfBearerTokens(t *testing.T) {
	t.Parallel()
	one, two := newSigningKey(t, "one"), newSigningKey(t, "two")
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *Options) {
			o.Entries = []Entry{{Key: "auth.0", Session: &SessionEntry{Bearer: true, Decode: "jwt", Algorithms: []string{"EdDSA"}, Audience: []string{"app"},
				JWKS: &url.URL{Scheme: "https", Host: "issuer.example"}, User: "sub", MaxStream: time.Hour}}}
		})
		i := &issuer{keys: []signingKey{one}}
		w.sources[0].fetcher.client.Transport = i
		w.lookups = anyone{}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		bring := func(headers ...string) error {
			_, err := w.Resolve((&http.Request{Header: http.Header{"Authorization": headers}}).WithContext(t.Context()), Client{IP: "10.0.0.1"})
			return err
		}
		for what, c := range map[string]struct {
			headers []string
			want    string
		}{
			"a token": {[]string{"Bearer " + one.token(t)}, ""}, "nothing": {nil, "no session"}, "another scheme": {[]string{"Basic x"}, "no session"},
			"two": {[]string{"Bearer " + one.token(t), "Bearer " + one.token(t)}, "no session"}, "no token": {[]string{"Bearer x"}, "no session"},
			"a key that is not there yet": {[]string{"Bearer " + two.token(t)}, "not ready"},
		} {
			if what == "a key that is not there yet" {
				if err := bring("Bearer " + one.token(t)); err != nil { // the first fetch is over
					t.Error(err)
				}
			}
			if err := bring(c.headers...); outcomeOf(err) != c.want {
				t.Errorf("%s: %v, want %q", what, err, c.want)
			}
		}
		i.publish(0, two)
		time.Sleep(2 * keysPause)
		if err := bring("Bearer " + two.token(t)); err != nil {
			t.Errorf("the new key's token: %v", err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		w.Close()
	})
}

// anyone believes every payload.
type anyone struct{ lookups }

func (anyone) lookup(_ context.Context, _ *source, q question) (found, error) {
	user, _ := textOf(q.payload["sub"])
	return found{user: user, claims: []byte(`{"id":"` + user + `"}`)}, nil
}

// A client with a bad application's answer sees nothing of it.
func TestApplicationsAnswersAreNotShown(t *testing.T) {
	t.Parallel()
	askMembers(t, func(t *testing.T, w *world, _ *members) {
		w.entries[0].forward.client.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 418, Header: http.Header{"X": {"poison"}}, Body: io.NopCloser(strings.NewReader("poison"))}, nil
		})
		if _, err := w.come("sid=poison"); outcomeOf(err) != "not ready" || strings.Contains(err.Error(), "poison") {
			t.Error(err)
		}
	})
}
