package channel

import (
	"context"
	"encoding/json"
	"errors"
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
	Logger    *slog.Logger
}

// Hub owns the lanes and admits subscribers. Safe for concurrent use.
type Hub struct {
	events     Log
	rules      []*Rule
	queueLimit int
	aheadWait  time.Duration
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
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Hub{events: o.Log, rules: o.Rules, queueLimit: o.QueueBytes, aheadWait: o.AheadWait, log: o.Logger,
		views: map[string]*view{}, members: map[*Subscriber]struct{}{}, types: map[columnName]*change.Type{}}
	h.stats.init()
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

// Request asks for a subscription.
type Request struct {
	// Channels are concrete names, for example orders and order/7.
	Channels []string
	// LastEventID is the client's, empty on a first connect.
	LastEventID string
}

// Subscribe admits a subscriber. It returns once the subscription is in place: its
// first run begins with the ready event, and every change behind the position that
// ready names will follow. Errors: *UnknownChannelError, *ParamError, ErrStarting,
// ErrDraining, or that of ctx.
func (h *Hub) Subscribe(ctx context.Context, r Request) (*Subscriber, error) {
	audiences, err := h.audiences(r.Channels)
	if err != nil {
		return nil, err
	}
	s, err := h.admit(audiences)
	if err != nil {
		return nil, err
	}
	id, reason := h.resumable(s.view, r.LastEventID)
	placed := make(chan struct{})
	h.live.post(func() {
		h.place(s, r.LastEventID != "", id, reason)
		close(placed)
	})
	select {
	case <-placed:
		return s, nil
	case <-ctx.Done():
		s.Close()
		return nil, ctx.Err()
	case <-h.ctx.Done():
		s.Close()
		return nil, ErrDraining
	}
}

// audiences resolves names to audiences, sorted, each once.
func (h *Hub) audiences(names []string) ([]*audience, error) {
	var out []*audience
	for _, name := range names {
		a, err := h.audience(name)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return sortAudiences(out), nil
}

func (h *Hub) audience(name string) (*audience, error) {
	for _, r := range h.rules {
		if params, ok := r.match(name); ok {
			types, err := h.bindingTypes(r)
			if err != nil {
				return nil, err
			}
			return newAudience(r, name, params, types)
		}
	}
	return nil, &UnknownChannelError{Channel: name}
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

// admit registers a subscriber of the view of these audiences.
func (h *Hub) admit(audiences []*audience) (*Subscriber, error) {
	lin := h.events.Bounds().Lineage
	if lin.SystemID == "" { // the log has not been bound to a cluster yet
		return nil, ErrStarting
	}
	key := viewKey(audiences, lin.Generation)
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.running {
		if h.ctx != nil {
			return nil, ErrDraining
		}
		return nil, ErrStarting
	}
	v := h.views[key]
	if v == nil {
		v = newView(key, audiences, lin)
		h.views[key] = v
	}
	v.users++
	s := &Subscriber{hub: h, view: v, wake: make(chan struct{}, 1)}
	h.members[s] = struct{}{}
	return s, nil
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

// resumable decides whether a stream can go on at the id that the client named. An
// empty reason means yes, or that there is no id.
func (h *Hub) resumable(v *view, lastEventID string) (EventID, Reason) {
	if lastEventID == "" {
		return EventID{}, ""
	}
	id, err := ParseEventID(lastEventID)
	if err != nil {
		h.log.Debug("client gets reset: its last event id is not understood", "cause", err)
		return id, ReasonUnknownID
	}
	if id.Tag != "" && id.Tag != v.tag {
		for _, e := range h.events.History() {
			if viewTag(v.audiences, e.Lineage) == id.Tag {
				return id, Reason(e.Reason)
			}
		}
		return id, ReasonView
	}
	if id.At.Less(h.events.Bounds().Floor) {
		return id, ReasonExpired
	}
	for _, a := range v.audiences {
		if since := h.events.Since(a.rule.Schema + "." + a.rule.Table); since > 0 && id.At.Less(change.Before(since)) {
			return id, ReasonGap
		}
	}
	return id, ""
}

// place puts a new subscriber on its first lane. It runs on the live lane.
func (h *Hub) place(s *Subscriber, resuming bool, id EventID, reason Reason) {
	l := h.live
	if l.generation != h.events.Bounds().Lineage.Generation { // the lane has not seen it yet
		h.lost(l, errGeneration)
	}
	switch {
	case !resuming:
		s.control(h.readyRun(s.view, false, EventID{At: l.at, Tag: s.view.tag}, l.at, ""), l.at)
		l.join(s)
	case reason != "":
		s.control(h.readyRun(s.view, false, id, l.at, reason), l.at)
		l.join(s)
	default:
		id.Tag = s.view.tag
		s.control(h.readyRun(s.view, true, id, id.At, ""), id.At)
		if id.At.Less(l.at) {
			h.board(s)
			return
		}
		l.join(s)
		h.waitAhead(s, id)
	}
}

// waitAhead bounds the wait of a client that is ahead of the log: the changes that
// it saw are replayed when walrelay or its disk lost them, else they never existed.
//
// The wait begins again while the log stands still: with Postgres away nobody can
// know.
func (h *Hub) waitAhead(s *Subscriber, id EventID) {
	wal := h.events.Bounds().WAL
	if !change.Before(wal).Less(id.At) {
		return
	}
	s.giveUpAfter(h.aheadWait, func() {
		h.live.post(func() {
			switch {
			case !h.live.at.Less(s.position()):
			case h.events.Bounds().WAL == wal:
				h.waitAhead(s, id)
			default:
				h.live.index.leave(s)
				h.restart(s, ReasonUnknownID)
			}
		})
	})
}

// restart tells a subscriber to forget its rows and goes on at the live lane's
// position. It runs on the live lane.
func (h *Hub) restart(s *Subscriber, reason Reason) {
	if s.view.generation == h.live.generation {
		b := &runBuffer{}
		h.resets(b, s.view, h.live.at, reason)
		s.control(b.seal(), h.live.at)
	}
	h.live.join(s)
}

// readyRun renders the ready event, and the resets that follow it where the stream
// could not be resumed. With resets ready repeats the client's own id, so that a
// cut between ready and the last reset makes the client ask again.
func (h *Hub) readyRun(v *view, resumed bool, id EventID, at change.Position, reason Reason) *Run {
	names := make([]string, len(v.audiences))
	for i, a := range v.audiences {
		names[i] = a.name
	}
	position := at.Commit
	if position&7 != 0 { // a cursor before a WAL end, see change.Before
		position++
	}
	data, err := json.Marshal(struct {
		Resumed  bool     `json:"resumed"`
		Channels []string `json:"channels"`
		Position string   `json:"position"`
	}{resumed, names, position.String()})
	if err != nil {
		h.log.Error("render ready event", "cause", err)
	}
	b := &runBuffer{}
	switch {
	case reason == "":
		b.add(EventReady, data, id.At, id.Tag)
	case id.Tag != "":
		b.add(EventReady, data, id.At, id.Tag)
		h.resets(b, v, at, reason)
	default:
		b.event(EventReady, data, change.Position{})
		h.resets(b, v, at, reason)
	}
	return b.seal()
}

// resets appends one reset per channel; the last one carries the id.
func (h *Hub) resets(b *runBuffer, v *view, at change.Position, reason Reason) {
	for _, a := range v.audiences {
		b.add(EventReset, appendReset(nil, a.name, reason), at, v.tag)
	}
	h.stats.reset(reason, len(v.audiences))
}

// lost handles an error of a lane: what its subscribers missed cannot be had any
// more. It runs on the lane's goroutine.
func (h *Hub) lost(l *lane, err error) {
	if errors.Is(err, eventlog.ErrClosed) {
		return
	}
	bounds := h.events.Bounds()
	subscribers := l.subscribers()
	reason := h.lostReason(l, err, bounds)
	var here []*Subscriber // to restart once the live lane has moved
	for _, s := range subscribers {
		l.index.leave(s)
		s.alight(l.at) // before the lane moves past what they missed
		switch {
		case s.view.generation != bounds.Lineage.Generation:
			s.finish(string(reason)) // comes back with a tag of the old generation and is reset
		case reason == ReasonExpired && !s.position().Less(bounds.Floor):
			h.board(s)
		case l == h.live:
			here = append(here, s)
		default:
			h.live.post(func() { h.restart(s, reason) })
		}
	}
	if l == h.live {
		l.generation = bounds.Lineage.Generation
		l.move(bounds.Last)
	}
	for _, s := range here {
		h.restart(s, reason)
	}
}

func (h *Hub) lostReason(l *lane, err error, bounds eventlog.Bounds) Reason {
	switch {
	case l.generation != bounds.Lineage.Generation:
		return h.endedReason()
	case errors.Is(err, eventlog.ErrTrimmed):
		return ReasonExpired
	}
	h.log.Error("event log cannot be read: clients get reset", "after", l.at.String(), "cause", err)
	return ReasonGap
}

// endedReason is why the log's last generation ended.
func (h *Hub) endedReason() Reason {
	if past := h.events.History(); len(past) > 0 {
		return Reason(past[len(past)-1].Reason)
	}
	return ReasonGap
}
