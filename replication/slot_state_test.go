package replication

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// good is a slot that walrelay can use, confirmed up to 100.
func good() *Slot {
	return &Slot{Name: "relay", Type: "logical", Plugin: "pgoutput", Database: "app", Connected: "app", WALStatus: "reserved", Confirmed: 100, Restart: 90}
}

func with(change func(*Slot)) *Slot {
	s := good()
	change(s)
	return s
}

// Every state has its look, its error and its reason.
func TestSlotStates(t *testing.T) {
	active := func(s *Slot) { s.Active, s.ActivePID, s.ActiveBy = true, 7, ", application pg_recvlogical" }
	for _, test := range []struct {
		name   string
		slot   *Slot
		logEnd uint64
		ours   bool
		want   SlotState
		err    error  // of this type; nil for none
		reason string // parts that it must have, by |; empty for none
	}{
		{"none, new log", nil, 0, false, SlotMissing, nil, "missing: slot relay: it does not exist yet|fix: "},
		{"none", nil, 100, false, SlotMissing, &SlotMissingError{}, "missing: slot relay: it does not exist, but|0/64|reset{gap}"},
		{"at the log's end", good(), 100, false, SlotFree, nil, "free: slot relay: nobody streams"},
		{"new log", good(), 0, false, SlotFree, nil, "free: "},
		{"before the log's end", good(), 101, false, SlotBehind, nil, "behind: slot relay: |0/64|dropped"},
		{"beyond the log's end", good(), 99, false, SlotAhead, &SlotAheadError{}, "ahead: slot relay: it is confirmed up to 0/64, beyond the event log's end 0/63|reset{gap}"},
		{"ours", with(active), 100, true, SlotStreaming, nil, ""},
		{"ours, behind", with(active), 200, true, SlotStreaming, nil, ""},
		{"somebody else's", with(active), 99, false, SlotInUse, &SlotInUseError{}, `in_use: replication slot "relay" is in use|PID 7, application pg_recvlogical|select pg_terminate_backend(7);`},
		{"WAL removed", with(func(s *Slot) { s.Invalid = "wal_removed" }), 100, false, SlotLost, &SlotLostError{}, "lost: slot relay: it is lost (wal_removed): |max_slot_wal_keep_size|since 0/64|fix: select pg_drop_replication_slot('relay'); "},
		{"idle", with(func(s *Slot) { s.Invalid = "idle_timeout" }), 100, false, SlotLost, &SlotLostError{}, "(idle_timeout)|idle_replication_slot_timeout"},
		{"wal_level", with(func(s *Slot) { s.Invalid = "wal_level_insufficient" }), 100, false, SlotLost, &SlotLostError{}, "(wal_level_insufficient)|wal_level was lowered"},
		{"rows removed", with(func(s *Slot) { s.Invalid = "rows_removed" }), 100, false, SlotLost, &SlotLostError{}, "(rows_removed)|catalog rows"},
		{"conflict on 16", with(func(s *Slot) { s.Invalid = "conflict" }), 100, false, SlotLost, &SlotLostError{}, "(conflict)|catalog rows"},
		{"another reason", with(func(s *Slot) { s.Invalid = "bored" }), 100, false, SlotLost, &SlotLostError{}, "(bored)|invalidated"},
		{"lost and held", with(func(s *Slot) { active(s); s.Invalid = "wal_removed" }), 100, false, SlotLost, &SlotLostError{}, "lost: "},
		{"physical", with(func(s *Slot) { s.Type, s.Plugin, s.Database = "physical", "", "" }), 100, false, SlotWrong, &SlotWrongError{}, "wrong: slot relay: it is a physical slot; fix: choose another"},
		{"other plugin", with(func(s *Slot) { s.Plugin = "wal2json" }), 100, false, SlotWrong, &SlotWrongError{}, "wrong: slot relay: its plugin is wal2json|select pg_drop_replication_slot('relay');"},
		{"other database", with(func(s *Slot) { s.Database = "shop" }), 100, false, SlotWrong, &SlotWrongError{}, "wrong: slot relay: it belongs to database shop, postgres.url names app"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := New(Options{Target: Target{Slot: "relay"}, WALBudget: 1000})
			s.durable.Store(test.logEnd)
			if test.ours {
				s.state.begin(PhaseStreaming)
			}
			s.state.looked(look{at: time.Now(), slot: test.slot})
			got := s.State().Slot
			if got.State != test.want {
				t.Errorf("state %s, want %s", got.State, test.want)
			}
			if want, is := fmt.Sprintf("%T", test.err), fmt.Sprintf("%T", got.Err); want != is {
				t.Errorf("error %s, want %s", is, want)
			}
			wantParts(t, slotReason(s), test.reason)
		})
	}
}

