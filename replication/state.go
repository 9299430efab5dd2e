package replication

import (
	"sync"
	"time"

	"github.com/walrelay/walrelay/change"
)

// Phase of the stream.
type Phase string

// The phases.
const (
	PhaseConnecting Phase = "connecting"
	PhaseStreaming  Phase = "streaming"
	PhaseLost       Phase = "lost"
)

// State is what the Source is doing. A copy.
type State struct {
	Phase Phase
	Since time.Time
	// Err is why the stream is lost.
	Err error
	// LogErr is why the event log cannot be written, nil when it can.
	LogErr error
	// Slot is the last look at pg_replication_slots, nil before the first.
	Slot *Slot
	// WALEnd is the server's WAL end at that look.
	WALEnd change.LSN
}

// Following reports whether the event log keeps up with Postgres.
func (s State) Following() bool { return s.Phase == PhaseStreaming && s.LogErr == nil }

type stateBox struct {
	mu sync.Mutex
	s  State
}

func (b *stateBox) get() State {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.s
}

// set changes the phase and keeps what else is known.
func (b *stateBox) set(s State) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.s.Phase, b.s.Since, b.s.Err = s.Phase, s.Since, s.Err
}

func (b *stateBox) lost(err error) { b.set(State{Phase: PhaseLost, Since: time.Now(), Err: err}) }

func (b *stateBox) logError(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.s.LogErr = err
}

func (b *stateBox) look(slot *Slot, end change.LSN) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.s.Slot, b.s.WALEnd = slot, end
}

// State may be called at any time.
func (s *Source) State() State { return s.state.get() }
