//go:build !faults

package fault

import (
	"os/exec"
	"testing"
)

// An ordinary build does nothing, whatever the environment says.
func TestOrdinaryBuild(t *testing.T) {
	t.Parallel()
	for _, plan := range []string{"", "kill:stored:1", "stop:stored:1", "hold:stored:1", "nosync", "nonsense"} {
		out, err := child(t, plan, Stored).CombinedOutput()
		if err != nil || string(out) != allOf(false) {
			t.Errorf("WALRELAY_FAULT=%s: %v, output %q, want %q", plan, err, out, allOf(false))
		}
	}
}

// The tests of the build with the tag run with those of the ordinary one.
func TestWithTag(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "test", "-count=1", "-tags", "faults", "-v", ".").CombinedOutput()
	if err != nil {
		t.Errorf("go test -tags faults: %v", err)
	}
	t.Logf("%s", out)
}
