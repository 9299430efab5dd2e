package eventlog_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/eventlog"
	"github.com/walrelay/walrelay/eventlog/enginetest"
)

func TestOpenErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	held := t.TempDir()
	begun(t, eventlog.Options{Dir: held})
	newer := t.TempDir()
	e, err := eventlog.OpenBolt(eventlog.BoltOptions{Dir: newer})
	must(t, err)
	must(t, e.Begin(ctx, sealed(`{"format":9}`), change.Position{Commit: 1}, 1))
	must(t, e.Close())

	for _, c := range []struct {
		name string
		o    eventlog.Options
		want []string
	}{
		{"no directory", eventlog.Options{}, []string{"set log.dir"}},
		{"a file", eventlog.Options{Dir: file}, []string{file, "not a directory"}},
		{"below a file", eventlog.Options{Dir: file + "/log"}, []string{file, "not a directory"}},
		{"a log that is open", eventlog.Options{Dir: held}, []string{held, "in use by another walrelay (pid ", "its own log.dir"}},
		{"a newer format", eventlog.Options{Dir: newer}, []string{"format 9", "run the walrelay that wrote it"}},
		{"a negative limit", eventlog.Options{Dir: t.TempDir(), MaxBytes: -1}, []string{"negative"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := eventlog.Open(c.o)
			if err == nil {
				must(t, l.Close())
				t.Fatal("no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %q, expected one line with %q", err, want)
				}
			}
		})
	}
}

func TestOpenUnreadable(t *testing.T) {
	dir := t.TempDir()
	fill(t, begunOnce(t, dir), newRows(), 1, 1)
	must(t, os.Chmod(dir, 0))
	t.Cleanup(func() { must(t, os.Chmod(dir, 0o700)) })
	var err error
	asNobody(t, func() { _, err = eventlog.Open(eventlog.Options{Dir: dir}) })
	if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "make the directory and its files writable for user id") {
		t.Errorf("error %v", err)
	}
}

// begunOnce begins a log whose directory is free again afterwards.
func begunOnce(t *testing.T, dir string) *eventlog.Log {
	t.Helper()
	l := begun(t, eventlog.Options{Dir: dir})
	return l
}

// A hub that does not recover its head on opening replays nothing until the next
// publish. Everything here is read before anything is written.
func TestReplayAfterRestart(t *testing.T) {
	dir := t.TempDir()
	o := eventlog.Options{Dir: dir}
	l, err := eventlog.Open(o)
	must(t, err)
	must(t, l.Begin(ctx, lineage, genesis, ""))
	s := newRows()
	fill(t, l, s, 50, 7)
	s.Advance(s.commit + 0x5000)
	must(t, l.Append(ctx, s.batch(0)))
	before := l.Bounds()
	must(t, l.Close())

	for range 2 {
		l, err = eventlog.Open(o)
		must(t, err)
		if diff := cmp.Diff(before, l.Bounds(), cmpopts.IgnoreFields(before, "Bytes")); diff != "" {
			t.Errorf("bounds (-before +after):\n%s", diff)
		}
		wantAll(t, l, 350)
		must(t, l.Close())
	}

	l = open(t, o)
	fill(t, l, newSource(before.Last, before.WAL, 350, 200), 1, 5)
	wantAll(t, l, 355)
	if last := l.Bounds().Last; !before.Last.Less(last) {
		t.Errorf("head %s after an append to a log that ended at %s", last, before.Last)
	}
}

func TestAppendRules(t *testing.T) {
	l := begun(t, eventlog.Options{Dir: t.TempDir()})
	s := newRows()
	one, two, three := s.batch(3), s.batch(3), s.batch(3)
	noID := *two
	noID.Relations = []*change.Relation{{Name: "t"}}
	back := *two
	back.WAL = genesis
	outside := *two
	outside.First = two.Prev
	must(t, l.Append(ctx, one))
	for _, c := range []struct {
		name string
		b    *change.Batch
		want string
	}{
		{"a gap", three, "does not follow the last one"},
		{"WAL that goes back", &back, "WAL goes back"},
		{"a relation without id", &noID, "a relation without id"},
		{"a first change outside", &outside, "is not within the batch"},
	} {
		before := l.Bounds()
		if err := l.Append(ctx, c.b); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.b.Last.String()) {
			t.Errorf("%s: error %v", c.name, err)
		}
		if diff := cmp.Diff(before, l.Bounds()); diff != "" {
			t.Errorf("%s: bounds changed:\n%s", c.name, diff)
		}
	}
	must(t, l.Append(ctx, two))
	before := l.Bounds()
	for _, b := range []*change.Batch{one, two} {
		must(t, l.Append(ctx, b)) // the log has them
	}
	if diff := cmp.Diff(before, l.Bounds()); diff != "" {
		t.Errorf("duplicates changed the bounds:\n%s", diff)
	}
	must(t, l.Append(ctx, three))
	wantAll(t, l, 9)
}

