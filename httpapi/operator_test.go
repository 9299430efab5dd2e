package httpapi

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/walrelay/walrelay/filter"
)

func operatorServer(t *testing.T, hub *fakeHub) *Server {
	declared := []filter.Claim{{Name: "id", Type: filter.Type{Class: filter.ClassNumber, Name: "bigint"}}}
	reloads := 0
	return start(t, Options{Hub: hub, AllowedOrigins: []string{"https://app.example"}, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Admin: AdminOptions{Listen: "127.0.0.1:0",
		ParseClaims: func(text []byte) (*filter.Claims, error) { return filter.ParseClaims(declared, text) },
		Reload: func(context.Context) (string, error) {
			if reloads++; reloads > 1 {
				return "", errors.New("walrelay.yaml:3:1: unknown key")
			}
			return "3 channels in force", nil
		}}})
}

// TestOperatorIsAnybody: only the admin listener takes claims from the query.
func TestOperatorIsAnybody(t *testing.T) {
	hub := newFakeHub()
	s := operatorServer(t, hub)
	as := "?as=" + url.QueryEscape(`{"id":42}`)
	for _, private := range []bool{false, true} {
		hub.private = private
		for _, test := range []struct {
			address, query string
			user           bool
		}{{s.AdminAddr().String(), as, true}, {s.AdminAddr().String(), "", false}, {s.Addr().String(), as, false}} {
			resp := get(t, "http://"+test.address+"/events/orders"+test.query)
			if private && !test.user {
				if resp.StatusCode != 401 {
					t.Errorf("%+v: status %d, want 401", test, resp.StatusCode)
				}
				continue
			}
			(<-hub.came).finish("test")
			if resp.StatusCode != 200 || !strings.Contains(body(t, resp), "event: ready") {
				t.Errorf("%+v: status %d", test, resp.StatusCode)
			}
			hub.mu.Lock()
			if r := hub.asked[len(hub.asked)-1]; (r.User != nil) != private {
				t.Errorf("%+v: private %v, user %v", test, private, r.User)
			}
			hub.mu.Unlock()
		}
	}
	for as, want := range map[string]string{`{"id":"x"}`: "claim id", `nonsense`: "as:"} {
		status, text, _ := adminGet(t, s, "/events/orders?as="+url.QueryEscape(as))
		if status != 400 || !strings.Contains(text, want) {
			t.Errorf("as %s: %d %s", as, status, text)
		}
	}
}

// TestOperatorIsAskedByAddress: a foreign page must not be anybody, under whatever name it
// reaches the listener.
func TestOperatorIsAskedByAddress(t *testing.T) {
	s := operatorServer(t, newFakeHub())
	for header, want := range map[[2]string]int{
		{"Host", "evil.example:9090"}:         http.StatusForbidden,
		{"Origin", "https://evil.example"}:    http.StatusForbidden,
		{"Origin", "https://app.example"}:     http.StatusForbidden, // may read what its user sees, not what others do
		{"Sec-Fetch-Site", "cross-site"}:      http.StatusForbidden,
		{"Accept", "application/octetstream"}: http.StatusNotAcceptable,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.AdminAddr().String()+"/events/orders", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(header[0], header[1])
		if header[0] == "Host" {
			r.Host = header[1]
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%v: status %d, want %d", header, resp.StatusCode, want)
		}
	}
}

func TestReload(t *testing.T) {
	s := operatorServer(t, newFakeHub())
	post := func() (int, string) {
		resp, err := http.Post("http://"+s.AdminAddr().String()+"/reload", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, body(t, resp)
	}
	if status, text := post(); status != 200 || !strings.Contains(text, "3 channels in force") {
		t.Errorf("%d %s", status, text)
	}
	if status, text := post(); status != 422 || !strings.Contains(text, "walrelay.yaml:3:1: unknown key") {
		t.Errorf("%d %s", status, text)
	}
	if status, _, _ := adminGet(t, s, "/reload"); status == 200 {
		t.Error("GET reloads")
	}
}
