package eventlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/fault"
)

const (
	// pageSize of the bbolt files, on every machine, so that they can be moved.
	pageSize = 4096
	// pieceSize is chosen so that four pieces fill a page: its header takes 16 bytes,
	// each element 16 and its key.
	pieceSize = (pageSize-16)/4 - 16 - keySize
	keySize   = 16 + 4
	// afterPieces is above every piece number.
	afterPieces = 1<<32 - 1
)

var (
	recordsBucket   = []byte("records")
	relationsBucket = []byte("relations")
	stateBucket     = []byte("state")
	stateKey        = []byte("state")
	metaKey         = []byte("meta")
)

// segment is one bbolt file. See doc.go for what is in it.
type segment struct {
	seq  uint64
	path string
	db   *bolt.DB
	file os.FileInfo // as opened, to notice that it was taken away
	// base never changes after opening.
	base change.Position
	// state and size follow the commits; the engine's mutex guards them.
	state segmentState
	size  int64

	// What follows belongs to the engine's writer.

	// known are the relations stored here.
	known map[uint64]struct{}
	// uncertain: a commit failed, so the file may say more than state does.
	uncertain bool
	// broken: bbolt panicked in a commit and may hold its locks for ever.
	broken bool
}

func segmentName(seq uint64) string { return fmt.Sprintf("segment-%010d.db", seq) }

// createSegment makes an empty segment durable. It gets its name only when it is
// complete, so that a crash leaves a file behind that is known to be of no use.
func createSegment(dir string, seq uint64, st segmentState, meta []byte, mapBytes int64) (*segment, error) {
	s := &segment{seq: seq, path: filepath.Join(dir, segmentName(seq)), base: st.base, state: st, known: map[uint64]struct{}{}}
	tmp := s.path + ".tmp"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	err := s.open(tmp, mapBytes, false)
	if err == nil {
		err = s.update(func(tx *bolt.Tx) error { return initBuckets(tx, st, meta) })
	}
	if err == nil {
		err = os.Rename(tmp, s.path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		// The name may be there already; a file without its successor's trust must not stay.
		return nil, errors.Join(err, s.close(), ignoreMissing(os.Remove(tmp)), ignoreMissing(os.Remove(s.path)))
	}
	return s, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func initBuckets(tx *bolt.Tx, st segmentState, meta []byte) error {
	for _, name := range [][]byte{recordsBucket, relationsBucket, stateBucket} {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	b := tx.Bucket(stateBucket)
	return errors.Join(b.Put(stateKey, st.encode()), b.Put(metaKey, meta))
}

// openSegment opens what createSegment made and reads its state and meta.
func openSegment(dir string, seq uint64, mapBytes int64, readOnly bool) (s *segment, meta []byte, err error) {
	s = &segment{seq: seq, path: filepath.Join(dir, segmentName(seq)), known: map[uint64]struct{}{}}
	if err = s.open(s.path, mapBytes, readOnly); err == nil {
		meta, err = s.load()
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", s.path, err), s.close())
	}
	s.base = s.state.base
	return s, meta, nil
}

// open opens the bbolt file.
//
// The sync options stay at bbolt's defaults and cannot be set, but by tests that show
// what syncing is for: a commit is two fdatasyncs, one for the pages and one for the
// meta page that makes them valid, and growing is synced too (NoGrowSync is unsafe on
// ext4). The free list is small,
// because nothing is deleted from a segment; storing it makes opening immediate.
// The file is mapped at its final size from the start, so that no commit has to
// wait for the readers to map it again.
func (s *segment) open(path string, mapBytes int64, readOnly bool) error {
	return guard(func() (err error) {
		s.db, err = bolt.Open(path, 0o600, &bolt.Options{
			ReadOnly:        readOnly,
			Timeout:         time.Second, // the directory's lock is ours, nobody should hold it
			FreelistType:    bolt.FreelistMapType,
			PageSize:        pageSize,
			InitialMmapSize: int(mapBytes),
			NoStatistics:    true,
			NoSync:          fault.NoSync(),
			NoGrowSync:      fault.NoSync(),
		})
		if err != nil {
			return damaged(err)
		}
		s.file, err = os.Stat(path)
		return err
	})
}

// damaged marks an error of bolt.Open that is not the operating system's.
func damaged(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) || errors.Is(err, bolterrors.ErrTimeout) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrCorrupt, err)
}

func (s *segment) close() error {
	if s.db == nil || s.broken {
		return nil
	}
	return s.db.Close()
}

// load reads state, meta and the ids of the relations.
func (s *segment) load() (meta []byte, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		b, rels := tx.Bucket(stateBucket), tx.Bucket(relationsBucket)
		if b == nil || rels == nil || tx.Bucket(recordsBucket) == nil {
			return fmt.Errorf("%w: it is no segment of an event log", ErrCorrupt)
		}
		if s.state, err = decodeState(b.Get(stateKey)); err != nil {
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		s.size = tx.Size()
		meta = append(meta, b.Get(metaKey)...)
		return rels.ForEach(func(k, _ []byte) error {
			s.known[binary.BigEndian.Uint64(k)] = struct{}{}
			return nil
		})
	})
	return meta, err
}

