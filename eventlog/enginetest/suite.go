package enginetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/eventlog"
)

// Open opens an engine; Run closes it. Each call but the first finds what the
// engines opened before it have stored.
type Open func(t *testing.T) eventlog.Engine

// Run runs the suite. newStore is called once per test and returns the way to
// open engines on one new, empty store, whose unit of removal is at most 1 MiB.
func Run(t *testing.T, newStore func(t *testing.T) Open) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *store)
	}{
		{"a new store is empty and takes nothing", testNew},
		{"begin sets floor, WAL and meta", testBegin},
		{"records come back in order from every position", testRead},
		{"records of any size come back whole", testSizes},
		{"an entry without record moves WAL only", testWAL},
		{"appending again is a success, out of order an error", testOrder},
		{"relations come back, unknown ones are nil", testRelations},
		{"everything is there after opening again, without a new write", testReopen},
		{"meta is replaced", testMeta},
		{"trim by age drops from the oldest and nothing too young", testTrimAge},
		{"trim by age drops everything when all is old", testTrimAll},
		{"trim by bytes drops the oldest first", testTrimBytes},
		{"begin again drops everything", testBeginAgain},
		{"reads, appends and trims at once", testConcurrent},
		{"a cancelled context stores nothing", testCancelled},
		{"a closed engine says so", testClosed},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &store{t: t, open: newStore(t), at: time.Unix(1_700_000_000, 0).UTC()}
			s.reopen()
			defer func() { s.must(s.Close()) }()
			test.run(t, s)
		})
	}
}

// store is the engine under test and what should be in it.
type store struct {
	eventlog.Engine
	t    *testing.T
	open Open
	at   time.Time
	want []eventlog.Entry
	last change.Position
	wal  change.LSN
}

var ctx = context.Background()

func (s *store) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *store) reopen() {
	s.t.Helper()
	if s.Engine != nil {
		s.must(s.Engine.Close())
	}
	s.Engine = s.open(s.t)
}

func (s *store) begin() {
	s.t.Helper()
	s.last, s.wal, s.want = change.Before(0x1000), 0x1000, nil
	s.must(s.Begin(ctx, []byte("meta one"), s.last, s.wal))
}

// entry is the next one, of size bytes; it is a second younger than the one before.
func (s *store) entry(size int) *eventlog.Entry {
	s.at = s.at.Add(time.Second)
	last := change.Position{Commit: s.wal + 8, Index: uint64(len(s.want) % 3)}
	rec := bytes.Repeat(binary.BigEndian.AppendUint64(nil, uint64(last.Commit)), size/8+1)[:size]
	return &eventlog.Entry{Prev: s.last, Last: last, WAL: last.Commit + 8, Time: s.at, Record: rec}
}

// fill appends n records of size bytes.
func (s *store) fill(n, size int) {
	s.t.Helper()
	for range n {
		e := s.entry(size)
		s.must(s.Append(ctx, e))
		s.stored(e)
	}
}

func (s *store) stored(e *eventlog.Entry) {
	s.last, s.wal = e.Last, e.WAL
	s.want = append(s.want, *e)
}

// check compares bounds and all records with what should be there; dropped are
// those below the floor.
func (s *store) check() {
	s.t.Helper()
	b := s.Bounds()
	kept := s.want
	for len(kept) > 0 && !b.Floor.Less(kept[0].Last) {
		kept = kept[1:]
	}
	want := eventlog.EngineBounds{Floor: b.Floor, Last: s.last, WAL: s.wal, Bytes: b.Bytes, Batches: int64(len(kept))}
	if len(kept) > 0 {
		want.Oldest = kept[0].Time
		if b.Floor != kept[0].Prev {
			s.t.Errorf("floor %s is within a record, the next one follows %s", b.Floor, kept[0].Prev)
		}
	}
	if diff := cmp.Diff(want, b); diff != "" {
		s.t.Errorf("bounds (-want +got):\n%s", diff)
	}
	s.same(kept, s.read(b.Floor))
}

