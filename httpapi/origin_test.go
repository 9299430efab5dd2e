package httpapi

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func TestOriginRules(t *testing.T) {
	const listed = "https://app.example.com"
	tests := []struct {
		name    string
		headers []string
		tls     bool
		peer    string // default 192.0.2.1
		ok      bool
		acao    string
	}{
		{name: "no browser", ok: true},
		{name: "same origin", headers: []string{"Sec-Fetch-Site: same-origin"}, ok: true},
		{name: "typed into the address bar", headers: []string{"Sec-Fetch-Site: none"}, ok: true},
		{name: "cross site, listed", headers: []string{"Sec-Fetch-Site: cross-site", "Origin: " + listed}, ok: true, acao: listed},
		{name: "same site, listed", headers: []string{"Sec-Fetch-Site: same-site", "Origin: " + listed}, ok: true, acao: listed},
		{name: "same origin, listed", headers: []string{"Sec-Fetch-Site: same-origin", "Origin: " + listed}, ok: true, acao: listed},
		{name: "cross site, not listed", headers: []string{"Sec-Fetch-Site: cross-site", "Origin: https://evil.example"}},
		{name: "same site, not listed", headers: []string{"Sec-Fetch-Site: same-site", "Origin: https://other.example.com"}},
		{name: "cross site without origin", headers: []string{"Sec-Fetch-Site: cross-site"}},
		{name: "unknown fetch site", headers: []string{"Sec-Fetch-Site: same-planet"}},
		{name: "cross site that claims our host", headers: []string{"Sec-Fetch-Site: cross-site", "Origin: http://walrelay.test"}},

		{name: "old browser, listed", headers: []string{"Origin: " + listed}, ok: true, acao: listed},
		{name: "old browser, own", headers: []string{"Origin: http://walrelay.test"}, ok: true},
		{name: "old browser, own with default port in Host", headers: []string{"Host: walrelay.test:80", "Origin: http://walrelay.test"}, ok: true},
		{name: "old browser, own over TLS", tls: true, headers: []string{"Origin: https://walrelay.test"}, ok: true},
		{name: "old browser, other scheme", headers: []string{"Origin: https://walrelay.test"}},
		{name: "old browser, other port", headers: []string{"Origin: http://walrelay.test:8080"}},
		{name: "old browser, not listed", headers: []string{"Origin: https://evil.example"}},
		{name: "null", headers: []string{"Origin: null"}},
		{name: "null that a browser vouches for", headers: []string{"Sec-Fetch-Site: same-origin", "Origin: null"}},
		{name: "suffix", headers: []string{"Origin: https://evil-app.example.com"}},
		{name: "prefix", headers: []string{"Origin: https://app.example.com.evil.example"}},
		{name: "upper case is not exact", headers: []string{"Origin: https://APP.example.com"}},
		{name: "trailing slash is not exact", headers: []string{"Origin: https://app.example.com/"}},

		{name: "own behind a trusted proxy", peer: "10.0.0.1:1", headers: []string{"Host: 10.0.0.9:8080", "X-Forwarded-Proto: https", "X-Forwarded-Host: shop.example", "Origin: https://shop.example"}, ok: true},
		{name: "own behind a chain", peer: "10.0.0.1:1", headers: []string{"X-Forwarded-Proto: https, http", "Origin: https://walrelay.test"}, ok: true},
		{name: "forwarded nonsense", peer: "10.0.0.1:1", headers: []string{"X-Forwarded-Proto: ftp", "X-Forwarded-Host: evil.example/", "Origin: http://walrelay.test"}, ok: true},
		{name: "forwarded by anybody", headers: []string{"X-Forwarded-Proto: https", "X-Forwarded-Host: evil.example", "Origin: https://evil.example"}},
	}
	o := &origins{allowed: []string{"https://other.example", listed}, proxies: proxies{netip.MustParsePrefix("10.0.0.0/24")}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "http://walrelay.test/events/orders", nil)
			r.TLS = nil
			if tt.tls {
				r.TLS = &tls.ConnectionState{}
			}
			if tt.peer != "" {
				r.RemoteAddr = tt.peer
			}
			for _, h := range tt.headers {
				name, value, _ := strings.Cut(h, ": ")
				if name == "Host" {
					r.Host = value
				}
				r.Header.Set(name, value)
			}
			h := http.Header{}
			err := o.admit(r, h)
			if (err == nil) != tt.ok {
				t.Fatalf("admit: %v, want ok %v", err, tt.ok)
			}
			if got := h.Get("Access-Control-Allow-Origin"); got != tt.acao {
				t.Errorf("Access-Control-Allow-Origin %q, want %q", got, tt.acao)
			}
			if got := h.Get("Access-Control-Allow-Credentials"); (got == "true") != (tt.acao != "") {
				t.Errorf("Access-Control-Allow-Credentials %q", got)
			}
			if got := h.Get("Vary"); got != "Origin, Cookie, Authorization" {
				t.Errorf("Vary %q", got)
			}
		})
	}
}