// append stores e in one commit and returns the state and size after it. The
// caller takes them over.
func (s *segment) append(e *Entry) (segmentState, int64, error) {
	next, size := s.state.with(e), int64(0)
	err := s.update(func(tx *bolt.Tx) error {
		if err := putRelations(tx.Bucket(relationsBucket), e.Relations, s.known); err != nil {
			return err
		}
		if e.Last != e.Prev {
			if err := putRecord(tx.Bucket(recordsBucket), e.Last, e.Record); err != nil {
				return err
			}
		}
		size = tx.Size()
		return tx.Bucket(stateBucket).Put(stateKey, next.encode())
	})
	if err != nil {
		s.uncertain = true
		return segmentState{}, 0, err
	}
	for _, r := range e.Relations {
		s.known[r.ID] = struct{}{}
	}
	return next, size, nil
}

func putRelations(b *bolt.Bucket, rels []Definition, known map[uint64]struct{}) error {
	for _, r := range rels {
		if _, ok := known[r.ID]; ok {
			continue
		}
		if err := b.Put(binary.BigEndian.AppendUint64(nil, r.ID), r.Definition); err != nil {
			return err
		}
	}
	return nil
}

// putRecord stores rec in pieces.
func putRecord(b *bolt.Bucket, last change.Position, rec []byte) error {
	b.FillPercent = 1 // positions only rise
	var key [keySize]byte
	appendPosition(key[:0], last)
	for piece := uint32(0); piece == 0 || len(rec) > 0; piece++ {
		binary.BigEndian.PutUint32(key[16:], piece)
		n := min(pieceSize, len(rec))
		if err := b.Put(key[:], rec[:n]); err != nil {
			return err
		}
		rec = rec[n:]
	}
	return nil
}

func (s *segment) setMeta(meta []byte) error {
	return s.update(func(tx *bolt.Tx) error { return tx.Bucket(stateBucket).Put(metaKey, meta) })
}

// scratch are the buffers in which records are put together.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

// read calls visit for the records above after, up to the position through, until
// visit returns false.
func (s *segment) read(after, through change.Position, visit func(change.Position, []byte) bool) error {
	buf := scratch.Get().(*[]byte)
	defer scratch.Put(buf)
	return s.view(func(tx *bolt.Tx) error {
		c := tx.Bucket(recordsBucket).Cursor()
		k, v := c.Seek(binary.BigEndian.AppendUint32(appendPosition(nil, after), afterPieces))
		for k != nil {
			last, rec := position(k), v
			if through.Less(last) {
				return nil
			}
			k, v = c.Next()
			if k != nil && position(k) == last {
				rec = append((*buf)[:0], rec...)
				for ; k != nil && position(k) == last; k, v = c.Next() {
					rec = append(rec, v...)
				}
				*buf = rec
			}
			if !visit(last, rec) {
				return nil
			}
		}
		return nil
	})
}

// relation returns a copy of a definition, nil when it is not here.
func (s *segment) relation(id uint64) (def []byte, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		if v := tx.Bucket(relationsBucket).Get(binary.BigEndian.AppendUint64(nil, id)); v != nil {
			def = append([]byte{}, v...)
		}
		return nil
	})
	return def, err
}

func (s *segment) view(fn func(*bolt.Tx) error) error {
	return guard(func() error { return s.db.View(fn) })
}

func (s *segment) update(fn func(*bolt.Tx) error) error {
	err := guard(func() error { return s.db.Update(fn) })
	s.broken = s.broken || errors.Is(err, ErrCorrupt)
	return err
}

// taken reports that the file is no longer the one under its name: what is
// written to it would be gone with the process.
func (s *segment) taken() error {
	now, err := os.Stat(s.path)
	if err != nil {
		return fmt.Errorf("its file was removed while in use: %w; restart walrelay", err)
	}
	if !os.SameFile(now, s.file) {
		return fmt.Errorf("its file %s was replaced while in use; restart walrelay", s.path)
	}
	return nil
}

// guard turns into an error what bbolt does about a damaged file: it panics, or
// follows a wrong page number out of the map.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch r := recover().(type) {
		case nil:
		case runtime.Error:
			err = fmt.Errorf("%w: bbolt followed a damaged page: %w", ErrCorrupt, r)
		default:
			err = fmt.Errorf("%w: bbolt: %v", ErrCorrupt, r)
		}
	}()
	return fn()
}
