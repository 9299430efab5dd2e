package httpapi

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/walrelay/walrelay/auth"
)

// app is an application behind walrelay.
func app(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	a := httptest.NewServer(h)
	t.Cleanup(a.Close)
	return a
}

func TestUpstream(t *testing.T) {
	var seen []string
	a := app(t, func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Method+" "+r.Host+" "+r.URL.String()+" "+r.Header.Get("Cookie")+" "+r.Header.Get("X-Forwarded-For"))
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Set-Cookie", "session=2")
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, "hello")
	})
	hub := newFakeHub()
	s := start(t, Options{Hub: hub, Upstream: a.URL})
	resp := send(t, http.DefaultClient, "POST", target(s, "/app/x?y=1"), "Host: shop.test", "Cookie: session=1", "X-Forwarded-For: 203.0.113.9")
	if got := body(t, resp); resp.StatusCode != http.StatusTeapot || got != "hello" || resp.Header.Get("Set-Cookie") != "session=2" {
		t.Errorf("status %d, %q, %v", resp.StatusCode, got, resp.Header)
	}
	if diff := cmp.Diff([]string{"POST shop.test /app/x?y=1 session=1 127.0.0.1"}, seen); diff != "" {
		t.Errorf("the app saw (-want +got):\n%s", diff)
	}
	get(t, target(s, "/events/orders"))
	<-hub.came
	if resp := send(t, http.DefaultClient, "POST", target(s, "/events/orders")); resp.StatusCode != 405 || len(seen) != 1 {
		t.Errorf("POST below the base path: status %d, the app saw %q", resp.StatusCode, seen)
	}
}

// TestUpstreamForwarding: the application is told what a trusted proxy says, and of others only
// what we see ourselves: its login asks whether it is reached by https.
func TestUpstreamForwarding(t *testing.T) {
	a := app(t, func(w http.ResponseWriter, r *http.Request) {
		h := r.Header
		fmt.Fprintf(w, "%s; %s; %s; %s; %q", h.Get("X-Forwarded-For"), h.Get("X-Forwarded-Proto"), h.Get("X-Forwarded-Host"), r.Host, h.Values("Forwarded"))
	})
	for _, tt := range []struct {
		name    string
		proxies []netip.Prefix
		want    string
	}{
		{"nobody is trusted", nil, "127.0.0.1; http; inner.test:80; inner.test:80; []"},
		{"a trusted proxy", []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, "203.0.113.9, 127.0.0.1; https; shop.test; inner.test:80; []"},
	} {
		s := start(t, Options{Hub: newFakeHub(), Upstream: a.URL, TrustedProxies: tt.proxies})
		got := body(t, get(t, target(s, "/"), "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: shop.test", "Forwarded: for=evil", "Host: inner.test:80"))
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestUpstreamLogin: a login through the proxy leaves the cookie, attributes and all, with the
// browser, and the application and the stream both get it.
func TestUpstreamLogin(t *testing.T) {
	const value = "s%3Aabc.def%2Bx%3D"
	set := []string{"connect.sid=" + value + "; Path=/; HttpOnly; SameSite=Lax", "theme=dark; Max-Age=60; Partitioned", "gone=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"}
	a := app(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/login" && r.Method == "POST":
			w.Header()["Set-Cookie"] = set
			http.Redirect(w, r, "/home?next=a;b", http.StatusSeeOther)
		default:
			fmt.Fprintf(w, "%s %s", r.URL.RequestURI(), r.Header.Get("Cookie"))
		}
	})
	hub, u := privateHub(), &fakeUser{}
	s := start(t, Options{Hub: hub, Upstream: a.URL})
	streamCookies := make(chan string, 2)
	s.resolve = func(r *http.Request, _ auth.Client) (user, error) {
		streamCookies <- r.Header.Get("Cookie")
		if r.Header.Get("Cookie") == "" {
			return nil, auth.ErrNoSession
		}
		return u, nil
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	var login []string
	browser := &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		login = r.Response.Header.Values("Set-Cookie")
		return nil
	}}
	if resp := send(t, browser, "GET", target(s, "/events/orders")); resp.StatusCode != 401 {
		t.Errorf("before the login: status %d", resp.StatusCode)
	}
	<-streamCookies
	got := body(t, send(t, browser, "POST", target(s, "/login")))
	if diff := cmp.Diff(set, login); diff != "" {
		t.Errorf("Set-Cookie (-want +got):\n%s", diff)
	}
	cookie := "connect.sid=" + value + "; theme=dark"
	if want := "/home?next=a;b " + cookie; got != want {
		t.Errorf("the app saw %s, want %s", got, want)
	}
	resp := send(t, browser, "GET", target(s, "/events/orders"))
	if got := <-streamCookies; resp.StatusCode != 200 || got != cookie {
		t.Errorf("after the login: status %d, cookie %q", resp.StatusCode, got)
	}
}

// TestUpstreamMalformed: an answer that cannot be read is not quoted.
func TestUpstreamMalformed(t *testing.T) {
	a := app(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nSet-Cookie session=SECRET\r\n\r\n")
	})
	log := newLogBuffer()
	s := start(t, Options{Hub: newFakeHub(), Upstream: a.URL, Logger: log.logger()})
	resp := get(t, target(s, "/"))
	if got := body(t, resp); resp.StatusCode != 502 || !strings.Contains(got, "its answer cannot be read") || strings.Contains(got+log.String(), "SECRET") {
		t.Errorf("status %d: %s\n%s", resp.StatusCode, got, log)
	}
}

func TestUpstreamDown(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	s := start(t, Options{Hub: newFakeHub(), Upstream: gone.URL})
	resp := get(t, target(s, "/<script>"))
	got := body(t, resp)
	if resp.StatusCode != 502 || !strings.Contains(got, "The app at") || !strings.Contains(got, gone.URL+"</a> is not answering") || !strings.Contains(got, "http.upstream") || strings.Contains(got, "<script>") {
		t.Errorf("status %d: %s", resp.StatusCode, got)
	}
}

// WebSockets pass both ways, and do not hold up the end of Serve.
func TestUpstreamWebSocket(t *testing.T) {
	a := app(t, func(w http.ResponseWriter, r *http.Request) {
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", r.Header.Get("Upgrade"))
		io.Copy(conn, buf) // an echo
	})
	s := newServer(t, Options{Hub: newFakeHub(), Upstream: a.URL, Listen: "127.0.0.1:0"})
	stop := run(t, s)
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /hmr HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 101 {
		t.Fatalf("upgrade: %v, %v", resp, err)
	}
	fmt.Fprintf(conn, "ping\n")
	if line, err := r.ReadString('\n'); line != "ping\n" {
		t.Errorf("echo %q, %v", line, err)
	}
	if err := stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := r.ReadByte(); err == nil {
		t.Error("the connection is still open")
	}
}
