package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// reading is what walrelay holds at one moment.
type reading struct {
	memory
	// heap is what is allocated on the Go heap, inUse the memory that takes, with holes; goal is
	// the heap at which it is collected again, about twice what was alive the last time. log is
	// the space of the log's files. All in bytes.
	heap, inUse, goal, log int64
	// streams are open, with long polls; waiting of them wait for a catch-up lane.
	goroutines, fds, streams, waiting int
	// overflows counts subscribers that left their lane because their queue was full.
	overflows float64
	// events were written to clients since the start.
	events float64
}

// read reads the figures.
func (p *relay) read(ctx context.Context) (r reading, err error) {
	m, err := p.metrics(ctx)
	if err != nil {
		return r, err
	}
	r.heap, r.inUse, r.goal = int64(m["go_memstats_heap_alloc_bytes"]), int64(m["go_memstats_heap_inuse_bytes"]), int64(m["go_memstats_next_gc_bytes"])
	r.goroutines = int(m["go_goroutines"])
	r.waiting, r.overflows = int(m["walrelay_catch_up_waiting"]), m["walrelay_queue_overflows_total"]
	for name, v := range m {
		switch {
		case strings.HasPrefix(name, "walrelay_connections{"):
			r.streams += int(v)
		case strings.HasPrefix(name, "walrelay_events_written_total{"):
			r.events += v
		}
	}
	if r.memory, err = memoryOf(p.cmd.Process.Pid); err != nil {
		return r, err
	}
	if r.fds, err = openFiles(p.cmd.Process.Pid); err != nil {
		return r, err
	}
	r.log, err = sizeOf(p.data)
	return r, err
}

// settled lets walrelay collect its garbage before it reads the figures.
func (p *relay) settled(ctx context.Context) (reading, error) {
	if _, err := p.get(ctx, "/debug/pprof/heap?gc=1"); err != nil {
		return reading{}, err
	}
	return p.read(ctx)
}

func (r reading) String() string {
	mb := func(n int64) float64 { return float64(n) / 1e6 }
	return fmt.Sprintf("RSS %.1f MB, PSS %.1f (of no file %.1f), heap %.1f (in use %.1f, goal %.1f), %d goroutines, %d descriptors, %d streams (%d wait), %.0f overflows, log %.1f MB",
		mb(r.rss), mb(r.pss), mb(r.anon), mb(r.heap), mb(r.inUse), mb(r.goal), r.goroutines, r.fds, r.streams, r.waiting, r.overflows, mb(r.log))
}

// alike is how many descriptors and goroutines more or less are no leak: a connection of
// net/http or of a pool that is about to be closed.
const alike = 4

// like reports whether walrelay has let go of all that it had opened since was.
func (r reading) like(was reading) bool {
	return r.fds <= was.fds+alike && r.goroutines <= was.goroutines+alike
}

// track is a reading of a soak.
type track struct {
	reading
	after time.Duration // since the beginning
	rows  int64         // committed by then
}

// flatness is how much a figure may grow from the first quarter to the last.
var flatness = []struct {
	name string
	most float64
	unit float64 // of what is printed
	get  func(track) float64
}{
	{"RSS, MB", 1.10, 1e6, func(t track) float64 { return float64(t.rss) }},
	{"PSS, MB", 1.10, 1e6, func(t track) float64 { return float64(t.pss) }},
	{"PSS of no file, MB", 1.10, 1e6, func(t track) float64 { return float64(t.anon) }},
	// What is in use rises and falls with each collection.
	{"goal of Go's heap, MB", 1.10, 1e6, func(t track) float64 { return float64(t.goal) }},
	{"goroutines", 1.10, 1, func(t track) float64 { return float64(t.goroutines) }},
	{"descriptors", 1.10, 1, func(t track) float64 { return float64(t.fds) }},
	{"log, MB", 1.15, 1e6, func(t track) float64 { return float64(t.log) }},
}

// verdict compares the medians of the first and of the last quarter of what came after the
// warm-up. What shrinks is flat.
func verdict(tracks []track, warmUp time.Duration) (lines string, flat bool) {
	for len(tracks) > 0 && tracks[0].after < warmUp {
		tracks = tracks[1:]
	}
	n := len(tracks) / 4
	if n == 0 {
		return fmt.Sprintf("soak   %d readings after the warm-up are too few to compare\n", len(tracks)), false
	}
	var b strings.Builder
	flat = true
	for _, f := range flatness {
		first, last := middle(tracks[:n], f.get), middle(tracks[len(tracks)-n:], f.get)
		says := "flat"
		// Growth in a straight line over all readings is printed beside it.
		if last > first*f.most {
			says, flat = "GROWS", false
		}
		fmt.Fprintf(&b, "soak   %-21s first quarter %9.1f, last %9.1f: x%.3f (at most %.2f), %+.1f %% an hour by least squares: %s\n",
			f.name, first/f.unit, last/f.unit, last/max(first, 1), f.most, slope(tracks, f.get)/max(first, 1)*100*float64(time.Hour), says)
	}
	return b.String(), flat
}

func middle(tracks []track, get func(track) float64) float64 {
	var v []float64
	for _, t := range tracks {
		v = append(v, get(t))
	}
	return median(v)
}

// slope is the growth of a figure a nanosecond, by least squares.
func slope(tracks []track, get func(track) float64) float64 {
	var x, y, xx, xy float64
	for _, t := range tracks {
		at := float64(t.after)
		x, y, xx, xy = x+at, y+get(t), xx+at*at, xy+at*get(t)
	}
	n := float64(len(tracks))
	if d := n*xx - x*x; d > 0 {
		return (n*xy - x*y) / d
	}
	return 0
}
