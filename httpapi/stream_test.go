package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walrelay/walrelay/auth"
	"github.com/walrelay/walrelay/channel"
)

func TestStreamOverTCP(t *testing.T) {
	hub := newFakeHub()
	s := start(t, Options{Hub: hub})
	resp := get(t, target(s, "/events/order/7?channel=orders"), "Last-Event-ID: 0/10.3.k7x2mq")
	sub := <-hub.came
	if resp.StatusCode != 200 {
		t.Fatalf("status %d", resp.StatusCode)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no", "Vary": "Origin, Cookie, Authorization",
		"Content-Encoding": "", "Access-Control-Allow-Origin": "",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if diff := cmp.Diff([]channel.Request{{Channels: []string{"order/7", "orders"}, LastEventID: "0/10.3.k7x2mq"}}, hub.asked); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	events := newReader(resp)
	if got := events.block(t); !strings.HasPrefix(got, "retry: ") {
		t.Errorf("first block %q", got)
	}
	if got := events.block(t); !strings.HasPrefix(got, "event: ready\n") {
		t.Errorf("second block %q", got)
	}
	for i := range 3 {
		r := insert(fmt.Sprintf("0/20.%d.aaaaaa", i), `{"row":{}}`)
		sub.push(r)
		if got := events.block(t) + "\n"; got != string(r.Bytes) {
			t.Errorf("event %q, want %q", got, r.Bytes)
		}
	}
	sub.finish("gap")
	checkEnd(t, events.rest(t), "gap", 1600, 2400)
	await(t, "subscriber closed", sub.isClosed)
}

func TestClientLeaves(t *testing.T) {
	hub := newFakeHub()
	s := start(t, Options{Hub: hub})
	resp := get(t, target(s, "/events/orders"))
	sub := <-hub.came
	newReader(resp).block(t)
	resp.Body.Close()
	await(t, "subscriber closed", sub.isClosed)
}

// fakeResolver answers with an error.
type fakeResolver struct{ err error }

func (f fakeResolver) Resolve(*http.Request, auth.Client) (*auth.Session, error) { return nil, f.err }

// final answers are the same for every transport.
func TestFinalAnswers(t *testing.T) {
	tests := []struct {
		name, method, path string
		headers            []string
		hub, resolver      error
		status             int
		code, says         string
	}{
		{name: "unknown channel", path: "/events/nope", hub: &channel.UnknownChannelError{Channel: "nope"}, status: 404, code: "unknown_channel", says: `no channel "nope"`},
		{name: "bad parameter", path: "/events/order/x", hub: &channel.ParamError{Channel: "order/x", Param: "order_id", Reason: `"x" is not a bigint`}, status: 400, code: "bad_parameter", says: "order_id"},
		{name: "no channel", path: "/events", status: 400, code: "no_channel", says: "/events?channel="},
		{name: "too many channels", path: "/events?channel=a&channel=b&channel=c", status: 400, code: "too_many_channels", says: "http.limits.channels"},
		{name: "origin", path: "/events/orders", headers: []string{"Origin: https://evil.example", "Sec-Fetch-Site: cross-site"}, status: 403, code: "origin_refused", says: "http.allowed_origins"},
		{name: "no session", path: "/events/orders", resolver: auth.ErrNoSession, status: 401, code: "unauthenticated", says: "sign in"},
		{name: "refused by the application", path: "/events/orders", resolver: fmt.Errorf("ask: %w", auth.ErrForbidden), status: 403, code: "forbidden", says: "the application refuses"},
		{name: "too many failures", path: "/events/orders", resolver: &auth.TooManyFailuresError{Wait: 6100 * time.Millisecond}, status: 429, code: "too_many_failures", says: "too many refused sessions"},
		{name: "transport", path: "/events/orders", headers: []string{"Accept: image/png"}, status: 406, code: "not_acceptable", says: "text/event-stream"},
		{name: "post", method: "POST", path: "/events/orders", status: 405, code: "method_not_allowed", says: "GET"},
		{name: "post to the base path", method: "POST", path: "/events?channel=orders", status: 405, code: "method_not_allowed", says: "GET"},
		{name: "head", method: "HEAD", path: "/events/orders", status: 405},
		{name: "own method", method: "PURGE", path: "/events", status: 405, code: "method_not_allowed"},
		{name: "odd spelling of the path", method: "POST", path: "/%65vents/orders", status: 405, code: "method_not_allowed"},
		{name: "elsewhere", path: "/eventsnot", status: 404, code: "not_found", says: "/events"},
		{name: "root", path: "/", status: 404, code: "not_found", says: "/events"},
		{name: "metrics are not public", path: "/metrics", status: 404, code: "not_found"},
		{name: "profiles are not public", path: "/debug/pprof/", status: 404, code: "not_found"},
		{name: "health is not public", path: "/readyz", status: 404, code: "not_found"},
	}
	for _, accept := range []string{"text/event-stream", "application/json"} {
		for _, tt := range tests {
			t.Run(tt.name+" "+accept, func(t *testing.T) {
				hub := newFakeHub()
				hub.err, hub.private = tt.hub, tt.resolver != nil
				s := start(t, Options{Hub: hub, Resolver: fakeResolver{tt.resolver}, Limits: Limits{Channels: 2}})
				method := "GET"
				if tt.method != "" {
					method = tt.method
				}
				headers := tt.headers
				if len(headers) == 0 {
					headers = []string{"Accept: " + accept}
				}
				resp := send(t, http.DefaultClient, method, target(s, tt.path), headers...)
				if resp.StatusCode != tt.status {
					t.Errorf("status %d, want %d", resp.StatusCode, tt.status)
				}
				if got := resp.Header.Get("Cache-Control"); got != "no-store" {
					t.Errorf("Cache-Control %q", got)
				}
				if tt.status == 405 && resp.Header.Get("Allow") != "GET, OPTIONS" {
					t.Errorf("Allow %q", resp.Header.Get("Allow"))
				}
				if tt.status == 401 && resp.Header.Get("WWW-Authenticate") != "Session" {
					t.Errorf("WWW-Authenticate %q", resp.Header.Get("WWW-Authenticate"))
				}
				if wait := resp.Header.Get("Retry-After"); (wait == "7") != (tt.status == 429) {
					t.Errorf("Retry-After %q", wait)
				}
				if tt.code != "" {
					checkError(t, resp, tt.code, tt.says)
					if got := metric(t, s, `walrelay_rejected_total{reason="`+tt.code+`"}`); got != 1 {
						t.Errorf("%v rejections counted", got)
					}
				}
			})
		}
	}
}

func checkError(t *testing.T, resp *http.Response, code, says string) {
	t.Helper()
	var got struct{ Error, Message string }
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.Error != code || !strings.Contains(got.Message, says) || got.Message == "" {
		t.Errorf("error %+v, want %s that says %q", got, code, says)
	}
	if ct := resp.Header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("Content-Type %q", ct)
	}
}

