package httpapi

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// latencyBounds reach from a loopback's latency to what a client was away.
var latencyBounds = [...]time.Duration{
	250 * time.Microsecond, 500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond,
	25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, time.Minute, 10 * time.Minute, time.Hour,
}

// latencies are observations that belong to one goroutine, to be added to a histogram together: there is
// one for each run and connection. The zero value is ready.
type latencies struct {
	// counts are per bucket, not cumulative. The last one has no bound.
	counts [len(latencyBounds) + 1]uint64
	sum    float64 // in nanoseconds
}

// observe adds one. The database's clock may be ahead of ours: less than nothing is nothing.
func (l *latencies) observe(d time.Duration) {
	d = max(0, d)
	i := 0
	for i < len(latencyBounds) && d > latencyBounds[i] {
		i++
	}
	l.counts[i]++
	l.sum += float64(d)
}

// histogram is a latency histogram to which latencies are added. Safe for concurrent use.
type histogram struct {
	counts [len(latencyBounds) + 1]atomic.Uint64
	sum    atomic.Uint64 // the bits of a float64, in nanoseconds
}

func (h *histogram) add(l *latencies) {
	if l.sum == 0 && l.counts == (latencies{}).counts {
		return
	}
	for i, n := range l.counts {
		if n > 0 {
			h.counts[i].Add(n)
		}
	}
	for {
		was := h.sum.Load()
		if h.sum.CompareAndSwap(was, math.Float64bits(math.Float64frombits(was)+l.sum)) {
			return
		}
	}
}

// histogramVec are histograms by one label. A prometheus.HistogramVec takes one observation at a time.
type histogramVec struct {
	desc *prometheus.Desc
	of   map[string]*histogram // never changed once it is registered
}

func newHistogramVec(name, help string, labels []string) *histogramVec {
	return &histogramVec{desc: prometheus.NewDesc(name, help, labels, nil), of: map[string]*histogram{}}
}

// WithLabelValues makes the histogram of a label value.
func (v *histogramVec) WithLabelValues(label string) *histogram {
	h := &histogram{}
	v.of[label] = h
	return h
}

// Describe is part of prometheus.Collector.
func (v *histogramVec) Describe(ch chan<- *prometheus.Desc) { ch <- v.desc }

// Collect is part of prometheus.Collector.
func (v *histogramVec) Collect(ch chan<- prometheus.Metric) {
	for label, h := range v.of {
		sum := math.Float64frombits(h.sum.Load()) / float64(time.Second)
		count, buckets := uint64(0), make(map[float64]uint64, len(latencyBounds))
		for i := range h.counts {
			if count += h.counts[i].Load(); i < len(latencyBounds) {
				buckets[latencyBounds[i].Seconds()] = count
			}
		}
		ch <- prometheus.MustNewConstHistogram(v.desc, count, sum, buckets, label)
	}
}
