package channel

import "sync/atomic"

// counters are written by the lanes.
type counters struct {
	events    atomic.Uint64
	overflows atomic.Uint64
	passes    atomic.Uint64
	// snapshots were taken, of which failed ended the streams that waited for them.
	snapshots, failed atomic.Uint64
	// undecided counts changes that a rule could not judge.
	undecided atomic.Uint64
	resets    map[Reason]*atomic.Uint64 // fixed set of keys after init
}

func (c *counters) init() {
	c.resets = map[Reason]*atomic.Uint64{}
	for _, r := range reasons {
		c.resets[r] = new(atomic.Uint64)
	}
}

func (c *counters) reset(r Reason) {
	if v := c.resets[r]; v != nil {
		v.Add(1)
	}
}

// Stats are figures for metrics and health.
type Stats struct {
	// Subscribers and Views are what is connected now.
	Subscribers, Views int
	// CatchUpLanes run now; Waiting subscribers have no lane yet.
	CatchUpLanes, Waiting int
	// Events were queued (one per event and subscriber) since the start.
	Events uint64
	// Overflows counts subscribers that left their lane because their queue was full.
	Overflows uint64
	// CatchUpPasses counts passes over the log for subscribers that resumed.
	CatchUpPasses uint64
	// Resets sent, by reason, one per channel.
	Resets map[Reason]uint64
	// Snapshots were asked for, one for all subscribers of a view that came together;
	// SnapshotsFailed ended those streams instead.
	Snapshots, SnapshotsFailed uint64
	// SnapshotBytes are held by snapshots that have not been written yet.
	SnapshotBytes int64
	// Scans are the audiences that no key of a rule's index leads to.
	Scans int
	// Undecided counts changes that a rule could not judge: its clients got reset{gap}.
	Undecided uint64
}

// Stats may be called at any time.
func (h *Hub) Stats() Stats {
	h.mu.Lock()
	s := Stats{Subscribers: len(h.members), Views: len(h.views), CatchUpLanes: h.near.passes + h.far.passes, Waiting: len(h.near.waiting) + len(h.far.waiting)}
	for _, n := range h.scans {
		s.Scans += n
	}
	h.mu.Unlock()
	s.Snapshots, s.SnapshotsFailed, s.SnapshotBytes = h.stats.snapshots.Load(), h.stats.failed.Load(), h.snapshotBytes.Load()
	s.Undecided = h.stats.undecided.Load()
	s.Events, s.Overflows, s.CatchUpPasses = h.stats.events.Load(), h.stats.overflows.Load(), h.stats.passes.Load()
	s.Resets = map[Reason]uint64{}
	for r, n := range h.stats.resets {
		s.Resets[r] = n.Load()
	}
	return s
}