func TestAppendBeforeBegin(t *testing.T) {
	l := open(t, eventlog.Options{Dir: t.TempDir()})
	if err := l.Append(ctx, newRows().batch(1)); err == nil || !strings.Contains(err.Error(), "call Begin first") {
		t.Errorf("error %v", err)
	}
	if b, err := l.Next(change.Position{}); b != nil || err != nil {
		t.Errorf("a new log gave %v, %v", b, err)
	}
	if b := l.Bounds(); b.Lineage.Generation != 0 || !b.Last.IsZero() || b.WAL != 0 {
		t.Errorf("bounds of a new log %+v", b)
	}
}

func TestWALOnly(t *testing.T) {
	l, f := begunFaulty(t, eventlog.Options{})
	s := newRows()
	fill(t, l, s, 1, 2)
	last, appends := l.Bounds().Last, f.Appends.Load()
	woken := l.Changed()
	s.Advance(s.commit + 0x9000)
	must(t, l.Append(ctx, s.batch(0)))
	<-woken
	if b := l.Bounds(); b.WAL != s.commit+0x9000 || b.Durable != b.WAL || b.Last != last || b.Batches != 1 {
		t.Errorf("bounds %+v", b)
	}
	must(t, l.Append(ctx, s.batch(0))) // nothing new
	// Known changes, but a WAL that is new.
	must(t, l.Append(ctx, &change.Batch{First: last, Last: last, Changes: 1, WAL: s.commit + 0xa000}))
	if b := l.Bounds(); b.WAL != s.commit+0xa000 || b.Durable != b.WAL || b.Last != last {
		t.Errorf("bounds %+v", b)
	}
	if n := f.Appends.Load() - appends; n != 2 {
		t.Errorf("%d entries stored for 2 moves of WAL", n)
	}
}

// slow is an engine whose appends wait.
type slow struct {
	eventlog.Engine
	entered, release chan struct{}
}

func (s *slow) Append(ctx context.Context, e *eventlog.Entry) error {
	s.entered <- struct{}{}
	<-s.release
	return s.Engine.Append(ctx, e)
}

func TestReadBeforeDurable(t *testing.T) {
	e := &slow{new(enginetest.Memory).Open(), make(chan struct{}), make(chan struct{})}
	l := begun(t, eventlog.Options{Engine: e})
	s := newRows()
	woken := l.Changed()
	done := make(chan error)
	b := s.batch(3)
	go func() { done <- l.Append(ctx, b) }()
	<-e.entered
	<-woken
	if got, err := l.Next(change.Before(genesis)); got != b || err != nil {
		t.Errorf("before it is durable the batch is %v, %v", got, err)
	}
	if now := l.Bounds(); now.Last != b.Last || now.WAL != b.WAL || now.Durable != genesis {
		t.Errorf("bounds before it is durable: %+v", now)
	}
	close(e.release)
	must(t, <-done)
	if now := l.Bounds(); now.Durable != b.WAL {
		t.Errorf("bounds once it is durable: %+v", now)
	}
}

