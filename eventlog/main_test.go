package eventlog_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// children are what this test binary does when a test starts it again as another
// process.
var children = map[string]func(dir string) error{
	"write": childWrite,
	"limit": childLimit,
	"open":  childOpen,
}

const childVar = "EVENTLOG_TEST_CHILD"

func TestMain(m *testing.M) {
	if what, dir, ok := strings.Cut(os.Getenv(childVar), ":"); ok {
		if err := children[what](dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// child is this binary as another process that works on dir.
func child(t *testing.T, what, dir string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), childVar+"="+what+":"+dir)
	return cmd
}
