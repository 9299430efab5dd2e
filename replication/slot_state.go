package replication

import (
	"errors"
	"time"

	"github.com/walrelay/walrelay/change"
)

// SlotState names what has become of the replication slot. docs/operating.md has the
// table of what walrelay does in each.
type SlotState string

// The states. The replication slot is in exactly one of them.
const (
	SlotUnknown   SlotState = "unknown"   // not looked at yet, or the last look failed
	SlotMissing   SlotState = "missing"   // there is none of the name
	SlotFree      SlotState = "free"      // good, and nobody streams from it
	SlotBehind    SlotState = "behind"    // free, and confirmed before the log's end: what comes again is dropped
	SlotAhead     SlotState = "ahead"     // free, and confirmed beyond the log's end: changes between are lost
	SlotStreaming SlotState = "streaming" // walrelay streams from it
	SlotInUse     SlotState = "in_use"    // another process streams from it
	SlotLost      SlotState = "lost"      // the server has invalidated it
	SlotWrong     SlotState = "wrong"     // it is none that walrelay can use
)

// SlotStates are all states.
var SlotStates = []SlotState{SlotUnknown, SlotMissing, SlotFree, SlotBehind, SlotAhead, SlotStreaming, SlotInUse, SlotLost, SlotWrong}

// SlotLook is the last look at the slot and what it means.
type SlotLook struct {
	State SlotState
	// At is when it was looked at; zero before the first look.
	At time.Time
	// Slot is what there was to see; nil when the state is unknown or missing.
	Slot *Slot
	// WALEnd is the server's WAL end at that look.
	WALEnd change.LSN
	Budget Budget
	// Err says what is wrong with the slot: *SlotUnknownError, *SlotMissingError,
	// *SlotAheadError, *SlotInUseError, *SlotLostError or *SlotWrongError, by State. Nil
	// in the other states, and while a slot is missing that never was needed.
	Err error
}

// look is one look at pg_replication_slots.
type look struct {
	at   time.Time // before the server was asked; zero: never
	slot *Slot     // nil: there is none of the name
	end  change.LSN
	err  error // why it failed
}

// judge names the state that a look shows.
//
// A look that is older than the phase says nothing of the slot: it may have been let
// go of, or taken, since. A stream that began after it is proof of the contrary.
func (s *Source) judge(l look, phase Phase, since time.Time) SlotLook {
	old := l.at.Before(since)
	out := SlotLook{At: l.at}
	switch {
	case old && phase == PhaseStreaming:
		out.State = SlotStreaming
	case old:
		out.State, out.Err = SlotUnknown, &SlotUnknownError{s.o.Slot, errNotLooked}
		return out
	case l.err != nil:
		out.State, out.Err = SlotUnknown, &SlotUnknownError{s.o.Slot, l.err}
		return out
	default:
		out.State, out.Err = slotState(s.o.Slot, l.slot, change.LSN(s.durable.Load()), phase == PhaseStreaming)
	}
	if l.err == nil && l.slot != nil {
		out.Slot, out.WALEnd = l.slot, l.end
		out.Budget = l.slot.budget(s.o.WALBudget)
	}
	return out
}

var errNotLooked = errors.New("it has not been looked at yet")

// slotState names a slot's state by what the server says of it. logEnd is the WAL end
// that the log has on disk, 0 for a new log; ours says that walrelay streams.
func slotState(name string, s *Slot, logEnd change.LSN, ours bool) (SlotState, error) {
	if s == nil {
		if logEnd == 0 {
			return SlotMissing, nil
		}
		return SlotMissing, &SlotMissingError{name, logEnd}
	}
	if err := s.wrong(); err != nil {
		return SlotWrong, err
	}
	switch {
	case s.Invalid != "":
		return SlotLost, &SlotLostError{name, s.Invalid, s.Confirmed}
	case s.Active && ours:
		return SlotStreaming, nil
	case s.Active:
		return SlotInUse, s.inUse()
	case logEnd != 0 && s.Confirmed > logEnd:
		return SlotAhead, &SlotAheadError{name, s.Confirmed, logEnd}
	case s.Confirmed < logEnd:
		return SlotBehind, nil
	}
	return SlotFree, nil
}

// reason is why readiness fails in this state, as "state: cause; fix: …"; empty where
// it does not.
func (l SlotLook) reason(slot string, phase Phase) string {
	var text string
	switch {
	case l.State == SlotStreaming, l.State == SlotUnknown && phase == PhaseStreaming: // the stream is up
		return ""
	case l.Err != nil:
		text = l.Err.Error()
	case l.State == SlotMissing:
		text = "slot " + slot + ": it does not exist yet; fix: none here, walrelay creates it once the other reasons are gone"
	case l.State == SlotBehind:
		text = "slot " + slot + ": nobody streams from it, and it is confirmed up to " + l.Slot.Confirmed.String() + ", before the event log's end, which is usual after a crash: " +
			"what comes again is dropped; fix: none here, walrelay streams from it once the other reasons are gone"
	default:
		text = "slot " + slot + ": nobody streams from it; fix: none here, walrelay does once the other reasons are gone"
	}
	return string(l.State) + ": " + text
}
