//go:build unix

package guard_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/walrelay/walrelay/pgtemp/guard"
)

// startSleeper starts a process that ends by itself long after the test would
// have failed, and is waited for.
func startSleeper(t *testing.T) (pid int, ended <-chan struct{}) {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // says how it was ended, which the tests do not ask
		close(done)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // fails if it has ended, which is as good
		<-done
	})
	return cmd.Process.Pid, done
}

// The guarded process is this test binary, run again: it registers what the
// test says and is killed.
func TestCleansUpAfterDeath(t *testing.T) {
	if os.Getenv("GUARD_TEST_DIR") != "" {
		guarded(t)
	}
	watched, watchedEnded := startSleeper(t)
	forgotten, forgottenEnded := startSleeper(t)
	dir := filepath.Join(t.TempDir(), "with a space")
	if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestCleansUpAfterDeath$")
	cmd.Env = append(os.Environ(), "GUARD_TEST_DIR="+dir,
		"GUARD_TEST_WATCHED="+strconv.Itoa(watched), "GUARD_TEST_FORGOTTEN="+strconv.Itoa(forgotten))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("the guarded process did not get ready: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed, by us

	select {
	case <-watchedEnded:
	case <-time.After(20 * time.Second):
		t.Fatal("the watched process lives on")
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(dir); err != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the directory is still there")
		}
	}
	select {
	case <-forgottenEnded:
		t.Error("the process taken back was ended too")
	default:
	}
}

func guarded(t *testing.T) {
	g, err := guard.New()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Dir(os.Getenv("GUARD_TEST_DIR")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"GUARD_TEST_WATCHED", "GUARD_TEST_FORGOTTEN"} {
		pid, err := strconv.Atoi(os.Getenv(name))
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Watch(pid); err != nil {
			t.Fatal(err)
		}
		if name == "GUARD_TEST_FORGOTTEN" {
			if err := g.Forget(pid); err != nil {
				t.Fatal(err)
			}
		}
	}
	os.Stdout.WriteString("ready\n")
	select {}
}

func TestCloseTouchesNothing(t *testing.T) {
	pid, ended := startSleeper(t)
	dir := t.TempDir()
	g, err := guard.New()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Watch(pid); err != nil {
		t.Fatal(err)
	}
	if err := g.Dir(dir); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	select {
	case <-ended:
		t.Error("the process was ended")
	default:
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
	if err := g.Watch(pid); err == nil {
		t.Error("Watch after Close succeeded")
	}
}

// What cannot be guarded is refused, not guarded half.
func TestRefuses(t *testing.T) {
	g, err := guard.New()
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	for _, dir := range []string{"/", "/tmp/..", "/tmp/a\nb", "/tmp/a "} {
		if err := g.Dir(dir); err == nil {
			t.Errorf("Dir(%q) succeeded", dir)
		}
	}
}
