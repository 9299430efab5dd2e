// Package integration tests walrelay as its users meet it: the real program in a
// process of its own, a real Postgres, a real browser.
//
// The harness (harness_*_test.go) gives a test
//
//   - [newDatabase]: a database of its own on the cluster that all tests of a run
//     share, or [newCluster]: a cluster of its own, to stop, kill and restart;
//   - [startRelay]: walrelay, built once per run with the race detector, with a
//     configuration given as text; ready when it says so; its data races and
//     panics fail the test;
//   - [runWalrelay]: any other command of it, run to its end;
//   - [openSSE]: a subscriber that sees every frame, also those without data;
//   - [newProxy]: a proxy before Postgres or walrelay that cuts, stalls, silences,
//     splits and delays;
//   - [openBrowser]: a tab in Chromium;
//   - [startExpress], [startDjango]: applications with users and sessions.
//
// What every walrelay of a run writes is searched for the secrets, cookies and session
// ids that tests have used, see [leaks].
//
// Everything ends with the test. WALRELAY_TEST_PG names the Postgres to test
// against, WALRELAY_TEST_BINARY a walrelay to test instead of building one,
// WALRELAY_TEST_CHROMIUM a browser, WALRELAY_TEST_NGINX an nginx, WALRELAY_TEST_PYTHON
// a Python with Django, WALRELAY_TEST_SEED where random numbers begin,
// WALRELAY_AUTH_STREAMS how many streams [TestAuthThrash] opens (300), WALRELAY_TORTURE how long [TestTorture] goes on (10m).
// What is missing fails the tests; nothing is skipped.
package integration

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// Without this every program that was built with the race detector sleeps for a
	// second before it ends.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=20 "+os.Getenv("GORACE")); err != nil {
		panic(err)
	}
	code := m.Run()
	if err := errors.Join(closeShared(), goleak.Find(), leaks.check()); err != nil {
		fmt.Fprintln(os.Stderr, "integration: after the tests:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}
