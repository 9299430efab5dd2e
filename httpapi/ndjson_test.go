package httpapi

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walrelay/walrelay/channel"
)

func TestAppendEvent(t *testing.T) {
	tests := []struct {
		e    channel.Event
		want string
	}{
		{channel.Event{Name: "insert", ID: "0/1.0.aaaaaa", Data: []byte(`{"channel":"a"}`)}, `{"event":"insert","id":"0/1.0.aaaaaa","channel":"a"}`},
		{channel.Event{Name: "insert", Data: []byte(`{"channel":"a"}`)}, `{"event":"insert","channel":"a"}`},
		{channel.Event{Name: "heartbeat", ID: "0/1", Data: []byte(`{}`)}, `{"event":"heartbeat","id":"0/1"}`},
		{channel.Event{Name: "heartbeat"}, `{"event":"heartbeat"}`},
		{channel.Event{Name: "a\"b\n", Data: []byte(`{}`)}, `{"event":"a\"b\n"}`},
	}
	for _, tt := range tests {
		got := string(appendEvent(nil, tt.e))
		if got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("%s is no JSON", got)
		}
	}
}

func TestLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newFakeHub()
		s := newServer(t, Options{Hub: hub, Heartbeat: 15 * time.Second})
		w, leave := open(t, s, "/events/orders", "Accept: application/x-ndjson")
		if got := w.header.Get("Content-Type"); got != "application/x-ndjson" {
			t.Errorf("Content-Type %q", got)
		}
		sub := hub.subs[0]
		sub.push(newRun(time.Now(), channel.Event{Name: "delete", Data: []byte(`{"channel":"orders","key":{"id":7}}`)},
			channel.Event{Name: "insert", ID: "0/20.1.aaaaaa", Data: []byte(`{"channel":"orders","key":{"id":8}}`)}))
		time.Sleep(15 * time.Second)
		synctest.Wait()
		sub.finish("gap")
		synctest.Wait()
		leave()
		lines := strings.SplitAfter(w.take(), "\n")
		want := []string{
			`{"event":"ready","id":"0/10.0.aaaaaa","resumed":false,"channels":["orders"],"position":"0/10"}`,
			`{"event":"delete","channel":"orders","key":{"id":7}}`,
			`{"event":"insert","id":"0/20.1.aaaaaa","channel":"orders","key":{"id":8}}`,
			`{"event":"heartbeat","id":"0/10.0.aaaaaa"}`,
			`{"event":"end","reason":"gap","retry":`,
		}
		if len(lines) != len(want)+1 {
			t.Fatalf("lines: %q", lines)
		}
		for i, l := range want {
			if !strings.HasPrefix(lines[i], l) || !json.Valid([]byte(lines[i])) {
				t.Errorf("line %d: %s, want %s", i, lines[i], l)
			}
		}
	})
}

// More lines than one buffer holds.
func TestManyLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newFakeHub()
		s := newServer(t, Options{Hub: hub})
		w, _ := open(t, s, "/events/orders", "Accept: application/x-ndjson")
		w.take()
		var events []channel.Event
		for range 5000 {
			events = append(events, channel.Event{Name: "insert", Data: []byte(`{"channel":"orders","key":{"id":8}}`)})
		}
		hub.subs[0].push(newRun(time.Now(), events...))
		synctest.Wait()
		if n := strings.Count(w.take(), "\n"); n != 5000 {
			t.Errorf("%d lines, want 5000", n)
		}
	})
}
