package eventlog_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/eventlog"
	"github.com/walrelay/walrelay/eventlog/enginetest"
)

// Two days of a batch every half hour, kept for 16 hours.
func TestRetentionByAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const retention = 16 * time.Hour
		dir := t.TempDir()
		o := eventlog.Options{Dir: dir, Retention: retention, RetentionPeriod: time.Minute}
		l, err := eventlog.Open(o)
		must(t, err)
		must(t, l.Begin(ctx, lineage, genesis, ""))
		s := newRows()
		written := map[change.Position]time.Time{}
		for range 96 {
			b := s.batch(3)
			must(t, l.Append(ctx, b))
			written[b.Last] = b.Time
			time.Sleep(30*time.Minute + time.Second)
			synctest.Wait()
			checkAge(t, l, written, retention)
		}
		if n := len(segments(t, dir)); n > 20 {
			t.Errorf("%d segments", n)
		}

		// Nobody writes any more: the log runs empty and still knows where it stands.
		time.Sleep(18 * time.Hour)
		synctest.Wait()
		for range 2 {
			b := l.Bounds()
			if b.Floor != b.Last || b.Batches != 0 || !b.OldestTime.IsZero() || b.WAL != s.commit+0x80 {
				t.Errorf("bounds of a fully aged-out log %+v", b)
			}
			if b, err := l.Next(b.Last); b != nil || err != nil {
				t.Errorf("at the head of an aged-out log: %v, %v", b, err)
			}
			_, err := l.Next(change.Position{Commit: b.Last.Commit - 1})
			wantIs(t, err, eventlog.ErrTrimmed)
			if n := len(segments(t, dir)); n != 1 {
				t.Errorf("%d files are left of an aged-out log", n)
			}
			must(t, l.Close())
			l, err = eventlog.Open(o)
			must(t, err)
			synctest.Wait()
		}
		last := l.Bounds().Last
		must(t, l.Append(ctx, s.batch(2)))
		wantRows(t, l, last, s.next-2, s.next)
		must(t, l.Close())
	})
}

// checkAge: nothing younger than the retention is gone, and what is left is at
// most a sixteenth older, plus the distance of two batches.
func checkAge(t *testing.T, l *eventlog.Log, written map[change.Position]time.Time, retention time.Duration) {
	t.Helper()
	b := l.Bounds()
	if at, ok := written[b.Floor]; ok && time.Since(at) <= retention {
		t.Fatalf("a batch of %s ago was dropped", time.Since(at))
	}
	if age := time.Since(b.OldestTime); age > retention+retention/16+time.Hour {
		t.Fatalf("the oldest batch is %s old", age)
	}
	if _, err := l.Next(b.Floor); err != nil {
		t.Fatal(err)
	}
}

func wantRows(t *testing.T, l *eventlog.Log, after change.Position, first, next int) {
	t.Helper()
	if n, _, err := walk(l, after, first); n != next || err != nil {
		t.Errorf("rows up to %d instead of %d, %v", n, next, err)
	}
}

// Retention keeps up with appends at full speed; a reader at the head loses
// nothing, one that is left behind is told so.
func TestRetentionAtWriteSpeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const maxBytes = 2 << 20
		dir := t.TempDir()
		l, err := eventlog.Open(eventlog.Options{Dir: dir, MaxBytes: maxBytes, TailBytes: 128 << 10, CacheBytes: 128 << 10})
		must(t, err)
		must(t, l.Begin(ctx, lineage, genesis, ""))
		const batches, rows = 500, 50 // 5 MiB
		var wg sync.WaitGroup
		wg.Go(func() { tailReader(t, l, batches, true) })
		s, most, bounded := newRows(), int64(0), int64(0)
		for i := range batches {
			must(t, l.Append(ctx, s.batch(rows)))
			bounded = max(bounded, l.Bounds().Bytes)
			if i%50 == 0 {
				most = max(most, diskUse(t, dir))
			}
		}
		wg.Wait()
		synctest.Wait() // the retention has nothing to do any more
		t.Logf("limit %d, at most %d counted and %d on disk", maxBytes, bounded, most)
		if b := l.Bounds(); b.Bytes > maxBytes || b.Bytes < maxBytes/2 || diskUse(t, dir) > maxBytes+maxBytes/4 {
			t.Errorf("%d bytes counted, %d on disk, the limit is %d", b.Bytes, diskUse(t, dir), maxBytes)
		}
		if most > 2*maxBytes {
			t.Errorf("%d bytes on disk meanwhile, the limit is %d", most, maxBytes)
		}
		_, err = l.Next(change.Before(genesis))
		wantIs(t, err, eventlog.ErrTrimmed)
		floor := l.Bounds().Floor
		wantRows(t, l, floor, firstRow(t, l, floor), s.next)
		must(t, l.Close())
	})
}

