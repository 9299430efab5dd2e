package httpapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/channel"
)

// discard is a response that costs nothing.
type discard struct {
	header http.Header
	n      int
}

func (w *discard) Header() http.Header                { return w.header }
func (w *discard) WriteHeader(int)                    {}
func (w *discard) Write(p []byte) (int, error)        { w.n += len(p); return len(p), nil }
func (w *discard) FlushError() error                  { return nil }
func (w *discard) SetWriteDeadline(_ time.Time) error { return nil }

// BenchmarkWrite is the path of pending runs to the ResponseWriter, without the
// socket: what this package adds to each write.
func BenchmarkWrite(b *testing.B) {
	row := insert("0/16B3748.3.k7x2mq", `{"channel":"orders","op":"insert","key":{"id":7},"row":{"id":7,"note":"`+strings.Repeat("x", 100)+`"},"tx":{"xid":771,"at":"2026-11-20T21:00:00.123456+00:00"}}`)
	s, err := New(Options{Hub: newFakeHub()})
	if err != nil {
		b.Fatal(err)
	}
	for _, bm := range []struct {
		kind     kind
		encoding encoding
	}{{kindSSE, sse{}}, {kindLines, ndjson{}}} {
		for _, n := range []int{1, 10, 100} {
			b.Run(fmt.Sprintf("%s/runs=%d", bm.kind, n), func(b *testing.B) {
				runs := make([]*channel.Run, n)
				for i := range runs {
					runs[i] = row
				}
				w := &discard{}
				k := &responseSink{}
				st := &stream{sub: &leash{Subscriber: &benchSub{runs: runs}}, encoding: bm.encoding, traffic: s.metrics.traffic[bm.kind]}
				out := newWire(w, httptest.NewRequest("GET", "/", nil), time.Minute, st.traffic)
				b.SetBytes(int64(n * len(row.Bytes)))
				b.ReportAllocs()
				for b.Loop() {
					if _, _, err := k.pass(out, st); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/event")
			})
		}
	}
}

// benchSub hands out the same runs for ever.
type benchSub struct {
	fakeSub
	runs []*channel.Run
}

func (s *benchSub) Take() []*channel.Run { return s.runs }

func (s *benchSub) Complete() channel.EventID {
	return channel.EventID{At: change.Position{Commit: 0x16B3748, Index: 3}, Tag: "k7x2mq"}
}

func (s *benchSub) Next() ([]*channel.Run, string, bool) { return s.runs, "", false }
