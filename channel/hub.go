package channel

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/eventlog"
	"github.com/walrelay/walrelay/slimmap"
)

// Log is what the hub reads: *eventlog.Log.
type Log interface {
	Next(after change.Position) (*change.Batch, error)
	Changed() <-chan struct{}
	Bounds() eventlog.Bounds
	// InMemory is the position from which on changes are read without the disk.
	InMemory() change.Position
	// Since is the LSN from which on a table, schema.name, is complete; 0: always.
	Since(table string) change.LSN
	// SinceVersion changes whenever Since may give another answer.
	SinceVersion() uint64
	History() []eventlog.Ended
}

// Options of a Hub.
type Options struct {
	Log Log
	// Rules to begin with; see SetRules.
	Rules []*Rule
	// Snapshots is where channels that send snapshots have them from; nil: nowhere.
	Snapshots Snapshots
	// Altered is called when a snapshot finds a table that is not what its rule was made for. It
	// must not block; nil: nobody cares.
	Altered func()
	// MaxScans bounds, for each rule, the audiences that no key leads to, so that every change
	// is tried for each of them; default 10000.
	MaxScans int
	// QueueBytes bounds what is queued for one subscriber; default 1 MiB.
	QueueBytes int
	// AheadWait bounds how long a client whose id is ahead of the log waits for
	// replication to get there; default 30 s.
	AheadWait time.Duration
	// Following reports whether the log keeps up with Postgres just now; while it does
	// not, clients whose id is ahead of it wait on. Called at any time, must not block;
	// nil: always.
	Following func() bool
	Logger    *slog.Logger
}

// Hub owns the lanes and admits subscribers. Safe for concurrent use.
type Hub struct {
	events     Log
	snapshots  Snapshots
	queueLimit int
	altered    func()
	maxScans   int
	aheadWait  time.Duration
	following  func() bool
	log        *slog.Logger
	stats      counters
	live       *lane
	recent     *recent
	// renewSlots has a value for each snapshot that is being read.
	renewSlots chan struct{}
	// snapshotBytes are held by snapshots that have not been written yet.
	snapshotBytes atomic.Int64

	mu      sync.Mutex
	rules   []*Rule
	serial  uint64 // of the newest rule
	running bool
	ctx     context.Context // of Run; ends the catch-up lanes
	lanes   sync.WaitGroup  // catch-up lanes
	views   map[string]*view
	near    boarding // subscribers whose changes are in the log's memory
	far     boarding // those who need the disk
	members map[*Subscriber]struct{}
	// peaks are those of the maps, for slimmap.
	peaks struct{ views, members int }
	// scans counts the audiences of a rule that no key leads to, once per view.
	scans    map[*Rule]int
	renewing map[*view]*renewals
}

// New makes a hub; it serves while Run runs.
func New(o Options) *Hub {
	if o.QueueBytes <= 0 {
		o.QueueBytes = 1 << 20
	}
	if o.AheadWait <= 0 {
		o.AheadWait = 30 * time.Second
	}
	if o.Following == nil {
		o.Following = func() bool { return true }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Altered == nil {
		o.Altered = func() {}
	}
	if o.MaxScans <= 0 {
		o.MaxScans = 10_000
	}
	h := &Hub{
		events:     o.Log,
		snapshots:  o.Snapshots,
		queueLimit: o.QueueBytes,
		altered:    o.Altered,
		maxScans:   o.MaxScans,
		aheadWait:  o.AheadWait,
		following:  o.Following,
		log:        o.Logger,
		recent:     &recent{events: o.Log},
		renewSlots: make(chan struct{}, maxRenewals),
		views:      map[string]*view{},
		members:    map[*Subscriber]struct{}{},
		scans:      map[*Rule]int{},
		renewing:   map[*view]*renewals{},
	}
	h.stats.init()
	h.rules = h.prepared(o.Rules, nil)
	return h
}

// Run follows the log until ctx ends, then ends every stream with reason draining
// and waits for all lanes.
func (h *Hub) Run(ctx context.Context) error {
	b := h.events.Bounds()
	h.live = newLane(h, b.Last)
	h.mu.Lock()
	h.running, h.ctx = true, ctx
	h.mu.Unlock()
	h.live.follow(ctx)
	h.mu.Lock()
	h.running = false
	h.near.stop()
	h.far.stop()
	for s := range h.members {
		s.finish("draining")
	}
	h.mu.Unlock()
	h.lanes.Wait()
	return nil
}

// left forgets a closed subscriber.
func (h *Hub) left(s *Subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	slimmap.Delete(&h.members, &h.peaks.members, s)
	h.leaveViewLocked(s.view)
}

// leaveViewLocked counts a subscriber out of its view. h.mu is held.
func (h *Hub) leaveViewLocked(v *view) {
	if v.users--; v.users > 0 || h.views[v.key] != v {
		return
	}
	slimmap.Delete(&h.views, &h.peaks.views, v.key)
	for _, a := range v.audiences {
		if a.binding.Scan() {
			if h.scans[a.rule]--; h.scans[a.rule] == 0 {
				delete(h.scans, a.rule)
			}
		}
	}
}
