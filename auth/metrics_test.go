package auth

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// gathered are the values of a registry's counters and gauges, of histograms count and sum,
// by name and labels.
func gathered(tb testing.TB, reg prometheus.Gatherer) map[string]float64 {
	tb.Helper()
	families, err := reg.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	out := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			name := family.GetName() + "{" + strings.Join(labels, ",") + "}"
			if h := m.GetHistogram(); h != nil {
				out[name+" count"], out[name+" sum"] = float64(h.GetSampleCount()), h.GetSampleSum()
				continue
			}
			out[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return out
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	m, reg := newMetrics(), prometheus.NewPedanticRegistry()
	now := figures{}
	if err := m.register(reg, func() figures { return now }); err != nil {
		t.Fatal(err)
	}
	quiet := map[string]float64{
		"walrelay_auth_cache_total{result=hit}": 0, "walrelay_auth_cache_total{result=miss}": 0, "walrelay_auth_cache_total{result=negative}": 0,
		"walrelay_auth_rereads_total{result=same}": 0, "walrelay_auth_rereads_total{result=changed}": 0, "walrelay_auth_rereads_total{result=gone}": 0,
		"walrelay_auth_rereads_total{result=failed}": 0, "walrelay_auth_lookups_seconds{} count": 0, "walrelay_auth_lookups_seconds{} sum": 0,
		"walrelay_auth_lookup_errors_total{}": 0, "walrelay_auth_revocation_seconds{} count": 0, "walrelay_auth_revocation_seconds{} sum": 0,
		"walrelay_auth_sessions{}": 0, "walrelay_auth_streams{}": 0, "walrelay_auth_ring{}": 0,
	}
	if diff := cmp.Diff(quiet, gathered(t, reg)); diff != "" {
		t.Error(diff)
	}
	m.accepted("auth.0")
	m.accepted("auth.0")
	m.refused("auth.1", BadSignature)
	m.failed("auth.1")
	m.cache("hit")
	m.lookup(2*time.Second, false)
	m.lookup(time.Second, true)
	m.ended("deleted")
	m.revoked(500 * time.Millisecond)
	m.revoked(-time.Hour) // the database's clock is ahead
	m.reread("gone")
	now = figures{sessions: 3, streams: 5, notes: 7}
	want := maps.Clone(quiet)
	maps.Copy(want, map[string]float64{
		"walrelay_auth_accepted_total{entry=auth.0}": 2, "walrelay_auth_refused_total{entry=auth.1,reason=bad_signature}": 1, "walrelay_auth_failed_total{entry=auth.1}": 1,
		"walrelay_auth_cache_total{result=hit}": 1, "walrelay_auth_lookups_seconds{} count": 2, "walrelay_auth_lookups_seconds{} sum": 3, "walrelay_auth_lookup_errors_total{}": 1,
		"walrelay_auth_revocations_total{cause=deleted}": 1, "walrelay_auth_revocation_seconds{} count": 2, "walrelay_auth_revocation_seconds{} sum": 0.5,
		"walrelay_auth_rereads_total{result=gone}": 1, "walrelay_auth_sessions{}": 3, "walrelay_auth_streams{}": 5, "walrelay_auth_ring{}": 7,
	})
	if diff := cmp.Diff(want, gathered(t, reg)); diff != "" {
		t.Error(diff)
	}
	if err := m.register(reg, func() figures { return now }); err == nil {
		t.Error("registered twice")
	}
}

// Revocations of a millisecond must be told from those of ten.
func TestRevocationBuckets(t *testing.T) {
	t.Parallel()
	for name, buckets := range map[string][]float64{"lookups": lookupBuckets, "revocation": revocationBuckets} {
		if buckets[0] != .0005 || !slices.IsSorted(buckets) || buckets[len(buckets)-1] < lookupPatience.Seconds() {
			t.Errorf("%s: %v", name, buckets)
		}
	}
}
