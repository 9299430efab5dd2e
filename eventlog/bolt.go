package eventlog

import (
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
	// damaged counts segments found unreadable, missing or cut off; it never changes
	// after opening.
	damaged int64
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
	if err := makeDir(o.Dir); err != nil {
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
	case errors.Is(err, syscall.ENOTDIR):
		hint = ": log.dir must name a directory, or a place where one can be made"
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
	e.recoverSealed(seqs[1:])
	return e.removeBelow(newest.state.epoch)
}

// recoverSealed opens the segments below the newest, given in falling order. One
// that is damaged is left out: what it had is missing from the chain, which its
// readers notice.
func (e *boltEngine) recoverSealed(seqs []uint64) {
	told := false // of the hole below e.segments[0]
	for _, seq := range seqs {
		next := e.segments[0]
		if seq < next.state.epoch {
			return
		}
		s, _, err := openSegment(e.opts.Dir, seq, 0, true)
		if err != nil {
			e.damaged++
			e.opts.Logger.Error("event log: a segment cannot be read; subscribers that need it get a reset", "error", err, "through", next.base.String())
			told = true
			continue
		}
		if next.base.Less(s.state.last) { // the one commit that settle gave up
			s.state.last = next.base
			s.state.count--
		}
		if s.state.last.Less(next.base) && !told {
			e.damaged++
			e.opts.Logger.Error("event log: changes are missing between two segments; subscribers that need them get a reset",
				"after", s.state.last.String(), "through", next.base.String(), "segment", s.path, "next", next.path)
		}
		e.segments, told = slices.Insert(e.segments, 0, s), false
	}
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
