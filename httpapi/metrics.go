package httpapi

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/walrelay/walrelay/channel"
	"github.com/walrelay/walrelay/coding"
	"github.com/walrelay/walrelay/eventlog"
)

// metrics are what this package counts.
type metrics struct {
	traffic  [len(kinds)]*traffic
	codecs   map[coding.Coding]*codec
	rejected *prometheus.CounterVec
	ends     *prometheus.CounterVec
}

// traffic is one transport's share, resolved once so that writing looks nothing up.
type traffic struct {
	open       prometheus.Gauge
	opened     prometheus.Counter
	events     prometheus.Counter
	bytes      prometheus.Counter
	heartbeats prometheus.Counter
	latency    *histogram
}

// sent counts runs that have been written, at now.
func (t *traffic) sent(runs []*channel.Run, now time.Time) {
	if len(runs) == 0 {
		return
	}
	y := tally{of: t}
	y.sent(runs, now)
	y.flush()
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	label := []string{"transport"}
	open := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "walrelay_connections", Help: "Streams and long polls open now."}, label)
	opened := counterVec("walrelay_connections_total", "Streams and long polls opened.", label)
	events := counterVec("walrelay_events_written_total", "Events written to clients.", label)
	bytes := counterVec("walrelay_written_bytes_total", "Bytes of event streams written to clients, compressed where they are, before TLS and HTTP framing.", label)
	beats := counterVec("walrelay_heartbeats_total", "Heartbeats written to idle clients.", label)
	latency := newHistogramVec("walrelay_commit_to_write_seconds",
		"Time from the commit of a run's oldest change to the end of its write to one client. Runs that a resumed client catches up on count with their age.", label)
	m := &metrics{
		rejected: counterVec("walrelay_rejected_total", "Requests for events that were refused, by code.", []string{"reason"}),
		ends:     counterVec("walrelay_ends_total", "Streams and long polls that ended, by reason.", []string{"reason"}),
	}
	for _, k := range kinds {
		l := k.String()
		m.traffic[k] = &traffic{open: open.WithLabelValues(l), opened: opened.WithLabelValues(l), events: events.WithLabelValues(l),
			bytes: bytes.WithLabelValues(l), heartbeats: beats.WithLabelValues(l), latency: latency.WithLabelValues(l)}
	}
	label = []string{"coding"}
	runs := counterVec("walrelay_compressed_runs_total", "Runs of events that were compressed, each once for all streams that share it.", label)
	before := counterVec("walrelay_compressed_text_bytes_total", "Bytes of events written on compressed streams, as they were before compression.", label)
	after := counterVec("walrelay_compressed_bytes_total", "Bytes of events written on compressed streams, as they were written.", label)
	m.codecs = map[coding.Coding]*codec{}
	for _, c := range []coding.Coding{coding.Gzip, coding.Zstd} {
		l := c.String()
		m.codecs[c] = &codec{coding: c, runs: runs.WithLabelValues(l), plain: before.WithLabelValues(l), written: after.WithLabelValues(l)}
	}
	return m, register(reg, open, opened, events, bytes, beats, latency, runs, before, after, m.rejected, m.ends,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}