func firstRow(t *testing.T, l *eventlog.Log, after change.Position) int {
	t.Helper()
	b, err := l.Next(after)
	must(t, err)
	numbers, err := rowNumbers(b)
	must(t, err)
	return numbers[0]
}

// diskUse is the space that the directory takes, in bytes.
func diskUse(t *testing.T, dir string) (n int64) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the retention was faster
		}
		if err == nil && d.Type().IsRegular() {
			n += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return err
	}))
	return n
}

// The clock is the caller's, and a log in memory drops exactly what is too old,
// from the tail too.
func TestRetentionClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		now := time.Date(2026, 11, 20, 21, 0, 0, 0, time.UTC)
		o := eventlog.Options{Engine: new(enginetest.Memory).Open(), Retention: time.Hour, RetentionPeriod: time.Second,
			Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }}
		l, err := eventlog.Open(o)
		must(t, err)
		must(t, l.Begin(ctx, lineage, genesis, ""))
		s := newRows()
		for i := range 10 {
			must(t, l.Append(ctx, s.batchAt(1, now.Add(time.Duration(i)*10*time.Minute))))
		}
		mu.Lock()
		now = now.Add(95 * time.Minute) // the first four are more than an hour old
		mu.Unlock()
		time.Sleep(time.Second)
		synctest.Wait()
		b := l.Bounds()
		want := eventlog.Bounds{Last: b.Last, Floor: b.Floor, WAL: b.WAL, Durable: b.WAL, Batches: 6, OldestTime: now.Add(-55 * time.Minute), Lineage: b.Lineage}
		if diff := cmp.Diff(want, b, cmpopts.IgnoreFields(b, "Bytes")); diff != "" {
			t.Errorf("bounds (-want +got):\n%s", diff)
		}
		_, err = l.Next(change.Before(genesis))
		wantIs(t, err, eventlog.ErrTrimmed)
		wantRows(t, l, b.Floor, 4, 10)
		must(t, l.Close())
	})
}

// A clock that is set back keeps changes longer, by as much; it drops none early,
// and once it has caught up all is as before.
func TestRetentionClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const retention, back = 16 * time.Hour, 20 * time.Hour
		var offset atomic.Int64
		now := func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
		l, err := eventlog.Open(eventlog.Options{Dir: t.TempDir(), Retention: retention, RetentionPeriod: time.Minute, Now: now})
		must(t, err)
		must(t, l.Begin(ctx, lineage, genesis, ""))
		s := newRows()
		written := map[change.Position]time.Time{} // by the clock that never jumps
		for i := range 160 {
			if i == 40 {
				offset.Store(-int64(back))
			}
			b := s.batchAt(3, now())
			must(t, l.Append(ctx, b))
			written[b.Last] = time.Now()
			time.Sleep(30 * time.Minute)
			synctest.Wait()
			floor := l.Bounds().Floor
			if at, ok := written[floor]; ok && time.Since(at) <= retention {
				t.Fatalf("batch %d: one of %s ago was dropped", i, time.Since(at))
			}
			if _, err := l.Next(floor); err != nil {
				t.Fatal(err)
			}
		}
		if age := now().Sub(l.Bounds().OldestTime); age > retention+retention/16+time.Hour {
			t.Errorf("in the end the oldest batch is %s old", age)
		}
		must(t, l.Close())
	})
}