func TestPreflight(t *testing.T) {
	tests := []struct {
		name    string
		headers []string
		status  int
		want    map[string]string
	}{
		{"listed", []string{"Origin: https://app.example.com", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization"}, 204, map[string]string{
			"Access-Control-Allow-Origin": "https://app.example.com", "Access-Control-Allow-Credentials": "true", "Access-Control-Allow-Methods": "GET",
			"Access-Control-Allow-Headers": "authorization, last-event-id", "Access-Control-Max-Age": "600", "Vary": "Origin, Cookie, Authorization"}},
		{"not listed", []string{"Origin: https://evil.example", "Sec-Fetch-Site: cross-site", "Access-Control-Request-Method: GET"}, 403, map[string]string{
			"Access-Control-Allow-Origin": "", "Access-Control-Allow-Headers": "", "Vary": "Origin, Cookie, Authorization"}},
		{"no browser", nil, 204, map[string]string{"Allow": "GET, OPTIONS", "Access-Control-Allow-Origin": "", "Access-Control-Allow-Methods": ""}},
	}
	s := start(t, Options{Hub: newFakeHub(), AllowedOrigins: []string{"https://app.example.com"}})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp := send(t, http.DefaultClient, "OPTIONS", target(s, "/events/orders"), tt.headers...)
			if resp.StatusCode != tt.status {
				t.Errorf("status %d, want %d", resp.StatusCode, tt.status)
			}
			for name, want := range tt.want {
				if got := resp.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
		})
	}
}

// A page on a listed origin must be able to read why it was refused.
func TestErrorsCarryCORS(t *testing.T) {
	s := start(t, Options{Hub: newFakeHub(), AllowedOrigins: []string{"https://app.example.com"}})
	resp := get(t, target(s, "/events"), "Origin: https://app.example.com", "Sec-Fetch-Site: cross-site")
	if resp.StatusCode != 400 || resp.Header.Get("Access-Control-Allow-Origin") != "https://app.example.com" {
		t.Errorf("status %d, header %v", resp.StatusCode, resp.Header)
	}
}

func TestClientIP(t *testing.T) {
	tests := []struct{ name, peer, xff, want string }{
		{"direct", "192.0.2.1:1", "", "192.0.2.1"},
		{"forged by a client", "192.0.2.1:1", "198.51.100.1", "192.0.2.1"},
		{"through a proxy", "10.0.0.1:1", "198.51.100.1", "198.51.100.1"},
		{"forged through a proxy", "10.0.0.1:1", "203.0.113.9, 198.51.100.1", "198.51.100.1"},
		{"through two proxies", "10.0.0.1:1", "198.51.100.1, 10.0.0.2", "198.51.100.1"},
		{"garbage before the client", "10.0.0.1:1", "garbage, 198.51.100.1", "198.51.100.1"},
		{"proxy that says nothing", "10.0.0.1:1", "", "10.0.0.1"},
		{"private peers are not trusted by themselves", "10.9.9.9:1", "198.51.100.1", "10.9.9.9"},
		{"loopback is not trusted by itself", "127.0.0.1:1", "198.51.100.1", "127.0.0.1"},
		{"IPv6 proxy", "[2001:db8::1]:1", "2001:db8:1::5", "2001:db8:1::5"},
	}
	extract := proxies{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("2001:db8::1/128")}.extractIP()
	for _, tt := range tests {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = tt.peer
		if tt.xff != "" {
			r.Header.Set("X-Forwarded-For", tt.xff)
		}
		if got := extract(r); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestCheckOrigin(t *testing.T) {
	for _, ok := range []string{"https://app.example.com", "http://localhost:3000", "https://xn--bcher-kva.example"} {
		if err := checkOrigin(ok); err != nil {
			t.Errorf("%s: %v", ok, err)
		}
	}
	for _, bad := range []string{"*", "null", "", "app.example.com", "https://", "https://app.example.com/", "https://*.example.com", "https://App.example.com", "https://u@app.example.com", "https://app.example.com?x"} {
		if checkOrigin(bad) == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
