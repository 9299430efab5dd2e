package integration

import (
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/walrelay/walrelay/fault"
)

// victim is the walrelay under torture: one process after the other, of which only the
// last is kept. For one goroutine, the test's.
type victim struct {
	t testing.TB
	r *relay
	// due is how the process that runs may end.
	due struct {
		killed, drained bool
		fault           string // WALRELAY_FAULT, "" for none
	}
	last string // what the process before wrote last
	// allowed are the lines of level ERROR that the harness made inevitable.
	allowed *regexp.Regexp
}

// start starts a process, with a fault or "".
func (v *victim) start(fault string) {
	v.t.Helper()
	v.due.killed, v.due.drained, v.due.fault = false, false, fault
	cmd := v.r.command(v.t, "serve", "-c", v.r.config)
	if fault != "" {
		cmd.Env = append(append([]string(nil), cmd.Env...), "WALRELAY_FAULT="+fault)
	}
	v.r.process = launch(v.t, cmd)
}

// over reports whether the process has ended.
func (v *victim) over() bool {
	select {
	case <-v.r.done:
		return true
	default:
		return false
	}
}

// waitOver waits for the end, for d at most.
func (v *victim) waitOver(d time.Duration) bool {
	select {
	case <-v.r.done:
		return true
	case <-time.After(d):
		return false
	}
}

// waitHeld waits until a goroutine is held at a point, for d at most.
func (v *victim) waitHeld(d time.Duration) bool {
	for until := time.Now().Add(d); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		if strings.Contains(v.r.stderr.String(), "walrelay: held at ") {
			return true
		}
	}
	return false
}

// kill ends the process as a crash would.
func (v *victim) kill() {
	v.t.Helper()
	v.due.killed = true
	v.r.signal(v.t, syscall.SIGKILL)
	v.end()
}

// drain ends it as an operator would.
func (v *victim) drain() {
	v.t.Helper()
	v.due.drained = true
	v.r.signal(v.t, syscall.SIGTERM)
	v.end()
}

// end waits for the end and judges it.
func (v *victim) end() {
	v.t.Helper()
	got := v.r.wait(v.t)
	signaled := got.code == -1
	switch {
	case signaled && (v.due.killed || v.due.fault != ""):
	case got.code == 0 && v.due.drained:
	default:
		v.t.Errorf("walrelay ended by itself, with code %d: %v; it wrote last:\n%s", got.code, v.r.cmd.ProcessState, tailOf(got.stderr))
	}
	v.look()
	v.last = tailOf(got.stderr)
}

var alarms = regexp.MustCompile(`(?m)^.*(level=ERROR|this is a bug).*$`)

// look checks what the process wrote so far.
func (v *victim) look() {
	v.t.Helper()
	text := v.r.stderr.String()
	if found := insane.FindString(text); found != "" {
		v.t.Errorf("walrelay: %s\n%.8000s", found, text[strings.Index(text, found):])
	}
	for _, line := range alarms.FindAllString(text, -1) {
		if v.allowed == nil || !v.allowed.MatchString(line) {
			v.t.Errorf("walrelay wrote: %s", line)
		}
	}
}

// tailOf is the end of a text, a screenful at most.
func tailOf(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return "  | " + strings.Join(lines[max(0, len(lines)-12):], "\n  | ")
}

type faultPoint struct {
	at   fault.Point
	most int
}

// faultPoints are the points at which an ordinary round ends walrelay, each with the
// most times that it is passed before.
var faultPoints = []faultPoint{
	{fault.PublicationReady, 1}, {fault.Received, 150}, {fault.Taken, 25}, {fault.Published, 25}, {fault.Stored, 25},
	{fault.Confirmed, 5}, {fault.Written, 1500}, {fault.Rotated, 1}, {fault.Trimmed, 1},
}

// holdPoints are those at which one goroutine is held while the others go on: above
// all where the log has not stored yet what must not be confirmed.
var holdPoints = []faultPoint{
	{fault.Published, 25}, {fault.Stored, 25}, {fault.Taken, 25}, {fault.Published, 5}, {fault.Received, 150}, {fault.Confirmed, 5},
}

// stopAll ends the process at the end of the test, whatever state it is in.
func (v *victim) stopAll() {
	if v.r.process == nil {
		return
	}
	before, last := v.last, v.r.stderr.String()
	if !v.over() {
		v.kill()
	}
	if v.t.Failed() {
		v.t.Logf("the last walrelay wrote last:\n%s\nthe one before:\n%s", tailOf(last), before)
	}
}
