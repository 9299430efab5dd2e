package replication

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/walrelay/walrelay/change"
)

// outage keeps the log short: one line when the stream is lost, one more when a cause
// appears that only a person can mend, one when it is back.
type outage struct {
	log  *slog.Logger
	slot string

	mu       sync.Mutex  // the timer's function runs beside the session
	stream   int         // counts streams, so that a late timer does not speak for the next
	back     *time.Timer // of the last stream
	streamed bool
	down     bool
	told     string // lasting cause told last
	seen     string // lasting cause of the last attempt
}

// streaming is called when a stream begins, at the LSN from; ended when it has ended.
func (o *outage) streaming(from change.LSN) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.streamed {
		o.streamed = true
		o.over("streaming", from)
		return
	}
	this := o.stream
	o.back = time.AfterFunc(steadyAfter, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.stream == this {
			o.over("replication is back", from)
		}
	})
}

// over tells the end of an outage. o.mu is held.
func (o *outage) over(message string, from change.LSN) {
	o.down, o.told, o.seen = false, "", ""
	o.log.Info(message, "slot", o.slot, "from", from.String())
}

// ended is called when a stream has ended or could not begin.
func (o *outage) ended(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.noTimer()
	if errors.Is(err, errJoining) {
		o.log.Info("replication begins again with the tables that join", "slot", o.slot)
		return
	}
	cause := lasting(err)
	switch {
	case o.down && (cause == "" || cause == o.told || cause != o.seen): // twice in a row it is no chance
	case o.down:
		o.log.Error("replication stays down until somebody mends this", "cause", err)
		o.told = cause
	case o.streamed:
		o.log.Warn("replication lost, trying again", "cause", err)
		o.told = cause
	default:
		o.log.Warn("cannot stream yet, trying again", "cause", err)
		o.told = cause
	}
	o.down, o.seen = true, cause
}

// close is called when nothing more is to be told.
func (o *outage) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.noTimer()
}

// noTimer keeps the last stream's timer silent, even when it has fired. o.mu is held.
func (o *outage) noTimer() {
	o.stream++
	if o.back != nil {
		o.back.Stop()
	}
}

// lasting tells causes that a person has to mend from each other; empty for trouble
// that passes by itself, and for a lost slot, which the watcher tells.
func lasting(err error) string {
	var inUse *SlotInUseError
	var lost *SlotLostError
	var preflight *PreflightError
	var permanent *PermanentError
	switch {
	case errors.As(err, &inUse):
		return string(SlotInUse) // whoever it is
	case errors.As(err, &preflight) && len(preflight.Findings) == 1 && errors.As(err, &lost):
		return ""
	case preflight != nil, errors.As(err, &permanent):
		return err.Error()
	}
	return ""
}

// news are findings that have been told: the preflight makes them again at every
// attempt. One that went and came back is told again.
type news map[string]bool

// tell passes on the findings that the last preflight did not have.
func (n *news) tell(log *slog.Logger, fs Findings) {
	now := news{}
	for _, f := range fs {
		text := f.String()
		if now[text] {
			continue
		}
		now[text] = true
		switch {
		case (*n)[text]:
		case f.Severity == Error:
			log.Error(f.Subject+": "+f.Problem, "fix", f.Fix)
		default:
			log.Warn(f.Subject+": "+f.Problem, "fix", f.Fix)
		}
	}
	*n = now
}
