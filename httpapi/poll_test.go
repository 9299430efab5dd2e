package httpapi

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walrelay/walrelay/channel"
)

const acceptJSON = "Accept: application/json"

func TestPollAnswersAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newFakeHub()
		hub.first = []*channel.Run{readyRun, insert("0/20.0.aaaaaa", `{"channel":"orders"}`)}
		hub.id = "0/30.0.aaaaaa" // beyond the event: what follows it is known to concern nobody
		s := newServer(t, Options{Hub: hub})
		w, leave := open(t, s, "/events/orders?last_event_id=0/10.0.aaaaaa", acceptJSON)
		leave()
		if got, want := w.take(), `{"events":[{"event":"insert","id":"0/20.0.aaaaaa","channel":"orders"}],"last_event_id":"0/30.0.aaaaaa"}`+"\n"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if w.status != 200 || w.header.Get("Content-Type") != "application/json" || w.header.Get("Cache-Control") != "no-store, no-transform" {
			t.Errorf("status %d, header %v", w.status, w.header)
		}
		if !hub.subs[0].isClosed() || ends(t, s, endComplete) != 1 {
			t.Error("the subscriber was not closed")
		}
	})
}

func TestPollWaits(t *testing.T) {
	tests := []struct {
		name, query string
		after       time.Duration // until something happens
		happens     func(*Server, *fakeSub)
		want        string
		took        time.Duration
	}{
		{
			name: "nothing", after: time.Hour, took: 25 * time.Second,
			want: `{"events":[],"last_event_id":"0/10.0.aaaaaa"}`,
		},
		{
			name: "nothing, chosen wait", query: "?wait=3s", after: time.Hour, took: 3 * time.Second,
			want: `{"events":[],"last_event_id":"0/10.0.aaaaaa"}`,
		},
		{
			name: "first poll without waiting", query: "?wait=0", after: time.Hour, took: 0,
			want: `{"events":[],"last_event_id":"0/10.0.aaaaaa"}`,
		},
		{
			name: "resume without waiting gives the log some time", query: "?wait=0&last_event_id=0/10", after: time.Hour, took: minResumeWait,
			want: `{"events":[],"last_event_id":"0/10.0.aaaaaa"}`,
		},
		{
			name: "event", after: 4 * time.Second, took: 4 * time.Second,
			happens: func(_ *Server, sub *fakeSub) {
				sub.push(newRun(time.Now(), channel.Event{Name: "delete", Data: []byte(`{"n":1}`)}, channel.Event{Name: "insert", ID: "0/20.1.aaaaaa", Data: []byte(`{"n":2}`)}))
			},
			want: `{"events":[{"event":"delete","n":1},{"event":"insert","id":"0/20.1.aaaaaa","n":2}],"last_event_id":"0/10.0.aaaaaa"}`,
		},
		{
			name: "more is queued behind the answer", after: 4 * time.Second, took: 4 * time.Second,
			happens: func(_ *Server, sub *fakeSub) {
				sub.id = ""
				sub.push(insert("0/20.1.aaaaaa", `{"n":1}`))
			},
			want: `{"events":[{"event":"insert","id":"0/20.1.aaaaaa","n":1}],"last_event_id":"0/20.1.aaaaaa"}`,
		},
		{
			name: "the hub ends the stream", after: time.Second, took: time.Second,
			happens: func(_ *Server, sub *fakeSub) { sub.finish("gap") },
			want:    `{"events":[{"event":"end","reason":"gap"}],"last_event_id":"0/10.0.aaaaaa"}`,
		},
		{
			name: "drain", after: time.Second, took: time.Second,
			happens: func(s *Server, _ *fakeSub) { s.streams.close() },
			want:    `{"events":[{"event":"end","reason":"draining"}],"last_event_id":"0/10.0.aaaaaa"}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hub := newFakeHub()
				s := newServer(t, Options{Hub: hub})
				since := time.Now()
				answered := make(chan time.Duration, 1)
				w, _ := open(t, s, "/events/orders"+tt.query, acceptJSON)
				sub := hub.subs[0]
				go func() {
					for !sub.isClosed() {
						time.Sleep(100 * time.Millisecond)
					}
					answered <- time.Since(since)
				}()
				if tt.happens != nil {
					time.Sleep(tt.after)
					tt.happens(s, sub)
				}
				took := <-answered
				if took < tt.took || took > tt.took+100*time.Millisecond {
					t.Errorf("answered after %v, want %v", took, tt.took)
				}
				synctest.Wait()
				got := w.take()
				if got != tt.want+"\n" {
					t.Errorf("got %s, want %s", got, tt.want)
				}
				if !json.Valid([]byte(got)) {
					t.Errorf("%s is no JSON", got)
				}
			})
		})
	}
}

// A client that leaves gets no answer, and its subscription ends.
func TestPollClientLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newFakeHub()
		s := newServer(t, Options{Hub: hub})
		w, leave := open(t, s, "/events/orders", acceptJSON)
		leave()
		if !hub.subs[0].isClosed() || ends(t, s, endClient) != 1 {
			t.Error("the subscriber was not closed")
		}
		if got := w.take(); got != "" {
			t.Errorf("wrote %q", got)
		}
	})
}

// An answer larger than the buffers is whole.
func TestLargePoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newFakeHub()
		large := `{"row":"` + strings.Repeat("x", 3*sliceSize) + `"}`
		hub.first = []*channel.Run{readyRun, insert("0/20.0.aaaaaa", large), insert("0/21.0.aaaaaa", large)}
		s := newServer(t, Options{Hub: hub})
		w, leave := open(t, s, "/events/orders", acceptJSON)
		leave()
		var got struct {
			Events []struct{ ID, Row string }
		}
		if err := json.Unmarshal([]byte(w.take()), &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Events) != 2 || got.Events[1].ID != "0/21.0.aaaaaa" || len(got.Events[1].Row) != 3*sliceSize {
			t.Errorf("%d events", len(got.Events))
		}
	})
}

// TestPollWaitsForSnapshot: a reset without the snapshot that follows it would come again at every
// poll, and the snapshot never.
func TestPollWaitsForSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newFakeHub()
		hub.first = []*channel.Run{newRun(time.Time{}, channel.Event{Name: "reset", Data: []byte(`{"channel":"orders","reason":"view"}`)})}
		hub.heldFor = 40 * time.Second
		s := newServer(t, Options{Hub: hub})
		began := time.Now()
		w, leave := open(t, s, "/events/orders?wait=3s", acceptJSON)
		defer leave()
		sub := <-hub.came
		time.Sleep(hub.heldFor)
		sub.push(newRun(time.Time{}, channel.Event{Name: "snapshot", ID: "0/20.0.aaaaaa", Data: []byte(`{"channel":"orders","rows":[]}`)}))
		sub.hold(false)
		synctest.Wait()
		want := `{"events":[{"event":"reset","channel":"orders","reason":"view"},{"event":"snapshot","id":"0/20.0.aaaaaa","channel":"orders","rows":[]}],"last_event_id":"0/10.0.aaaaaa"}` + "\n"
		if got := w.take(); got != want || time.Since(began) != hub.heldFor {
			t.Errorf("after %v: got %s, want %s", time.Since(began), got, want)
		}
	})
}
