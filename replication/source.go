package replication

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/fault"
)

// Log is where changes go: an adapter over the event log.
type Log interface {
	// Append returns once b is durable. Readers may see b before. An error means
	// that b is not durable; appending the same batch again goes on where it stopped,
	// unless it is a *PermanentError.
	Append(ctx context.Context, b *change.Batch) error
	// Head is the last position appended and the WAL end that is durable. It is asked
	// only while no Append is under way or waiting to be tried again.
	Head() (last change.Position, wal change.LSN)
	// LastTx is the transaction of the last position; false where the log does not have
	// that any more, or cannot read it.
	LastTx() (change.Tx, bool)
	// Identity is the cluster that the log belongs to; empty for a new log.
	Identity() (systemID string, timeline uint32)
	// Begin binds an empty log to a cluster, or starts a new generation of a log that
	// cannot be continued. Changes are complete from floor on.
	Begin(ctx context.Context, systemID string, timeline uint32, floor change.LSN, reason string) error
	// SetSince notes durably that a table, schema.name, is complete only from the LSN
	// on; Since is what was noted, 0 for nothing.
	SetSince(ctx context.Context, table string, since change.LSN) error
	Since(table string) change.LSN
	// SetMembers notes durably how tables, schema.name, are members of the publication;
	// Members is what was noted last. Begin forgets it.
	SetMembers(ctx context.Context, members map[string]string) error
	Members() map[string]string
	// SetTimeline records a promotion that the log survives.
	SetTimeline(ctx context.Context, timeline uint32) error
}

// Options of a Source.
type Options struct {
	Target
	// WALBudget bounds the WAL that the slot may hold back, in bytes; see [Budget].
	WALBudget int64
	// MaxEventBytes bounds one row; see change.Shrink.
	MaxEventBytes int
	Log           Log
	// OnTables is called after every preflight of a session with what the catalog says of
	// the tables that it begins with; an error ends the attempt like a finding.
	OnTables func(map[string]*Table) error
	// Watcher sees the changes of tables that are Watched; nil for nobody.
	Watcher Watcher
	// OnMissed is called when a stream begins before which changes of tables that are
	// Watched may have passed unseen, or one of another primary, which gives out transaction ids
	// that the one before had given out: what is known of their rows must be looked up again.
	// What is looked up from then on is followed without a gap. It comes after OnTables and
	// before anything is observed, and must not block. Nil for nobody.
	OnMissed func()
	Logger   *slog.Logger
}

// Source keeps the replication stream. Run it once.
type Source struct {
	o      Options
	log    *slog.Logger
	inflow *inflow
	stats  counters
	state  stateBox
	// horizon is how far the stream is complete in time.
	horizon horizon
	// durable is the WAL end that the log has on disk; what is confirmed.
	durable atomic.Uint64
	// idle has a value while the writer holds no batch.
	idle chan struct{}
	// confirm wakes the confirmer of the session: durable moved.
	confirm chan struct{}
	// streamed is set once a session has begun to stream.
	streamed atomic.Bool
	// lookNow wakes watch: what it last saw of the slot may have changed.
	lookNow chan struct{}
	// mended wakes keepStreaming: what kept it down has gone.
	mended chan struct{}
	// target is what the next session asks for: o.Target, with the tables of the last
	// Retarget.
	target      atomic.Pointer[Target]
	retargeting sync.Mutex
	// retargeted wakes awaitAltered: target has changed.
	retargeted chan struct{}
	// membership is what the session found when it began; nil before the first.
	membership atomic.Pointer[membership]
	// altered ends the session: watch has found another membership.
	altered chan struct{}
	// told are the findings of the last preflight.
	told news
	// missed: OnMissed is due. Of the goroutine that runs sessions, like following, the
	// watched tables of the last stream.
	missed    bool
	following map[string]bool
}

// New makes a Source; it does nothing until Run.
func New(o Options) *Source {
	if o.MaxEventBytes <= 0 {
		o.MaxEventBytes = 1 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Watcher == nil {
		o.Watcher = nobody{}
	}
	if o.OnMissed == nil {
		o.OnMissed = func() {}
	}
	s := &Source{o: o, log: o.Logger, inflow: newInflow(), idle: make(chan struct{}, 1), confirm: make(chan struct{}, 1),
		lookNow: make(chan struct{}, 1), mended: make(chan struct{}, 1), altered: make(chan struct{}, 1),
		retargeted: make(chan struct{}, 1)}
	s.target.Store(&o.Target)
	s.idle <- struct{}{}
	s.state.begin(PhaseConnecting)
	return s
}

// Run streams until ctx ends (nil) or a person is needed before the first row
// (*PermanentError, *PreflightError, *SlotInUseError). Every other failure is
// logged once and tried again.
func (s *Source) Run(ctx context.Context) error {
	_, wal := s.o.Log.Head()
	s.durable.Store(uint64(wal))
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.write(ctx) })
	g.Go(func() error { return s.keepStreaming(ctx) })
	g.Go(func() error { return s.watch(ctx) })
	return g.Wait()
}

