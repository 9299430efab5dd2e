package main

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// tracksOf are readings every 10 s for half an hour, RSS and descriptors by the minutes.
func tracksOf(rss func(minutes float64) float64, fds func(minutes float64) int) []track {
	var out []track
	for i := range 180 {
		at := time.Duration(i+1) * 10 * time.Second
		t := track{after: at}
		t.rss, t.pss, t.anon = int64(rss(at.Minutes())*1e6), 90e6, 80e6
		t.goal, t.log, t.goroutines, t.fds = 50e6, 400e6, 90, fds(at.Minutes())
		out = append(out, t)
	}
	return out
}

func TestVerdict(t *testing.T) {
	level := func(float64) float64 { return 100 }
	some := func(float64) int { return 1200 }
	for name, test := range map[string]struct {
		rss  func(float64) float64
		fds  func(float64) int
		says string // of the line that grows, or empty
	}{
		"level":            {level, some, ""},
		"up and down":      {func(m float64) float64 { return 100 + 20*math.Sin(m) }, some, ""},
		"shrinks":          {func(m float64) float64 { return 200 - m }, some, ""},
		"warm-up":          {func(m float64) float64 { return min(20*m, 100) }, some, ""},
		"leaks":            {func(m float64) float64 { return 100 + m }, some, "RSS, MB"},
		"leaks at the end": {func(m float64) float64 { return 100 + max(0, m-22)*5 }, some, "RSS, MB"},
		"descriptors":      {level, func(m float64) int { return 1200 + int(8*m) }, "descriptors"},
	} {
		lines, flat := verdict(tracksOf(test.rss, test.fds), 5*time.Minute)
		if n := strings.Count(lines, "\n"); n != len(flatness) || flat != (test.says == "") {
			t.Errorf("%s: flat: %t, %d lines:\n%s", name, flat, n, lines)
		}
		for line := range strings.Lines(lines) {
			if grows := strings.Contains(line, "GROWS"); grows != (test.says != "" && strings.Contains(line, "soak   "+test.says+" ")) {
				t.Errorf("%s: %s", name, line)
			}
		}
	}
	if lines, flat := verdict(tracksOf(level, some)[:32], 5*time.Minute); flat || !strings.Contains(lines, "too few") {
		t.Errorf("3 readings: flat: %t, %s", flat, lines)
	}
}

func TestSlope(t *testing.T) {
	tracks := tracksOf(func(m float64) float64 { return 100 + m/2 }, func(float64) int { return 1 })
	got := slope(tracks, func(t track) float64 { return float64(t.rss) }) * float64(time.Hour)
	if fmt.Sprintf("%.2f", got/1e6) != "30.00" {
		t.Errorf("%.2f MB an hour, want 30", got/1e6)
	}
	if s := slope(tracks[:1], func(t track) float64 { return 1 }); s != 0 {
		t.Errorf("slope of one reading: %v", s)
	}
}

func TestLike(t *testing.T) {
	start := reading{goroutines: 30, fds: 20}
	for r, want := range map[reading]bool{
		{goroutines: 30 + alike, fds: 20 + alike}: true,
		{goroutines: 10, fds: 10}:                 true,
		{goroutines: 31 + alike, fds: 20}:         false,
		{goroutines: 30, fds: 21 + alike}:         false,
	} {
		if r.like(start) != want {
			t.Errorf("%+v like %+v: %t", r, start, !want)
		}
	}
}

// One row in ten is of user 0, the others are shared evenly, and the user of the probes has none.
func TestSoakPick(t *testing.T) {
	const n = 199 * 10 * 10
	var rows [soakUsers + 1]int
	for i := range n {
		rows[soakPick(i)]++
	}
	for user, got := range rows {
		want := n * 9 / 10 / (soakUsers - 1)
		switch user {
		case 0:
			want = n / 10
		case soakUsers:
			want = 0
		}
		if got != want {
			t.Errorf("user %d has %d rows of %d, want %d", user, got, n, want)
		}
	}
}

func TestLastLines(t *testing.T) {
	if got := lastLines("a\nb\nc\n", 2); got != "b\nc\n" {
		t.Errorf("%q", got)
	}
	if got := lastLines("a\n", 5); got != "a\n" {
		t.Errorf("%q", got)
	}
}
