package eventlog

import (
	"bytes"
	"context"
	"testing"

	"github.com/walrelay/walrelay/change"
)

// A commit whose last sync failed may show in the file without being on disk. The
// engine leaves that segment alone and continues from the last commit that
// succeeded; what the file shows beyond it is void, also after opening again.
func TestUncertainCommit(t *testing.T) {
	ctx, o := context.Background(), BoltOptions{Dir: t.TempDir()}
	e := openBolt(t, o)
	entry := func(i int, text string) *Entry {
		at := func(i int) change.Position { return change.Position{Commit: change.LSN(i) * 8} }
		return &Entry{Prev: at(i), Last: at(i + 1), WAL: change.LSN(i+1)*8 + 1, Record: []byte(text)}
	}
	check(t, e.Begin(ctx, []byte("meta"), change.Position{Commit: 8}, 8))
	check(t, e.Append(ctx, entry(1, "one")))

	s := e.segments[0]
	_, _, err := s.append(entry(2, "void"))
	check(t, err)
	s.uncertain = true // as after an error
	check(t, e.Append(ctx, entry(2, "two")))
	check(t, e.Append(ctx, entry(3, "three")))

	for range 2 {
		if got := texts(t, e); got != "one two three " {
			t.Errorf("records %q", got)
		}
		b := e.Bounds()
		if b.Batches != 3 || b.Last != (change.Position{Commit: 32}) || b.WAL != 33 || len(e.segments) != 2 {
			t.Errorf("bounds %+v in %d segments", b, len(e.segments))
		}
		check(t, e.Close())
		e = openBolt(t, o)
	}

	// A commit that failed without a trace is repeated in place.
	e.segments[1].uncertain = true
	check(t, e.Append(ctx, entry(4, "four")))
	if got := texts(t, e); got != "one two three four " || len(e.segments) != 2 {
		t.Errorf("records %q in %d segments", got, len(e.segments))
	}
	check(t, e.Close())
}

func openBolt(t *testing.T, o BoltOptions) *boltEngine {
	t.Helper()
	e, err := OpenBolt(o)
	check(t, err)
	return e.(*boltEngine)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// texts are the records from the start, over all segments.
func texts(t *testing.T, e Engine) string {
	t.Helper()
	var all bytes.Buffer
	at, n := e.Bounds().Floor, -1
	for n != all.Len() {
		n = all.Len()
		check(t, e.Read(context.Background(), at, func(last change.Position, rec []byte) bool {
			all.Write(rec)
			all.WriteByte(' ')
			at = last
			return true
		}))
	}
	return all.String()
}

// Appends write little more than the record and six pages for the tree, whatever
// the record's size; with whole records as values bbolt writes them five times.
func TestWriteAmplification(t *testing.T) {
	e := openBolt(t, BoltOptions{Dir: t.TempDir()})
	defer func() { check(t, e.Close()) }()
	check(t, e.Begin(context.Background(), nil, change.Position{}, 0))
	s := e.segments[0]
	for _, size := range []int{20_000, 100_000} {
		const n = 50
		rec, written := testBatch(0, size, false).Body, int64(0)
		for i := range n {
			tx, err := s.db.Begin(true)
			check(t, err)
			check(t, putRecord(tx.Bucket(recordsBucket), change.Position{Commit: change.LSN(size), Index: uint64(i)}, rec))
			check(t, tx.Commit())
			stats := tx.Stats()
			written += stats.GetPageAlloc()
		}
		if written > int64(n*(size*3/2+6*pageSize)) {
			t.Errorf("records of %d bytes: %d bytes written for each", size, written/n)
		}
	}
}
