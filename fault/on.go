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
var armed = arm(os.Getenv("WALRELAY_FAULT"))

type plan struct {
	signal syscall.Signal
	point  Point
	left   atomic.Int64 // times that point is passed before it happens
	noSync bool
}

// arm reads WALRELAY_FAULT. A plan that is not understood ends the process: a test
// that injects nothing would pass.
func arm(text string) *plan {
	p := &plan{}
	if text == "" {
		return p
	}
	if text == "nosync" {
		p.noSync = true
		return p
	}
	what, rest, _ := strings.Cut(text, ":")
	point, times, _ := strings.Cut(rest, ":")
	n, err := strconv.ParseInt(times, 10, 64)
	p.signal = map[string]syscall.Signal{"kill": syscall.SIGKILL, "stop": syscall.SIGSTOP}[what]
	p.point = Point(point)
	if err != nil || n < 1 || p.signal == 0 || !slices.Contains(Points, p.point) {
		fmt.Fprintf(os.Stderr, "walrelay: WALRELAY_FAULT=%s is not understood\n", text)
		os.Exit(1)
	}
	p.left.Store(n)
	return p
}

// At ends or stops the process when the environment asks for it at this point.
func At(p Point) {
	if armed.point != p || armed.left.Add(-1) != 0 {
		return
	}
	if err := syscall.Kill(os.Getpid(), armed.signal); err != nil {
		panic(err)
	}
	time.Sleep(time.Second) // a signal to oneself may reach another thread a moment later
}

// NoSync is whether the event log is to leave out its syncs.
func NoSync() bool { return armed.noSync }
