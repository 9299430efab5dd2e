package eventlog

import (
	"context"
	"fmt"
	"slices"

	"github.com/walrelay/walrelay/change"
)

func (e *boltEngine) Bounds() EngineBounds {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.segments) == 0 {
		return EngineBounds{}
	}
	newest := e.segments[len(e.segments)-1].state
	b := EngineBounds{Floor: e.segments[0].base, Last: newest.last, WAL: newest.wal, Damaged: e.damaged}
	for _, s := range e.segments {
		b.Bytes += s.size
		if b.Batches == 0 && s.state.count > 0 {
			b.Oldest = s.state.oldest
		}
		b.Batches += s.state.count
	}
	return b
}

func (e *boltEngine) Meta(context.Context) ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.meta, nil
}

func (e *boltEngine) Read(ctx context.Context, after change.Position, visit func(change.Position, []byte) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.handles.RLock()
	defer e.handles.RUnlock()
	s, through, err := e.find(after)
	if s == nil || err != nil {
		return err
	}
	if err := s.read(after, through, visit); err != nil {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	return nil
}

// find returns the segment that has the first record above after, and the position
// through which it counts: what an uncertain commit left behind it is void.
func (e *boltEngine) find(after change.Position) (*segment, change.Position, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, change.Position{}, ErrClosed
	}
	for i := len(e.segments) - 1; i >= 0; i-- {
		s := e.segments[i]
		if i > 0 && after.Less(s.base) {
			continue
		}
		if i+1 < len(e.segments) {
			return s, e.segments[i+1].base, nil
		}
		return s, s.state.last, nil
	}
	return nil, change.Position{}, nil
}

func (e *boltEngine) Relation(ctx context.Context, id uint64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e.handles.RLock()
	defer e.handles.RUnlock()
	e.mu.Lock()
	segments, closed := e.segments, e.closed
	e.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	for _, s := range slices.Backward(segments) {
		if def, err := s.relation(id); def != nil || err != nil {
			return def, err
		}
	}
	return nil, nil
}
