package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walrelay/walrelay/channel"
)

// open runs a request without sockets, inside a synctest bubble; leave ends it the
// way a client does that goes away.
func open(t *testing.T, s *Server, where string, headers ...string) (w *memWriter, leave func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	w = newMemWriter()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.public.Handler.ServeHTTP(w, r)
	}()
	synctest.Wait()
	leave = func() {
		cancel()
		<-done
	}
	t.Cleanup(leave)
	return w, leave
}

// metric is one line of /metrics, 0 when it is absent.
func metric(t *testing.T, s *Server, name string) float64 {
	t.Helper()
	for line := range strings.Lines(metricsText(t, s)) {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	return 0
}

func ends(t *testing.T, s *Server, reason string) float64 {
	t.Helper()
	return metric(t, s, `walrelay_ends_total{reason="`+reason+`"}`)
}

func TestStreamBeginsWithRetryAndReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newFakeHub()
		s := newServer(t, Options{Hub: hub, Retry: 2 * time.Second})
		w, leave := open(t, s, "/events/orders")
		got := w.take()
		m := regexp.MustCompile(`^retry: (\d+)\n\nevent: ready\ndata: \{.*\}\nid: 0/10\.0\.aaaaaa\n\n$`).FindStringSubmatch(got)
		if m == nil {
			t.Fatalf("stream begins with %q", got)
		}
		if ms, _ := strconv.Atoi(m[1]); ms < 1600 || ms > 2400 {
			t.Errorf("retry %d ms, want 2000 ±20 %%", ms)
		}
		if w.writes != 1 || w.flushes != 1 {
			t.Errorf("%d writes and %d flushes, want 1 and 1", w.writes, w.flushes)
		}
		leave()
		if !hub.subs[0].isClosed() || ends(t, s, endClient) != 1 {
			t.Error("the subscriber was not closed when its client left")
		}
	})
}

func TestPendingRunsAreOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newFakeHub()
		s := newServer(t, Options{Hub: hub})
		w, _ := open(t, s, "/events/orders")
		w.take()
		w.writes, w.flushes = 0, 0
		var want strings.Builder
		var runs []*channel.Run
		for i := range 100 {
			r := insert(fmt.Sprintf("0/20.%d.aaaaaa", i), fmt.Sprintf(`{"row":%d}`, i))
			runs = append(runs, r)
			want.Write(r.Bytes)
		}
		hub.subs[0].push(runs...)
		synctest.Wait()
		if got := w.take(); got != want.String() {
			t.Errorf("got %q, want %q", got, want.String())
		}
		if w.writes != 1 || w.flushes != 1 {
			t.Errorf("%d writes and %d flushes, want 1 and 1", w.writes, w.flushes)
		}
	})
}

// Large runs are not copied, and are written in slices with a deadline each, in order.
func TestLargeRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newFakeHub()
		s := newServer(t, Options{Hub: hub})
		w, _ := open(t, s, "/events/orders")
		w.take()
		w.writes, w.renewals = 0, 0
		small := insert("0/20.0.aaaaaa", `{"row":"small"}`)
		large := insert("0/21.0.aaaaaa", `{"row":"`+strings.Repeat("x", 3*sliceSize)+`"}`)
		hub.subs[0].push(small, large, small)
		synctest.Wait()
		if got := w.take(); got != string(small.Bytes)+string(large.Bytes)+string(small.Bytes) {
			t.Errorf("%d bytes in the wrong order or number", len(got))
		}
		if w.writes != 6 { // small, 4 slices, small
			t.Errorf("%d writes, want 6", w.writes)
		}
		if w.renewals != w.writes {
			t.Errorf("%d deadlines for %d writes: a slow client that reads would be taken for a dead one", w.renewals, w.writes)
		}
	})
}

