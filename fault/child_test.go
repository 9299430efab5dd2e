package fault

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestMain is also the program of the child processes, which reach every point, the
// one in childPoint several times, and say so.
func TestMain(m *testing.M) {
	point, ok := os.LookupEnv("FAULT_TEST_CHILD")
	if !ok {
		os.Exit(m.Run())
	}
	for _, p := range Points {
		At(p)
	}
	for n := 2; n <= 5; n++ {
		fmt.Println(n, NoSync())
		At(Point(point))
	}
}

// child is a program that passes all points once, and then point four times more,
// saying which time comes next. plan is its WALRELAY_FAULT.
func child(t *testing.T, plan string, point Point) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // one that is stopped by mistake
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "FAULT_TEST_CHILD="+string(point), "WALRELAY_FAULT="+plan, "GORACE=atexit_sleep_ms=0")
	return cmd
}

// allOf is what a child says that is not disturbed.
func allOf(noSync bool) (text string) {
	for n := 2; n <= 5; n++ {
		text += fmt.Sprintln(n, noSync)
	}
	return text
}
