package httpapi

import (
	"fmt"
	"math"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// The histogram counts as one of Prometheus' own does.
func TestHistogram(t *testing.T) {
	var bounds []float64
	for _, b := range latencyBounds {
		bounds = append(bounds, b.Seconds())
	}
	theirs := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "latency", Help: "x", Buckets: bounds}, []string{"transport"})
	ours := newHistogramVec("latency", "x", []string{"transport"})
	h := ours.WithLabelValues("sse")
	var adding sync.WaitGroup
	for i := range 4 {
		adding.Go(func() {
			var l latencies
			for _, b := range latencyBounds {
				for _, d := range []time.Duration{b - 1, b, b + 1} {
					l.observe(d)
					theirs.WithLabelValues("sse").Observe(d.Seconds())
				}
			}
			if i == 0 {
				l.observe(-time.Second)
				theirs.WithLabelValues("sse").Observe(0)
			}
			h.add(&l)
		})
	}
	adding.Wait()
	h.add(&latencies{})
	want, wantSum := gathered(t, theirs)
	got, gotSum := gathered(t, ours)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("buckets (-want +got):\n%s", diff)
	}
	if math.Abs(wantSum-gotSum) > 1e-6 {
		t.Errorf("sum %v, want %v", gotSum, wantSum)
	}
}

// gathered is how Prometheus gets a histogram, and its sum, of which the last digits depend on the order.
func gathered(t *testing.T, c prometheus.Collector) (lines []string, sum float64) {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(c)
	w := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	for line := range strings.Lines(w.Body.String()) {
		if text, ok := strings.CutPrefix(line, `latency_sum{transport="sse"} `); ok {
			if _, err := fmt.Sscan(text, &sum); err != nil {
				t.Fatal(err)
			}
			continue
		}
		lines = append(lines, line)
	}
	return lines, sum
}
