package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/fault"
)

func (e *boltEngine) Append(ctx context.Context, en *Entry) error {
	e.writing.Lock()
	defer e.writing.Unlock()
	s, err := e.writable(ctx)
	switch {
	case err != nil:
		return err
	case s == nil:
		return errors.New("it was never begun")
	case !s.state.last.Less(en.Last) && s.state.wal >= en.WAL:
		return nil
	case en.Prev != s.state.last:
		return fmt.Errorf("stored changes end at %s, not at %s", s.state.last, en.Prev)
	}
	if e.full(s, en.Time) {
		if s, err = e.rotate(s); err != nil {
			return noRoom(fmt.Errorf("start a segment: %w", err))
		}
	}
	st, size, err := s.append(en)
	if err != nil {
		return noRoom(fmt.Errorf("%s: %w", s.path, err))
	}
	e.mu.Lock()
	s.state, s.size = st, size
	e.mu.Unlock()
	return nil
}

// noRoom adds the way out to the error of a full disk.
func noRoom(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: make room on the disk or lower log.max_bytes; it goes on by itself", err)
	case errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("%w: raise the limit of file size (ulimit -f, LimitFSIZE); it goes on by itself", err)
	}
	return err
}

// writable returns the segment that takes commits, nil when there is none yet.
// The caller holds writing.
func (e *boltEngine) writable(ctx context.Context) (*segment, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s, err := e.newest()
	if s == nil || err != nil {
		return nil, err
	}
	if err := s.taken(); err != nil {
		return nil, err
	}
	if s.broken {
		return nil, fmt.Errorf("%w: %s: restart walrelay", ErrCorrupt, s.path)
	}
	if !s.uncertain {
		return s, nil
	}
	return e.settle(s)
}

func (e *boltEngine) newest() (*segment, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, ErrClosed
	}
	if len(e.segments) == 0 {
		return nil, nil
	}
	return e.segments[len(e.segments)-1], nil
}

// settle finds out how a failed commit ended. When its last sync failed, the file
// shows it as done, but nobody knows what of it the disk has. Such a segment is not
// written to again: the next one continues from the last commit that succeeded.
func (e *boltEngine) settle(s *segment) (*segment, error) {
	shown := segment{db: s.db, known: map[uint64]struct{}{}}
	if _, err := shown.load(); err != nil {
		return nil, err
	}
	if shown.state == s.state {
		s.uncertain = false
		return s, nil
	}
	return e.rotate(s)
}

// full reports whether s is to be followed by another segment before an append.
func (e *boltEngine) full(s *segment, now time.Time) bool {
	return s.size >= e.opts.SegmentBytes ||
		e.opts.SegmentAge > 0 && s.state.count > 0 && now.Sub(s.state.oldest) >= e.opts.SegmentAge
}

// rotate starts the segment after s. The caller holds writing.
func (e *boltEngine) rotate(s *segment) (*segment, error) {
	st := segmentState{epoch: s.state.epoch, base: s.state.last, last: s.state.last, wal: s.state.wal}
	next, err := createSegment(e.opts.Dir, s.seq+1, st, e.meta, e.mapBytes())
	if err != nil {
		return nil, err
	}
	fault.At(fault.Rotated)
	e.mu.Lock()
	e.segments = append(slices.Clip(e.segments), next)
	e.mu.Unlock()
	return next, nil
}

func (e *boltEngine) Begin(ctx context.Context, meta []byte, floor change.Position, wal change.LSN) error {
	e.writing.Lock()
	defer e.writing.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	seq := uint64(1)
	last, err := e.newest()
	if err != nil {
		return err
	}
	if last != nil {
		seq = last.seq + 1
	}
	st := segmentState{epoch: seq, base: floor, last: floor, wal: wal}
	next, err := createSegment(e.opts.Dir, seq, st, meta, e.mapBytes())
	if err != nil {
		return noRoom(err)
	}
	e.mu.Lock()
	old := e.segments
	e.segments, e.meta = []*segment{next}, slices.Clone(meta)
	e.mu.Unlock()
	if err := errors.Join(e.closeAll(old), e.removeBelow(seq)); err != nil {
		// The new epoch holds; what is left over goes with the next start.
		e.opts.Logger.Warn("event log: removing the old generation failed", "error", err)
	}
	return nil
}

func (e *boltEngine) SetMeta(ctx context.Context, meta []byte) error {
	e.writing.Lock()
	defer e.writing.Unlock()
	s, err := e.writable(ctx)
	if err != nil {
		return err
	}
	if s == nil {
		return errors.New("it was never begun")
	}
	if err := s.setMeta(meta); err != nil {
		return err
	}
	e.mu.Lock()
	e.meta = slices.Clone(meta)
	e.mu.Unlock()
	return nil
}
