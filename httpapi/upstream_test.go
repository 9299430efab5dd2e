package httpapi

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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

func TestUpstreamKeepsTrustedForwarding(t *testing.T) {
	a := app(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Header.Get("X-Forwarded-For")) })
	s := start(t, Options{Hub: newFakeHub(), Upstream: a.URL, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	if got := body(t, get(t, target(s, "/"), "X-Forwarded-For: 203.0.113.9")); got != "203.0.113.9, 127.0.0.1" {
		t.Errorf("X-Forwarded-For %q", got)
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