// slotReason is the reason that the check of the slot gives.
func slotReason(s *Source) string {
	for _, r := range s.Reasons() {
		if r.Check == "slot" {
			return r.Message
		}
	}
	return ""
}

func wantParts(t *testing.T, got, want string) {
	t.Helper()
	if want == "" && got != "" {
		t.Errorf("got %q, want none", got)
	}
	for part := range strings.SplitSeq(want, "|") {
		if !strings.Contains(got, part) {
			t.Errorf("%q lacks %q", got, part)
		}
	}
}

// A look says nothing of what came after it.
func TestSlotStateOld(t *testing.T) {
	s := New(Options{Target: Target{Slot: "relay"}})
	want := func(when string, state SlotState, figures, reason bool) {
		t.Helper()
		got := s.State().Slot
		if got.State != state || (got.Slot != nil) != figures || (slotReason(s) != "") != reason {
			t.Errorf("%s: state %s, slot %+v, reason %q", when, got.State, got.Slot, slotReason(s))
		}
	}
	want("at first", SlotUnknown, false, true)
	held := with(func(s *Slot) { s.Active = true })
	s.state.looked(look{at: time.Now(), slot: held})
	want("held by another", SlotInUse, true, true)
	s.state.begin(PhaseStreaming)
	want("ours since", SlotStreaming, true, false)
	s.state.looked(look{at: time.Now(), slot: held})
	want("ours", SlotStreaming, true, false)
	s.state.looked(look{at: time.Now(), slot: good()})
	want("the walsender has gone, unnoticed", SlotFree, true, true)
	s.state.looked(look{at: time.Now(), err: errors.New("too many connections")})
	want("cannot be looked at", SlotUnknown, false, false)
	s.state.looked(look{at: time.Now(), slot: held})
	s.state.failed(errors.New("cut"))
	want("the stream was lost since", SlotUnknown, false, true)
	s.state.looked(look{at: time.Now(), slot: good()})
	since := s.State().Since
	s.state.failed(errors.New("cut"))
	want("another attempt failed", SlotFree, true, true)
	if got := s.State(); got.Since != since || got.Phase != PhaseLost {
		t.Errorf("down since %v after the first attempt, %v after the second", since, got.Since)
	}
	s.state.looked(look{at: time.Now(), err: errors.New("connection refused")})
	want("Postgres away", SlotUnknown, false, true)
	wantParts(t, slotReason(s), "unknown: slot relay: connection refused")
}

// A stream that never was is not lost.
func TestSlotStateNeverStreamed(t *testing.T) {
	s := New(Options{Target: Target{Slot: "relay"}})
	wantParts(t, s.State().reason(), "no stream yet")
	s.state.failed(errors.New("connection refused"))
	if st := s.State(); st.Phase != PhaseConnecting {
		t.Errorf("phase %s", st.Phase)
	}
	wantParts(t, s.State().reason(), "no stream yet|connection refused")
}

func TestPreflightErrorUnwrap(t *testing.T) {
	p := &Preflight{Slot: with(func(s *Slot) { s.Invalid = "wal_removed" })}
	if err := p.checkSlot(t.Context(), nil, Target{Slot: "relay"}); err != nil {
		t.Fatal(err)
	}
	var lost *SlotLostError
	err := error(&PreflightError{p.Findings})
	if !errors.As(err, &lost) || lost.Error() != err.Error() {
		t.Errorf("%v: %v", err, lost)
	}
}

func TestFailoverCommand(t *testing.T) {
	for _, test := range []struct{ slot, database, want string }{
		{"relay", "app", `psql "dbname=app replication=database" -c 'ALTER_REPLICATION_SLOT relay (FAILOVER true)'`},
		{"2nd", "my app's", `psql "dbname='my app\'s' replication=database" -c 'ALTER_REPLICATION_SLOT "2nd" (FAILOVER true)'`},
	} {
		if got := failoverCommand(test.slot, test.database); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}
