//go:build faults

package fault

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// armed is what the environment asks for.
var armed = arm()

// plan is what WALRELAY_FAULT says. The zero value does nothing.
type plan struct {
	action string
	point  Point
	left   atomic.Int64 // times that point is yet to be reached; negative: it has happened
	noSync bool
}

// signals are the actions that end or stop the process.
var signals = map[string]syscall.Signal{"kill": syscall.SIGKILL, "stop": syscall.SIGSTOP}

func arm() *plan {
	p, err := parse(os.Getenv("WALRELAY_FAULT"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "walrelay:", err)
		os.Exit(1)
	}
	return p
}

// parse reads WALRELAY_FAULT; empty is the plan that does nothing.
func parse(text string) (*plan, error) {
	p := &plan{noSync: text == "nosync"}
	if text == "" || p.noSync {
		return p, nil
	}
	action, rest, _ := strings.Cut(text, ":")
	point, times, _ := strings.Cut(rest, ":")
	n, err := strconv.ParseInt(times, 10, 64)
	if _, ok := signals[action]; !ok && action != "hold" || !slices.Contains(Points, Point(point)) || err != nil || n < 1 {
		return nil, fmt.Errorf("WALRELAY_FAULT=%s: want kill, stop or hold, a point of package fault and a number from 1, as in kill:stored:3, or nosync", text)
	}
	p.action, p.point = action, Point(point)
	p.left.Store(n)
	return p, nil
}

// At ends or stops the process, or holds the caller for ever, when the environment
// asks for it at this point.
func At(p Point) {
	if armed.point != p || armed.left.Add(-1) != 0 {
		return
	}
	if armed.action == "hold" {
		fmt.Fprintf(os.Stderr, "walrelay: held at %s\n", p)
		for {
			time.Sleep(time.Hour) // a bare select would be a deadlock where nobody else is left
		}
	}
	if err := syscall.Kill(os.Getpid(), signals[armed.action]); err != nil {
		panic(err)
	}
	time.Sleep(time.Second) // a signal to oneself may reach another thread a moment later
}

// NoSync is whether the event log is to leave out its syncs.
func NoSync() bool { return armed.noSync }
