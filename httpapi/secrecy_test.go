package httpapi

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/walrelay/walrelay/auth"
)

// secrets is everything of a request that nobody but the resolver may see.
var secrets = []string{"Cookie: session=SECRET1; other=SECRET2", "Authorization: Bearer SECRET3", "Last-Event-ID: SECRET4",
	"X-CSRF-Token: SECRET5", "Referer: http://app.example/?token=SECRET6", "Proxy-Authorization: Basic SECRET7"}

const secretQuery = "?channel=orders&token=SECRET8&last_event_id=SECRET9"

// TestNothingTellsSecrets: whatever becomes of a request, the log at level debug, metrics, profiles
// and answers have nothing of its headers and its query, nor of the cookies that are set.
func TestNothingTellsSecrets(t *testing.T) {
	log := newLogBuffer()
	a := app(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "session=SECRET10")
		if r.URL.Path == "/abort" {
			io.WriteString(w, "half of an answer")
			panic(http.ErrAbortHandler)
		}
	})
	hub, u := privateHub(), &fakeUser{cookies: []string{"session=SECRET11"}, over: "claims_changed"}
	s := start(t, Options{Hub: hub, Upstream: a.URL, Logger: log.logger(), H2C: true, Admin: AdminOptions{Listen: "127.0.0.1:0"}})
	var found error
	s.resolve = func(r *http.Request, _ auth.Client) (user, error) {
		if r.Header.Get("Cookie") == "" {
			t.Error("the resolver sees no cookie")
		}
		if found == errPanic {
			panic("a mistake of ours")
		}
		return u, found
	}
	var told strings.Builder
	ask := func(path string, headers ...string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "GET", target(s, path), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range append(headers, secrets...) {
			name, value, _ := strings.Cut(h, ": ")
			r.Header.Set(name, value)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil { // after a panic the connection is dropped
			return
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		fmt.Fprintln(&told, resp.StatusCode, string(text), err)
	}
	for _, found = range []error{nil, auth.ErrNoSession, auth.ErrForbidden, &auth.TooManyFailuresError{}, &auth.NotReadyError{Cause: errors.New("down")}, errors.New("other"), errPanic} {
		for _, accept := range []string{"text/event-stream", "application/json", "application/x-ndjson", "image/png"} {
			ask("/events"+secretQuery, "Accept: "+accept)
		}
	}
	found = nil
	u.limit = &auth.LimitError{Key: "per_user", Limit: 1}
	ask("/events" + secretQuery)
	u.limit = nil
	hub.fail(errors.New("broken"))
	ask("/events" + secretQuery)
	ask("/events"+secretQuery, "Sec-Fetch-Site: cross-site")
	ask("/events?%zz=SECRET12")
	ask("/page" + secretQuery)
	ask("/abort" + secretQuery)
	a.Close()
	ask("/page" + secretQuery)
	raw(t, s, "GET /events HTTP/1.1\r\nHost: x\r\nCookie session=SECRET13\r\n\r\n")
	raw(t, s, "GET /events?SECRET14 HTTP/9.9\r\nHost: x\r\nCookie: a=SECRET15\r\n\r\n")
	raw(t, s, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nSECRET16, which is no frame of HTTP/2")
	raw(t, s, "GET /events HTTP/1.1\r\nHost: x\r\nCookie: a="+strings.Repeat("SECRET17", 10<<10)+"\r\n\r\n")
	for _, path := range []string{"/metrics", "/debug/pprof/goroutine?debug=2", "/debug/pprof/cmdline", "/readyz"} {
		_, text, _ := adminGet(t, s, path)
		fmt.Fprintln(&told, text)
	}
	await(t, "log lines", func() bool { return strings.Count(log.String(), "msg=request") > 20 })
	for _, text := range []string{log.String(), strings.ReplaceAll(told.String(), `"last_event_id":"SECRET4"`, "")} { // a client's own
		if m := regexp.MustCompile(`.*SECRET.*`).FindString(text); m != "" {
			t.Errorf("told: %s", m)
		}
	}
	for _, want := range []string{
		`level=INFO msg="http server listens" public=127.0.0.1:`,
		`level=DEBUG msg=request method=GET path=/events proto=HTTP/1.1 client=127.0.0.1`,
		`level=DEBUG msg="stream ended" reason=claims_changed transport=sse channels=1 client=127.0.0.1`,
		`level=ERROR msg="request failed" cause=broken`,
		`level=ERROR msg="http server" message="http: panic serving`,
		`level=WARN msg="a limit is reached: clients are told to come back" limit="1 streams are open already (http.limits.per_user)"`,
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
}

var errPanic = errors.New("panic")

// raw sends bytes and waits for the end of the connection.
func raw(t *testing.T, s *Server, text string) {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Log(err) // it is refused before its end
	}
	io.Copy(io.Discard, conn)
}

// TestHeadersAreBounded: a request with more than 64 KiB of them is refused.
func TestHeadersAreBounded(t *testing.T) {
	s := start(t, Options{Hub: newFakeHub()})
	for size, want := range map[int]int{60 << 10: 200, 80 << 10: 431} {
		if resp := get(t, target(s, "/events/orders"), "Cookie: a="+strings.Repeat("x", size)); resp.StatusCode != want {
			t.Errorf("%d bytes: status %d, want %d", size, resp.StatusCode, want)
		}
	}
}
