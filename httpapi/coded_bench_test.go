package httpapi

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/walrelay/walrelay/channel"
	"github.com/walrelay/walrelay/coding"
)

// BenchmarkCompressRun is one run for 1,000 streams: compressed once and counted for each, or by a
// compressor for each stream, as a proxy does it. Without sockets.
func BenchmarkCompressRun(b *testing.B) {
	const streams = 1000
	s, err := New(Options{Hub: newFakeHub()})
	if err != nil {
		b.Fatal(err)
	}
	for _, rows := range []int{1, 10, 100} {
		texts, size := benchTexts(rows)
		for _, c := range codings {
			b.Run(fmt.Sprintf("rows=%d/%s/shared", rows, c), func(b *testing.B) {
				encodings := make([]encoding, streams)
				for i := range encodings {
					encodings[i] = s.metrics.code(sse{}, c)
				}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				coded, n := 0, 0
				for b.Loop() {
					r := &channel.Run{Bytes: texts[n%len(texts)]}
					for _, e := range encodings {
						e.bytes(nil, r)
						e.wrote(r)
					}
					p, _ := encodings[0].bytes(nil, r)
					coded, n = coded+len(p), n+1
				}
				b.ReportMetric(float64(coded)/float64(n)/float64(size), "ratio")
			})
		}
		b.Run(fmt.Sprintf("rows=%d/gzip/each", rows), func(b *testing.B) {
			var out bytes.Buffer
			w, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			coded, n := 0, 0
			for b.Loop() {
				for range streams { // as one stream that goes on for long
					out.Reset()
					_, _ = w.Write(texts[n%len(texts)])
					_ = w.Flush()
					coded, n = coded+out.Len(), n+1
				}
			}
			b.ReportMetric(float64(coded)/float64(n)/float64(size), "ratio")
		})
	}
}

// benchTexts are frames of so many rows, of 250 bytes each, many times, and how long one is.
func benchTexts(rows int) (texts [][]byte, size int) {
	random := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields("paid open shipped cancelled express invoice deliver noon Müller Berlin customer returned pending standard please before note Hamburg")
	for range 512 {
		var text []byte
		for i := range rows {
			id := random.IntN(1_000_000)
			r := insert(fmt.Sprintf("0/16B%04X.%d.k7x2mq", random.IntN(1<<16), i), fmt.Sprintf(`{"channel":"orders","op":"insert","key":{"id":%d},"row":{"id":%d,"status":"%s","total":%d.%02d,"note":"%s %s %d"},"tx":{"xid":%d,"at":"2026-11-20T21:%02d:%02d.%06d+00:00"}}`,
				id, id, words[random.IntN(4)], random.IntN(1000), random.IntN(100), words[random.IntN(len(words))], words[random.IntN(len(words))], random.Uint32(), random.IntN(100_000), random.IntN(60), random.IntN(60), random.IntN(1_000_000)))
			text = append(text, r.Bytes...)
		}
		texts = append(texts, text)
		size += len(text)
	}
	return texts, size / len(texts)
}

// BenchmarkCoded is what a stream costs beside the run that all share.
func BenchmarkCoded(b *testing.B) {
	s, err := New(Options{Hub: newFakeHub()})
	if err != nil {
		b.Fatal(err)
	}
	r := insert("0/16B3748.3.k7x2mq", `{"row":"`+strings.Repeat("many ", 50)+`"}`)
	for _, c := range append([]coding.Coding{coding.Identity}, codings...) {
		b.Run(c.String(), func(b *testing.B) {
			e := s.metrics.code(sse{}, c)
			b.ReportAllocs()
			for b.Loop() {
				e.bytes(nil, r)
				e.wrote(r)
			}
		})
	}
}
