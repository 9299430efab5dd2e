package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/walrelay/walrelay/change"
)

// BoltOptions configure the engine of a single machine.
type BoltOptions struct {
	// Dir is created when missing, readable for its owner only.
	Dir string
	// SegmentBytes is the size at which a segment is closed, 256 MiB by default.
	SegmentBytes int64
	// SegmentAge is the age of its first batch at which a segment is closed; 0: none.
	SegmentAge time.Duration
	// Logger gets what needs an operator; nil: nothing is logged.
	Logger *slog.Logger
}

const (
	// segmentsKept is how many segments the retention is divided into.
	segmentsKept    = 16
	maxSegmentBytes = 256 << 20
	minSegmentBytes = 256 << 10
	minSegmentAge   = time.Second
)

// boltOptions fits the segments to the retention.
func boltOptions(o Options) BoltOptions {
	b := BoltOptions{Dir: o.Dir, Logger: o.Logger}
	if o.MaxBytes > 0 {
		b.SegmentBytes = min(max(o.MaxBytes/segmentsKept, minSegmentBytes), maxSegmentBytes)
	}
	if o.Retention > 0 {
		b.SegmentAge = max(o.Retention/segmentsKept, minSegmentAge)
	}
	return b
}

// boltEngine keeps the records in bbolt files, see doc.go.
type boltEngine struct {
	opts BoltOptions
	lock *os.File

	// writing is held by whoever commits. Lock order: writing, handles, mu.
	writing sync.Mutex
	// handles is held, shared, by whoever uses a segment's db for reading, and alone
	// by whoever closes one. Held during I/O.
	handles sync.RWMutex
	// mu guards what follows and the segments' state and size. Never held during I/O.
	mu sync.Mutex
	// segments in order; the last one takes the appends. Empty before the first
	// Begin. Invariant: of one epoch; base of each is at least that of the one before.
	segments []*segment
	meta     []byte
	closed   bool
}

// OpenBolt opens the engine in a directory, which it locks for this process.
func OpenBolt(o BoltOptions) (Engine, error) {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = maxSegmentBytes
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	fail := func(err error) (Engine, error) { return nil, openError(o.Dir, err) }
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return fail(err)
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return fail(err)
	}
	e := &boltEngine{opts: o, lock: lock}
	if err := e.recover(); err != nil {
		return fail(errors.Join(err, e.Close()))
	}
	return e, nil
}

// openError says what could not be opened and what an operator can do about it.
func openError(dir string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, os.ErrPermission):
		hint = fmt.Sprintf(": make the directory and its files writable for user id %d", os.Geteuid())
	case errors.Is(err, ErrCorrupt):
		hint = ": move the directory away and restart; clients then get a reset"
	}
	return fmt.Errorf("open event log %s: %w%s", dir, err, hint)
}

// recover opens the segments of the newest epoch and removes what a crash left over.
func (e *boltEngine) recover() error {
	if err := e.removeIncomplete(); err != nil {
		return err
	}
	seqs, err := e.list()
	if err != nil || len(seqs) == 0 {
		return err
	}
	slices.Reverse(seqs)
	newest, meta, err := openSegment(e.opts.Dir, seqs[0], e.mapBytes(), false)
	if err != nil {
		return err
	}
	e.segments, e.meta = []*segment{newest}, meta
	for _, seq := range seqs[1:] {
		if seq < newest.state.epoch {
			break
		}
		s, _, err := openSegment(e.opts.Dir, seq, 0, true)
		if err != nil {
			e.opts.Logger.Error("event log: a segment cannot be read; subscribers that need it get a reset", "error", err)
			continue
		}
		next := e.segments[0]
		if next.base.Less(s.state.last) { // the one commit that settle gave up
			s.state.last = next.base
			s.state.count--
		}
		if s.state.last.Less(next.base) {
			e.opts.Logger.Error("event log: a segment is missing or cut off; subscribers that need it get a reset",
				"after", s.path, "before", next.path)
		}
		e.segments = slices.Insert(e.segments, 0, s)
	}
	return e.removeBelow(newest.state.epoch)
}

// mapBytes is the size that a segment's file is mapped at; the last commit may
// exceed SegmentBytes.
func (e *boltEngine) mapBytes() int64 { return e.opts.SegmentBytes + e.opts.SegmentBytes/4 }

// list returns the numbers of the segments, rising.
func (e *boltEngine) list() ([]uint64, error) {
	files, err := os.ReadDir(e.opts.Dir)
	if err != nil {
		return nil, err
	}
	var seqs []uint64
	for _, f := range files {
		var seq uint64
		if _, err := fmt.Sscanf(f.Name(), "segment-%d.db", &seq); err == nil && f.Name() == segmentName(seq) {
			seqs = append(seqs, seq)
		}
	}
	slices.Sort(seqs)
	return seqs, nil
}

// removeIncomplete removes what createSegment left behind in a crash.
func (e *boltEngine) removeIncomplete() error {
	files, err := os.ReadDir(e.opts.Dir)
	for _, f := range files {
		if strings.HasPrefix(f.Name(), "segment-") && strings.HasSuffix(f.Name(), ".tmp") {
			err = errors.Join(err, os.Remove(filepath.Join(e.opts.Dir, f.Name())))
		}
	}
	return err
}

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

func (e *boltEngine) Bounds() EngineBounds {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.segments) == 0 {
		return EngineBounds{}
	}
	newest := e.segments[len(e.segments)-1].state
	b := EngineBounds{Floor: e.segments[0].base, Last: newest.last, WAL: newest.wal}
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
		return noRoom(err)
	}
	e.mu.Lock()
	s.state, s.size = st, size
	e.mu.Unlock()
	return nil
}

// noRoom adds the way out to the error of a full disk.
func noRoom(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: make room on the disk or lower log.max_bytes; it goes on by itself", err)
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
	e.mu.Lock()
	e.segments = append(slices.Clip(e.segments), next)
	e.mu.Unlock()
	return next, nil
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
	return s.read(after, through, visit)
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

// Trim removes the oldest segment, or closes the newest when all of it is too old.
func (e *boltEngine) Trim(ctx context.Context, r Retention) (more bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if old, first := e.dropOldest(r); old != nil {
		e.handles.Lock() // waits for its readers
		err := old.close()
		e.handles.Unlock()
		return true, errors.Join(err, e.removeBelow(first), syncDir(e.opts.Dir))
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

// closeAll closes segments that are out of the list already.
func (e *boltEngine) closeAll(segments []*segment) error {
	e.handles.Lock()
	defer e.handles.Unlock()
	var errs []error
	for _, s := range segments {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}

// Close waits for the commit and the reads under way.
func (e *boltEngine) Close() error {
	e.writing.Lock()
	defer e.writing.Unlock()
	e.mu.Lock()
	segments, was := e.segments, e.closed
	e.segments, e.closed = nil, true
	e.mu.Unlock()
	if was {
		return nil
	}
	return errors.Join(e.closeAll(segments), e.lock.Close())
}
