package replication

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/change"
)

const monitorEvery = 5 * time.Second

// monitor looks at the slot now and then, for readiness and metrics. A look that
// fails is no reason to end the stream.
func (s *Source) monitor(ctx context.Context) error {
	cat := &catalog{url: s.o.URL}
	defer cat.close()
	tick := time.NewTicker(monitorEvery)
	defer tick.Stop()
	warned := false
	for {
		if conn, err := cat.get(ctx); err == nil {
			warned = s.lookAtSlot(ctx, conn, warned)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (s *Source) lookAtSlot(ctx context.Context, conn *pgx.Conn, warned bool) bool {
	ctx, cancel := context.WithTimeout(ctx, monitorEvery)
	defer cancel()
	slot, err := readSlot(ctx, conn, s.o.Slot)
	if err != nil || slot == nil {
		return warned
	}
	s.state.look(slot, slot.Restart+change.LSN(slot.Retained))
	budget := s.budget(slot)
	if slot.Retained*2 < budget {
		return false
	}
	if !warned {
		s.log.Warn("the slot holds back much WAL", "slot", s.o.Slot, "retained_bytes", slot.Retained, "budget_bytes", budget,
			"fix", "find out what keeps walrelay from confirming (readyz says), or raise postgres.wal_budget")
	}
	return true
}

// budget is the smaller of postgres.wal_budget and what the server allows.
func (s *Source) budget(slot *Slot) int64 {
	if slot.SafeLeft >= 0 && slot.Retained+slot.SafeLeft < s.o.WALBudget {
		return slot.Retained + slot.SafeLeft
	}
	return s.o.WALBudget
}

// Reasons says why the Source is not ready, by check; empty when it is.
func (s *Source) Reasons() map[string]string {
	st := s.State()
	out := map[string]string{}
	switch st.Phase {
	case PhaseConnecting:
		out["postgres"] = "not connected yet"
	case PhaseLost:
		out["postgres"] = fmt.Sprintf("replication is down since %s: %v", st.Since.UTC().Format(time.RFC3339), st.Err)
	}
	if st.LogErr != nil {
		out["log"] = "the event log cannot be written: " + st.LogErr.Error()
	}
	if st.Slot != nil {
		if budget := s.budget(st.Slot); budget > 0 && st.Slot.Retained*10 >= budget*8 {
			out["wal_budget"] = fmt.Sprintf("the slot holds back %d bytes of WAL, %d %% of %d", st.Slot.Retained, st.Slot.Retained*100/budget, budget)
		}
	}
	return out
}
