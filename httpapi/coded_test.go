package httpapi

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/walrelay/walrelay/auth"
	"github.com/walrelay/walrelay/channel"
	"github.com/walrelay/walrelay/coding"
)

var codings = []coding.Coding{coding.Gzip, coding.Zstd}

// decoder takes a coding apart. Of gzip it reads one member, as browsers do, to the trailer.
func decoder(t testing.TB, c coding.Coding, r io.Reader) io.Reader {
	t.Helper()
	if c == coding.Gzip {
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		z.Multistream(false)
		return z
	}
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(z.Close)
	return z
}

// decoded is the text of a whole stream.
func decoded(t testing.TB, c coding.Coding, stream []byte) []byte {
	t.Helper()
	r := bytes.NewReader(stream)
	text, err := io.ReadAll(decoder(t, c, r))
	if err != nil || r.Len() > 0 {
		t.Fatalf("%s: %v, %d bytes are left", c, err, r.Len())
	}
	return text
}

// variedRuns are small, large and incompressible.
func variedRuns(n int) (runs []*channel.Run) {
	random := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		size := 100
		if i%60 == 59 {
			size = 300 << 10
		}
		text := strings.Repeat("x", size)
		if i%7 == 3 {
			b := make([]byte, size)
			for j := range b {
				b[j] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-"[random.IntN(64)]
			}
			text = string(b)
		}
		runs = append(runs, insert(fmt.Sprintf("0/20.%d.aaaaaa", i), `{"row":"`+text+`"}`))
	}
	return runs
}

// Everything that is queued arrives, in order and whole, in every coding, encoding and protocol, and the
// client can tell that the stream has ended.
func TestCodedOrder(t *testing.T) {
	for _, tt := range []struct {
		proto, accept string
		encoding      encoding
	}{
		{"1.1", "text/event-stream", sse{}},
		{"1.0", "text/event-stream", sse{}},
		{"1.1", "application/x-ndjson", ndjson{}},
	} {
		for _, c := range codings {
			t.Run(fmt.Sprintf("%s/%s/HTTP %s", c, tt.accept, tt.proto), func(t *testing.T) {
				onSinksOf(t, true, func(t *testing.T, o Options) {
					s := start(t, o)
					conn := dial(t, s, "GET /events/orders HTTP/"+tt.proto+"\r\nHost: x\r\nAccept: "+tt.accept+"\r\nAccept-Encoding: br, "+c.String()+"\r\n\r\n")
					resp := answerOn(t, conn)
					if resp.StatusCode != 200 || resp.Header.Get("Content-Encoding") != c.String() || resp.Header.Get("Vary") != "Origin, Cookie, Authorization, Accept-Encoding" {
						t.Errorf("%s, header %v", resp.Status, resp.Header)
					}
					sub := <-o.hub().came
					var want []byte
					for _, r := range variedRuns(130) {
						b, _ := tt.encoding.bytes(nil, r)
						want = append(want, b...)
						sub.push(r)
					}
					sub.finish("gap")
					wire, err := io.ReadAll(resp.Body)
					if err != nil {
						t.Fatal(err)
					}
					got := decoded(t, c, wire)
					if i := bytes.Index(got, want); i < 0 || !bytes.Contains(got[i+len(want):], []byte(`"reason":"gap"`)) {
						t.Errorf("%d bytes, of which %d are wanted, or others", len(got), len(want))
					}
					await(t, "end counted", func() bool { return ends(t, s, "gap") == 1 })
					checkTraffic(t, s, tt.accept, 1+130, len(wire))
					ready, _ := tt.encoding.bytes(nil, readyRun)
					if n := metric(t, s, `walrelay_compressed_text_bytes_total{coding="`+c.String()+`"}`); n != float64(len(ready)+len(want)) {
						t.Errorf("%v bytes of text counted, want %d", n, len(ready)+len(want))
					}
					if n := metric(t, s, `walrelay_compressed_bytes_total{coding="`+c.String()+`"}`); n <= 0 || n >= float64(len(wire)) {
						t.Errorf("%v bytes of runs counted, of %d on the wire", n, len(wire))
					}
				})
			})
		}
	}
}

