package replication

import (
	"context"
	"log/slog"
	"time"
)

const (
	// lookEvery is the most time between two looks at the slot; one begins also when the
	// stream does, and after every attempt that failed.
	lookEvery = 5 * time.Second
	// lookAgain is the same after a look that failed.
	lookAgain = time.Second
)

// watch looks at the slot for as long as the Source runs, whatever the stream is
// doing: a slot that nobody can stream from is the one that fills the disk.
func (s *Source) watch(ctx context.Context) error {
	cat := &catalog{url: s.o.URL}
	defer cat.close()
	w := watcher{log: s.log, slot: s.o.Slot}
	for {
		l := s.lookAtSlot(ctx, cat)
		s.state.looked(l)
		if w.judge(s.State().Slot) {
			poke(s.mended)
		}
		if l.err == nil {
			s.watchMembership(ctx, cat)
		}
		wait := lookEvery
		if l.err != nil {
			wait = lookAgain
		}
		next := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			next.Stop()
			return nil
		case <-next.C:
		case <-s.lookNow:
			next.Stop()
		}
	}
}

// lookAtSlot asks the server. What it cannot tell is an error, never an old answer.
func (s *Source) lookAtSlot(ctx context.Context, cat *catalog) look {
	ctx, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	l := look{at: time.Now()}
	conn, err := cat.get(ctx)
	if err != nil {
		l.err = err
		return l
	}
	if l.slot, l.end, l.err = readSlot(ctx, conn, s.o.Slot); l.err != nil {
		cat.close() // it was made at the last look, and the server may have restarted since
		return l
	}
	s.horizon.looked(l.at, l.end)
	return l
}

// watchMembership looks at the publication too. That it could not, because somebody is
// altering it just now, says nothing of the slot.
func (s *Source) watchMembership(ctx context.Context, cat *catalog) {
	ctx, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	conn, err := cat.get(ctx)
	if err == nil {
		err = s.lookAtMembership(ctx, conn)
	}
	if err != nil && ctx.Err() == nil {
		s.log.Debug("cannot look at the publication, trying again", "cause", err)
	}
}

// watcher tells the log what a person has to know of the slot, each once. It belongs
// to one goroutine.
type watcher struct {
	log   *slog.Logger
	slot  string
	state SlotState
	much  bool // the slot was over half of its budget at the last look
}

// judge reports whether somebody has mended what only a person can mend.
func (w *watcher) judge(l SlotLook) (mended bool) {
	was := w.state
	if l.State == SlotUnknown {
		return false // it says nothing
	}
	w.state = l.State
	if l.State == SlotLost && was != SlotLost {
		w.log.Error("the replication slot is lost: clients are served from the event log only", "slot", w.slot, "cause", l.Err)
	}
	w.budget(l.Budget)
	return (was == SlotLost || was == SlotWrong) && l.State != was
}

// budget warns once per crossing of half of the budget.
func (w *watcher) budget(b Budget) {
	much := b.Percent() >= warnAt
	if much == w.much {
		return
	}
	w.much = much
	if !much {
		w.log.Info("the slot holds back little WAL again", "slot", w.slot, "retained_bytes", b.Retained)
		return
	}
	w.log.Warn("the slot holds back much WAL", "slot", w.slot, "retained_bytes", b.Retained, "percent", b.Percent(), "budget_bytes", b.Limit, "budget_from", b.From, "fix", b.fix())
}
