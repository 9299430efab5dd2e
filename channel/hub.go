package channel

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/eventlog"
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
	Log   Log
	Rules []*Rule
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
	rules      []*Rule
	queueLimit int
	aheadWait  time.Duration
	following  func() bool
	log        *slog.Logger
	stats      counters
	live       *lane

	mu      sync.Mutex
	running bool
	ctx     context.Context // of Run; ends the catch-up lanes
	lanes   sync.WaitGroup  // catch-up lanes
	views   map[string]*view
	near    boarding // subscribers whose changes are in the log's memory
	far     boarding // those who need the disk
	members map[*Subscriber]struct{}
	types   map[columnName]*change.Type
}

type columnName struct{ schema, table, column string }

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
	h := &Hub{events: o.Log, rules: o.Rules, queueLimit: o.QueueBytes, aheadWait: o.AheadWait, following: o.Following, log: o.Logger,
		views: map[string]*view{}, members: map[*Subscriber]struct{}{}, types: map[columnName]*change.Type{}}
	h.stats.init()
	for _, r := range o.Rules {
		r.print = r.fingerprint()
	}
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

// LearnTable tells the hub a table's column types, which parameters are checked
// against. Until then channels with parameters answer ErrStarting.
func (h *Hub) LearnTable(schema, table string, columns map[string]*change.Type) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, t := range columns {
		h.types[columnName{schema, table, name}] = t
	}
}

func (h *Hub) bindingTypes(r *Rule) ([]*change.Type, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	types := make([]*change.Type, len(r.Bindings))
	for i, b := range r.Bindings {
		if types[i] = h.types[columnName{r.Schema, r.Table, b.Column}]; types[i] == nil {
			return nil, ErrStarting
		}
	}
	return types, nil
}

// left forgets a closed subscriber.
func (h *Hub) left(s *Subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.members, s)
	if s.view.users--; s.view.users == 0 && h.views[s.view.key] == s.view {
		delete(h.views, s.view.key)
	}
}