// read returns what follows after, over as many calls of Read as it takes.
func (s *store) read(after change.Position) (out []eventlog.Entry) {
	s.t.Helper()
	for {
		n := len(out)
		s.must(s.Read(ctx, after, func(last change.Position, rec []byte) bool {
			out = append(out, eventlog.Entry{Last: last, Record: bytes.Clone(rec)})
			after = last
			return true
		}))
		if len(out) == n {
			return out
		}
	}
}

func (s *store) same(want, got []eventlog.Entry) {
	s.t.Helper()
	if len(want) != len(got) {
		s.t.Errorf("%d records instead of %d", len(got), len(want))
		return
	}
	for i := range want {
		if want[i].Last != got[i].Last || !bytes.Equal(want[i].Record, got[i].Record) {
			s.t.Errorf("record %d: %s with %d bytes instead of %s with %d", i, got[i].Last, len(got[i].Record), want[i].Last, len(want[i].Record))
			return
		}
	}
}

// trim goes on until there is no more to do.
func (s *store) trim(r eventlog.Retention) {
	s.t.Helper()
	for more := true; more; {
		var err error
		more, err = s.Trim(ctx, r)
		s.must(err)
	}
}

func testNew(t *testing.T, s *store) {
	if b := s.Bounds(); b != (eventlog.EngineBounds{}) {
		t.Errorf("bounds of a new store: %+v", b)
	}
	meta, err := s.Meta(ctx)
	s.must(err)
	if meta != nil {
		t.Errorf("meta of a new store: %q", meta)
	}
	if got := s.read(change.Position{}); len(got) != 0 {
		t.Errorf("a new store has %d records", len(got))
	}
	s.wal = 8
	if s.Append(ctx, s.entry(10)) == nil {
		t.Error("a store that was never begun took an entry")
	}
	if s.SetMeta(ctx, []byte("x")) == nil {
		t.Error("a store that was never begun took a meta")
	}
	s.trim(eventlog.Retention{Before: s.at, MaxBytes: 1})
}

func testBegin(t *testing.T, s *store) {
	for range 2 {
		s.begin()
		s.check()
		if b := s.Bounds(); b.Floor != change.Before(0x1000) {
			t.Errorf("floor %s", b.Floor)
		}
		s.reopen()
		s.check()
		meta, err := s.Meta(ctx)
		s.must(err)
		if string(meta) != "meta one" {
			t.Errorf("meta %q", meta)
		}
	}
}

func testRead(t *testing.T, s *store) {
	s.begin()
	s.fill(200, 700)
	s.check()
	for i, e := range s.want {
		inside := change.Position{Commit: e.Last.Commit - 1, Index: 77}
		for _, after := range []change.Position{e.Prev, inside} {
			s.same(s.want[i:], s.read(after))
		}
	}
	for _, after := range []change.Position{s.last, {Commit: s.last.Commit, Index: s.last.Index + 1}, {Commit: s.last.Commit + 100}} {
		s.same(nil, s.read(after))
	}
	n := 0
	s.must(s.Read(ctx, s.Bounds().Floor, func(change.Position, []byte) bool { n++; return n < 3 }))
	if n != 3 {
		t.Errorf("read went on for %d records after visit had enough at 3", n)
	}
}

func testSizes(_ *testing.T, s *store) {
	s.begin()
	for _, size := range []int{1, 980, 984, 985, 1968, 4096, 0, 5000, 70_000, 256 << 10, 3 << 20, 1} {
		s.fill(1, size)
	}
	s.check()
	s.reopen()
	s.check()
}

func testWAL(t *testing.T, s *store) {
	s.begin()
	move := func() {
		s.wal += 0x100
		s.must(s.Append(ctx, &eventlog.Entry{Prev: s.last, Last: s.last, WAL: s.wal, Time: s.at}))
		s.check()
	}
	move()
	s.fill(3, 100)
	move()
	s.reopen()
	s.check()
	if b := s.Bounds(); b.Batches != 3 {
		t.Errorf("%d batches after 3 records", b.Batches)
	}
}

