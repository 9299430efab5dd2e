package eventlog

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/walrelay/walrelay/change"
)

// chunkBytes is how much one engine read brings in at least, as long as there is
// more: small batches are worth fetching together.
const chunkBytes = 256 << 10

// Next returns the batch that holds the first change after the position, which
// may lie inside that batch. nil without error: there is none yet; wait for
// [Log.Changed]. A position above the head is not an error: replication will get
// there.
//
// Errors: [ErrTrimmed], [ErrCorrupt] (never skipped over; every later call for
// this position gives it too), [ErrUnavailable], [ErrClosed].
//
// The positions of one generation mean nothing in another. Who holds a position
// across calls compares Bounds().Lineage with its own after Next has returned and
// before it uses the batch.
//
// A batch in the memory tail costs one binary search and no allocation. Batches
// are shared and immutable.
func (l *Log) Next(after change.Position) (*change.Batch, error) {
	for {
		b, generation, err := l.inMemory(after)
		if b != nil || err != nil || generation == 0 {
			return b, err
		}
		b, err = l.fromEngine(generation, after)
		if err == nil {
			return b, nil
		}
		if l.moved(generation, after) {
			continue // trimmed, closed or begun anew meanwhile: say that instead
		}
		if errors.Is(err, ErrCorrupt) {
			l.damaged(after, err)
		}
		return nil, fmt.Errorf("read event log after %s: %w", after, err)
	}
}

// inMemory answers what needs no I/O. Otherwise the batch is nil and generation
// says of which log it is to be read; 0 at the head.
func (l *Log) inMemory(after change.Position) (b *change.Batch, generation uint32, err error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	switch {
	case l.closed:
		return nil, 0, fmt.Errorf("read event log after %s: %w", after, ErrClosed)
	case after.Less(l.bounds.Floor):
		return nil, 0, fmt.Errorf("read event log after %s: %w (it begins at %s)", after, ErrTrimmed, l.bounds.Floor)
	case !after.Less(l.bounds.Last):
		return nil, 0, nil
	}
	return l.tail.batches.next(after), l.bounds.Lineage.Generation, nil
}

// moved reports whether a failed read of that generation after the position is
// explained by what happened meanwhile: Close, Begin, or retention.
func (l *Log) moved(generation uint32, after change.Position) bool {
	now := l.refresh()
	return l.checkOpen() != nil || now.Lineage.Generation != generation || after.Less(now.Floor)
}

// fromEngine reads through the cache. Readers of the same position share one read.
func (l *Log) fromEngine(generation uint32, after change.Position) (*change.Batch, error) {
	if b := l.cache.next(generation, after); b != nil {
		return b, nil
	}
	key := strconv.FormatUint(uint64(generation), 10) + " " + after.String()
	v, err, _ := l.flight.Do(key, func() (any, error) {
		if b := l.cache.next(generation, after); b != nil {
			return chunk{b}, nil
		}
		ch, err := l.readChunk(after)
		if err == nil {
			l.cache.add(generation, ch)
		}
		return ch, err
	})
	if err != nil {
		return nil, err
	}
	return v.(chunk).next(after), nil
}

// readChunk reads batches from the engine, from the one that holds the first
// change after the position on. Damage further on ends the chunk before it.
func (l *Log) readChunk(after change.Position) (chunk, error) {
	l.reads <- struct{}{}
	defer func() { <-l.reads }()
	var (
		ch   chunk
		ids  [][]uint64
		bad  error
		size int
	)
	err := l.engine.Read(l.ctx, after, func(last change.Position, rec []byte) bool {
		b, rels, err := decodeRecord(rec)
		if err != nil {
			err = fmt.Errorf("record that ends at %s: %w", last, err)
		} else {
			err = follows(b, last, after, ch)
		}
		if err != nil {
			bad = err
			return false
		}
		ch, ids, size = append(ch, b), append(ids, rels), size+cost(b)
		return size < chunkBytes
	})
	switch {
	case errors.Is(err, ErrCorrupt):
		bad = err
	case err != nil:
		return nil, unavailable(err)
	}
	return l.complete(ch, ids, bad)
}

// follows checks that b, stored under last, continues ch, or holds the first
// change after the position when ch is empty.
func follows(b *change.Batch, last, after change.Position, ch chunk) error {
	switch {
	case b.Last != last:
		return fmt.Errorf("record at %s says that it ends at %s", last, b.Last)
	case len(ch) == 0 && (after.Less(b.Prev) || !after.Less(b.Last)):
		return fmt.Errorf("changes between %s and %s are missing", after, b.Prev)
	case len(ch) > 0 && b.Prev != ch.last():
		return fmt.Errorf("changes between %s and %s are missing", ch.last(), b.Prev)
	}
	return nil
}

// complete fills in the relations. bad is what ended the chunk, if anything did.
func (l *Log) complete(ch chunk, ids [][]uint64, bad error) (chunk, error) {
	for i, b := range ch {
		rels, err := l.relations.resolve(l.ctx, l.engine, ids[i])
		if err != nil && !errors.Is(err, ErrCorrupt) {
			return nil, unavailable(err)
		}
		if err != nil {
			ch, bad = ch[:i], err
			break
		}
		b.Relations = rels
	}
	if len(ch) > 0 {
		return ch, nil
	}
	if bad == nil {
		bad = errors.New("there are no changes after it, but the log goes on")
	}
	if errors.Is(bad, ErrCorrupt) {
		return nil, bad
	}
	return nil, fmt.Errorf("%w: %w", ErrCorrupt, bad)
}

// damaged counts and logs damage that a reader ran into.
func (l *Log) damaged(after change.Position, err error) {
	l.corrupt.Add(1)
	if l.damage.news(err.Error(), l.opts.Now()) {
		l.opts.Logger.Error("event log is damaged: subscribers that need this part get a reset; check the disk",
			"after", after.String(), "error", err)
	}
}

// damageReport remembers what damage was logged: the same one is logged once a
// minute, however many readers run into it, and from wherever they come.
type damageReport struct {
	mu   sync.Mutex
	said map[string]time.Time
}

// maxDamage bounds what a damageReport remembers.
const maxDamage = 256

// news reports whether damage with this text is to be logged now.
func (d *damageReport) news(text string, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at, ok := d.said[text]; ok && now.Sub(at).Abs() < time.Minute {
		return false
	}
	if d.said == nil || len(d.said) >= maxDamage {
		d.said = map[string]time.Time{}
	}
	d.said[text] = now
	return true
}
