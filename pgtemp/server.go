package pgtemp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Mode says how [Cluster.Stop] stops the server.
type Mode int

const (
	// Fast ends all sessions and writes a checkpoint. WAL senders first send all
	// WAL to their clients, so a client that does not read holds it up.
	Fast Mode = iota
	// Immediate ends all at once, without a checkpoint; the next start recovers
	// from the WAL as after a crash.
	Immediate
)

// server is a running postmaster. exited is closed, and err valid, once it has
// been waited for; the goroutine that waits ends with it.
type server struct {
	cmd    *exec.Cmd
	exited chan struct{}
	err    error
}

func (s *server) pid() int { return s.cmd.Process.Pid }

// pollEvery is how often a state of the server that nobody announces is looked at.
const pollEvery = 5 * time.Millisecond

// Running tells whether the server process is there.
func (c *Cluster) Running() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server == nil {
		return false
	}
	select {
	case <-c.server.exited:
		return false
	default:
		return true
	}
}

// StartAgain starts the stopped server, on the same port and data. It returns
// when the server accepts connections, after recovery if one was needed. A
// running server is left alone.
func (c *Cluster) StartAgain(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errors.New("pgtemp: start server: the cluster has been closed")
	}
	if err := c.reap(); err != nil {
		return err
	}
	if c.server != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for attempt := 0; ; attempt++ {
		err := c.launch(ctx)
		if err == nil {
			return nil
		}
		err = errors.Join(err, c.kill(ctx))
		// Between our look and the server's bind somebody else may take the port.
		taken := strings.Contains(c.logTail(20), "Address already in use")
		if !taken || c.opts.Port != 0 || attempt == 5 {
			return fmt.Errorf("pgtemp: start Postgres %d from %s: %w\nlast lines of its log:\n%s", c.bin.Major, c.bin.Dir, err, c.logTail(20))
		}
		if err := c.pickPort(0); err != nil {
			return err
		}
	}
}

// Stop stops the server and waits until it has. A stopped server is left alone.
// When ctx ends first the server is still stopping; [Cluster.Kill] ends that.
func (c *Cluster) Stop(ctx context.Context, mode Mode) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stop(ctx, mode)
}

// Kill ends the server and all its processes with SIGKILL, as the kernel's
// out-of-memory killer or a power cut would, and waits until they are gone.
func (c *Cluster) Kill(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kill(ctx)
}

// Restart stops the server in Fast mode and starts it again.
func (c *Cluster) Restart(ctx context.Context) error {
	if err := c.Stop(ctx, Fast); err != nil {
		return err
	}
	return c.StartAgain(ctx)
}

// launch starts the server and waits until it is ready. On error the server may
// be running.
func (c *Cluster) launch(ctx context.Context) error {
	log, err := os.OpenFile(c.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd := c.command("postgres", "-D", c.DataDir(), "-p", strconv.Itoa(c.port))
	cmd.Stdout, cmd.Stderr = log, log
	err = cmd.Start()
	if err = errors.Join(err, log.Close()); err != nil {
		return err
	}
	s := &server{cmd: cmd, exited: make(chan struct{})}
	c.server = s
	go func() {
		s.err = cmd.Wait()
		close(s.exited)
	}()
	if err := c.guard.Watch(s.pid()); err != nil {
		return err
	}
	return c.waitReady(ctx)
}

// waitReady waits for the line in postmaster.pid that pg_ctl waits for too.
func (c *Cluster) waitReady(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		lines := c.pidFile()
		if len(lines) > 7 && lines[0] == strconv.Itoa(c.server.pid()) && lines[7] == "ready" {
			return nil
		}
		select {
		case <-c.server.exited:
			return fmt.Errorf("the server ended before it was ready: %v", c.server.err)
		case <-ctx.Done():
			return fmt.Errorf("the server was not ready in time: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// stop is Stop with mu held.
func (c *Cluster) stop(ctx context.Context, mode Mode) error {
	if c.server == nil {
		return nil
	}
	signal := interruptSignal
	if mode == Immediate {
		signal = quitSignal
	}
	if err := c.server.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("pgtemp: stop server: %w", err)
	}
	select {
	case <-c.server.exited:
		return c.reap()
	case <-ctx.Done():
		return fmt.Errorf("pgtemp: stop server: still there: %w\nlast lines of its log:\n%s", context.Cause(ctx), c.logTail(20))
	}
}

// kill is Kill with mu held.
func (c *Cluster) kill(ctx context.Context) error {
	if c.server == nil {
		return nil
	}
	shm := c.sharedMemoryID()
	select {
	case <-c.server.exited: // its process id may be somebody else's by now
	default:
		if err := killTree(c.server.pid()); err != nil {
			return fmt.Errorf("pgtemp: kill server: %w", err)
		}
		<-c.server.exited // SIGKILL cannot be refused
	}
	if err := freeSharedMemory(ctx, shm); err != nil {
		return fmt.Errorf("pgtemp: kill server: wait for its processes: %w", err)
	}
	return c.reap()
}

// reap forgets the server if it has ended.
func (c *Cluster) reap() error {
	if c.server == nil {
		return nil
	}
	select {
	case <-c.server.exited:
		pid := c.server.pid()
		c.server = nil
		return c.guard.Forget(pid)
	default:
		return nil
	}
}

// pidFile is postmaster.pid, line by line without surrounding blanks; nil when
// there is none.
func (c *Cluster) pidFile() []string {
	data, err := os.ReadFile(filepath.Join(c.DataDir(), "postmaster.pid"))
	if err != nil {
		return nil // not written yet, or removed at shutdown
	}
	lines := strings.Split(string(data), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return lines
}

// sharedMemoryID is the System V segment that all processes of the running
// server are attached to, or -1 if that is not known.
func (c *Cluster) sharedMemoryID() int {
	lines := c.pidFile()
	if len(lines) < 7 || lines[0] != strconv.Itoa(c.server.pid()) {
		return -1
	}
	fields := strings.Fields(lines[6])
	if len(fields) != 2 {
		return -1
	}
	id, err := strconv.Atoi(fields[1])
	if err != nil {
		return -1
	}
	return id
}

// command is a program of the installation, run as the server's user in the
// cluster's directory, in a session of its own so that Ctrl-C does not reach it.
func (c *Cluster) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.programs, name), args...)
	cmd.Dir = c.dir
	cmd.Env = serverEnv()
	cmd.SysProcAttr = c.user.sysProcAttr()
	return cmd
}

// serverEnv is this process's environment without what would change the server:
// PGDATA and friends, and the locale.
func serverEnv() []string {
	var env []string
	for _, kv := range os.Environ() {
		if strings.HasPrefix(kv, "PG") || strings.HasPrefix(kv, "LC_") || strings.HasPrefix(kv, "LANG") || strings.HasPrefix(kv, "TZ=") {
			continue
		}
		env = append(env, kv)
	}
	return append(env, "LC_ALL=C", "TZ=UTC")
}

// logTail is the last n lines of the server's log.
func (c *Cluster) logTail(n int) string {
	data, err := os.ReadFile(c.LogFile())
	if err != nil {
		return "(no log: " + err.Error() + ")"
	}
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// LogTail is the last n lines of the server's log, for the message of a test
// that failed.
func (c *Cluster) LogTail(n int) string { return c.logTail(n) }
