package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// rounds are the storms of one shape.
type rounds []*stormRound

// median of a figure.
func (rs rounds) median(get func(*stormRound) float64) float64 {
	var v []float64
	for _, r := range rs {
		v = append(v, get(r))
	}
	return median(v)
}

// spread is the median of a figure with its extremes.
func (rs rounds) spread(format string, get func(*stormRound) float64) string {
	var v []float64
	for _, r := range rs {
		v = append(v, get(r))
	}
	return fmt.Sprintf(strings.ReplaceAll("% (% to %)", "%", format), median(v), slices.Min(v), slices.Max(v))
}

// against gives the medians of a storm's cost divided by those of others.
func (rs rounds) against(get func(cost) float64) string {
	var parts []string
	for _, other := range []struct {
		name string
		cost func(*stormRound) cost
	}{
		{"one client that gets its own rows", func(r *stormRound) cost { return r.one }},
		{"one that gets all rows", func(r *stormRound) cost { return r.all }},
		{"opening the connections", func(r *stormRound) cost { return r.opening }},
	} {
		ratio := rs.median(func(r *stormRound) float64 { return get(r.back) / get(other.cost(r)) })
		base := rs.median(func(r *stormRound) float64 { return get(other.cost(r)) })
		parts = append(parts, fmt.Sprintf("x%.1f of %s (%.3f s)", ratio, other.name, base))
	}
	return strings.Join(parts, ", ")
}

func reportStorm(sh shape, rs rounds) {
	seconds := func(c cost) float64 { return c.time.Seconds() }
	cpu := func(c cost) float64 { return c.cpu }
	fmt.Printf("  %s: %s; %.0f events missed\n", sh.name, sh.says, rs.median(func(r *stormRound) float64 { return float64(r.events) }))
	fmt.Printf("    all caught up after %s s, half of them after %.2f s; %s\n",
		rs.spread("%.2f", func(r *stormRound) float64 { return seconds(r.back) }),
		rs.median(func(r *stormRound) float64 { return quantile(slices.Clone(r.times), 0.5) / 1e3 }), rs.against(seconds))
	fmt.Printf("    CPU of walrelay %s s; %s; of the clients %.2f s, of the rest of the machine %.2f s\n",
		rs.spread("%.2f", func(r *stormRound) float64 { return cpu(r.back) }), rs.against(cpu),
		rs.median(func(r *stormRound) float64 { return r.back.self }), rs.median(func(r *stormRound) float64 { return max(0, r.back.rest) }))
	fmt.Printf("    %.0f passes over the changes, %.1f reads a client, %.0f queues overflowed, peak RSS %.0f MB; one more row for everybody took %.0f ms\n",
		rs.median(func(r *stormRound) float64 { return r.passes }), rs.median(func(r *stormRound) float64 { return float64(r.reads) / float64(len(r.times)) }),
		rs.median(func(r *stormRound) float64 { return r.overflows }), rs.median(func(r *stormRound) float64 { return float64(r.peak) / 1e6 }),
		rs.median(func(r *stormRound) float64 { return r.head.Seconds() * 1e3 }))
	fmt.Printf("    a client that stays, COMMIT to event: before %s; during %s\n",
		rs.probes(func(r *stormRound) (from, to time.Time) { return r.calmFrom, r.calmTo }),
		rs.probes(func(r *stormRound) (from, to time.Time) { return r.stormFrom, r.stormTo }))
}

// probes sums up the probes of a time of each storm. The time that the INSERT took, with
// its commit, says how busy the machine was.
func (rs rounds) probes(within func(*stormRound) (from, to time.Time)) string {
	var way, insert []time.Duration
	for _, r := range rs {
		from, to := within(r)
		for _, p := range r.flow.probes {
			if p.committed.After(from) && p.committed.Before(to) {
				way, insert = append(way, p.arrived.Sub(p.committed)), append(insert, p.committed.Sub(p.sent))
			}
		}
	}
	return fmt.Sprintf("p50 %.2f ms, p99 %.2f ms (%d transactions; INSERT itself p50 %.2f ms, p99 %.2f ms)",
		quantile(way, 0.5), quantile(way, 0.99), len(way), quantile(insert, 0.5), quantile(insert, 0.99))
}
