package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/walrelay/walrelay/pgtemp/guard"
)

// child is a process of the demo. It belongs to the goroutine of Run.
type child struct {
	name string // for people: "the shop"
	cmd  *exec.Cmd
	said lastLines
	// exited is closed once the process has ended and been waited for.
	exited chan struct{}
	state  error // of Wait, once exited is closed
}

// startChild starts a process in a group of its own, so that the terminal's Ctrl-C
// does not reach it before its turn. The guard ends it if this process dies.
func startChild(g *guard.Guard, name, binary string, args ...string) (*child, error) {
	c := &child{name: name, cmd: exec.Command(binary, args...), exited: make(chan struct{})}
	c.cmd.Stderr = &c.said
	c.cmd.WaitDelay = time.Second // for what it may have started with its stderr
	c.cmd.SysProcAttr = ownGroup()
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("demo: start %s: %w", name, err)
	}
	pid := c.cmd.Process.Pid
	watched := g.Watch(pid)
	go func() {
		c.state = c.cmd.Wait()
		if watched == nil {
			_ = g.Forget(pid) // fails only when the guard itself was killed
		}
		close(c.exited)
	}()
	if watched != nil {
		c.kill()
		return nil, watched
	}
	return c, nil
}

// kill ends the process and its group with SIGKILL and waits for it.
func (c *child) kill() {
	select {
	case <-c.exited: // its number may be somebody else's now
		return
	default:
	}
	killGroup(c.cmd.Process)
	<-c.exited
}

// stop asks the process to end, and ends it if it does not.
func (c *child) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // as above
	select {
	case <-c.exited:
	case <-time.After(stopTime):
		c.kill()
	}
}

// failure is the error of a process that has ended by itself.
func (c *child) failure() error {
	why := "exit status 0"
	if c.state != nil {
		why = c.state.Error()
	}
	if said := c.said.String(); said != "" {
		why += ": " + said
	}
	return fmt.Errorf("demo: %s has ended by itself (%s)", c.name, why)
}

// waitFor waits until a page of the process answers with 200.
func (c *child) waitFor(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	answer := "no answer"
	for {
		if status, body, err := get(ctx, url); err == nil {
			if status == http.StatusOK {
				return nil
			}
			answer = strings.TrimSpace(string(body))
		}
		select {
		case <-c.exited:
			return c.failure()
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			if ctx.Err() == context.Canceled {
				return ctx.Err()
			}
			return fmt.Errorf("demo: %s is not ready after %s: %s", c.name, startTime, answer)
		}
	}
}

// get fetches a small page.
func get(ctx context.Context, url string) (status int, body []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	return response.StatusCode, body, err
}

// lastLines keeps the end of what a process writes. Safe for concurrent use.
type lastLines struct {
	mu  sync.Mutex
	buf []byte
}

// keptBytes bounds what lastLines keeps.
const keptBytes = 4 << 10

func (l *lastLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, p...)
	if n := len(l.buf) - keptBytes; n > 0 {
		l.buf = append(l.buf[:0], l.buf[n:]...)
	}
	return len(p), nil
}

// String is the last line that is not empty.
func (l *lastLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := bytes.TrimSpace(l.buf)
	return string(text[bytes.LastIndexByte(text, '\n')+1:])
}