// Each event, and each heartbeat, can be read when it has been written, over HTTP/2 too.
func TestCodedArrivesAtOnce(t *testing.T) {
	for _, c := range codings {
		for name, client := range map[string]*http.Client{"HTTP 1.1": http.DefaultClient, "HTTP 2": h2cClient()} {
			t.Run(c.String()+"/"+name, func(t *testing.T) {
				onSinksOf(t, true, func(t *testing.T, o Options) {
					o.H2C, o.Heartbeat = true, 50*time.Millisecond
					s := start(t, o)
					resp := send(t, client, "GET", target(s, "/events/orders"), "Accept-Encoding: "+c.String())
					sub := <-o.hub().came
					events := newReader(&http.Response{Body: io.NopCloser(decoder(t, c, resp.Body))})
					readBegin(t, events)
					for range 2 {
						if got := events.block(t); got != "id: 0/10.0.aaaaaa\n" {
							t.Errorf("heartbeat %q", got)
						}
						r := insert("0/20.0.aaaaaa", `{"row":1}`)
						sub.push(r)
						if got := events.event(t); got != string(r.Bytes) {
							t.Errorf("got %q", got)
						}
					}
					u := insert("0/30.0.aaaaaa", `{"row":"last"}`)
					sub.push(u)
					sub.finish("gap")
					if got := events.event(t); got != string(u.Bytes) {
						t.Errorf("got %q", got)
					}
					if got := events.rest(t); !strings.Contains(got, `"reason":"gap"`) {
						t.Errorf("stream ends with %q", got)
					}
				})
			})
		}
	}
}

// Runs are compressed once, whoever gets them, and only where somebody does.
func TestCodedRunsAreShared(t *testing.T) {
	onSinksOf(t, true, func(t *testing.T, o Options) {
		s := start(t, o)
		const clients = 8
		var subs []*fakeSub
		var streams []reader
		for _, accept := range []string{"identity", "gzip"} {
			for range clients {
				resp := send(t, http.DefaultClient, "GET", target(s, "/events/orders"), "Accept-Encoding: "+accept)
				subs = append(subs, <-o.hub().came)
				body := io.Reader(resp.Body)
				if accept == "gzip" {
					body = decoder(t, coding.Gzip, body)
				}
				r := newReader(&http.Response{Body: io.NopCloser(body)})
				readBegin(t, r)
				streams = append(streams, r)
			}
		}
		const name = `walrelay_compressed_runs_total{coding="gzip"}`
		before := metric(t, s, name)
		run := insert("0/20.0.aaaaaa", `{"row":"`+strings.Repeat("many ", 1000)+`"}`)
		for i, sub := range subs {
			sub.push(run)
			if i < clients {
				if got := streams[i].event(t); got != string(run.Bytes) {
					t.Errorf("client %d got %q", i, got)
				}
			}
		}
		for i := clients; i < len(streams); i++ {
			if got := streams[i].event(t); got != string(run.Bytes) {
				t.Errorf("client %d got %q", i, got)
			}
		}
		if n := metric(t, s, name) - before; n != 1 {
			t.Errorf("compressed %v times", n)
		}
		if zs := metric(t, s, `walrelay_compressed_runs_total{coding="zstd"}`); zs != 0 {
			t.Errorf("%v runs were compressed for nobody", zs)
		}
	})
}

// Who asks at the same time waits for the one who compresses.
func TestCodedOnceInARace(t *testing.T) {
	s := newServer(t, Options{Hub: newFakeHub()})
	for range 20 {
		before := metric(t, s, `walrelay_compressed_runs_total{coding="zstd"}`)
		r := insert("0/20.0.aaaaaa", `{"row":"`+strings.Repeat("many ", 20_000)+`"}`)
		pieces := make([]*coding.Piece, 8)
		var all sync.WaitGroup
		for i := range pieces {
			c := s.metrics.code(ndjson{}, coding.Zstd).(*coded)
			all.Go(func() { pieces[i] = c.piece(r) })
		}
		all.Wait()
		for _, p := range pieces {
			if p != pieces[0] {
				t.Fatal("two pieces of one run")
			}
		}
		if n := metric(t, s, `walrelay_compressed_runs_total{coding="zstd"}`) - before; n != 1 {
			t.Fatalf("compressed %v times", n)
		}
	}
}

