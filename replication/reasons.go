package replication

import (
	"fmt"
	"time"
)

// Reason is why the Source is not ready. Check is postgres, log, slot or wal_budget.
type Reason struct{ Check, Message string }

// Reasons says why the Source is not ready; empty when it is.
func (s *Source) Reasons() []Reason {
	st := s.State()
	var out []Reason
	add := func(check, message string) {
		if message != "" {
			out = append(out, Reason{check, message})
		}
	}
	add("postgres", st.reason())
	if st.LogErr != nil {
		add("log", "the event log cannot be written: "+st.LogErr.Error())
	}
	add("slot", st.Slot.reason(s.o.Slot, st.Phase))
	add("wal_budget", st.Slot.Budget.reason(s.o.Slot))
	return out
}

// reason is why there is no stream.
func (s State) reason() string {
	since := s.Since.UTC().Format(time.RFC3339)
	switch {
	case s.Phase == PhaseLost:
		return fmt.Sprintf("replication is down since %s: %v", since, s.Err)
	case s.Phase == PhaseConnecting && s.Err != nil:
		return fmt.Sprintf("there is no stream yet, walrelay tries since %s: %v", since, s.Err)
	case s.Phase == PhaseConnecting:
		return "there is no stream yet: walrelay is connecting"
	}
	return ""
}
