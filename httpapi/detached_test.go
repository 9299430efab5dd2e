package httpapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walrelay/walrelay/channel"
)

// onPipe carries a stream on a connection in memory, of which the test has the other end.
func onPipe(t *testing.T, k *responseSink, f framing, e encoding, sub *fakeSub) (client net.Conn, ended <-chan string) {
	t.Helper()
	server, client := net.Pipe()
	done := make(chan string, 1)
	st := &stream{sub: &leash{Subscriber: sub}, encoding: e, retry: time.Second, release: func(reason string) { done <- reason },
		traffic: newServer(t, Options{Hub: newFakeHub()}).metrics.traffic[kindSSE]}
	d := &detached{conn: server, framing: f, head: streamHead(f, http.Header{})}
	out := newWire(d, &http.Request{ProtoMajor: 1}, time.Minute, st.traffic)
	out.cut = &st.sub.cut
	k.handlers.enter()
	go k.carryDetached(d, out, st)
	return client, done
}

func newDetachedSink(t *testing.T) (*responseSink, context.CancelFunc) {
	ctx, cut := context.WithCancel(t.Context())
	return &responseSink{heartbeat: time.Minute, writeTimeout: time.Minute, ctx: ctx, handlers: newGate(), log: newServer(t, Options{Hub: newFakeHub()}).log}, cut
}

// TestDetachedEnds: the client learns that a stream is whole, and the connection is closed.
func TestDetachedEnds(t *testing.T) {
	for _, f := range []framing{plain, chunked} {
		synctest.Test(t, func(t *testing.T) {
			k, cut := newDetachedSink(t)
			defer cut()
			sub := &fakeSub{wake: make(chan struct{}, 1)}
			sub.push(readyRun)
			client, ended := onPipe(t, k, f, sse{}, sub)
			resp, err := http.ReadResponse(bufio.NewReader(client), nil)
			if err != nil {
				t.Fatal(err)
			}
			sub.finish(endClaims)
			body, err := io.ReadAll(resp.Body)
			if err != nil || !strings.Contains(string(body), "event: ready") || !strings.Contains(string(body), endClaims) {
				t.Errorf("%q, %v", body, err)
			}
			if reason := <-ended; reason != endClaims || !sub.isClosed() {
				t.Errorf("ended by %s, closed: %v", reason, sub.isClosed())
			}
			if k.handlers.close(); k.handlers.wait(t.Context()) != 0 {
				t.Error("somebody is left")
			}
		})
	}
}

// TestDetachedLeaves: a client that goes away, and a server that stops, end the stream, also while it is
// blocked.
func TestDetachedLeaves(t *testing.T) {
	for _, blocked := range []bool{false, true} {
		for _, stops := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				k, cut := newDetachedSink(t)
				defer cut()
				sub := &fakeSub{wake: make(chan struct{}, 1)}
				client, ended := onPipe(t, k, chunked, sse{}, sub)
				if !blocked {
					if _, err := http.ReadResponse(bufio.NewReader(client), nil); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				began := time.Now()
				if stops {
					cut()
				} else {
					client.Close()
				}
				if reason := <-ended; time.Since(began) > 0 || reason != endClient && !blocked {
					t.Errorf("blocked %v, stops %v: ended by %s after %v", blocked, stops, reason, time.Since(began))
				}
			})
		}
	}
}

// TestDetachedHearsNothing: a client that sends what nobody asked for is not read for ever.
func TestDetachedHearsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, cut := newDetachedSink(t)
		client, ended := onPipe(t, k, chunked, sse{}, &fakeSub{wake: make(chan struct{}, 1)})
		go io.Copy(io.Discard, client)
		client.SetWriteDeadline(time.Now().Add(time.Second))
		n := 0
		for piece := make([]byte, 512); ; {
			m, err := client.Write(piece)
			if n += m; err != nil {
				break
			}
		}
		if n < maxHeard || n > 2*maxHeard {
			t.Errorf("%d bytes were read", n)
		}
		cut()
		<-ended
	})
}

// poisoned is an encoding that cannot encode.
type poisoned struct{ sse }

func (poisoned) run(*wire, *channel.Run) error { panic("poison") }

// TestDetachedPanics: a panic ends its stream, and nobody else notices.
func TestDetachedPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, cut := newDetachedSink(t)
		defer cut()
		sub := &fakeSub{wake: make(chan struct{}, 1)}
		sub.push(readyRun)
		client, ended := onPipe(t, k, chunked, poisoned{}, sub)
		if _, err := io.ReadAll(client); err != nil {
			t.Error(err)
		}
		if reason := <-ended; reason != codeInternal || !sub.isClosed() {
			t.Errorf("ended by %s, closed: %v", reason, sub.isClosed())
		}
	})
}

// BenchmarkDetached is what a write costs without the socket.
func BenchmarkDetached(b *testing.B) {
	d := &detached{conn: nowhere{}, framing: chunked}
	p := []byte(strings.Repeat("x", 300))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Write(p); err != nil {
			b.Fatal(err)
		}
	}
}

// nowhere is a connection that takes everything.
type nowhere struct{ net.Conn }

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

// TestHoldingKeepsNoRequest: once a stream is open, its request is nobody's.
func TestHoldingKeepsNoRequest(t *testing.T) {
	onSinks(t, func(t *testing.T, o Options) {
		s := start(t, o)
		freed := make(chan struct{}, 1)
		h := s.public.Handler
		s.public.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			watch(r, freed)
			h.ServeHTTP(w, r)
		})
		resp := get(t, target(s, "/events/orders"))
		readBegin(t, newReader(resp))
		wantFreed(t, freed)
		if n := s.streams.count(); n != 1 {
			t.Error(fmt.Sprint(n, " streams are open"))
		}
	})
}

// watch tells when a request has gone.
func watch(r *http.Request, freed chan<- struct{}) {
	runtime.AddCleanup(r, func(c chan<- struct{}) { c <- struct{}{} }, freed)
}

// wantFreed has garbage collected until what is watched has gone.
func wantFreed(t *testing.T, freed <-chan struct{}) {
	t.Helper()
	for late := time.After(30 * time.Second); ; {
		runtime.GC()
		select {
		case <-freed:
			return
		case <-late:
			t.Fatal("the request is kept")
		case <-time.After(10 * time.Millisecond):
		}
	}
}