// The forms of a run do not get in each other's way.
func TestCodedForms(t *testing.T) {
	s := newServer(t, Options{Hub: newFakeHub()})
	r := insert("0/20.0.aaaaaa", `{"row":"`+strings.Repeat("many ", 100)+`"}`)
	for _, e := range []encoding{sse{}, ndjson{}} {
		for _, c := range codings {
			in := s.metrics.code(e, c)
			want, _ := e.bytes(nil, r)
			stream := in.opening(nil, 0)
			b, own := in.bytes(nil, r)
			in.wrote(r)
			stream = in.end(append(stream, b...), "gap", 0)
			if text := decoded(t, c, stream); !own || !bytes.Contains(text, want) {
				t.Errorf("%s of %T: %q", c, e, text)
			}
		}
	}
}

// Behind the end of a session a slow client gets no more than the run that was being written, and what it
// gets is whole.
func TestCodedSessionEndsSlowClient(t *testing.T) {
	for _, c := range codings {
		onSinksOf(t, true, func(t *testing.T, o Options) {
			o.hub().private = true
			s, u := start(t, o), &fakeUser{}
			s.resolve = func(*http.Request, auth.Client) (user, error) { return u, nil }
			conn := dial(t, s, strings.Replace(askHTTP11, "\r\n\r\n", "\r\nAccept-Encoding: "+c.String()+"\r\n\r\n", 1))
			sub := <-o.hub().came
			secret := insert("0/30.0.aaaaaa", `{"row":"secret"}`)
			sub.push(bigRun(), secret)
			await(t, "the queue to be taken", func() bool { return sub.LastID() != "" })
			u.end(endSigned)
			events := newReader(&http.Response{Body: io.NopCloser(decoder(t, c, answerOn(t, conn).Body))})
			readBegin(t, events)
			if got := events.block(t) + "\n"; got != string(bigRun().Bytes) {
				t.Errorf("%s: %d bytes, want %d", c, len(got), len(bigRun().Bytes))
			}
			checkEnd(t, events.rest(t), endSigned, 1000, 1000)
		})
	}
}

// Who does not accept it, or asks for other channels, or once, gets plain bytes.
func TestUncoded(t *testing.T) {
	const varies = "Origin, Cookie, Authorization, Accept-Encoding"
	for _, tt := range []struct {
		name, accept, header string
		compress             bool
		vary                 string
	}{
		{"no header", "text/event-stream", "X-No: 1", true, varies},
		{"refused", "text/event-stream", "Accept-Encoding: gzip;q=0, zstd;q=0", true, varies},
		{"identity", "application/x-ndjson", "Accept-Encoding: identity", true, varies},
		{"others", "text/event-stream", "Accept-Encoding: br, deflate", true, varies},
		{"other channels", "text/event-stream", "Accept-Encoding: gzip", false, "Origin, Cookie, Authorization"},
		{"long poll", "application/json", "Accept-Encoding: gzip", true, "Origin, Cookie, Authorization"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onSinksOf(t, tt.compress, func(t *testing.T, o Options) {
				s := start(t, o)
				conn := dial(t, s, "GET /events/orders HTTP/1.1\r\nHost: x\r\nAccept: "+tt.accept+"\r\n"+tt.header+"\r\n\r\n")
				sub := <-o.hub().came
				sub.push(insert("0/20.0.aaaaaa", `{"row":"plain"}`))
				resp := answerOn(t, conn)
				if resp.Header.Get("Content-Encoding") != "" || resp.Header.Get("Vary") != tt.vary || resp.Header.Get("Cache-Control") != "no-store, no-transform" {
					t.Errorf("header %v", resp.Header)
				}
				got := ""
				for buf := make([]byte, 4096); !strings.Contains(got, "plain"); {
					n, err := resp.Body.Read(buf)
					if got += string(buf[:n]); err != nil && !strings.Contains(got, "plain") {
						t.Fatalf("got %q: %v", got, err)
					}
				}
			})
		})
	}
}
