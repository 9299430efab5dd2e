package eventlog

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/walrelay/walrelay/fault"
)

// removeBelow removes the files of the segments below seq.
func (e *boltEngine) removeBelow(seq uint64) error {
	seqs, err := e.list()
	if err != nil {
		return err
	}
	for _, old := range seqs {
		if old < seq {
			if err := ignoreMissing(os.Remove(filepath.Join(e.opts.Dir, segmentName(old)))); err != nil {
				return err
			}
		}
	}
	return nil
}

// Trim removes the oldest segment, or closes the newest when all of it is too old.
func (e *boltEngine) Trim(ctx context.Context, r Retention) (more bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if old, first := e.dropOldest(r); old != nil {
		e.handles.Lock() // waits for its readers
		err := old.close()
		e.handles.Unlock()
		err = errors.Join(err, e.removeBelow(first), syncDir(e.opts.Dir))
		fault.At(fault.Trimmed)
		return true, err
	}
	if !e.expired(r) {
		return false, nil
	}
	return e.closeExpired(ctx, r)
}

// expired reports whether everything in the newest segment is too old.
func (e *boltEngine) expired(r Retention) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.segments) == 0 {
		return false
	}
	st := e.segments[len(e.segments)-1].state
	return st.count > 0 && st.newest.Before(r.Before)
}

// dropOldest takes the oldest segment out when r wants it and it is not the last
// one. first is the number of the one after it.
func (e *boltEngine) dropOldest(r Retention) (old *segment, first uint64) {
	bytes := e.Bounds().Bytes
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || len(e.segments) < 2 {
		return nil, 0
	}
	old = e.segments[0]
	if old.state.count > 0 && !old.state.newest.Before(r.Before) && (r.MaxBytes == 0 || bytes <= r.MaxBytes) {
		return nil, 0
	}
	e.segments = slices.Clone(e.segments[1:])
	return old, e.segments[0].seq
}

// closeExpired starts a segment, so that the next step can remove the one before,
// in which everything is too old.
func (e *boltEngine) closeExpired(ctx context.Context, r Retention) (more bool, err error) {
	e.writing.Lock()
	defer e.writing.Unlock()
	s, err := e.writable(ctx)
	if err != nil || !e.expired(r) { // an append may have come first
		return false, err
	}
	_, err = e.rotate(s)
	return err == nil, err
}
