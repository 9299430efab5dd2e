package httpapi

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseAsk(t *testing.T) {
	tests := []struct {
		name, target string
		headers      []string
		channels     []string
		id           string
		wait         time.Duration
		code         string // of the refusal, empty for none
	}{
		{name: "path", target: "/events/orders", channels: []string{"orders"}},
		{name: "slashes in the name", target: "/events/order/7", channels: []string{"order/7"}},
		{name: "escaped slash", target: "/events/order%2F7", channels: []string{"order/7"}},
		{name: "escaped text", target: "/events/a%20b", channels: []string{"a b"}},
		{name: "query", target: "/events?channel=orders&channel=order/7", channels: []string{"orders", "order/7"}},
		{name: "query behind a slash", target: "/events/?channel=orders", channels: []string{"orders"}},
		{name: "path and query, each once", target: "/events/a?channel=b&channel=a", channels: []string{"a", "b"}},
		{name: "most channels", target: "/events?channel=a&channel=b&channel=c", channels: []string{"a", "b", "c"}},
		{name: "no channel", target: "/events", code: "no_channel"},
		{name: "empty channel", target: "/events?channel=", code: "no_channel"},
		{name: "too many channels", target: "/events?channel=a&channel=b&channel=c&channel=d", code: "too_many_channels"},
		{name: "malformed query", target: "/events/a?last_event_id=%zz", code: "bad_request"},

		{name: "id header", target: "/events/a", headers: []string{"Last-Event-ID: 0/10.3.k7x2mq"}, id: "0/10.3.k7x2mq", channels: []string{"a"}},
		{name: "id query", target: "/events/a?last_event_id=0/10", id: "0/10", channels: []string{"a"}},
		{name: "id query, camel case", target: "/events/a?lastEventId=0/10", id: "0/10", channels: []string{"a"}},
		{name: "header wins", target: "/events/a?last_event_id=0/10&lastEventId=0/11", headers: []string{"Last-Event-ID: 0/12"}, id: "0/12", channels: []string{"a"}},
		{name: "snake case wins", target: "/events/a?lastEventId=0/11&last_event_id=0/10", id: "0/10", channels: []string{"a"}},
		{name: "empty ids are none", target: "/events/a?last_event_id=&lastEventId=0/11", headers: []string{"Last-Event-ID: "}, id: "0/11", channels: []string{"a"}},
		{name: "malformed id is passed on", target: "/events/a?last_event_id=banana", id: "banana", channels: []string{"a"}},
		{name: "longest id", target: "/events/a?last_event_id=" + strings.Repeat("a", 256), id: strings.Repeat("a", 256), channels: []string{"a"}},
		{name: "id too long", target: "/events/a?last_event_id=" + strings.Repeat("a", 257), id: notAnID, channels: []string{"a"}},
		{name: "id with control bytes", target: "/events/a?last_event_id=0/10%0a%0aevent:%20x", id: notAnID, channels: []string{"a"}},
		{name: "id with unicode", target: "/events/a?last_event_id=%C3%A9", id: notAnID, channels: []string{"a"}},

		{name: "wait default", target: "/events/a", headers: []string{"Accept: application/json"}, wait: 25 * time.Second, channels: []string{"a"}},
		{name: "wait duration", target: "/events/a?wait=1500ms", headers: []string{"Accept: application/json"}, wait: 1500 * time.Millisecond, channels: []string{"a"}},
		{name: "wait seconds", target: "/events/a?wait=60", headers: []string{"Accept: application/json"}, wait: time.Minute, channels: []string{"a"}},
		{name: "wait none", target: "/events/a?wait=0s", headers: []string{"Accept: application/json"}, wait: 0, channels: []string{"a"}},
		{name: "wait too long", target: "/events/a?wait=61s", headers: []string{"Accept: application/json"}, code: "bad_parameter"},
		{name: "wait negative", target: "/events/a?wait=-1s", headers: []string{"Accept: application/json"}, code: "bad_parameter"},
		{name: "wait nonsense", target: "/events/a?wait=soon", headers: []string{"Accept: application/json"}, code: "bad_parameter"},
		{name: "wait means nothing to streams", target: "/events/a?wait=soon", channels: []string{"a"}},

		{name: "no transport", target: "/events/a", headers: []string{"Accept: image/png"}, code: "not_acceptable"},
	}
	s := newServer(t, Options{Hub: newFakeHub(), Limits: Limits{Channels: 3}})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", tt.target, nil)
			for _, h := range tt.headers {
				name, value, _ := strings.Cut(h, ": ")
				r.Header.Set(name, value)
			}
			a, err := s.parseAsk(r)
			if code := codeOf(err); code != tt.code {
				t.Fatalf("code %q (%v), want %q", code, err, tt.code)
			}
			if err != nil {
				return
			}
			if diff := cmp.Diff(tt.channels, a.Channels); diff != "" {
				t.Errorf("channels (-want +got):\n%s", diff)
			}
			if a.LastEventID != tt.id {
				t.Errorf("id %q, want %q", a.LastEventID, tt.id)
			}
			if a.kind == kindPoll && a.wait != tt.wait {
				t.Errorf("wait %v, want %v", a.wait, tt.wait)
			}
		})
	}
}

func TestBodyIsRefused(t *testing.T) {
	s := newServer(t, Options{Hub: newFakeHub()})
	_, err := s.parseAsk(httptest.NewRequest("GET", "/events/a", strings.NewReader("x")))
	if codeOf(err) != "bad_request" {
		t.Errorf("got %v", err)
	}
}

func TestRootBasePath(t *testing.T) {
	s := newServer(t, Options{Hub: newFakeHub(), BasePath: "/"})
	for target, want := range map[string]string{"/order/7": "order/7", "/?channel=orders": "orders"} {
		a, err := s.parseAsk(httptest.NewRequest("GET", target, nil))
		if err != nil || a.Channels[0] != want {
			t.Errorf("%s: %v, %v, want %s", target, a, err, want)
		}
		if path := httptest.NewRequest("GET", target, nil).URL.Path; !s.inBase(path) {
			t.Errorf("%s is not in the base path", path)
		}
	}
}

func codeOf(err error) string {
	var e *refusal
	if errors.As(err, &e) {
		return e.code
	}
	return ""
}
