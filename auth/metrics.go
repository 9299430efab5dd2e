package auth

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of Sessions. Labels are constants or keys of the configuration.
type metrics struct {
	accepts, refusals, failures *prometheus.CounterVec
	caches                      *prometheus.CounterVec
	lookups                     prometheus.Histogram
	lookupErrors                prometheus.Counter
	ends, rereads               *prometheus.CounterVec
	revocations                 prometheus.Histogram
}

// figures are what Sessions holds.
type figures struct {
	// sessions are those that are known, with or without streams.
	sessions, streams int
	// notes are those of recent.
	notes int
}

// lookupBuckets reach from a query over a socket to lookupPatience.
var lookupBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}

// revocationBuckets reach to a replication that was away for a while.
var revocationBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60, 600}

func newMetrics() *metrics {
	m := &metrics{
		accepts:      counterVec("walrelay_auth_accepted_total", "Requests whose session was found, by entry of the configuration.", "entry"),
		refusals:     counterVec("walrelay_auth_refused_total", "Requests whose session was refused, by entry and reason.", "entry", "reason"),
		failures:     counterVec("walrelay_auth_failed_total", "Requests of which it could not be said whether they have a session, by entry. Their clients come back.", "entry"),
		caches:       counterVec("walrelay_auth_cache_total", "Cookies and tokens looked for in memory: hit (known), negative (refused a moment ago), miss (looked up).", "result"),
		lookups:      histogram("walrelay_auth_lookups_seconds", "Time of one look-up of a session in Postgres, or of one question to the application.", lookupBuckets),
		lookupErrors: prometheus.NewCounter(prometheus.CounterOpts{Name: "walrelay_auth_lookup_errors_total", Help: "Look-ups of sessions, and questions to the application, that failed."}),
		ends:         counterVec("walrelay_auth_revocations_total", "Sessions that were ended while they were known, by cause.", "cause"),
		rereads:      counterVec("walrelay_auth_rereads_total", "Sessions looked up again while their streams are open, by result: same, changed, gone, failed.", "result"),
		revocations:  histogram("walrelay_auth_revocation_seconds", "Time from the commit that ended a session to the end of its streams.", revocationBuckets),
	}
	for _, result := range []string{"hit", "miss", "negative"} {
		m.caches.WithLabelValues(result)
	}
	for _, result := range []string{"same", "changed", "gone", "failed"} {
		m.rereads.WithLabelValues(result)
	}
	return m
}

func counterVec(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func histogram(name, help string, buckets []float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
}

// register registers all; now is asked at every scrape.
func (m *metrics) register(r prometheus.Registerer, now func() figures) error {
	for _, c := range []prometheus.Collector{m.accepts, m.refusals, m.failures, m.caches, m.lookups, m.lookupErrors, m.ends, m.rereads, m.revocations,
		figuresCollector(now)} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// accepted counts a request with a session.
func (m *metrics) accepted(entry string) { m.accepts.WithLabelValues(entry).Inc() }

// refused counts a request whose session was refused.
func (m *metrics) refused(entry string, why Reason) {
	m.refusals.WithLabelValues(entry, string(why)).Inc()
}

// failed counts a request that could not be resolved now.
func (m *metrics) failed(entry string) { m.failures.WithLabelValues(entry).Inc() }

// cache counts hit, miss and negative.
func (m *metrics) cache(result string) { m.caches.WithLabelValues(result).Inc() }

// lookup observes one look-up.
func (m *metrics) lookup(d time.Duration, failed bool) {
	m.lookups.Observe(d.Seconds())
	if failed {
		m.lookupErrors.Inc()
	}
}

// ended counts a session that ended for a cause other than time without streams.
func (m *metrics) ended(cause string) { m.ends.WithLabelValues(cause).Inc() }

// revoked observes the time from a commit to the end of the session's streams. The
// database's clock may be ahead of ours.
func (m *metrics) revoked(latency time.Duration) { m.revocations.Observe(max(0, latency.Seconds())) }

// reread counts same, changed, gone and failed.
func (m *metrics) reread(result string) { m.rereads.WithLabelValues(result).Inc() }

// figuresCollector reads what Sessions holds, when asked: all of it at one moment.
type figuresCollector func() figures

var (
	sessionsDesc = prometheus.NewDesc("walrelay_auth_sessions", "Sessions known now: those with streams, and for 30 seconds those without.", nil, nil)
	streamsDesc  = prometheus.NewDesc("walrelay_auth_streams", "Streams of sessions open now.", nil, nil)
	ringDesc     = prometheus.NewDesc("walrelay_auth_ring", "Changes of sessions and users that are remembered until every look-up sees them.", nil, nil)
)

// Describe is that of prometheus.Collector.
func (figuresCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{sessionsDesc, streamsDesc, ringDesc} {
		ch <- d
	}
}

// Collect is that of prometheus.Collector.
func (c figuresCollector) Collect(ch chan<- prometheus.Metric) {
	f := c()
	for d, v := range map[*prometheus.Desc]int{sessionsDesc: f.sessions, streamsDesc: f.streams, ringDesc: f.notes} {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v))
	}
}
