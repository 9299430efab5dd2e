package httpapi

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/channel"
	"github.com/walrelay/walrelay/eventlog"
)

func adminGet(t *testing.T, s *Server, path string) (status int, text string, header http.Header) {
	t.Helper()
	resp := get(t, "http://"+s.AdminAddr().String()+path)
	return resp.StatusCode, body(t, resp), resp.Header
}

func TestHealth(t *testing.T) {
	var reasons []Reason
	s := start(t, Options{Hub: newFakeHub(), Admin: AdminOptions{
		Listen: "127.0.0.1:0",
		Checks: []Check{func() []Reason { return nil }, func() []Reason { return reasons }},
		Log: func() eventlog.Bounds {
			return eventlog.Bounds{Floor: change.Position{Commit: 0x10}, Last: change.Position{Commit: 0x16B3748, Index: 3}, WAL: 0x16B3800, Durable: 0x16B3748,
				Bytes: 4096, Batches: 2, OldestTime: time.Date(2026, 11, 20, 21, 0, 0, 0, time.UTC), Lineage: eventlog.Lineage{SystemID: "7", Timeline: 1, Generation: 1}}
		},
		Slot: func() any { return map[string]any{"name": "walrelay"} },
	}})
	if status, text, h := adminGet(t, s, "/healthz"); status != 200 || text != `{"status":"ok"}`+"\n" || h.Get("Content-Type") != "application/json" {
		t.Errorf("/healthz: %d %s %v", status, text, h)
	}
	want := `{"ready":true,"reasons":[],"log":{"floor":"0/10.0","last":"0/16B3748.3","wal":"0/16B3800","durable":"0/16B3748","bytes":4096,"batches":2,` +
		`"oldest_time":"2026-11-20T21:00:00Z","lineage":{"system_id":"7","timeline":1,"born":0,"generation":1}},"slot":{"name":"walrelay"}}` + "\n"
	if status, text, _ := adminGet(t, s, "/readyz"); status != 200 || text != want {
		t.Errorf("/readyz: %d\n%s", status, cmp.Diff(want, text))
	}
	reasons = []Reason{{Check: "postgres", Message: "connection refused; start Postgres"}}
	status, text, _ := adminGet(t, s, "/readyz")
	var got struct {
		Ready   bool
		Reasons []Reason
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if status != 503 || got.Ready || len(got.Reasons) != 1 || got.Reasons[0] != reasons[0] {
		t.Errorf("/readyz: %d %s", status, text)
	}
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/goroutine?debug=1", "/debug/pprof/cmdline"} {
		if status, _, _ := adminGet(t, s, path); status != 200 {
			t.Errorf("%s: status %d", path, status)
		}
	}
	if status, _, _ := adminGet(t, s, "/elsewhere"); status != 404 {
		t.Errorf("/elsewhere: status %d", status)
	}
}

func TestMetrics(t *testing.T) {
	hub := newFakeHub()
	hub.stats = channel.Stats{Subscribers: 3, Views: 2, CatchUpLanes: 1, Waiting: 4, Events: 50, Overflows: 6, CatchUpPasses: 7, Snapshots: 10, SnapshotsFailed: 1, SnapshotBytes: 11, Scans: 12, Undecided: 13, Resets: map[channel.Reason]uint64{channel.ReasonView: 8}}
	s := start(t, Options{Hub: hub, Admin: AdminOptions{
		Listen: "127.0.0.1:0",
		Log:    func() eventlog.Bounds { return eventlog.Bounds{Bytes: 4096, Batches: 9, WAL: 256, Corrupt: 3} },
	}})
	own := prometheus.NewGauge(prometheus.GaugeOpts{Name: "walrelay_slot_lag_bytes", Help: "x"})
	own.Set(42)
	s.Registerer().MustRegister(own)
	resp := get(t, target(s, "/events/orders"))
	newReader(resp).block(t)
	status, text, _ := adminGet(t, s, "/metrics")
	if status != 200 {
		t.Fatalf("status %d: %s", status, text)
	}
	for _, want := range []string{
		`walrelay_connections{transport="sse"} 1`, `walrelay_connections_total{transport="sse"} 1`, `walrelay_connections{transport="long_poll"} 0`,
		`walrelay_subscribers 3`, `walrelay_views 2`, `walrelay_catch_up_lanes 1`, `walrelay_catch_up_waiting 4`, `walrelay_events_queued_total 50`,
		`walrelay_queue_overflows_total 6`, `walrelay_catch_up_passes_total 7`, `walrelay_resets_total{reason="view"} 8`,
		`walrelay_snapshots_total{result="sent"} 9`, `walrelay_snapshots_total{result="failed"} 1`, `walrelay_snapshot_bytes 11`, `walrelay_scan_audiences 12`, `walrelay_undecided_changes_total 13`,
		`walrelay_log_bytes 4096`, `walrelay_log_batches 9`, `walrelay_log_wal_lsn 256`, `walrelay_log_oldest_seconds 0`, `walrelay_log_corrupt_total 3`, `walrelay_slot_lag_bytes 42`,
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("metrics lack %s", want)
		}
	}
	for _, want := range []string{"go_goroutines ", "process_open_fds "} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

// Two servers on one registry would count into one another.
func TestRegistryIsNotShared(t *testing.T) {
	registry := prometheus.NewRegistry()
	newServer(t, Options{Hub: newFakeHub(), Registry: registry})
	if _, err := New(Options{Hub: newFakeHub(), Registry: registry}); err == nil {
		t.Error("New registered its metrics twice")
	}
}
