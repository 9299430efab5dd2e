// Package pgtest gives tests a throw-away Postgres cluster, see package pgtemp.
package pgtest

import (
	"testing"

	"github.com/walrelay/walrelay/pgtemp"
)

// Start starts a cluster that is closed when the test ends. If the test failed,
// the last lines of the server's log are in its output. A machine without
// Postgres fails the test: nothing is skipped silently.
func Start(tb testing.TB, opts pgtemp.Options) *pgtemp.Cluster {
	tb.Helper()
	c, err := pgtemp.Start(tb.Context(), opts)
	return closedAtEnd(tb, c, err)
}

// StartStandby starts a standby of the running primary, for which the same holds.
func StartStandby(tb testing.TB, primary *pgtemp.Cluster, opts pgtemp.StandbyOptions) *pgtemp.Cluster {
	tb.Helper()
	c, err := primary.StartStandby(tb.Context(), opts)
	return closedAtEnd(tb, c, err)
}

func closedAtEnd(tb testing.TB, c *pgtemp.Cluster, err error) *pgtemp.Cluster {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("last lines of the log of Postgres %d on port %d:\n%s", c.Version(), c.Port(), c.LogTail(40))
		}
		if err := c.Close(); err != nil {
			tb.Error(err)
		}
	})
	return c
}
