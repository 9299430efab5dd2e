package eventlog

import (
	"context"
	"time"

	"github.com/walrelay/walrelay/change"
)

// Engine stores records durably and in order. [Log] is its only user and gives it
// meaning: to an engine records, relation definitions and the meta blob are opaque
// bytes with a checksum inside.
//
// Concurrency: Append, Begin and SetMeta are called one at a time, by one caller;
// everything else at any time, from any number of goroutines, also during those.
// Close ends what is under way; later calls return an error that wraps [ErrClosed].
//
// Every engine passes enginetest.Run.
type Engine interface {
	// Bounds says what is stored durably. No I/O.
	Bounds() EngineBounds
	// Meta is the blob of the last Begin or SetMeta, nil when there was none.
	Meta(ctx context.Context) ([]byte, error)
	// Append stores e durably and atomically: all of it, or, with an error, nothing
	// that a later call could not store again. e.Prev must be the last position. An
	// e that is stored already (e.Last and e.WAL reached) is a success, so that a
	// caller who does not know how an append ended can repeat it. Nothing of e is
	// retained but the relations' Definition.
	Append(ctx context.Context, e *Entry) error
	// Read calls visit for the stored records in order, beginning with the first
	// whose last position is above after, until visit returns false. It may stop
	// earlier, but not before the first. rec is valid during the call only. visit
	// must be quick and must not call the engine.
	Read(ctx context.Context, after change.Position, visit func(last change.Position, rec []byte) bool) error
	// Relation returns the definition stored with the records, nil when there is none.
	Relation(ctx context.Context, id uint64) ([]byte, error)
	// Trim does a small step of retention and reports whether there is more to do.
	// It drops whole records, from the oldest on. It may keep more than r asks, as
	// its unit of removal demands, but never drops a record that r allows; when all
	// records are older than r.Before it drops all, and Floor == Last.
	Trim(ctx context.Context, r Retention) (more bool, err error)
	// Begin drops everything and starts anew: Floor == Last == floor. Atomic.
	Begin(ctx context.Context, meta []byte, floor change.Position, wal change.LSN) error
	// SetMeta replaces the meta blob durably.
	SetMeta(ctx context.Context, meta []byte) error
	Close() error
}

// EngineBounds is the extent of what an engine stores.
type EngineBounds struct {
	// Floor is Last of the newest record dropped, or the position given to Begin.
	// Invariant: Floor <= Last.
	Floor, Last change.Position
	// WAL is the highest Entry.WAL.
	WAL change.LSN
	// Bytes is the space in use, Batches the number of records.
	Bytes, Batches int64
	// Oldest is the time of the oldest record, zero when there is none.
	Oldest time.Time
	// Damaged counts what was found unreadable or missing when the engine was opened.
	Damaged int64
}

// Entry is what one Append stores.
type Entry struct {
	// Prev and Last enclose the record: (Prev, Last]. They are equal when there is
	// no record and only WAL moves.
	Prev, Last change.Position
	WAL        change.LSN
	// Time counts for retention.
	Time   time.Time
	Record []byte
	// Relations are the definitions that the record needs; those that are stored
	// already are skipped.
	Relations []Definition
}

// Definition is an encoded relation version. Immutable.
type Definition struct {
	ID         uint64
	Definition []byte
}

// Retention is what may be dropped.
type Retention struct {
	// Before: records older than this. Zero: no limit of age.
	Before time.Time
	// MaxBytes: the oldest records while more space is in use. 0: no limit.
	MaxBytes int64
}