func TestAppendFailsAndRecovers(t *testing.T) {
	for _, c := range []struct {
		name string
		fail func(*enginetest.Faulty, error)
	}{
		{"nothing was stored", (*enginetest.Faulty).Fail},
		{"it was stored, but nobody knows", (*enginetest.Faulty).FailAfter},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, f := begunFaulty(t, eventlog.Options{TailBytes: 1})
			s := newRows()
			fill(t, l, s, 3, 2)
			durable := l.Bounds().Durable
			b := s.batch(2)
			c.fail(f, syscall.ENOSPC)
			for range 3 {
				err := l.Append(ctx, b)
				wantIs(t, err, eventlog.ErrUnavailable)
				wantIs(t, err, syscall.ENOSPC)
			}
			if now := l.Bounds(); now.Last != b.Last || now.WAL != b.WAL {
				t.Errorf("published: %+v", now)
			} else if c.name == "nothing was stored" && now.Durable != durable {
				t.Errorf("durable moved from %s to %s while the disk was full", durable, now.Durable)
			}
			if got, err := l.Next(b.Prev); got != b || err != nil {
				t.Errorf("what was published is no longer readable: %v, %v", got, err)
			}
			// Another batch cannot overtake the pending one.
			wantIs(t, l.Append(ctx, s.batch(2)), eventlog.ErrUnavailable)
			c.fail(f, nil)
			woken := l.Changed()
			must(t, l.Append(ctx, b))
			select {
			case <-woken:
				t.Error("a batch was published again")
			default:
			}
			if now := l.Bounds(); now.Durable != b.WAL || now.Batches != 4 {
				t.Errorf("bounds after recovery %+v", now)
			}
			wantAll(t, l, 8)
		})
	}
}

// After a failure replication may come back with other batches: whatever they are,
// the pending one goes first.
func TestAppendLaterBatchFlushesPending(t *testing.T) {
	l, f := begunFaulty(t, eventlog.Options{})
	s := newRows()
	f.Fail(syscall.EIO)
	wantIs(t, l.Append(ctx, s.batch(2)), eventlog.ErrUnavailable)
	s.Advance(s.commit + 0x1000)
	f.Fail(nil)
	must(t, l.Append(ctx, s.batch(2)))
	if b := l.Bounds(); b.Batches != 2 || b.Durable != b.WAL {
		t.Errorf("bounds %+v", b)
	}
	wantAll(t, l, 4)
}

func TestAppendCancelled(t *testing.T) {
	l, f := begunFaulty(t, eventlog.Options{})
	gone, cancel := context.WithCancel(ctx)
	cancel()
	b := newRows().batch(2)
	err := l.Append(gone, b)
	wantIs(t, err, context.Canceled)
	if errors.Is(err, eventlog.ErrUnavailable) {
		t.Errorf("a cancelled append is no fault of the storage: %v", err)
	}
	must(t, l.Append(ctx, b))
	if n := f.Appends.Load(); n != 1 {
		t.Errorf("%d appends", n)
	}
	wantAll(t, l, 2)
}

func TestNextPositions(t *testing.T) {
	for _, c := range []struct {
		name string
		o    eventlog.Options
	}{
		{"from the tail", eventlog.Options{}},
		{"from the cache", eventlog.Options{TailBytes: 1}},
		{"from disk", eventlog.Options{TailBytes: 1, CacheBytes: -1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.Dir = t.TempDir()
			l := begun(t, c.o)
			s := newRows()
			var batches []*change.Batch
			for i := range 20 {
				batches = append(batches, s.batch(1+i%4))
				must(t, l.Append(ctx, batches[i]))
			}
			last := batches[19].Last
			for i, b := range batches {
				inside := change.Position{Commit: b.Last.Commit, Index: 0}
				wantBatch(t, l, b.Prev, b)
				wantBatch(t, l, change.Before(b.First.Commit), b)
				wantBatch(t, l, change.Position{Commit: b.First.Commit - 1}, b)
				if b.First != b.Last {
					wantBatch(t, l, b.First, b)
				}
				if i+1 < len(batches) {
					wantBatch(t, l, inside, batches[i+1])
				}
			}
			for _, after := range []change.Position{last, {Commit: last.Commit, Index: 5}, {Commit: last.Commit + 0x100000}} {
				if b, err := l.Next(after); b != nil || err != nil {
					t.Errorf("after %s, at or above the head, comes %v, %v", after, b, err)
				}
			}
			for _, after := range []change.Position{{}, {Commit: genesis - 9}, {Commit: genesis - 2, Index: 9}} {
				_, err := l.Next(after)
				wantIs(t, err, eventlog.ErrTrimmed)
			}
		})
	}
}

