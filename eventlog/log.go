package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/walrelay/walrelay/change"
)

// Options configure a [Log]. The zero value of every field but Dir is usable.
type Options struct {
	// Dir is the directory of the bolt engine, created when missing. Unused when
	// Engine is set.
	Dir string
	// Retention is how long changes are kept at least; 0: no limit of age.
	Retention time.Duration
	// MaxBytes bounds the disk space in bytes; 0: no limit. The oldest changes go
	// first, also when they are younger than Retention. Below 4 MiB it is rough.
	MaxBytes int64
	// TailBytes is the memory for the newest batches, 64 MiB by default.
	TailBytes int
	// CacheBytes is the memory for batches read from disk, 32 MiB by default;
	// negative: none.
	CacheBytes int
	// RetentionPeriod is the time between two looks at Retention, 10 s by default.
	// MaxBytes is looked at as soon as it is exceeded.
	RetentionPeriod time.Duration
	// Logger gets what needs an operator; nil: nothing is logged.
	Logger *slog.Logger
	// Now is the clock that retention compares with the batches' Time; time.Now by
	// default.
	Now func() time.Time
	// Engine is used instead of a bolt engine in Dir. The Log closes it.
	Engine Engine
}

// maxReads bounds the engine reads under way at once, whatever the number of
// readers.
const maxReads = 16

func (o Options) withDefaults() (Options, error) {
	if o.Retention < 0 || o.MaxBytes < 0 || o.TailBytes < 0 || o.RetentionPeriod < 0 {
		return o, errors.New("open event log: retention, max_bytes and the other limits must not be negative")
	}
	if o.Engine == nil && o.Dir == "" {
		return o, errors.New("open event log: no directory given: set log.dir")
	}
	if o.TailBytes == 0 {
		o.TailBytes = 64 << 20
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 32 << 20
	}
	if o.RetentionPeriod == 0 {
		o.RetentionPeriod = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o, nil
}

// Bounds is the extent of the log at one moment.
type Bounds struct {
	// Floor is the position below which nothing can be read, Last the position of
	// the newest change. Invariant: Floor <= Last. A fully aged-out log has
	// Floor == Last.
	Floor, Last change.Position
	// WAL: every commit below it is in the log, readable. Durable: every commit
	// below it is on disk; only this may be confirmed. Invariant: Durable <= WAL;
	// neither goes back within a generation.
	WAL, Durable change.LSN
	// Bytes is the disk space in use, Batches the number of batches stored.
	Bytes, Batches int64
	// OldestTime is the time of the oldest batch on disk, zero when there is none.
	OldestTime time.Time
	// Corrupt counts since Open: reads that ended with ErrCorrupt, and what Open
	// found damaged or missing.
	Corrupt int64
	// Lineage says whose changes these are. Generation 0: never begun.
	Lineage Lineage
}

// Log is the event log. Safe for concurrent use by any number of readers and one
// writer at a time.
type Log struct {
	opts   Options
	engine Engine

	// writing is held by Append, Begin, SetTimeline and Close, also while they wait
	// for the disk. Lock order: writing, beginning, mu, then the engine's own.
	writing sync.Mutex
	// beginning is held alone by Begin while the engine changes generation, shared
	// by whoever compares the engine's bounds with the log's.
	beginning sync.RWMutex
	// pending is the published batch that the engine has not stored yet, nil when
	// everything is durable. Guarded by writing.
	pending *change.Batch
	// record and definitions are the buffers of store. Guarded by writing.
	record      []byte
	definitions []Definition

	// mu guards what follows. It is never held during I/O.
	mu     sync.RWMutex
	bounds Bounds
	// tail. Invariant: holds every batch that is not durable.
	tail    tail
	history []Ended
	since   map[string]change.LSN
	members map[string]string
	closed  bool

	// sinceVersion counts what happened to since.
	sinceVersion atomic.Uint64

	changed   notifier
	cache     *cache
	relations *relations
	flight    singleflight.Group
	reads     chan struct{} // one element per engine read under way
	damage    damageReport
	corrupt   atomic.Int64 // see Bounds

	ctx      context.Context // ends with Close
	stop     context.CancelFunc
	retain   sync.WaitGroup
	oversize chan struct{} // MaxBytes is exceeded
}

// Open opens the log and recovers its bounds. A directory that another process
// holds, that cannot be read or that is damaged is an error.
//
// A new log has no lineage (Bounds().Lineage.Generation == 0) and takes no batches
// until [Log.Begin].
func Open(o Options) (*Log, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if o.Engine == nil {
		if o.Engine, err = OpenBolt(boltOptions(o)); err != nil {
			return nil, err
		}
	}
	l, err := recoverLog(o)
	if err != nil {
		return nil, openError(o.Dir, errors.Join(err, o.Engine.Close()))
	}
	l.retain.Go(l.retainLoop)
	return l, nil
}

// recoverLog builds the log on what the engine stores.
func recoverLog(o Options) (*Log, error) {
	l := &Log{opts: o, engine: o.Engine, tail: tail{limit: o.TailBytes}, reads: make(chan struct{}, maxReads), oversize: make(chan struct{}, 1)}
	l.ctx, l.stop = context.WithCancel(context.Background())
	blob, err := o.Engine.Meta(l.ctx)
	if err != nil {
		return nil, fmt.Errorf("read lineage: %w", err)
	}
	m, err := decodeMeta(blob)
	if err != nil {
		return nil, err
	}
	if l.relations, err = newRelations(); err != nil {
		return nil, err
	}
	if l.cache, err = newCache(o.CacheBytes); err != nil {
		return nil, err
	}
	l.corrupt.Store(o.Engine.Bounds().Damaged)
	l.adopt(m)
	return l, nil
}

// adopt starts from what the engine holds, under the lineage of m.
func (l *Log) adopt(m meta) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.engine.Bounds()
	l.bounds = Bounds{Last: e.Last, WAL: e.WAL, Lineage: m.Lineage}
	l.sinceVersion.Add(1)
	l.history, l.since, l.members = m.History, m.Since, m.Members
	l.tail.reset()
	l.cache.reset(m.Lineage.Generation)
	l.refreshLocked()
}

