package main

import (
	"errors"
	"fmt"
	"time"
)

// report prints the figures and says whether they are good enough.
func (s *slow) report() error {
	fmt.Printf("slow   %d clients that read, %.0f tx/s, watched for %v; every one of %d events came, once\n", s.healthy, float64(time.Second/slowTick), s.length, len(s.flow.probes)*s.healthy)
	p99 := make([][4]float64, len(s.windows))
	names := [4]string{"alone", "with 1 that never reads", fmt.Sprintf("with %d that never read", s.stalled), "while these are ended"}
	for i, name := range names {
		var halves, ratios []float64
		for r, w := range s.windows {
			way := s.ways(w[i])
			halves = append(halves, quantile(way, 0.5))
			p99[r][i] = quantile(way, 0.99)
			ratios = append(ratios, p99[r][i]/p99[r][withNobody])
		}
		var ends []float64
		for r := range p99 {
			ends = append(ends, p99[r][i])
		}
		fmt.Printf("slow   %s: COMMIT to event p50 %.2f ms, p99 %.2f ms, x%.2f of p99 alone\n", name, median(halves), median(ends), median(ratios))
	}
	return errors.Join(s.judgeTimes(p99), s.judgeMemory())
}

func (s *slow) judgeTimes(p99 [][4]float64) error {
	var errs []error
	for i, name := range map[int]string{withOne: "one client that never reads", withMany: "many clients that never read"} {
		var ratios []float64
		for r := range p99 {
			ratios = append(ratios, p99[r][i]/p99[r][withNobody])
		}
		if m := median(ratios); m > slowMost {
			errs = append(errs, fmt.Errorf("slow: p99 is x%.2f with %s, at most x%.1f is wanted", m, name, slowMost))
		}
	}
	return errors.Join(errs...)
}

// judgeMemory: clients that never read share what waits for them, so that memory stays far below
// the limit of their queues.
func (s *slow) judgeMemory() error {
	var before, most, after, grown []float64
	for _, m := range s.memory {
		before, most, after = append(before, float64(m[0].rss)), append(most, float64(m[1].rss)), append(after, float64(m[2].rss))
		grown = append(grown, float64(m[1].anon-m[0].anon))
	}
	limit := float64(s.stalled) * slowQueue
	fmt.Printf("slow   RSS %.0f MB, with %d clients that never read at most %.0f MB, after them %.0f MB; their queues may hold %.0f MB; %.0f of them left their lane, %.0f were ended with slow_client\n",
		median(before)/1e6, s.stalled, median(most)/1e6, median(after)/1e6, limit/1e6, s.overflows, s.ended)
	if g := median(grown); s.stalled >= 100 && g > limit/4 {
		return fmt.Errorf("slow: memory grew by %.0f MB, at most a quarter of what the queues may hold is wanted", g/1e6)
	}
	return nil
}

// ways are the times from the commits of a span to their events, of all clients.
func (s *slow) ways(w span) []time.Duration {
	var out []time.Duration
	for i, p := range s.flow.probes {
		if p.committed.Before(w.from) || p.committed.After(w.to) {
			continue
		}
		for _, c := range s.crowd.fleet.clients {
			out = append(out, max(0, c.clock.Add(c.seen[i]).Sub(p.committed)))
		}
	}
	return out
}
