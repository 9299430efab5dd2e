package replication

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/walrelay/walrelay/change"
)

// counters are written by the receiver and the writer.
type counters struct {
	messages, bytes  atomic.Uint64
	keepalives       atomic.Uint64
	transactions     atomic.Uint64
	changes, batches atomic.Uint64
	oversize         atomic.Uint64
	confirmed        atomic.Uint64
}

func (c *counters) received(n int) {
	c.messages.Add(1)
	c.bytes.Add(uint64(n))
}

// heard changes with everything that the server sends.
func (c *counters) heard() uint64 { return c.messages.Load() + c.keepalives.Load() }

func (c *counters) appended(b *change.Batch) {
	c.batches.Add(1)
	c.changes.Add(uint64(b.Changes))
}

// Register exposes the Source's metrics.
func (s *Source) Register(r prometheus.Registerer) {
	counter := func(name, help string, v *atomic.Uint64) {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "walrelay_replication_" + name, Help: help}, func() float64 { return float64(v.Load()) }))
	}
	gauge := func(name, help string, v func() float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "walrelay_" + name, Help: help}, v))
	}
	counter("messages_total", "pgoutput messages received.", &s.stats.messages)
	counter("received_bytes_total", "Bytes received on the replication connection.", &s.stats.bytes)
	counter("transactions_total", "Transactions received.", &s.stats.transactions)
	counter("changes_total", "Changes appended to the event log.", &s.stats.changes)
	counter("batches_total", "Batches appended to the event log.", &s.stats.batches)
	counter("oversize_total", "Rows larger than log.max_event_bytes, told without their values.", &s.stats.oversize)
	gauge("replication_streaming", "1 while the replication stream is up.", func() float64 {
		if s.State().Phase == PhaseStreaming {
			return 1
		}
		return 0
	})
	gauge("replication_behind_seconds", "How long ago everything was committed that has been received: a few seconds when replication follows, +Inf before it does.", func() float64 {
		at := s.horizon.get()
		if at.IsZero() {
			return math.Inf(1)
		}
		return time.Since(at).Seconds()
	})
	gauge("replication_confirmed_lsn", "WAL position confirmed to Postgres, as a byte offset.", func() float64 { return float64(s.stats.confirmed.Load()) })
	r.MustRegister(newSlotMetrics(s))
}