func TestHeartbeatOnlyAfterIdleness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newFakeHub()
		s := newServer(t, Options{Hub: hub, Heartbeat: 15 * time.Second})
		w, _ := open(t, s, "/events/orders")
		w.take()
		sub := hub.subs[0]
		time.Sleep(10 * time.Second)
		sub.push(insert("0/20.0.aaaaaa", `{}`))
		synctest.Wait()
		w.take()
		time.Sleep(14 * time.Second) // 24 s after the start, 14 s after the last write
		synctest.Wait()
		if got := w.take(); got != "" {
			t.Errorf("heartbeat %q before the stream was idle for 15 s", got)
		}
		sub.mu.Lock()
		sub.id = "0/30.0.aaaaaa"
		sub.mu.Unlock()
		time.Sleep(time.Second)
		synctest.Wait()
		if got := w.take(); got != "id: 0/30.0.aaaaaa\n\n" {
			t.Errorf("heartbeat %q", got)
		}
		sub.mu.Lock()
		sub.id = ""
		sub.mu.Unlock()
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if got := w.take(); got != ":\n\n" {
			t.Errorf("heartbeat %q of a subscriber without a position", got)
		}
		if n := metric(t, s, `walrelay_heartbeats_total{transport="sse"}`); n != 2 {
			t.Errorf("%v heartbeats counted, want 2", n)
		}
	})
}

// What was queued before the hub ended a stream is written before end.
func TestHubEndsStream(t *testing.T) {
	tests := []struct {
		reason   string
		min, max int
	}{
		{"gap", 1600, 2400},
		{"draining", 500, 5000},
		{"claims_changed", 50, 500},
		{"signed_out", 1000, 1000},
		{"unavailable", 5000, 30000},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			hub := newFakeHub()
			s := newServer(t, Options{Hub: hub})
			w, leave := open(t, s, "/events/orders")
			w.take()
			last := insert("0/20.0.aaaaaa", `{"row":1}`)
			hub.subs[0].push(last)
			hub.subs[0].finish(tt.reason)
			synctest.Wait()
			leave()
			checkEnd(t, strings.TrimPrefix(w.take(), string(last.Bytes)), tt.reason, tt.min, tt.max)
			if ends(t, s, tt.reason) != 1 {
				t.Errorf("end %s not counted", tt.reason)
			}
		})
	}
}

// checkEnd looks at the last block of a stream.
func checkEnd(t *testing.T, got, reason string, low, high int) {
	t.Helper()
	m := regexp.MustCompile(`^retry: (\d+)\nevent: end\ndata: \{"reason":"([a-z_]+)"\}\n\n$`).FindStringSubmatch(got)
	if m == nil || m[2] != reason {
		t.Fatalf("stream ends with %q, want end %s", got, reason)
	}
	if ms, _ := strconv.Atoi(m[1]); ms < low || ms > high {
		t.Errorf("%s: retry %d ms, want %d to %d", reason, ms, low, high)
	}
}

func TestMaxStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newFakeHub()
		s := newServer(t, Options{Hub: hub, MaxStream: time.Hour, Heartbeat: 100 * time.Hour})
		w, leave := open(t, s, "/events/orders")
		w.take()
		time.Sleep(54*time.Minute - time.Second) // 1 h -10 %
		synctest.Wait()
		if got := w.take(); got != "" {
			t.Fatalf("stream ended early: %q", got)
		}
		time.Sleep(12*time.Minute + time.Second)
		synctest.Wait()
		leave()
		checkEnd(t, w.take(), endRenew, 50, 500)
	})
}

// A stream that always has something to write is drained too.
func TestBusyStreamDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newFakeHub()
		s := newServer(t, Options{Hub: hub})
		sub := &busySub{fakeSub: &fakeSub{wake: make(chan struct{}, 1)}, run: insert("0/20.0.aaaaaa", `{}`)}
		s.opt.Hub = hubOf(func() Subscriber { return sub })
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w := &discard{header: http.Header{}}
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.public.Handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/events/orders", nil))
		}()
		s.streams.close()
		<-done
		if ends(t, s, codeDraining) != 1 && metric(t, s, `walrelay_rejected_total{reason="draining"}`) != 1 {
			t.Error("the stream did not end by draining")
		}
	})
}

// busySub always has a run.
type busySub struct {
	*fakeSub
	run *channel.Run
}

func (s *busySub) Take() []*channel.Run { return []*channel.Run{s.run} }

