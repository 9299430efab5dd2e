//go:build !linux

package eventlog_test

import (
	"os"
	"testing"
)

// asNobody runs f, for which this must not be root, who may read everything.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() == 0 {
		t.Fatal("run these tests as another user than root, whom file permissions do not hold")
	}
	f()
}
