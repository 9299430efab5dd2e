package integration

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/walrelay/walrelay/pgtemp/guard"
)

// patience bounds every wait for something that should happen soon. It is long
// because a race-built program on a busy machine is slow, and costs nothing when
// all is well.
const patience = 30 * time.Second

// process is a program that runs until the test has ended at the latest.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr *transcript
	done           chan struct{} // closed when it has ended and its output is complete
	err            error         // of Wait; valid after done
}

// startProcess starts cmd. When the test ends it is killed if it still runs, and
// its stderr is shown if the test failed.
func startProcess(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := launch(t, cmd)
	t.Cleanup(func() {
		p.signal(t, syscall.SIGKILL)
		<-p.done
		p.checkSanity(t)
		if t.Failed() {
			t.Logf("stderr of %s:\n%s", strings.Join(cmd.Args, " "), p.stderr)
		}
	})
	return p
}

// launch starts cmd; the caller sees to its end and looks at what it wrote.
func launch(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	g := theGuard(t)
	p := &process{cmd: cmd, stdout: newTranscript(), stderr: newTranscript(), done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.stdout, p.stderr
	leaks.watch("stderr of "+filepath.Base(cmd.Path)+" in "+t.Name(), p.stderr)
	cmd.WaitDelay = 5 * time.Second // should a grandchild hold the pipes
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = waitGuarded(g, cmd)
		p.stdout.end()
		p.stderr.end()
		close(p.done)
	}()
	return p
}

// waitGuarded waits for a started program that ends when this process is killed.
func waitGuarded(g *guard.Guard, cmd *exec.Cmd) error {
	pid := cmd.Process.Pid
	return errors.Join(g.Watch(pid), cmd.Wait(), g.Forget(pid))
}

// runGuarded runs such a program to its end.
func runGuarded(g *guard.Guard, cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	return waitGuarded(g, cmd)
}

// tempDir is like t.TempDir, and goes also when this process is killed. What a
// test has started may write to it for a moment after its end (Chromium's helpers
// do), so removing it may take more than one attempt.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "walrelay-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := os.RemoveAll(dir)
		for deadline := time.Now().Add(patience); err != nil && time.Now().Before(deadline); err = os.RemoveAll(dir) {
			time.Sleep(20 * time.Millisecond)
		}
		if err != nil {
			t.Error(err)
		}
	})
	if err := theGuard(t).Dir(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

var insane = regexp.MustCompile(`(?m)^(WARNING: DATA RACE|panic: |fatal error: ).*`)

// checkSanity fails the test if the program reported a data race or a panic,
// whatever its exit code was.
func (p *process) checkSanity(t testing.TB) {
	t.Helper()
	if found := insane.FindString(p.stderr.String()); found != "" {
		t.Errorf("%s: %s; all of stderr:\n%s", p.cmd.Args[0], found, p.stderr)
	}
}

// signal sends a signal; to a process that has ended it does nothing.
func (p *process) signal(t testing.TB, signal syscall.Signal) {
	t.Helper()
	select {
	case <-p.done:
		return
	default:
	}
	// It may end just now.
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("send %v to %s: %v", signal, p.cmd.Args[0], err)
	}
}

// exit is how a program ended.
type exit struct {
	code           int // -1: by a signal
	stdout, stderr string
	lastLine       string // of stderr: where a failing walrelay says why
}

// wait waits until the program has ended by itself.
func (p *process) wait(t testing.TB) exit {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		t.Fatalf("%s still runs after %v; stderr:\n%s", strings.Join(p.cmd.Args, " "), patience, p.stderr)
	}
	if p.cmd.ProcessState == nil {
		t.Fatal(p.err)
	}
	stderr := p.stderr.String()
	lines := strings.Split(strings.TrimRight(stderr, "\n"), "\n")
	return exit{code: p.cmd.ProcessState.ExitCode(), stdout: p.stdout.String(), stderr: stderr, lastLine: lines[len(lines)-1]}
}

// transcript collects what a program writes. It may be read while it grows.
type transcript struct {
	mu    sync.Mutex
	text  bytes.Buffer
	ended bool
	grown chan struct{} // closed and replaced at every change
}

var _ io.Writer = (*transcript)(nil)

func newTranscript() *transcript { return &transcript{grown: make(chan struct{})} }

func (tr *transcript) Write(p []byte) (int, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.text.Write(p)
	tr.wake()
	return len(p), nil
}

func (tr *transcript) end() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.ended = true
	tr.wake()
}

func (tr *transcript) wake() {
	close(tr.grown)
	tr.grown = make(chan struct{})
}

// String is all of it so far.
func (tr *transcript) String() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.text.String()
}

// lines are the complete lines so far.
func (tr *transcript) lines() []string {
	text := tr.String()
	end := strings.LastIndexByte(text, '\n')
	if end < 0 {
		return nil
	}
	return strings.Split(text[:end], "\n")
}

// waitFor waits until the text matches and gives the match with its groups.
func (tr *transcript) waitFor(t testing.TB, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	timeout := time.After(patience)
	for {
		tr.mu.Lock()
		found, ended, grown := re.FindStringSubmatch(tr.text.String()), tr.ended, tr.grown
		tr.mu.Unlock()
		if found != nil {
			return found
		}
		if ended {
			t.Fatalf("the program ended without writing %q; it wrote:\n%s", pattern, tr)
		}
		select {
		case <-grown:
		case <-timeout:
			t.Fatalf("waited %v for %q; so far:\n%s", patience, pattern, tr)
		}
	}
}