func (s *busySub) Next() ([]*channel.Run, string, bool) { return s.Take(), "", false }

type hubOf func() Subscriber

func (f hubOf) Subscribe(context.Context, channel.Request) (Subscriber, error) { return f(), nil }
func (f hubOf) Stats() channel.Stats                                           { return channel.Stats{} }

func TestWriteErrorsEndTheStream(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("write: %w", os.ErrDeadlineExceeded), endSlow},
		{errors.New("connection reset"), endWrite},
	} {
		synctest.Test(t, func(t *testing.T) {
			hub := newFakeHub()
			s := newServer(t, Options{Hub: hub})
			w, leave := open(t, s, "/events/orders")
			w.mu.Lock()
			w.err = tt.err
			w.mu.Unlock()
			hub.subs[0].push(insert("0/20.0.aaaaaa", `{}`))
			synctest.Wait()
			if !hub.subs[0].isClosed() || ends(t, s, tt.want) != 1 {
				t.Errorf("%v: closed %v, end %s counted %v times", tt.err, hub.subs[0].isClosed(), tt.want, ends(t, s, tt.want))
			}
			leave()
		})
	}
}

func TestWriteDeadlines(t *testing.T) {
	for _, tt := range []struct {
		proto int
		want  time.Duration // left after a write, 0 for taken back
	}{{1, 30 * time.Second}, {2, 0}} {
		synctest.Test(t, func(t *testing.T) {
			w := newMemWriter()
			r := httptest.NewRequest("GET", "/", nil)
			r.ProtoMajor = tt.proto
			s := newServer(t, Options{Hub: newFakeHub()})
			out := newWire(w, r, 30*time.Second, s.metrics.traffic[kindSSE])
			if err := out.send(sse{}, []*channel.Run{readyRun}); err != nil {
				t.Fatal(err)
			}
			want := time.Time{}
			if tt.want > 0 {
				want = time.Now().Add(tt.want)
			}
			if !w.deadline.Equal(want) {
				t.Errorf("HTTP/%d: deadline %v, want %v", tt.proto, w.deadline, want)
			}
		})
	}
}

func TestWritesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newFakeHub()
		s := newServer(t, Options{Hub: hub})
		w, leave := open(t, s, "/events/orders")
		n := len(w.take())
		r := newRun(time.Now().Add(-20*time.Millisecond), channel.Event{Name: "delete", Data: []byte(`{}`)}, channel.Event{Name: "insert", ID: "0/20.1.aaaaaa", Data: []byte(`{}`)})
		ahead := newRun(time.Now().Add(time.Hour), channel.Event{Name: "insert", ID: "0/21.1.aaaaaa", Data: []byte(`{}`)})
		hub.subs[0].push(r, ahead)
		synctest.Wait()
		leave()
		if got := metric(t, s, `walrelay_events_written_total{transport="sse"}`); got != 4 {
			t.Errorf("%v events, want 4 (ready and three)", got)
		}
		if got := metric(t, s, `walrelay_written_bytes_total{transport="sse"}`); got != float64(n+len(r.Bytes)+len(ahead.Bytes)) {
			t.Errorf("%v bytes", got)
		}
		text := metricsText(t, s)
		for _, want := range []string{
			`walrelay_commit_to_write_seconds_bucket{transport="sse",le="0.00025"} 1`, // the one from the future
			`walrelay_commit_to_write_seconds_bucket{transport="sse",le="0.01"} 1`,
			`walrelay_commit_to_write_seconds_bucket{transport="sse",le="0.025"} 2`,
			`walrelay_commit_to_write_seconds_count{transport="sse"} 2`,
			`walrelay_connections{transport="sse"} 0`,
			`walrelay_connections_total{transport="sse"} 1`,
		} {
			if !strings.Contains(text, want+"\n") {
				t.Errorf("metrics lack %s", want)
			}
		}
	})
}

func metricsText(t *testing.T, s *Server) string {
	t.Helper()
	w := httptest.NewRecorder()
	s.adminHandler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil)) // also when the server has ended
	if w.Code != http.StatusOK {
		t.Fatalf("/metrics: status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}
