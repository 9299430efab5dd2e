package replication

import (
	"sync"
	"time"
)

// Phase of the stream.
type Phase string

// The phases.
const (
	PhaseConnecting Phase = "connecting" // there has been no stream yet
	PhaseStreaming  Phase = "streaming"
	PhaseLost       Phase = "lost"
)

// State is what the Source is doing. A copy.
type State struct {
	Phase Phase
	// Since is when the phase began: attempts that fail do not change it.
	Since time.Time
	// Err is why the last attempt failed; nil while streaming and before the first.
	Err error
	// LogErr is why the event log cannot be written, nil when it can.
	LogErr error
	// CaughtUp: every transaction that committed before has been received, and the Watcher
	// has seen it. While replication follows it is a few seconds ago, see lookEvery; zero
	// before that is known for the first time.
	CaughtUp time.Time
	Slot     SlotLook
}

// Following reports whether the event log keeps up with Postgres.
func (s State) Following() bool { return s.Phase == PhaseStreaming && s.LogErr == nil }

// stateBox holds a State whose Slot is judged when it is asked for, from the last look.
type stateBox struct {
	mu   sync.Mutex
	s    State
	look look
}

func (b *stateBox) get() (State, look) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.s, b.look
}

// begin enters the phase.
func (b *stateBox) begin(p Phase) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.s.Phase, b.s.Since, b.s.Err = p, time.Now(), nil
}

// failed notes that the stream ended or could not begin.
func (b *stateBox) failed(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.s.Phase == PhaseStreaming {
		b.s.Phase, b.s.Since = PhaseLost, time.Now()
	}
	b.s.Err = err
}

func (b *stateBox) logError(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.s.LogErr = err
}

func (b *stateBox) looked(l look) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.look = l
}

// State may be called at any time.
func (s *Source) State() State {
	st, l := s.state.get()
	st.CaughtUp = s.horizon.get()
	st.Slot = s.judge(l, st.Phase, st.Since)
	return st
}
