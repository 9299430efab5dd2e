//go:build unix

package guard

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// script is the guard. Directories are kept in the positional parameters, so
// that their names may hold spaces.
const script = `
pids=
while read -r op arg; do
	case $op in
	watch) pids="$pids $arg" ;;
	forget) rest=; for p in $pids; do [ "$p" = "$arg" ] || rest="$rest $p"; done; pids=$rest ;;
	dir) set -- "$@" "$arg" ;;
	quit) exit 0 ;;
	esac
done
for p in $pids; do kill -QUIT "$p" 2>/dev/null; done
for p in $pids; do
	n=0
	while kill -0 "$p" 2>/dev/null && [ $n -lt 100 ]; do sleep 0.1; n=$((n + 1)); done
	kill -KILL "$p" 2>/dev/null
done
for d in "$@"; do rm -rf -- "$d"; done
`

// Guard is a running guard. Its methods may be called by several goroutines.
type Guard struct {
	mu   sync.Mutex // one command at a time on the pipe
	pipe *os.File
	cmd  *exec.Cmd
}

// New starts a guard for this process. It must be ended with Close.
func New() (*Guard, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("guard: make pipe: %w", err)
	}
	cmd := exec.Command("/bin/sh", "-c", script, "walrelay-guard")
	// Neither stdout nor stderr: `go test` waits until nobody holds them.
	cmd.Stdin = r
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("guard: start /bin/sh: %w", err), w.Close())
	}
	return &Guard{pipe: w, cmd: cmd}, nil
}

// Watch registers a process to be ended when this process dies.
func (g *Guard) Watch(pid int) error { return g.send("watch", fmt.Sprint(pid)) }

// Forget takes a process back that has ended.
func (g *Guard) Forget(pid int) error { return g.send("forget", fmt.Sprint(pid)) }

// Dir registers a directory to be removed, with all that is in it, when this
// process dies. It may be gone by then.
func (g *Guard) Dir(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	if path == "/" || strings.ContainsAny(path, "\n") || strings.TrimSpace(path) != path {
		return fmt.Errorf("guard: register directory %q: this name cannot be guarded", path)
	}
	return g.send("dir", path)
}

func (g *Guard) send(op, arg string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pipe == nil {
		return errors.New("guard: used after Close")
	}
	if _, err := fmt.Fprintf(g.pipe, "%s %s\n", op, arg); err != nil {
		return fmt.Errorf("guard: the guard process is gone: %w", err)
	}
	return nil
}

// Close ends the guard without touching what was registered. Calling it again
// does nothing.
func (g *Guard) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pipe == nil {
		return nil
	}
	_, err := g.pipe.WriteString("quit\n")
	err = errors.Join(err, g.pipe.Close(), g.cmd.Wait())
	g.pipe = nil
	if err != nil {
		return fmt.Errorf("guard: close: %w", err)
	}
	return nil
}
