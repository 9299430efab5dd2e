package main

import (
	"strings"
	"time"

	"github.com/walrelay/walrelay/httpapi"
	"github.com/walrelay/walrelay/replication"
)

func readyReasons(source *replication.Source) []httpapi.Reason {
	var out []httpapi.Reason
	for _, r := range source.Reasons() {
		out = append(out, httpapi.Reason{Check: r.Check, Message: strings.ReplaceAll(r.Message, "\n", "; ")})
	}
	return out
}

// slotState is the slot in /readyz. Figures that are not known are left out.
type slotState struct {
	Name  string                `json:"name"`
	State replication.SlotState `json:"state"`
	// AsOf is when the slot was looked at; left out before the first look.
	AsOf *time.Time `json:"as_of,omitempty"`
	// Error is what is wrong with the slot.
	Error string `json:"error,omitempty"`
	*slotFigures
}

type slotFigures struct {
	WALStatus     string `json:"wal_status"`
	Confirmed     string `json:"confirmed_flush_lsn"`
	Restart       string `json:"restart_lsn"`
	RetainedBytes int64  `json:"retained_bytes"`
	BudgetBytes   int64  `json:"budget_bytes"`
	BudgetFrom    string `json:"budget_from"`
	BudgetPercent int64  `json:"budget_percent"`
}

func newSlotState(name string, look replication.SlotLook) slotState {
	out := slotState{Name: name, State: look.State}
	if !look.At.IsZero() {
		at := look.At.UTC()
		out.AsOf = &at
	}
	if look.Err != nil {
		out.Error = look.Err.Error()
	}
	if s, b := look.Slot, look.Budget; s != nil {
		out.slotFigures = &slotFigures{s.WALStatus, s.Confirmed.String(), s.Restart.String(), s.Retained, b.Limit, b.From, b.Percent()}
	}
	return out
}
