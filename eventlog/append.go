package eventlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/fault"
)

// Append takes b, makes it readable at once and returns when it is durable.
//
//   - b.Prev must be the last position. A batch that ends at or below it is a
//     duplicate: success, only its WAL counts. A batch without changes moves WAL.
//   - When the storage fails (disk full) the error wraps [ErrUnavailable]; b stays
//     readable but must not be confirmed. Call again, with b or any later batch:
//     that first stores what is pending, and does not publish it again.
//   - ctx is looked at before anything happens; a commit under way is not cut off.
//
// One caller at a time; others wait. The log keeps b, which must not change.
func (l *Log) Append(ctx context.Context, b *change.Batch) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.checkOpen(); err != nil {
		return fmt.Errorf("append to event log: %w", err)
	}
	if err := l.flush(ctx); err != nil {
		return err
	}
	b, err := l.admit(b)
	if b == nil || err != nil {
		return err
	}
	l.publish(b)
	return l.flush(ctx)
}

// admit checks b against the head and returns what is to be appended of it, nil
// when the log has it all.
func (l *Log) admit(b *change.Batch) (*change.Batch, error) {
	head := l.Bounds()
	fail := func(why string) (*change.Batch, error) {
		return nil, fmt.Errorf("append batch (%s, %s] to event log that ends at %s: %s", b.Prev, b.Last, head.Last, why)
	}
	switch {
	case head.Lineage.Generation == 0:
		return fail("the log has no lineage: call Begin first")
	case b.Changes == 0 || !head.Last.Less(b.Last):
		if b.WAL <= head.WAL {
			return nil, nil
		}
		return &change.Batch{Prev: head.Last, First: head.Last, Last: head.Last, WAL: b.WAL, Time: b.Time}, nil
	case b.Prev != head.Last:
		return fail("the batch does not follow the last one")
	case !b.Prev.Less(b.First) || b.Last.Less(b.First) || b.Changes < 0:
		return fail("first change " + b.First.String() + " is not within the batch")
	case b.WAL < head.WAL:
		return fail("WAL goes back from " + head.WAL.String() + " to " + b.WAL.String())
	case len(b.Body) > maxBody:
		return fail(fmt.Sprintf("body of %d bytes is too large", len(b.Body)))
	}
	for _, r := range b.Relations {
		if _, err := l.relations.define(r); err != nil {
			return fail(err.Error())
		}
	}
	return b, nil
}

// publish shows b to the readers. It is pending from then on.
func (l *Log) publish(b *change.Batch) {
	l.pending = b
	l.mu.Lock()
	if b.Changes > 0 {
		l.tail.push(b)
		l.bounds.Last = b.Last
	}
	l.bounds.WAL = b.WAL
	l.mu.Unlock()
	l.changed.wake()
	fault.At(fault.Published)
}

// flush stores the pending batch, if any.
func (l *Log) flush(ctx context.Context) error {
	b := l.pending
	if b == nil {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("append batch (%s, %s] to event log: %w", b.Prev, b.Last, err)
	}
	if err := l.store(ctx, b); err != nil {
		return fmt.Errorf("append batch (%s, %s] to event log: %w", b.Prev, b.Last, unavailable(err))
	}
	fault.At(fault.Stored)
	l.pending = nil
	if now := l.refresh(); l.opts.MaxBytes > 0 && now.Bytes > l.opts.MaxBytes {
		l.trimSoon()
	}
	return nil
}

// store gives b to the engine.
func (l *Log) store(ctx context.Context, b *change.Batch) error {
	e := Entry{Prev: b.Prev, Last: b.Last, WAL: b.WAL, Time: b.Time}
	if b.Changes > 0 {
		l.definitions = l.definitions[:0]
		for _, r := range b.Relations {
			def, err := l.relations.define(r)
			if err != nil {
				return err
			}
			l.definitions = append(l.definitions, def)
		}
		l.record = appendRecord(l.record[:0], b)
		e.Record, e.Relations = l.record, l.definitions
	}
	return l.engine.Append(ctx, &e)
}

// unavailable marks an engine's error as one to try again after, unless it says
// otherwise itself.
func unavailable(err error) error {
	if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrClosed) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