// startPatience is how long a slot held by another process is waited for before
// the first row: a walrelay that was killed lets go of it within moments.
const startPatience = 15 * time.Second

// retryMost is about the longest wait between two attempts.
const retryMost = 10 * time.Second

// steadyAfter is how long a stream must last to be called back: one that ends at once
// again and again is one outage, told once.
const steadyAfter = time.Second

// keepStreaming runs sessions one after the other.
func (s *Source) keepStreaming(ctx context.Context) error {
	retry := backoff{most: retryMost, now: s.mended}
	out := &outage{log: s.log, slot: s.o.Slot}
	defer out.close()
	start := time.Now()
	for {
		began, seen := time.Now(), s.stats.transactions.Load()
		err := s.session(ctx, out.streaming)
		if ctx.Err() != nil {
			return nil
		}
		if s.fatal(err, time.Since(start)) {
			return err
		}
		s.state.failed(err)
		poke(s.lookNow)
		out.ended(err)
		retry.most = retryMost
		if inUse := (*SlotInUseError)(nil); errors.As(err, &inUse) { // it may be let go of at any moment
			retry.most = time.Second
		}
		if s.stats.transactions.Load() > seen || time.Since(began) > time.Minute { // it got somewhere
			retry.reset()
		}
		if !retry.wait(ctx) {
			return nil
		}
	}
}

// fatal tells errors that only a person can mend, before anything was streamed.
// Later the same errors are tried again: clients are served from the log meanwhile.
func (s *Source) fatal(err error, waited time.Duration) bool {
	if s.streamed.Load() {
		return false
	}
	var permanent *PermanentError
	var preflight *PreflightError
	var inUse *SlotInUseError
	return errors.As(err, &permanent) || errors.As(err, &preflight) || errors.As(err, &inUse) && waited > startPatience
}

// write appends batches to the log, one at a time, for as long as the Source runs:
// a batch that was taken is finished even when its connection is gone.
func (s *Source) write(ctx context.Context) error {
	var started, lastIdle time.Time
	pace := appendPace
	tick := time.NewTicker(idlePace)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.inflow.ready:
		case <-tick.C:
		}
		for {
			if wait := pace - time.Since(started); wait > 0 {
				time.Sleep(wait)
			}
			<-s.idle
			now := time.Now()
			b := s.inflow.take(now, now.Sub(lastIdle) >= idlePace)
			if b == nil {
				s.idle <- struct{}{}
				break
			}
			fault.At(fault.Taken)
			started = now
			pace = min(appendPace+time.Duration(b.Changes)*appendPacePerChange, maxAppendPace)
			if b.Changes == 0 {
				lastIdle = now
			}
			err := s.append(ctx, b)
			s.idle <- struct{}{}
			if err != nil {
				return ignoreEnd(ctx, err)
			}
		}
	}
}

// ignoreEnd is nil when ctx has ended: then that is why.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// append retries until the batch is durable, the error is permanent, or ctx ends.
func (s *Source) append(ctx context.Context, b *change.Batch) error {
	retry := backoff{most: 2 * time.Second}
	for failed := false; ; {
		err := s.o.Log.Append(ctx, b)
		if err == nil {
			if failed {
				s.log.Info("event log can be written again")
				s.state.logError(nil)
			}
			s.durable.Store(uint64(b.WAL))
			s.stats.appended(b)
			poke(s.confirm)
			return nil
		}
		var permanent *PermanentError
		if ctx.Err() != nil || errors.As(err, &permanent) {
			return err
		}
		if !failed {
			s.log.Error("event log cannot be written: nothing more is confirmed to Postgres until it can", "cause", err)
			s.state.logError(err)
		}
		failed = true
		if !retry.wait(ctx) {
			return context.Cause(ctx)
		}
	}
}

// catalog opens the connection that relation descriptions are read from when it is
// first needed, and again when it was lost.
type catalog struct {
	url  string
	conn *pgx.Conn
}

func (c *catalog) get(ctx context.Context) (*pgx.Conn, error) {
	if c.conn != nil && !c.conn.IsClosed() {
		return c.conn, nil
	}
	conn, err := Connect(ctx, c.url)
	if err != nil {
		return nil, err
	}
	c.conn = conn
	return conn, nil
}

func (c *catalog) close() {
	if c.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.conn.Close(ctx) // the connection is given up either way
	c.conn = nil
}

// backoff waits longer each time, with jitter: around 100 ms to most.
type backoff struct {
	most  time.Duration
	now   <-chan struct{} // ends a wait; may be nil
	tries int
}

func (b *backoff) reset() { b.tries = 0 }

func (b *backoff) wait(ctx context.Context) bool {
	d := min(100*time.Millisecond<<min(b.tries, 10), b.most)
	b.tries++
	t := time.NewTimer(d/2 + rand.N(d))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-b.now:
		return true
	case <-ctx.Done():
		return false
	}
}

// waitIdle waits until the writer holds no batch and nothing can be taken: the log's
// head stands still.
func (s *Source) waitIdle(ctx context.Context) error {
	s.inflow.stop()
	select {
	case <-s.idle:
		s.idle <- struct{}{}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the event log: %w", context.Cause(ctx))
	}
}