func counterVec(name, help string, labels []string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func register(reg prometheus.Registerer, cs ...prometheus.Collector) error {
	for _, c := range cs {
		if err := reg.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// hubCollector reads the hub's figures when they are asked for.
type hubCollector struct{ hub Hub }

var (
	hubSubscribers = prometheus.NewDesc("walrelay_subscribers", "Subscribers of the hub now.", nil, nil)
	hubViews       = prometheus.NewDesc("walrelay_views", "Different sets of channels that subscribers have now.", nil, nil)
	hubLanes       = prometheus.NewDesc("walrelay_catch_up_lanes", "Catch-up lanes running now.", nil, nil)
	hubWaiting     = prometheus.NewDesc("walrelay_catch_up_waiting", "Subscribers waiting for a catch-up lane.", nil, nil)
	hubPasses      = prometheus.NewDesc("walrelay_catch_up_passes_total", "Passes over the log for subscribers that resumed.", nil, nil)
	hubEvents      = prometheus.NewDesc("walrelay_events_queued_total", "Events queued, one per event and subscriber.", nil, nil)
	hubOverflows   = prometheus.NewDesc("walrelay_queue_overflows_total", "Subscribers that left their lane because their queue was full.", nil, nil)
	hubSnapshots   = prometheus.NewDesc("walrelay_snapshots_total", "Snapshots of channels, one for all streams that share it, by result.", []string{"result"}, nil)
	hubHeld        = prometheus.NewDesc("walrelay_snapshot_bytes", "Bytes of snapshots that have not been written to clients yet.", nil, nil)
	hubScans       = prometheus.NewDesc("walrelay_scan_audiences", "Audiences whose rule has nothing to look up: each costs an evaluation per change.", nil, nil)
	hubUndecided   = prometheus.NewDesc("walrelay_undecided_changes_total", "Changes that a rule could not judge; its clients got reset{gap}.", nil, nil)
	hubResets      = prometheus.NewDesc("walrelay_resets_total", "Reset events, by reason.", []string{"reason"}, nil)
)

func (hubCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{hubSubscribers, hubViews, hubLanes, hubWaiting, hubPasses, hubEvents, hubOverflows, hubResets, hubSnapshots, hubHeld, hubScans, hubUndecided} {
		ch <- d
	}
}

func (c hubCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.hub.Stats()
	gauge := func(d *prometheus.Desc, v int) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v))
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(hubSubscribers, s.Subscribers)
	gauge(hubViews, s.Views)
	gauge(hubLanes, s.CatchUpLanes)
	gauge(hubWaiting, s.Waiting)
	count(hubPasses, s.CatchUpPasses)
	count(hubEvents, s.Events)
	count(hubOverflows, s.Overflows)
	count(hubSnapshots, s.Snapshots-s.SnapshotsFailed, "sent")
	count(hubSnapshots, s.SnapshotsFailed, "failed")
	gauge(hubHeld, int(s.SnapshotBytes))
	gauge(hubScans, s.Scans)
	count(hubUndecided, s.Undecided)
	for reason, n := range s.Resets {
		count(hubResets, n, string(reason))
	}
}

// logCollector reads the event log's bounds when they are asked for.
type logCollector struct {
	bounds func() eventlog.Bounds
	now    func() time.Time
}

var (
	logFloor   = prometheus.NewDesc("walrelay_log_floor_lsn", "LSN of the oldest position from which clients can resume, in bytes.", nil, nil)
	logLast    = prometheus.NewDesc("walrelay_log_last_lsn", "LSN of the newest change in the event log, in bytes.", nil, nil)
	logWAL     = prometheus.NewDesc("walrelay_log_wal_lsn", "LSN up to which every commit is in the event log, in bytes.", nil, nil)
	logDurable = prometheus.NewDesc("walrelay_log_durable_lsn", "LSN up to which every commit is on disk in the event log, in bytes.", nil, nil)
	logBytes   = prometheus.NewDesc("walrelay_log_bytes", "Size of the event log, in bytes.", nil, nil)
	logBatches = prometheus.NewDesc("walrelay_log_batches", "Batches in the event log.", nil, nil)
	logCorrupt = prometheus.NewDesc("walrelay_log_corrupt_total", "Damage in the event log: reads that ran into it, and what was found at the start.", nil, nil)
	logOldest  = prometheus.NewDesc("walrelay_log_oldest_seconds", "Age of the oldest batch in the event log, in seconds.", nil, nil)
)

func (logCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{logFloor, logLast, logWAL, logDurable, logBytes, logBatches, logOldest, logCorrupt} {
		ch <- d
	}
}

func (c logCollector) Collect(ch chan<- prometheus.Metric) {
	b := c.bounds()
	age := 0.0
	if !b.OldestTime.IsZero() {
		age = c.now().Sub(b.OldestTime).Seconds()
	}
	for d, v := range map[*prometheus.Desc]float64{
		logFloor: float64(b.Floor.Commit), logLast: float64(b.Last.Commit), logWAL: float64(b.WAL), logDurable: float64(b.Durable), logBytes: float64(b.Bytes), logBatches: float64(b.Batches), logOldest: age,
	} {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	ch <- prometheus.MustNewConstMetric(logCorrupt, prometheus.CounterValue, float64(b.Corrupt))
}
