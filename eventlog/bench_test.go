package eventlog_test

import (
	"fmt"
	"testing"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/eventlog"
)

// Durable rows per second, 200-byte rows, one append outstanding.
func BenchmarkAppend(b *testing.B) {
	for _, rows := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			l := begun(b, eventlog.Options{Dir: b.TempDir()})
			s := newRows()
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				batch := s.batch(rows)
				b.StartTimer()
				must(b, l.Append(ctx, batch))
			}
			b.ReportMetric(float64(b.N*rows)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(l.Bounds().Bytes)/float64(b.N*rows), "disk-B/row")
		})
	}
}

// A subscriber's step: from the memory tail, from the chunk cache, from disk.
func BenchmarkNext(b *testing.B) {
	const batches = 2000
	for _, c := range []struct {
		name        string
		tail, cache int
	}{{"tail", 0, 0}, {"cache", 1, 256 << 20}, {"disk", 1, 1 << 20}} {
		b.Run(c.name, func(b *testing.B) {
			l := begun(b, eventlog.Options{Dir: b.TempDir(), TailBytes: c.tail, CacheBytes: c.cache})
			fill(b, l, newRows(), batches, 100)
			after := change.Before(genesis)
			wantAll(b, l, batches*100)
			b.ReportAllocs()
			for b.Loop() {
				batch, err := l.Next(after)
				if err != nil {
					b.Fatal(err)
				}
				if after = change.Before(genesis); batch != nil {
					after = batch.Last
				}
			}
			b.ReportMetric(float64(b.N*100)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