func wantBatch(t *testing.T, l *eventlog.Log, after change.Position, want *change.Batch) {
	t.Helper()
	got, err := l.Next(after)
	if err != nil || got == nil {
		t.Fatalf("after %s: %v, %v", after, got, err)
	}
	equalTimes := cmp.Comparer(func(a, b time.Time) bool { return a.UnixMicro() == b.UnixMicro() })
	if diff := cmp.Diff(want, got, equalTimes); diff != "" {
		t.Errorf("batch after %s (-want +got):\n%s", after, diff)
	}
}

func TestBegin(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 20, 21, 0, 0, 0, time.UTC)
	o := eventlog.Options{Dir: dir, TailBytes: 1, Now: func() time.Time { return now }}
	l, err := eventlog.Open(o)
	must(t, err)
	must(t, l.Begin(ctx, lineage, genesis, ""))
	if b := l.Bounds(); b.Floor != change.Before(genesis) || b.Last != b.Floor || b.WAL != genesis || b.Durable != genesis {
		t.Errorf("bounds after the first Begin %+v", b)
	}
	if h := l.History(); len(h) != 0 {
		t.Errorf("history of a new log %+v", h)
	}
	fill(t, l, newRows(), 30, 10)
	wantAll(t, l, 300)
	old := l.Bounds()
	woken := l.Changed()
	other := eventlog.Lineage{SystemID: "7399", Timeline: 3, Generation: 77}
	must(t, l.Begin(ctx, other, genesis*2, "gap"))
	<-woken

	other.Generation, other.Born, other.Nonce = 2, 3, l.Bounds().Lineage.Nonce
	want := []eventlog.Ended{{Lineage: eventlog.Lineage{SystemID: lineage.SystemID, Timeline: 1, Born: 1, Generation: 1, Nonce: old.Lineage.Nonce}, Reason: "gap", Last: old.Last, At: now}}
	for range 2 {
		if b := l.Bounds(); b.Lineage != other || b.Floor != change.Before(genesis*2) || b.Last != b.Floor || b.WAL != genesis*2 || b.Durable != b.WAL || b.Batches != 0 {
			t.Errorf("bounds after Begin %+v", b)
		}
		if diff := cmp.Diff(want, l.History()); diff != "" {
			t.Errorf("history (-want +got):\n%s", diff)
		}
		_, err = l.Next(old.Floor)
		wantIs(t, err, eventlog.ErrTrimmed)
		must(t, l.Close())
		l = open(t, o)
	}
	s := newSource(change.Before(genesis*2), genesis*2, 0, 200)
	fill(t, l, s, 3, 3)
	if n, _, err := walk(l, change.Before(genesis*2), 0); n != 9 || err != nil {
		t.Errorf("%d rows in the new generation, %v", n, err)
	}
	if files := segments(t, dir); len(files) != 1 {
		t.Errorf("files of the old generation are left: %v", files)
	}
}

func TestBeginFails(t *testing.T) {
	l, f := begunFaulty(t, eventlog.Options{TailBytes: 1})
	fill(t, l, newRows(), 3, 3)
	before := l.Bounds()
	f.Fail(syscall.ENOSPC)
	wantIs(t, l.Begin(ctx, lineage, genesis*2, "gap"), eventlog.ErrUnavailable)
	f.Fail(nil)
	if diff := cmp.Diff(before, l.Bounds()); diff != "" || len(l.History()) != 0 {
		t.Errorf("a failed Begin changed the log: %s %v", diff, l.History())
	}
	wantAll(t, l, 9)
	if err := l.Begin(ctx, eventlog.Lineage{}, genesis, "gap"); err == nil {
		t.Error("Begin without a system identifier")
	}
}

// A batch that never became durable goes with its generation.
func TestBeginDropsPending(t *testing.T) {
	l, f := begunFaulty(t, eventlog.Options{})
	f.Fail(syscall.ENOSPC)
	wantIs(t, l.Append(ctx, newRows().batch(2)), eventlog.ErrUnavailable)
	f.Fail(nil)
	must(t, l.Begin(ctx, lineage, genesis, "gap"))
	if b := l.Bounds(); b.Last != change.Before(genesis) || b.WAL != genesis {
		t.Errorf("bounds %+v", b)
	}
	fill(t, l, newRows(), 1, 3)
	wantAll(t, l, 3)
}

