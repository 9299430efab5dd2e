package integration

import (
	"sync"
	"testing"

	"github.com/walrelay/walrelay/filter"
)

// diffCounts is what a run has seen.
type diffCounts struct {
	// pairs of filter and row by Postgres's verdict, masked those with missing columns by ours.
	pairs, masked [filter.True + 1]int
	// bound and refused users; keyless are the postings under which every row is tried.
	bound, refused, postings, keyless int
	// same are pairs of rows, grouped pairs of users that are not told apart.
	same, grouped int
	// queries of snapshots: whole read everything, exact nothing that is not TRUE.
	queries, whole, exact, fetched, true int
}

func (c *diffCounts) count(verdicts []filter.Truth) {
	for _, v := range verdicts {
		c.pairs[v]++
	}
}

func (c *diffCounts) sql(condition string, fetched, rows int) {
	c.queries++
	c.fetched += fetched
	c.true += rows
	if condition == "TRUE" {
		c.whole++
	} else if fetched == rows {
		c.exact++
	}
}

// diffTally sums up over tables.
type diffTally struct {
	mu sync.Mutex
	diffCounts
}

func (y *diffTally) add(c *diffCounts) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for i := range c.pairs {
		y.pairs[i] += c.pairs[i]
		y.masked[i] += c.masked[i]
	}
	for _, n := range []struct {
		sum *int
		n   int
	}{
		{&y.bound, c.bound}, {&y.refused, c.refused}, {&y.postings, c.postings}, {&y.keyless, c.keyless}, {&y.same, c.same}, {&y.grouped, c.grouped},
		{&y.queries, c.queries}, {&y.whole, c.whole}, {&y.exact, c.exact}, {&y.fetched, c.fetched}, {&y.true, c.true},
	} {
		*n.sum += n.n
	}
}

// check reports what was compared and fails a run that compared next to nothing.
func (y *diffTally) check(t *testing.T) {
	t.Helper()
	pairs, masked := 0, 0
	for i := range y.pairs {
		pairs += y.pairs[i]
		masked += y.masked[i]
	}
	t.Logf("%d pairs of filter and row: %d TRUE, %d FALSE, %d NULL; users: %d, %d refused; postings: %d, %d without key",
		pairs, y.pairs[filter.True], y.pairs[filter.False], y.pairs[filter.Unknown], y.bound+y.refused, y.refused, y.postings, y.keyless)
	t.Logf("with columns missing: %d TRUE, %d FALSE, %d unknown, %d open; %d rows and %d users not told apart",
		y.masked[filter.True], y.masked[filter.False], y.masked[filter.Unknown], y.masked[filter.Open], y.same, y.grouped)
	t.Logf("%d snapshot queries: %d exact, %d read everything; %d rows for %d that are TRUE", y.queries, y.exact, y.whole, y.fetched, y.true)
	for what, share := range map[string]float64{
		"TRUE": float64(y.pairs[filter.True]) / float64(pairs), "FALSE": float64(y.pairs[filter.False]) / float64(pairs), "NULL": float64(y.pairs[filter.Unknown]) / float64(pairs),
		"bound users": float64(y.bound) / float64(y.bound+y.refused), "postings with a key": 1 - float64(y.keyless)/float64(y.postings),
		"open": float64(y.masked[filter.Open]) / float64(masked), "snapshot queries": 1 - float64(y.whole)/float64(y.queries),
	} {
		if !(share > 0.05) {
			t.Errorf("%s: a share of %.3f, too few to show anything", what, share)
		}
	}
	if y.same == 0 || y.grouped == 0 {
		t.Error("no rows or no users that are not told apart")
	}
}
