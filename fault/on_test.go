//go:build faults

package fault

import (
	"bufio"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, p := range Points {
		for _, action := range []string{"kill", "stop", "hold"} {
			text := action + ":" + string(p) + ":12"
			got, err := parse(text)
			if err != nil || got.action != action || got.point != p || got.left.Load() != 12 || got.noSync {
				t.Errorf("parse %s: got %+v, %v", text, got, err)
			}
		}
	}
	for _, text := range []string{"", "nosync"} {
		if got, err := parse(text); err != nil || got.point != "" || got.noSync != (text == "nosync") {
			t.Errorf("parse %q: got %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"kill", "kill:stored", "kill:stored:", "kill:stored:0", "kill:stored:-1", "kill:stored:x", "kill:stored:1:2",
		"kill::1", "kill:Stored:1", "kill:nowhere:1", "exit:stored:1", ":stored:1", "nosync:1", "nosync,kill:stored:1", " kill:stored:1"} {
		if got, err := parse(text); err == nil || !strings.Contains(err.Error(), "WALRELAY_FAULT="+text+":") {
			t.Errorf("parse %q: got %+v, %v, want an error with its text", text, got, err)
		}
	}
}

// Points is complete and without doubles: what is not in it cannot be asked for.
func TestPoints(t *testing.T) {
	t.Parallel()
	for i, p := range Points {
		if p == "" || slices.Index(Points, p) != i {
			t.Errorf("point %d, %q, is empty or listed twice", i, p)
		}
	}
}

// The process ends when the point is reached for the nth time, no sooner, and at no
// other point.
func TestKill(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ plan, want string }{
		{"kill:stored:1", ""},
		{"kill:stored:2", "2 false\n"},
		{"kill:stored:4", "2 false\n3 false\n4 false\n"},
	} {
		out, err := child(t, test.plan, Stored).Output()
		exit := (*exec.ExitError)(nil)
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL || string(out) != test.want {
			t.Errorf("%s: %v, output %q, want SIGKILL after %q", test.plan, err, out, test.want)
		}
	}
	for _, plan := range []string{"", "kill:stored:6", "kill:confirmed:2"} {
		if out, err := child(t, plan, Stored).CombinedOutput(); err != nil || string(out) != allOf(false) {
			t.Errorf("WALRELAY_FAULT=%s: %v, output %q, want an undisturbed end", plan, err, out)
		}
	}
}

// A stopped process goes on as if nothing had been.
func TestStop(t *testing.T) {
	t.Parallel()
	cmd := child(t, "stop:taken:3", Taken)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() || status.StopSignal() != syscall.SIGSTOP {
		t.Errorf("got status %x, %v, want a process stopped by SIGSTOP", status, err)
	}
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(out)
	if err := errors.Join(err, cmd.Wait()); err != nil || string(rest) != allOf(false) {
		t.Errorf("continued: %v, output %q, want %q", err, rest, allOf(false))
	}
}

// Who is held says so and stays; the process lives.
func TestHold(t *testing.T) {
	t.Parallel()
	if got := holdOne(t); got != "walrelay: held at taken\n" {
		t.Errorf("stderr: %q", got)
	}
}

func holdOne(t *testing.T) string {
	t.Helper()
	cmd := child(t, "hold:taken:3", Taken)
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(said).ReadString('\n')
	if err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	if status, err := cmd.Process.Wait(); err != nil || status.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("it ended by itself: %v, %v", status, err)
	}
	return line
}

func TestNoSync(t *testing.T) {
	t.Parallel()
	if out, err := child(t, "nosync", Stored).CombinedOutput(); err != nil || string(out) != allOf(true) {
		t.Errorf("%v, output %q, want %q", err, out, allOf(true))
	}
}

// A plan that is not understood ends the program at once.
func TestNonsense(t *testing.T) {
	t.Parallel()
	out, err := child(t, "kill:nowhere:1", Stored).CombinedOutput()
	exit := (*exec.ExitError)(nil)
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), "WALRELAY_FAULT=kill:nowhere:1: want ") {
		t.Errorf("%v, output %q, want exit code 1 and a reason", err, out)
	}
}