func testOrder(t *testing.T, s *store) {
	s.begin()
	s.fill(5, 3000)
	again := s.want[4]
	s.must(s.Append(ctx, &again))
	s.must(s.Append(ctx, &eventlog.Entry{Prev: s.last, Last: s.last, WAL: s.wal}))
	s.check()
	for _, prev := range []change.Position{s.want[3].Last, {Commit: s.last.Commit, Index: s.last.Index + 1}, {}} {
		e := s.entry(10)
		e.Prev = prev
		if s.Append(ctx, e) == nil {
			t.Errorf("an entry after %s was taken by a store that ends at %s", prev, s.last)
		}
	}
	s.check()
	s.fill(1, 10)
	s.check()
}

func testRelations(t *testing.T, s *store) {
	s.begin()
	for i := range uint64(40) {
		e := s.entry(9000)
		e.Relations = []eventlog.Definition{
			{ID: 7, Definition: []byte("seven")},
			{ID: 1000 + i, Definition: fmt.Appendf(nil, "relation %d", i)},
		}
		s.must(s.Append(ctx, e))
		s.stored(e)
	}
	check := func(id uint64, want string) {
		t.Helper()
		def, err := s.Relation(ctx, id)
		s.must(err)
		if string(def) != want || want == "" && def != nil {
			t.Errorf("relation %d is %q instead of %q", id, def, want)
		}
	}
	for range 2 {
		check(7, "seven")
		check(1000, "relation 0")
		check(1039, "relation 39")
		check(8, "")
		s.reopen()
	}
	s.trim(eventlog.Retention{Before: s.want[30].Time})
	check(7, "seven")
	check(1030, "relation 30")
}

func testReopen(_ *testing.T, s *store) {
	s.begin()
	s.fill(60, 4000)
	for range 3 {
		s.reopen()
		s.check()
	}
	s.fill(10, 4000)
	s.reopen()
	s.check()
}

func testMeta(t *testing.T, s *store) {
	s.begin()
	s.fill(2, 10)
	s.must(s.SetMeta(ctx, []byte("meta two")))
	s.fill(30, 9000)
	for range 2 {
		meta, err := s.Meta(ctx)
		s.must(err)
		if string(meta) != "meta two" {
			t.Errorf("meta %q", meta)
		}
		s.check()
		s.reopen()
	}
}

func testTrimAge(t *testing.T, s *store) {
	s.begin()
	s.fill(100, 8000)
	r := eventlog.Retention{Before: s.want[60].Time}
	s.trim(r)
	if floor := s.Bounds().Floor; s.want[59].Last.Less(floor) {
		t.Errorf("floor %s is above %s, the last record that is too old", floor, s.want[59].Last)
	}
	s.check()
	s.reopen()
	s.check()
	s.fill(10, 8000)
	s.check()
}

func testTrimAll(t *testing.T, s *store) {
	s.begin()
	s.fill(20, 8000)
	r := eventlog.Retention{Before: s.at.Add(time.Nanosecond)}
	for range 2 {
		s.trim(r)
		s.check()
		if b := s.Bounds(); b.Floor != s.last || b.Batches != 0 {
			t.Errorf("floor %s with %d batches; everything up to %s is too old", b.Floor, b.Batches, s.last)
		}
		s.reopen()
	}
	s.fill(3, 100)
	s.trim(r)
	s.check()
	if b := s.Bounds(); b.Batches != 3 {
		t.Errorf("%d batches instead of the 3 that are young enough", b.Batches)
	}
}

