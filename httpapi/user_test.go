package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walrelay/walrelay/auth"
	"github.com/walrelay/walrelay/channel"
	"github.com/walrelay/walrelay/filter"
)

// fakeUser has a session.
type fakeUser struct {
	maxStream time.Duration
	cookies   []string
	// limit is what Attach answers with.
	limit error
	// over: the session has ended before a stream is attached.
	over string

	mu      sync.Mutex
	streams map[auth.Stream]bool // attached now
	ever    int
}

func (u *fakeUser) Claims() auth.Claims      { return auth.Operator(&filter.Claims{}) }
func (u *fakeUser) MaxStream() time.Duration { return u.maxStream }
func (u *fakeUser) SetCookies() []string     { return u.cookies }

func (u *fakeUser) Attach(st auth.Stream) (func(), error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.limit != nil {
		return nil, u.limit
	}
	if u.over != "" {
		st.End(u.over)
	}
	if u.streams == nil {
		u.streams = map[auth.Stream]bool{}
	}
	u.ever++
	u.streams[st] = true
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.streams, st)
	}, nil
}

// attached is how many streams it has.
func (u *fakeUser) attached() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.streams)
}

// pause pauses what the session has attached.
func (u *fakeUser) pause(on bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for st := range u.streams {
		st.Pause(on)
	}
}

// end ends the session.
func (u *fakeUser) end(reason string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.over = reason
	for st := range u.streams {
		st.End(reason)
	}
}

// privateHub has channels for users only.
func privateHub() *fakeHub {
	hub := newFakeHub()
	hub.private = true
	return hub
}

// serverFor is one on which everybody is u.
func serverFor(t *testing.T, o Options, u *fakeUser) *Server {
	s := newServer(t, o)
	s.resolve = func(*http.Request, auth.Client) (user, error) { return u, nil }
	return s
}

// TestSessionEnds: what is queued when a session ends is not written, on any transport, and the
// stream is no longer the session's.
func TestSessionEnds(t *testing.T) {
	for _, reason := range []string{"signed_out", "claims_changed"} {
		for _, accept := range []string{"text/event-stream", "application/x-ndjson"} {
			synctest.Test(t, func(t *testing.T) {
				hub, u := privateHub(), &fakeUser{}
				s := serverFor(t, Options{Hub: hub}, u)
				w, leave := open(t, s, "/events/orders", "Accept: "+accept)
				if u.attached() != 1 || hub.asked[0].User == nil {
					t.Fatalf("%d streams attached, asked for %v", u.attached(), hub.asked)
				}
				w.take()
				hub.subs[0].Pause(true)
				hub.subs[0].push(insert("0/20.0.aaaaaa", `{"row":1}`))
				synctest.Wait()
				u.end(reason)
				synctest.Wait()
				leave()
				got := w.take()
				if strings.Contains(got, "insert") || !strings.Contains(got, `"reason":"`+reason+`"`) {
					t.Errorf("%s: %q", accept, got)
				}
				if u.attached() != 0 || ends(t, s, reason) != 1 {
					t.Errorf("%d streams attached, %v ends counted", u.attached(), ends(t, s, reason))
				}
			})
		}
	}
}

// TestSessionEndedBefore: a session that ends while its stream is being opened.
func TestSessionEndedBefore(t *testing.T) {
	for _, tt := range []struct {
		accept, reason string
		status         int
		body           string
	}{
		{"text/event-stream", "signed_out", 200, `{"reason":"signed_out"}`},
		{"application/x-ndjson", "signed_out", 200, `{"event":"end","reason":"signed_out","retry":1000}`},
		{"application/json", "signed_out", 401, `{"error":"unauthenticated",`},
		{"application/json", "claims_changed", 200, `{"events":[{"event":"end","reason":"claims_changed"}],"last_event_id":"0/8.0.aaaaaa"}`},
	} {
		synctest.Test(t, func(t *testing.T) {
			hub, u := privateHub(), &fakeUser{over: tt.reason, cookies: []string{"a=b"}}
			s := serverFor(t, Options{Hub: hub}, u)
			w, leave := open(t, s, "/events/orders", "Accept: "+tt.accept, "Last-Event-ID: 0/8.0.aaaaaa")
			leave()
			if got := w.take(); w.status != tt.status || !strings.Contains(got, tt.body) || strings.Contains(got, "ready") {
				t.Errorf("%s: %d %q, want %d %s", tt.accept, w.status, got, tt.status, tt.body)
			}
			if got := w.header.Get("WWW-Authenticate"); (got == "Session") != (tt.status == 401) {
				t.Errorf("WWW-Authenticate %q", got)
			}
			if got := w.header.Get("Set-Cookie"); (got == "") != (tt.status == 401) {
				t.Errorf("%d: Set-Cookie %q", w.status, got)
			}
			if u.attached() != 0 || !hub.subs[0].isClosed() {
				t.Error("the stream is left behind")
			}
		})
	}
}

