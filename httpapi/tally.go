package httpapi

import (
	"time"

	"github.com/walrelay/walrelay/channel"
)

// tally is what one goroutine has counted and not added to the metrics yet. Those are shared by all, and
// there is something to count for each run, in shards for each run and connection. The zero value is ready.
type tally struct {
	of                        *traffic // nil: nothing has been counted
	events, bytes, heartbeats uint64
	latencies                 latencies
}

// to is the tally, of t from here on.
func (y *tally) to(t *traffic) *tally {
	if y.of != t {
		y.flush()
		y.of = t
	}
	return y
}

// sent counts runs that have been written, at now.
func (y *tally) sent(runs []*channel.Run, now time.Time) {
	for _, r := range runs {
		y.events += uint64(len(r.Frames))
		if !r.Commit.IsZero() {
			y.latencies.observe(now.Sub(r.Commit))
		}
	}
}

// flush adds everything to the metrics.
func (y *tally) flush() {
	if y.of == nil {
		return
	}
	y.of.events.Add(float64(y.events))
	y.of.bytes.Add(float64(y.bytes))
	y.of.heartbeats.Add(float64(y.heartbeats))
	y.of.latency.add(&y.latencies)
	*y = tally{}
}