// refresh takes over the engine's bounds and returns the log's.
func (l *Log) refresh() Bounds {
	l.beginning.RLock()
	defer l.beginning.RUnlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refreshLocked()
	return l.bounds
}

// refreshLocked takes over what the engine knows better: all but the head in memory.
func (l *Log) refreshLocked() {
	if l.closed {
		return
	}
	e := l.engine.Bounds()
	l.bounds.Floor, l.bounds.Durable = e.Floor, e.WAL
	l.bounds.Bytes, l.bounds.Batches, l.bounds.OldestTime = e.Bytes, e.Batches, e.Oldest
	l.tail.dropThrough(e.Floor)
}

// Bounds is the extent of the log now. Cheap; never waits for I/O.
func (l *Log) Bounds() Bounds {
	l.mu.RLock()
	defer l.mu.RUnlock()
	b := l.bounds
	b.Corrupt = l.corrupt.Load()
	return b
}

// InMemory is the position from which on [Log.Next] answers without the disk.
func (l *Log) InMemory() change.Position {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if len(l.tail.batches) == 0 {
		return l.bounds.Last
	}
	return l.tail.batches.prev()
}

// Changed returns a channel that is closed at the next change of head, WAL or
// lineage, and by Close. Ask for it before looking at the log, or a change in
// between goes unnoticed.
func (l *Log) Changed() <-chan struct{} { return l.changed.wait() }

// Close ends the retention, waits for an Append under way, wakes all readers and
// releases the directory. Later calls of the log's methods return [ErrClosed].
func (l *Log) Close() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	was := l.closed
	l.closed = true
	l.mu.Unlock()
	if was {
		return nil
	}
	l.stop()
	l.retain.Wait()
	err := l.engine.Close()
	l.changed.close()
	if err != nil {
		return fmt.Errorf("close event log: %w", err)
	}
	return nil
}

func (l *Log) checkOpen() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return ErrClosed
	}
	return nil
}