func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	l, _ := begunFaulty(t, eventlog.Options{})
	for i := range 300 {
		must(t, l.Begin(ctx, lineage, genesis+change.LSN(i), "gap"))
	}
	h := l.History()
	if len(h) != 256 || h[255].Lineage.Generation != 300 {
		t.Errorf("%d ended lineages, the last %+v", len(h), h[len(h)-1])
	}
}

func TestSetTimeline(t *testing.T) {
	o := eventlog.Options{Dir: t.TempDir()}
	l, err := eventlog.Open(o)
	must(t, err)
	if l.SetTimeline(ctx, 2) == nil {
		t.Error("a log without lineage took a timeline")
	}
	must(t, l.Begin(ctx, lineage, genesis, ""))
	nonce := l.Bounds().Lineage.Nonce
	s := newRows()
	fill(t, l, s, 2, 2)
	must(t, l.SetTimeline(ctx, 2))
	must(t, l.SetTimeline(ctx, 2))
	if l.SetTimeline(ctx, 1) == nil {
		t.Error("the timeline went back")
	}
	fill(t, l, s, 2, 2)
	must(t, l.Close())
	l = open(t, o)
	if got := l.Bounds().Lineage; got != (eventlog.Lineage{SystemID: lineage.SystemID, Timeline: 2, Born: 1, Generation: 1, Nonce: nonce}) {
		t.Errorf("lineage %+v", got)
	}
	wantAll(t, l, 8)
}

func TestClose(t *testing.T) {
	l, err := eventlog.Open(eventlog.Options{Dir: t.TempDir()})
	must(t, err)
	must(t, l.Begin(ctx, lineage, genesis, ""))
	s := newRows()
	fill(t, l, s, 1, 1)
	var wg sync.WaitGroup
	for range 10 {
		woken := l.Changed()
		wg.Go(func() { <-woken })
	}
	must(t, l.Close())
	wg.Wait()
	<-l.Changed()
	must(t, l.Close())
	_, next := l.Next(change.Before(genesis))
	for what, err := range map[string]error{
		"append":   l.Append(ctx, s.batch(1)),
		"next":     next,
		"begin":    l.Begin(ctx, lineage, genesis, "gap"),
		"timeline": l.SetTimeline(ctx, 9),
	} {
		if !errors.Is(err, eventlog.ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// The directory is empty while the slot stays: the log says that it was never
// begun, and the caller compares.
func TestWipedBeforeStart(t *testing.T) {
	dir := t.TempDir()
	l, err := eventlog.Open(eventlog.Options{Dir: dir})
	must(t, err)
	must(t, l.Begin(ctx, lineage, genesis, ""))
	fill(t, l, newRows(), 3, 3)
	must(t, l.Close())
	must(t, os.RemoveAll(dir))
	if b := open(t, eventlog.Options{Dir: dir}).Bounds(); b.Lineage != (eventlog.Lineage{}) || !b.Last.IsZero() {
		t.Errorf("bounds of a wiped log %+v", b)
	}
}

// What goes to a file without a name is gone with the process: no append may be
// acknowledged.
func TestWipedWhileOpen(t *testing.T) {
	for _, c := range []struct {
		name string
		wipe func(dir string) error
	}{
		{"directory removed", os.RemoveAll},
		{"directory replaced", func(dir string) error {
			other, err := eventlog.OpenBolt(eventlog.BoltOptions{Dir: dir + "-other"})
			if err != nil {
				return err
			}
			return errors.Join(other.Begin(ctx, nil, change.Position{Commit: 1}, 1), other.Close(),
				os.RemoveAll(dir), os.Rename(dir+"-other", dir))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "log")
			l := begun(t, eventlog.Options{Dir: dir, TailBytes: 1})
			s := newRows()
			fill(t, l, s, 3, 3)
			must(t, c.wipe(dir))
			err := l.Append(ctx, s.batch(3))
			wantIs(t, err, eventlog.ErrUnavailable)
			if !strings.Contains(err.Error(), "restart walrelay") {
				t.Errorf("error %v", err)
			}
			wantAll(t, l, 12) // what is there is still served
		})
	}
}
