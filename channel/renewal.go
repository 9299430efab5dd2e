package channel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/walrelay/walrelay/change"
)

const (
	// maxRenewals is how many snapshots are read at once.
	maxRenewals = 4
	// maxSnapshotBytes bounds what all snapshots together hold that has not been written yet.
	maxSnapshotBytes = 256 << 20
	// snapshotPatience bounds how long replication may stand still before a snapshot.
	snapshotPatience = 15 * time.Second
	// endSnapshot ends a stream whose snapshot could not be read; the client comes back.
	endSnapshot = "snapshot_unavailable"
)

// renewal gives the subscribers of one view a snapshot of its channels that send one, and
// then everything that the snapshot does not have.
//
// Rows are read first and handed out when all are there: a slow client must not hold a
// transaction open. Frames have no id until the last one, so whoever is cut off begins
// again.
type renewal struct {
	hub  *Hub
	view *view
	// known is the position up to which the members have the channels without snapshot.
	known change.Position
	// members is guarded by Hub.mu until the renewal starts.
	members []*Subscriber
	// bytes that frames take, given back once all members have written them; left counts those who have not.
	bytes int64
	left  atomic.Int64
}

// renewals of a view wait for each other: who comes meanwhile shares the next one. Guarded by Hub.mu.
type renewals struct {
	running bool
	waiting []*renewal
}

// renew takes a subscriber that is on no lane and queues what it must know first. It must
// not have been told an id behind known.
func (h *Hub) renew(s *Subscriber, first *Run, known change.Position, fresh bool) {
	s.hold(first, known)
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.running {
		return
	}
	of := h.renewing[s.view]
	if of == nil {
		of = &renewals{}
		h.renewing[s.view] = of
	}
	for _, r := range of.waiting {
		if fresh && !known.Less(r.known) || r.known == known || s.view.onlySnapshots() {
			r.members = append(r.members, s)
			return
		}
	}
	of.waiting = append(of.waiting, &renewal{hub: h, view: s.view, known: known, members: []*Subscriber{s}})
	if !of.running {
		of.running = true
		h.lanes.Go(func() { h.runRenewals(h.ctx, s.view, of) })
	}
}

// runRenewals works off the renewals of a view.
func (h *Hub) runRenewals(ctx context.Context, v *view, of *renewals) {
	for {
		select {
		case h.renewSlots <- struct{}{}:
		case <-ctx.Done():
		}
		h.mu.Lock()
		if len(of.waiting) == 0 || ctx.Err() != nil {
			of.running = false
			if h.renewing[v] == of {
				delete(h.renewing, v)
			}
			h.mu.Unlock()
			if ctx.Err() == nil {
				<-h.renewSlots
			}
			return
		}
		r := of.waiting[0]
		of.waiting = of.waiting[1:]
		h.mu.Unlock()
		r.run(ctx)
		<-h.renewSlots
	}
}

// run reads and hands out, or ends the members' streams.
func (r *renewal) run(ctx context.Context) {
	r.members = slices.DeleteFunc(r.members, (*Subscriber).isOver)
	if len(r.members) == 0 {
		return
	}
	r.hub.stats.snapshots.Add(1)
	runs, at, err := r.read(ctx)
	if err == nil {
		r.handOut(runs, at)
		return
	}
	r.hub.snapshotBytes.Add(-r.bytes)
	if ctx.Err() != nil {
		return
	}
	r.hub.stats.failed.Add(1)
	if errors.Is(err, ErrTableChanged) {
		r.hub.altered()
	}
	r.hub.log.Warn("snapshot cannot be sent: clients are told to come back", "channels", r.view.names(), "streams", len(r.members), "cause", err)
	for _, s := range r.members {
		s.finish(endSnapshot)
	}
}

// read makes the runs, the last of which carries the id of the position that they lead to.
func (r *renewal) read(ctx context.Context) (runs []*Run, at change.Position, err error) {
	h := r.hub
	if h.snapshots == nil {
		return nil, at, errors.New("there is nothing to read snapshots from")
	}
	logged := h.events.Bounds().Last // all that is logged by now is visible, unless it is in progress
	snap, err := h.snapshots.Begin(ctx)
	if err != nil {
		return nil, at, fmt.Errorf("begin: %w", err)
	}
	visible := snap.Visible()
	runs, err = r.rows(ctx, snap)
	snap.Close()
	if err != nil {
		return nil, at, err
	}
	if err := h.awaitLog(ctx, visible.Until); err != nil {
		return nil, at, err
	}
	// An id from beyond the log counts only where it keeps channels without snapshot from
	// repeating; it is that of all members then.
	if at = change.Before(visible.Until); at.Less(r.known) && !r.view.onlySnapshots() {
		at = r.known
	}
	late, err := r.replay(ctx, &visible, logged, at)
	if err != nil {
		return nil, at, err
	}
	return r.finishRuns(runs, late, at), at, nil
}