// TestPollOfPausedSession: it waits until it is known whether its session goes on.
func TestPollOfPausedSession(t *testing.T) {
	for _, over := range []string{"", "claims_changed", "signed_out"} {
		synctest.Test(t, func(t *testing.T) {
			hub, u := privateHub(), &fakeUser{}
			s := serverFor(t, Options{Hub: hub}, u)
			hub.heldFor = time.Second // held from the start, until it is paused
			w, leave := open(t, s, "/events/orders?wait=3s", acceptJSON)
			sub := hub.subs[0]
			sub.Pause(true)
			sub.hold(false)
			if over != "claims_changed" {
				sub.Pause(false)
				sub.hold(true)
				sub.push(newRun(time.Time{}, channel.Event{Name: "reset", Data: []byte(`{"n":0}`)})) // and a snapshot on its way
				synctest.Wait()
				sub.Pause(true)
				sub.hold(false)
			}
			sub.push(insert("0/20.0.aaaaaa", `{"n":1}`))
			time.Sleep(20 * time.Second)
			synctest.Wait()
			if got := w.take(); got != "" {
				t.Fatalf("while paused: %s", got)
			}
			want, status := `{"events":[{"event":"reset","n":0},{"event":"insert","id":"0/20.0.aaaaaa","n":1}],"last_event_id":"0/10.0.aaaaaa"}`, 200
			switch over {
			case "":
				sub.Pause(false)
			case "claims_changed":
				u.end(over)
				want = `{"events":[{"event":"end","reason":"claims_changed"}],"last_event_id":"0/10.0.aaaaaa"}`
			default:
				u.end(over)
				want, status = `{"error":"unauthenticated",`, 401
			}
			synctest.Wait()
			leave()
			if got := w.take(); !strings.HasPrefix(got, want) || w.status != status {
				t.Errorf("%s: %d %s, want %d %s", over, w.status, got, status, want)
			}
		})
	}
}

// TestUserLimit: it passes, and nothing is left of the attempt.
func TestUserLimit(t *testing.T) {
	hub, u := privateHub(), &fakeUser{limit: &auth.LimitError{Key: "per_session", Limit: 16}}
	s := start(t, Options{Hub: hub, Limits: Limits{Connections: 1}})
	s.resolve = func(*http.Request, auth.Client) (user, error) { return u, nil }
	for range 3 { // a place that is not given back would give 503
		resp := get(t, target(s, "/events/orders"))
		checkEnd(t, body(t, resp), "limit", 5000, 30000)
		resp = get(t, target(s, "/events/orders"), acceptJSON)
		if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
			t.Errorf("status %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
		}
		checkError(t, resp, "limit", "http.limits.per_session")
	}
	for _, sub := range hub.subs {
		if !sub.isClosed() {
			t.Error("a subscription is left open")
		}
	}
	if n := metric(t, s, `walrelay_rejected_total{reason="limit"}`); n != 6 {
		t.Errorf("%v rejections counted", n)
	}
}

