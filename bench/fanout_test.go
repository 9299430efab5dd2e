package main

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestHubData(t *testing.T) {
	for _, number := range []int64{1, 99, 1234567} {
		got := string(hubData(nil, number))
		if rest, ok := strings.CutPrefix(got, hubPrefix); !ok || len(got) != eventSize {
			t.Errorf("data of message %d has %d bytes: %s", number, len(got), got)
		} else if n, _ := newNumber(rest); n != number {
			t.Errorf("data of message %d has number %d", number, n)
		}
	}
}

func newNumber(s string) (int64, int) { return number([]byte(s), 10) }

func TestLoads(t *testing.T) {
	burst := loads[1]
	for group, want := range map[int]time.Duration{0: 0, 1: time.Second / 6, 12: 2 * time.Second, 60_000_000: 10_000_000 * time.Second} {
		if got := burst.due(group); got != want {
			t.Errorf("group %d of %+v is due after %v, want %v", group, burst, got, want)
		}
	}
	for n, want := range map[int]bool{1000: true, 2000: true, 5000: false} {
		if got := burst.fits(n); got != want {
			t.Errorf("burst fits %d clients: %t", n, got)
		}
	}
	if !loads[2].fits(1_000_000) {
		t.Error("saturation has no rate, but does not fit")
	}
}

// There is room for a message only when nobody has more than the window less one to get.
func TestRoom(t *testing.T) {
	for _, c := range []struct{ published, delivered, want int64 }{
		{0, 0, 16}, {16, 0, 0}, {16, 999, 0}, {16, 1000, 1}, {16, 15_999, 15}, {16, 16_000, 16}, {20, 16_000, 12},
	} {
		if got := room(16, 1000, c.published, c.delivered); got != c.want {
			t.Errorf("%d published, %d delivered: room for %d, want %d", c.published, c.delivered, got, c.want)
		}
	}
}

func fanoutTestFigure(round int, server string, events, cpu, foreign float64) fanoutFigure {
	return fanoutFigure{round, "single", server, peerClocks{seconds: 2, events: events, bytes: 200 * events, server: cpu, clients: 0.5, source: 0.25, machine: cpu + 0.75 + 2*foreign}}
}

func TestPeerClocks(t *testing.T) {
	began := time.Now()
	was := peerClocks{began, 0, 1000, 5000, 1, 2, 3, 10}
	c := peerClocks{began.Add(2 * time.Second), 0, 5000, 25_000, 2, 2.5, 3.25, 12}.since(was)
	if c.seconds != 2 || c.perSecond() != 2000 || c.perCPU() != 4000 || math.Abs(c.foreign()-0.125) > 1e-9 {
		t.Errorf("%+v: %v a second, %v a CPU second, foreign %v", c, c.perSecond(), c.perCPU(), c.foreign())
	}
	if none := (peerClocks{seconds: 1, events: 5}).perCPU(); none != 0 {
		t.Errorf("no CPU time: %v events a CPU second", none)
	}
}

// Ratios are of the same round, and those with foreign work count only where there are no others.
func TestFanoutRatios(t *testing.T) {
	fs := fanoutFigures{
		fanoutTestFigure(0, "floor", 1000, 1, 0), fanoutTestFigure(0, "walrelay", 3000, 1.5, 0), // 2
		fanoutTestFigure(1, "floor", 1000, 2, 0), fanoutTestFigure(1, "walrelay", 3000, 1.5, 0), // 4
		fanoutTestFigure(2, "floor", 1000, 1, 0), fanoutTestFigure(2, "walrelay", 3000, 1, 0), // 3
		fanoutTestFigure(3, "floor", 1000, 10, 0.2), fanoutTestFigure(3, "walrelay", 3000, 1, 0), // 30, disturbed
		fanoutTestFigure(4, "walrelay", 9000, 1, 0), // no pair
	}
	pairs := fs.pairs("single", "walrelay", "floor", peerClocks.perCPU)
	if got, want := ratio(pairs, 0.1), "3.00 (2.00 to 4.00)"; got != want {
		t.Errorf("ratio %s, want %s of %v", got, want, pairs)
	}
	if got, want := ratio(pairs[3:], 0.1), "30.00* (30.00 to 30.00)"; got != want {
		t.Errorf("ratio %s, want %s", got, want)
	}
	if got := ratio(fs.pairs("single", "walrelay", "nchan", peerClocks.perCPU), 0.1); got != "" {
		t.Errorf("ratio %s to what was not measured", got)
	}
	table := fs.table(1000, []string{"floor", "nchan", "walrelay"}, 0.1)
	for _, want := range []string{
		"\n| single | walrelay | 3.00 (2.00 to 4.00) |  | 3.00 (3.00 to 3.00) |  | 3000 | 1500 | 200 | 0.50 | 0.38 | 0.00 |\n",
		"in 1 of 9 measurements", "single of floor in round 4 (0.20)",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
	if strings.Contains(table, "| single | nchan |") {
		t.Errorf("the table has a row of what was not measured:\n%s", table)
	}
}

// Storms are compared with nchan's of the same round, and what nchan did not survive with nothing.
func TestPeerStorms(t *testing.T) {
	storm := func(server string, round int, all float64) peerStormFigure {
		return peerStormFigure{server, round, all / 2, all, peerClocks{seconds: 1, server: all / 1000, machine: all / 1000}}
	}
	fs := peerStorms{storm("nchan", 0, 1000), storm("walrelay", 0, 500), storm("walrelay", 1, 100), storm("nchan", 2, 1000), storm("walrelay", 2, 600)}
	table := fs.table(5000, []string{"nchan", "walrelay"}, 0.1)
	want := "\n| walrelay | 0.60 (0.50 to 0.60) | 0.60 (0.50 to 0.60) | 0.60 (0.50 to 0.60) | 500 ms | 250 ms | 0.50 s | 0.00 |\n"
	if !strings.Contains(table, want) {
		t.Errorf("the table lacks %q:\n%s", want, table)
	}
	if table := fs[1:2].table(5000, []string{"nchan", "walrelay"}, 0.1); strings.Contains(table, "| nchan |") || !strings.Contains(table, "| walrelay |  |  |  | 500 ms |") {
		t.Errorf("without nchan:\n%s", table)
	}
}
