package replication

import (
	"fmt"

	"github.com/walrelay/walrelay/change"
)

// SlotUnknownError: the slot could not be looked at.
type SlotUnknownError struct {
	Slot  string
	Cause error
}

func (e *SlotUnknownError) Error() string { return "slot " + e.Slot + ": " + e.Cause.Error() }

func (e *SlotUnknownError) Unwrap() error { return e.Cause }

// SlotMissingError: the slot is gone that the event log was written from.
type SlotMissingError struct {
	Slot   string
	LogEnd change.LSN // WAL end of the event log
}

func (e *SlotMissingError) Error() string {
	return fmt.Sprintf("slot %s: it does not exist, but the event log was written from it up to %s: what was committed since is lost; "+
		"fix: let nobody drop it but walrelay teardown; walrelay creates it anew, and clients get reset{gap}", e.Slot, e.LogEnd)
}

// SlotAheadError: somebody else has consumed or advanced the slot.
type SlotAheadError struct {
	Slot      string
	Confirmed change.LSN // confirmed_flush_lsn
	LogEnd    change.LSN // WAL end of the event log, before Confirmed
}

func (e *SlotAheadError) Error() string {
	return fmt.Sprintf("slot %s: it is confirmed up to %s, beyond the event log's end %s: the changes between were sent to somebody else, or passed over, and are lost; "+
		"fix: give whoever did that a slot of its own; walrelay begins anew at %s, and clients get reset{gap}", e.Slot, e.Confirmed, e.LogEnd, e.Confirmed)
}

// SlotInUseError: another process streams from the slot.
type SlotInUseError struct {
	Slot string
	PID  int32
	By   string // application_name and address of the holder, as far as the role may see them
	Fix  string // what to do instead of what serve advises; empty for that
}

func (e *SlotInUseError) Error() string {
	fix := e.Fix
	if fix == "" {
		fix = fmt.Sprintf("stop the other walrelay, give this one its own postgres.slot, or end it with: select pg_terminate_backend(%d);", e.PID)
	}
	return fmt.Sprintf("replication slot %q is in use by another process (%s); fix: %s", e.Slot, e.holder(), fix)
}

func (e *SlotInUseError) holder() string { return fmt.Sprintf("walsender PID %d%s", e.PID, e.By) }

// SlotLostError: the server has invalidated the slot.
type SlotLostError struct {
	Slot string
	// Reason is the server's invalidation_reason: wal_removed, rows_removed,
	// wal_level_insufficient, idle_timeout, or a later server's. Postgres 16 does not
	// say which of the middle two: conflict.
	Reason    string
	Confirmed change.LSN // confirmed_flush_lsn
}

func (e *SlotLostError) Error() string {
	return "slot " + e.Slot + ": " + e.problem() + "; fix: " + e.fix()
}

func (e *SlotLostError) problem() string {
	return fmt.Sprintf("it is lost (%s): %s; changes since %s cannot be had any more", e.Reason, e.cause(), e.Confirmed)
}

func (e *SlotLostError) cause() string {
	switch e.Reason {
	case "wal_removed":
		return "it held back more WAL than max_slot_wal_keep_size allows, and the server has removed that"
	case "idle_timeout":
		return "nobody streamed from it for longer than idle_replication_slot_timeout"
	case "wal_level_insufficient":
		return "wal_level was lowered below logical"
	case "rows_removed", "conflict":
		return "it was made on a standby, and the primary has removed catalog rows that it needed or lowered wal_level"
	}
	return "the server has invalidated it"
}

func (e *SlotLostError) fix() string {
	return dropSlot(e.Slot) + " and walrelay creates it anew (start it again if it has ended), and clients get reset{gap}"
}

// SlotWrongError: the slot is none that walrelay can use.
type SlotWrongError struct {
	Slot    string
	Problem string // one sentence without a full stop
	Fix     string
}

func (e *SlotWrongError) Error() string {
	return "slot " + e.Slot + ": " + e.Problem + "; fix: " + e.Fix
}

func dropSlot(name string) string {
	return "select pg_drop_replication_slot(" + quoteLiteral(name) + ");"
}