// TestPublicAsksNobody: who reads a public channel is not looked up.
func TestPublicAsksNobody(t *testing.T) {
	hub := newFakeHub()
	s := start(t, Options{Hub: hub})
	s.resolve = func(*http.Request, auth.Client) (user, error) { t.Error("asked"); return nil, auth.ErrNoSession }
	if resp := get(t, target(s, "/events/orders"), "Cookie: session=x"); resp.StatusCode != 200 {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// TestUserIsAskedLast: limits and the drain come before a look-up.
func TestUserIsAskedLast(t *testing.T) {
	hub, u := privateHub(), &fakeUser{}
	s := start(t, Options{Hub: hub, Limits: Limits{PerIP: 1}})
	var mu sync.Mutex
	asked := 0
	s.resolve = func(*http.Request, auth.Client) (user, error) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		return u, nil
	}
	get(t, target(s, "/events/orders"))
	get(t, target(s, "/events/orders"))
	s.streams.close()
	get(t, target(s, "/events/orders"))
	mu.Lock()
	defer mu.Unlock()
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

// TestSessionMaxStream: the shorter of the two times counts.
func TestSessionMaxStream(t *testing.T) {
	for _, tt := range []struct{ server, user, want time.Duration }{
		{0, 0, 0}, {time.Hour, 0, time.Hour}, {0, time.Hour, time.Hour}, {time.Hour, time.Minute, time.Minute}, {time.Minute, time.Hour, time.Minute},
	} {
		low, high := time.Duration(1<<62), time.Duration(0)
		for range 1000 {
			d := lifeOf(tt.server, &fakeUser{maxStream: tt.user})
			low, high = min(low, d), max(high, d)
		}
		if low < tt.want*9/10 || high > tt.want*11/10 || tt.want > 0 && (low > tt.want || high < tt.want) {
			t.Errorf("%v, %v: %v to %v", tt.server, tt.user, low, high)
		}
	}
	if lifeOf(0, nil) != 0 || lifeOf(time.Hour, nil) == 0 {
		t.Error("without a user")
	}
	synctest.Test(t, func(t *testing.T) {
		hub := privateHub()
		s := serverFor(t, Options{Hub: hub, Heartbeat: 100 * time.Hour}, &fakeUser{maxStream: 10 * time.Minute})
		w, leave := open(t, s, "/events/orders")
		w.take()
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		leave()
		checkEnd(t, w.take(), endRenew, 50, 500)
	})
}

// TestSetCookies: what the application sets reaches its own pages only, and comes with events only.
func TestSetCookies(t *testing.T) {
	cookies := []string{"session=2; Path=/; HttpOnly; SameSite=Lax", "csrf=3"}
	hub, u := privateHub(), &fakeUser{cookies: cookies}
	s := start(t, Options{Hub: hub, AllowedOrigins: []string{"https://app.example"}})
	s.resolve = func(*http.Request, auth.Client) (user, error) { return u, nil }
	for _, tt := range []struct {
		headers []string
		want    []string
	}{
		{nil, cookies},
		{[]string{"Sec-Fetch-Site: same-origin"}, cookies},
		{[]string{"Accept: application/x-ndjson"}, cookies},
		{[]string{"Origin: https://app.example"}, nil},
		{[]string{"Origin: https://app.example", "Sec-Fetch-Site: same-site"}, nil},
	} {
		resp := get(t, target(s, "/events/orders"), tt.headers...)
		if diff := cmp.Diff(tt.want, resp.Header.Values("Set-Cookie")); diff != "" || resp.StatusCode != 200 {
			t.Errorf("%q: status %d (-want +got):\n%s", tt.headers, resp.StatusCode, diff)
		}
	}
	u.mu.Lock()
	u.limit = &auth.LimitError{Key: "per_user", Limit: 1}
	u.mu.Unlock()
	for _, accept := range []string{"text/event-stream", "application/json"} {
		if got := get(t, target(s, "/events/orders"), "Accept: "+accept).Header.Values("Set-Cookie"); len(got) > 0 {
			t.Errorf("%s: Set-Cookie %q", accept, got)
		}
	}
}

// TestClient: what a resolver is told of the client is what the connection has, or a trusted proxy says.
func TestClient(t *testing.T) {
	forwarded := []string{"X-Forwarded-For: 198.51.100.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: Shop.example:8443", "Host: inner:80"}
	for _, tt := range []struct {
		name    string
		proxies []netip.Prefix
		headers []string
		want    auth.Client
	}{
		{"nobody is trusted", nil, forwarded, auth.Client{IP: "127.0.0.1", Scheme: "http", Host: "inner:80"}},
		{"a trusted proxy", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, forwarded, auth.Client{IP: "198.51.100.1", Scheme: "https", Host: "shop.example:8443"}},
		{"nonsense", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, []string{"X-Forwarded-Proto: gopher", "X-Forwarded-Host: a b", "Host: inner"}, auth.Client{IP: "127.0.0.1", Scheme: "http", Host: "inner"}},
	} {
		s := start(t, Options{Hub: privateHub(), TrustedProxies: tt.proxies})
		var got auth.Client
		s.resolve = func(_ *http.Request, c auth.Client) (user, error) { got = c; return nil, auth.ErrNoSession }
		if resp := get(t, target(s, "/events/orders"), tt.headers...); resp.StatusCode != 401 {
			t.Errorf("%s: status %d", tt.name, resp.StatusCode)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestErrorsOfUsersCarryCORS: a page of a listed origin may read every refusal, any other page none.
func TestErrorsOfUsersCarryCORS(t *testing.T) {
	const listed = "https://app.example"
	for _, tt := range []struct {
		err    error
		accept string
		status int
	}{
		{auth.ErrNoSession, "text/event-stream", 401},
		{auth.ErrForbidden, "text/event-stream", 403},
		{&auth.TooManyFailuresError{Wait: time.Second}, "text/event-stream", 429},
		{&auth.NotReadyError{Cause: errors.New("down")}, "text/event-stream", 200},
		{&auth.NotReadyError{Cause: errors.New("down")}, "application/json", 503},
	} {
		s := start(t, Options{Hub: privateHub(), AllowedOrigins: []string{listed}, Resolver: fakeResolver{tt.err}})
		for origin, site := range map[string]string{listed: "cross-site", "https://evil.example": "cross-site", "http://own": "same-origin", "null": "cross-site"} {
			resp := get(t, target(s, "/events/orders"), "Accept: "+tt.accept, "Origin: "+origin, "Sec-Fetch-Site: "+site)
			status, acao, creds, expose := tt.status, "", "", ""
			switch {
			case origin == listed:
				acao, creds, expose = listed, "true", "Retry-After"
			case site == "cross-site":
				status = 403
			}
			if resp.StatusCode != status || resp.Header.Get("Access-Control-Allow-Origin") != acao || resp.Header.Get("Access-Control-Allow-Credentials") != creds ||
				resp.Header.Get("Access-Control-Expose-Headers") != expose {
				t.Errorf("%v from %s: status %d, want %d, %v", tt.err, origin, resp.StatusCode, status, resp.Header)
			}
			if resp.Header.Get("Vary") != "Origin, Cookie, Authorization" {
				t.Errorf("Vary %q", resp.Header.Get("Vary"))
			}
		}
	}
}

// TestDrainInterruptsLookups: a look-up that hangs does not hold up the end, and its client comes back.
func TestDrainInterruptsLookups(t *testing.T) {
	s := newServer(t, Options{Hub: privateHub(), Listen: "127.0.0.1:0", ShutdownTimeout: time.Hour})
	asked := make(chan struct{})
	s.resolve = func(r *http.Request, _ auth.Client) (user, error) {
		close(asked)
		<-r.Context().Done()
		return nil, fmt.Errorf("look up: %w", r.Context().Err())
	}
	stop := run(t, s)
	answer := make(chan *http.Response)
	go func() { answer <- get(t, target(s, "/events/orders")) }()
	<-asked
	stopped := make(chan error)
	go func() { stopped <- stop() }()
	checkEnd(t, body(t, <-answer), "draining", 500, 5000)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// TestClientLeavesLookup: nobody is counted or told when a client does not wait for its look-up.
func TestClientLeavesLookup(t *testing.T) {
	log := newLogBuffer()
	s := start(t, Options{Hub: privateHub(), Logger: log.logger()})
	asked := make(chan struct{})
	s.resolve = func(r *http.Request, _ auth.Client) (user, error) {
		close(asked)
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	r, err := http.NewRequestWithContext(ctx, "GET", target(s, "/events/orders"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.DefaultClient.Do(r); err == nil {
		resp.Body.Close()
		t.Error("it was answered")
	}
	await(t, "the request to end", func() bool { return strings.Contains(log.String(), "msg=request") })
	if text := metricsText(t, s); strings.Contains(text, "walrelay_rejected_total{") || strings.Contains(log.String(), "level=WARN") {
		t.Errorf("it was counted or logged:\n%s", log)
	}
}

// TestTroubleIsLoggedOnce: with sessions out of reach every request fails, for the same cause.
func TestTroubleIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLogBuffer()
		cause := errors.New("connection refused")
		s := newServer(t, Options{Hub: privateHub(), Logger: log.logger()})
		s.resolve = func(*http.Request, auth.Client) (user, error) { return nil, &auth.NotReadyError{Cause: cause} }
		many := func() {
			for range 100 {
				_, leave := open(t, s, "/events/orders")
				leave()
			}
		}
		many()
		cause = errors.New("too many clients already")
		many()
		time.Sleep(quietTime)
		many()
		for line, want := range map[string]int{
			`msg="it cannot be found out who is signed in: clients are told to come back" cause="connection refused"` + "\n":                     1,
			`msg="it cannot be found out who is signed in: clients are told to come back" cause="too many clients already"` + "\n":               1,
			`msg="it cannot be found out who is signed in: clients are told to come back" cause="too many clients already" not_logged=99` + "\n": 1,
			"level=WARN": 3, "level=ERROR": 0,
		} {
			if got := strings.Count(log.String(), line); got != want {
				t.Errorf("%d times %s", got, line)
			}
		}
	})
}

// TestQuietIsBounded: causes that are never the same take neither memory nor the log.
func TestQuietIsBounded(t *testing.T) {
	var q quiet
	now := time.Unix(0, 0)
	lines := 0
	for i := range 10000 {
		if _, ok := q.due(fmt.Sprint("port ", i), now); ok {
			lines++
		}
	}
	if lines > maxCauses+1 || len(q.told) > maxCauses+1 {
		t.Errorf("%d lines, %d causes are kept", lines, len(q.told))
	}
	if _, ok := q.due("another", now.Add(quietTime)); !ok || len(q.told) > 2 {
		t.Errorf("later: told %v, %d causes are kept", ok, len(q.told))
	}
}

var _ Subscriber = (*channel.Subscriber)(nil)

// stuckWriter holds the first write with an insert until it is let go.
type stuckWriter struct {
	*memWriter
	stuck, free chan struct{}
	once        sync.Once
}

func (w *stuckWriter) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "insert") {
		w.once.Do(func() { close(w.stuck); <-w.free })
	}
	return w.memWriter.Write(p)
}

// TestEndWhileWriting: what is being written to a slow client when its session ends is finished,
// so that the client gets whole events; what would come behind it is not begun.
func TestEndWhileWriting(t *testing.T) {
	for _, tt := range []struct {
		accept       string
		size, events int
	}{{"text/event-stream", sliceSize, 1}, {"text/event-stream", 10, 3}, {"application/x-ndjson", gatherSize, 1}} {
		synctest.Test(t, func(t *testing.T) {
			hub, u := privateHub(), &fakeUser{}
			hub.first = []*channel.Run{readyRun}
			for n := range 3 {
				hub.first = append(hub.first, insert(fmt.Sprintf("0/20.%d.aaaaaa", n), `{"row":"`+strings.Repeat("x", tt.size)+`"}`))
			}
			s := serverFor(t, Options{Hub: hub}, u)
			w := &stuckWriter{memWriter: newMemWriter(), stuck: make(chan struct{}), free: make(chan struct{})}
			r := httptest.NewRequestWithContext(t.Context(), "GET", "/events/orders", nil)
			r.Header.Set("Accept", tt.accept)
			done := make(chan struct{})
			go func() { defer close(done); s.public.Handler.ServeHTTP(w, r) }()
			<-w.stuck
			u.end("signed_out")
			close(w.free)
			<-done
			got := w.take()
			if n := strings.Count(got, `"row":`); n != tt.events || strings.Count(got, "x") != tt.events*tt.size || !strings.Contains(got, `"reason":"signed_out"`) {
				t.Errorf("%s, rows of %d bytes: %d rows, and the end %q", tt.accept, tt.size, n, got[max(0, len(got)-100):])
			}
			if n := metric(t, s, fmt.Sprintf("walrelay_events_written_total{transport=%q}", map[bool]string{true: "sse", false: "ndjson"}[tt.accept == "text/event-stream"])); n != float64(tt.events+1) {
				t.Errorf("%s: %v events counted, want %d", tt.accept, n, tt.events+1)
			}
		})
	}
}