// rows reads the channels that send snapshots.
func (r *renewal) rows(ctx context.Context, snap Snapshot) ([]*Run, error) {
	var runs []*Run
	for _, a := range r.view.audiences {
		if a.rule.Snapshot == 0 {
			continue
		}
		p := &snapshotPage{renewal: r, audience: a}
		if err := p.read(ctx, snap); err != nil {
			return nil, fmt.Errorf("channel %s: %w", a.name, err)
		}
		runs = append(runs, p.runs...)
	}
	return runs, nil
}

// awaitLog waits until the log has every commit below an LSN. It gives up when replication
// does not come nearer.
func (h *Hub) awaitLog(ctx context.Context, until change.LSN) error {
	patience := time.NewTimer(snapshotPatience)
	defer patience.Stop()
	for was := change.LSN(0); ; {
		changed := h.events.Changed()
		wal := h.events.Bounds().WAL
		if wal >= until {
			return nil
		}
		if wal != was {
			was = wal
			patience.Reset(snapshotPatience)
		}
		select {
		case <-changed:
		case <-patience.C:
			return fmt.Errorf("replication stands at %s, before the snapshot's %s, for %s", wal, until, snapshotPatience)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// replay reads the changes again that a snapshot may not have: what was committed while it
// was taken, what was logged before and is not visible to others yet (a commit that waits
// for a synchronous standby is), and what the channels without snapshot have missed meanwhile.
func (r *renewal) replay(ctx context.Context, visible *Visibility, logged, to change.Position) (*runBuffer, error) {
	from := logged
	if !r.view.onlySnapshots() && r.known.Less(from) {
		from = r.known
	}
	stuck, err := r.hub.recent.firstHidden(ctx, visible, logged)
	if err != nil {
		return nil, err
	}
	if stuck != nil && stuck.Less(from) {
		from = *stuck
	}
	seen := logged
	if stuck != nil && stuck.Less(seen) {
		seen = *stuck
	}
	p := newReplay(r.hub, r.view, from)
	for _, st := range p.rider.seats {
		if st.audience.rule.Snapshot > 0 {
			st.audience.gate = &gate{visible: visible, known: seen}
		} else {
			st.audience.gate = &gate{known: r.known}
		}
	}
	return p.run(ctx, to)
}

// finishRuns puts the changes behind the rows, and the id on the last frame. Where changes came
// in between, that is a frame of its own.
func (r *renewal) finishRuns(runs []*Run, late *runBuffer, at change.Position) []*Run {
	if len(late.frames) > 0 || len(runs) == 0 {
		late.idOnly(at, r.view.tag)
		return append(runs, late.seal())
	}
	last := &runBuffer{}
	end := runs[len(runs)-1]
	last.add(end.Frames[0].Kind, end.Bytes[end.Frames[0].Data:end.Frames[0].DataEnd], at, r.view.tag)
	runs[len(runs)-1] = last.seal()
	return runs
}

// handOut queues the runs for all members and lets them go on from there.
func (r *renewal) handOut(runs []*Run, at change.Position) {
	r.left.Store(int64(len(r.members)))
	for _, s := range r.members {
		if s.unhold(runs, at, r.written) {
			r.hub.board(s)
		}
	}
}

// written is called by each member once.
func (r *renewal) written() {
	if r.left.Add(-1) == 0 {
		r.hub.snapshotBytes.Add(-r.bytes)
	}
}

// charge accounts for bytes that the renewal holds.
func (r *renewal) charge(bytes int) error {
	r.bytes += int64(bytes)
	if r.hub.snapshotBytes.Add(int64(bytes)) > maxSnapshotBytes {
		return fmt.Errorf("snapshots that clients have not read yet take more than %d MiB", maxSnapshotBytes>>20)
	}
	return nil
}
