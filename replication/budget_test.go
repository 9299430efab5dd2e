package replication

import (
	"log/slog"
	"strings"
	"testing"
)

func TestBudget(t *testing.T) {
	const mb = 1 << 20
	for _, test := range []struct {
		name    string
		slot    func(*Slot)
		want    Budget
		percent int64
		reason  string // parts; empty: ready
	}{
		{"configured", func(s *Slot) { s.Retained = 79 * mb }, Budget{79 * mb, 100 * mb, fromConfig}, 79, ""},
		{"80 %", func(s *Slot) { s.Retained = 80 * mb }, Budget{80 * mb, 100 * mb, fromConfig}, 80, "slot relay holds back 83886080 bytes|80 % of the 104857600 bytes|postgres.wal_budget"},
		{"the server's is smaller", func(s *Slot) { s.Retained, s.SafeLeft, s.Limited = 9*mb, mb, true }, Budget{9 * mb, 10 * mb, fromServer}, 90, "90 % of the 10485760 bytes that max_slot_wal_keep_size allows|raise max_slot_wal_keep_size"},
		{"the server's is larger", func(s *Slot) { s.Retained, s.SafeLeft, s.Limited = 9*mb, 200*mb, true }, Budget{9 * mb, 100 * mb, fromConfig}, 9, ""},
		{"due to be lost", func(s *Slot) { s.Retained, s.SafeLeft, s.Limited = 9*mb, -2*mb, true }, Budget{9 * mb, 7 * mb, fromServer}, 128, "128 %"},
		{"long due", func(s *Slot) { s.Retained, s.SafeLeft, s.Limited = 9*mb, -10*mb, true }, Budget{9 * mb, 1, fromServer}, 9 * mb * 100, "max_slot_wal_keep_size"},
		{"lost", func(s *Slot) { s.Retained, s.Invalid = 99*mb, "idle_timeout" }, Budget{}, 0, ""},
		{"not walrelay's", func(s *Slot) { s.Retained, s.Type = 99*mb, "physical" }, Budget{}, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := with(test.slot).budget(100 * mb)
			if b != test.want || b.Percent() != test.percent {
				t.Errorf("got %+v, %d %%", b, b.Percent())
			}
			wantParts(t, b.reason("relay"), test.reason)
		})
	}
}

// The log is told once per crossing, and nothing by a look that failed.
func TestWatcher(t *testing.T) {
	var out strings.Builder
	w := watcher{log: slog.New(slog.NewTextHandler(&out, nil)), slot: "relay"}
	at := func(state SlotState, percent int64) (mended bool) {
		return w.judge(SlotLook{State: state, Budget: Budget{percent, 100, fromServer}})
	}
	for _, percent := range []int64{10, 49, 50, 60, 90, 51} {
		at(SlotStreaming, percent)
	}
	at(SlotUnknown, 0)
	at(SlotInUse, 70)
	wantCount(t, out.String(), "holds back much WAL", 1)
	wantParts(t, out.String(), "level=WARN|retained_bytes=50 percent=50 budget_bytes=100 budget_from=max_slot_wal_keep_size|fix=")
	at(SlotStreaming, 49)
	wantCount(t, out.String(), "little WAL again", 1)
	at(SlotStreaming, 50)
	wantCount(t, out.String(), "holds back much WAL", 2)

	for _, state := range []SlotState{SlotLost, SlotUnknown, SlotLost} {
		if at(state, 0) {
			t.Errorf("%s: mended", state)
		}
	}
	wantCount(t, out.String(), "level=ERROR", 1)
	if !at(SlotMissing, 0) {
		t.Error("lost, then dropped: not mended")
	}
	if at(SlotStreaming, 0) {
		t.Error("mended twice")
	}
	at(SlotLost, 0)
	wantCount(t, out.String(), "level=ERROR", 2)
}

func wantCount(t *testing.T, text, part string, n int) {
	t.Helper()
	if got := strings.Count(text, part); got != n {
		t.Errorf("%q occurs %d times, want %d:\n%s", part, got, n, text)
	}
}
