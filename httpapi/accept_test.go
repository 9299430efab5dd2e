package httpapi

import (
	"net/http"
	"testing"
)

func TestNegotiate(t *testing.T) {
	const none = kind(-1)
	tests := []struct {
		accept []string
		want   kind
	}{
		{nil, kindSSE},
		{[]string{""}, kindSSE},
		{[]string{"*/*"}, kindSSE},
		{[]string{"text/event-stream"}, kindSSE},
		{[]string{"TEXT/Event-Stream"}, kindSSE},
		{[]string{"text/*"}, kindSSE},
		{[]string{"text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}, kindSSE},
		{[]string{"application/json"}, kindPoll},
		{[]string{"application/*"}, kindPoll},
		{[]string{"application/json, text/plain, */*"}, kindPoll},
		{[]string{"application/json;q=0.5, text/event-stream;q=0.6"}, kindSSE},
		{[]string{"application/json", "application/x-ndjson;q=0.1"}, kindPoll},
		{[]string{"application/x-ndjson"}, kindLines},
		{[]string{"*/*, text/event-stream;q=0, application/json;q=0"}, kindLines},
		{[]string{"text/html"}, none},
		{[]string{"text/event-stream;q=0"}, none},
		{[]string{"application/json;q=2"}, none},
		{[]string{"nonsense"}, none},
	}
	for _, tt := range tests {
		got, err := negotiate(http.Header{"Accept": tt.accept})
		if err != nil {
			got = none
		}
		if got != tt.want {
			t.Errorf("Accept %q: %d (%v), want %d", tt.accept, got, err, tt.want)
		}
	}
}
