package replication

import "github.com/prometheus/client_golang/prometheus"

// slotMetrics tell the slot's state and, where it is known, its figures: a figure that
// is not known is left out, not 0.
type slotMetrics struct {
	source                       *Source
	state, retained, lag, budget *prometheus.Desc
}

func newSlotMetrics(s *Source) *slotMetrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("walrelay_"+name, help, labels, nil)
	}
	return &slotMetrics{
		source:   s,
		state:    desc("slot_state", "1 for the state that the replication slot is in, 0 for the others.", "state"),
		retained: desc("slot_retained_bytes", "WAL that the slot holds back on the server. Absent while unknown."),
		lag:      desc("slot_lag_bytes", "WAL between the server's end and confirmed_flush_lsn. Absent while unknown."),
		budget:   desc("wal_budget_bytes", "What the slot may hold back: the smaller of postgres.wal_budget and max_slot_wal_keep_size. Absent while unknown."),
	}
}

// Describe implements prometheus.Collector.
func (m *slotMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.state, m.retained, m.lag, m.budget} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m *slotMetrics) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	look := m.source.State().Slot
	for _, state := range SlotStates {
		v := 0.0
		if state == look.State {
			v = 1
		}
		gauge(m.state, v, string(state))
	}
	if look.Slot == nil || look.State == SlotWrong { // somebody else's figures
		return
	}
	gauge(m.retained, float64(look.Slot.Retained))
	gauge(m.lag, max(float64(look.WALEnd)-float64(look.Slot.Confirmed), 0))
	if look.Budget.Limit > 0 {
		gauge(m.budget, float64(look.Budget.Limit))
	}
}