// Trouble that passes brings an EventSource back, and tells others when to come.
func TestTransientAnswers(t *testing.T) {
	tests := []struct {
		name          string
		hub, resolver error
		limits        Limits
		status        int
		reason        string
		min, max      int // ms
	}{
		{name: "starting", hub: channel.ErrStarting, status: 503, reason: "starting", min: 500, max: 5000},
		{name: "hub drains", hub: fmt.Errorf("subscribe: %w", channel.ErrDraining), status: 503, reason: "draining", min: 500, max: 5000},
		{name: "anything else", hub: errors.New("disk on fire"), status: 500, reason: "internal", min: 5000, max: 30000},
		{name: "sessions cannot be read", resolver: &auth.NotReadyError{Cause: errors.New("no route to host")}, status: 503, reason: "unavailable", min: 5000, max: 30000},
		{name: "some other trouble with sessions", resolver: context.DeadlineExceeded, status: 503, reason: "unavailable", min: 5000, max: 30000},
		{name: "too many connections", limits: Limits{Connections: 1}, status: 503, reason: "limit", min: 5000, max: 30000},
		{name: "too many of one address", limits: Limits{PerIP: 1}, status: 429, reason: "limit", min: 5000, max: 30000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			hub := newFakeHub()
			hub.private = tt.resolver != nil
			s := start(t, Options{Hub: hub, Resolver: fakeResolver{tt.resolver}, Limits: tt.limits})
			if tt.limits != (Limits{}) {
				get(t, target(s, "/events/orders"))
			}
			hub.fail(tt.hub)
			resp := get(t, target(s, "/events/orders"))
			if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
				t.Errorf("event stream: status %d, header %v", resp.StatusCode, resp.Header)
			}
			checkEnd(t, body(t, resp), tt.reason, tt.min, tt.max)
			for _, accept := range []string{"application/json", "application/x-ndjson"} {
				resp := get(t, target(s, "/events/orders"), "Accept: "+accept)
				if resp.StatusCode != tt.status {
					t.Errorf("%s: status %d, want %d", accept, resp.StatusCode, tt.status)
				}
				if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || n < max(1, tt.min/1000) || n > tt.max/1000 {
					t.Errorf("%s: Retry-After %q", accept, resp.Header.Get("Retry-After"))
				}
				checkError(t, resp, tt.reason, "")
			}
		})
	}
}

func TestMessagesAreBounded(t *testing.T) {
	hub := newFakeHub()
	long := strings.Repeat("x", 5000)
	hub.err = &channel.UnknownChannelError{Channel: long}
	s := start(t, Options{Hub: hub})
	if got := body(t, get(t, target(s, "/events/"+long))); len(got) > 600 {
		t.Errorf("answer of %d bytes", len(got))
	}
}