func testTrimBytes(t *testing.T, s *store) {
	s.begin()
	s.fill(300, 8000)
	before := s.Bounds().Bytes
	r := eventlog.Retention{MaxBytes: before / 2}
	s.trim(r)
	b := s.Bounds()
	if b.Bytes > r.MaxBytes || b.Bytes < before/4 {
		t.Errorf("%d bytes kept of %d; the limit was %d", b.Bytes, before, r.MaxBytes)
	}
	s.check()
	s.reopen()
	s.check()
}

func testBeginAgain(t *testing.T, s *store) {
	s.begin()
	e := s.entry(5000)
	e.Relations = []eventlog.Definition{{ID: 5, Definition: []byte("five")}}
	s.must(s.Append(ctx, e))
	s.stored(e)
	s.fill(50, 9000)
	s.last, s.wal, s.want = change.Before(0x900000), 0x900000, nil
	s.must(s.Begin(ctx, []byte("second"), s.last, s.wal))
	for range 2 {
		s.check()
		if got := s.read(change.Position{}); len(got) != 0 {
			t.Errorf("%d records of the old generation are left", len(got))
		}
		if def, err := s.Relation(ctx, 5); def != nil || err != nil {
			t.Errorf("relation of the old generation: %q, %v", def, err)
		}
		s.reopen()
	}
	s.fill(5, 100)
	s.check()
}

// testConcurrent runs readers along the chain while it grows at one end and
// shrinks at the other.
func testConcurrent(t *testing.T, s *store) {
	s.begin()
	var wg sync.WaitGroup
	defer wg.Wait()
	running, stop := context.WithCancel(ctx)
	defer stop()
	for range 2 {
		wg.Go(func() {
			for running.Err() == nil {
				walk(t, s.Engine)
			}
		})
	}
	wg.Go(func() {
		for running.Err() == nil {
			if _, err := s.Trim(ctx, eventlog.Retention{MaxBytes: 300 << 10}); err != nil {
				t.Error(err)
			}
		}
	})
	s.fill(150, 6000)
	stop()
	wg.Wait()
	s.check()
}

// walk reads from the floor on and checks that each record is whole and that none
// is missing between two.
func walk(t *testing.T, e eventlog.Engine) {
	after := e.Bounds().Floor
	var prev change.LSN
	err := e.Read(ctx, after, func(last change.Position, rec []byte) bool {
		if len(rec) != 6000 || change.LSN(binary.BigEndian.Uint64(rec)) != last.Commit {
			t.Errorf("record %s is not its own", last)
		}
		if prev != 0 && last.Commit != prev+16 {
			t.Errorf("record %x follows %x", uint64(last.Commit), uint64(prev))
		}
		prev = last.Commit
		return !t.Failed()
	})
	if err != nil {
		t.Error(err)
	}
}

func testCancelled(t *testing.T, s *store) {
	s.begin()
	s.fill(2, 10)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	for what, err := range map[string]error{
		"append":   s.Append(gone, s.entry(10)),
		"begin":    s.Begin(gone, nil, change.Position{Commit: 99}, 99),
		"set meta": s.SetMeta(gone, nil),
		"read":     s.Read(gone, change.Position{}, func(change.Position, []byte) bool { return true }),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", what, err)
		}
	}
	s.check()
	s.reopen()
	s.check()
}

func testClosed(t *testing.T, s *store) {
	s.begin()
	s.must(s.Close())
	_, relation := s.Relation(ctx, 1)
	_, trim := s.Trim(ctx, eventlog.Retention{Before: s.at})
	for what, err := range map[string]error{
		"append":   s.Append(ctx, s.entry(10)),
		"begin":    s.Begin(ctx, nil, change.Position{Commit: 99}, 99),
		"set meta": s.SetMeta(ctx, nil),
		"read":     s.Read(ctx, change.Position{}, func(change.Position, []byte) bool { return true }),
		"relation": relation,
	} {
		if !errors.Is(err, eventlog.ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if trim != nil && !errors.Is(trim, eventlog.ErrClosed) {
		t.Errorf("trim: %v", trim)
	}
	s.must(s.Close())
}
