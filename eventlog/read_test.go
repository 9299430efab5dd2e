package eventlog_test

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/eventlog"
	"github.com/walrelay/walrelay/eventlog/enginetest"
)

// counting knows how many reads are under way.
type counting struct {
	eventlog.Engine
	now, most, total atomic.Int64
}

func (c *counting) Read(ctx context.Context, after change.Position, visit func(change.Position, []byte) bool) error {
	n := c.now.Add(1)
	defer c.now.Add(-1)
	c.total.Add(1)
	for most := c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); most = c.most.Load() {
	}
	runtime.Gosched()
	return c.Engine.Read(ctx, after, visit)
}

// A storm of reconnects: every reader goes from a place of its own to the head.
func TestThousandReaders(t *testing.T) {
	e, err := eventlog.OpenBolt(eventlog.BoltOptions{Dir: t.TempDir(), SegmentBytes: 1 << 20})
	must(t, err)
	c := &counting{Engine: e}
	l := begun(t, eventlog.Options{Engine: c, TailBytes: 256 << 10, CacheBytes: 768 << 10})
	const batches, rows = 200, 50 // 2 MiB
	fill(t, l, newRows(), batches, rows)

	before, peak := heap(), int64(0)
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i := range 1000 {
		start := change.Position{Commit: genesis + change.LSN(i%100*rows*0x100), Index: uint64(i)}
		wg.Go(func() {
			if n := follow(t, l, start); n == 0 {
				t.Errorf("reader from %s found nothing", start)
			}
			mu.Lock()
			peak = max(peak, heap()-before)
			mu.Unlock()
		})
	}
	wg.Wait()
	t.Logf("%d engine reads, %d at once, %d MiB at most", c.total.Load(), c.most.Load(), peak>>20)
	if c.most.Load() > 16 {
		t.Errorf("%d engine reads at once", c.most.Load())
	}
	if peak > 256<<20 {
		t.Errorf("1000 readers took %d MiB", peak>>20)
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// follow reads from start to the head and returns the number of batches.
func follow(t *testing.T, l *eventlog.Log, start change.Position) (n int) {
	for after, first := start, true; ; first = false {
		b, err := l.Next(after)
		if err != nil {
			t.Error(err)
			return 0
		}
		if b == nil {
			return n
		}
		if after.Less(b.Prev) || !first && b.Prev != after {
			t.Errorf("batch after %s follows %s", after, b.Prev)
			return 0
		}
		after = b.Last
		n++
	}
}

// Readers of the same stretch share the reads.
func TestReadsAreShared(t *testing.T) {
	c := &counting{Engine: new(enginetest.Memory).Open()}
	l := begun(t, eventlog.Options{Engine: c, TailBytes: 1})
	fill(t, l, newRows(), 400, 10)
	wantAll(t, l, 4000)
	reads := c.total.Load()
	if reads > 20 {
		t.Errorf("%d engine reads for 1 MiB", reads)
	}
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() { follow(t, l, change.Position{Commit: genesis + change.LSN(i)*0x777, Index: 1}) })
	}
	wg.Wait()
	if again := c.total.Load() - reads; again != 0 {
		t.Errorf("%d engine reads for what is in the cache", again)
	}
}

// Relations are decoded once: readers may compare pointers.
func TestRelationsAreShared(t *testing.T) {
	dir := t.TempDir()
	l, err := eventlog.Open(eventlog.Options{Dir: dir})
	must(t, err)
	must(t, l.Begin(ctx, lineage, genesis, ""))
	s := newRows()
	other := *orders
	other.ID, other.Identity = 0xabc, 'f'
	for i := range 20 {
		if s.rel = orders; i%2 == 1 {
			s.rel = &other
		}
		fill(t, l, s, 1, 3)
	}
	must(t, l.Close())
	l = open(t, eventlog.Options{Dir: dir, CacheBytes: -1})
	seen := map[uint64]*change.Relation{}
	for after := l.Bounds().Floor; ; {
		b, err := l.Next(after)
		must(t, err)
		if b == nil {
			break
		}
		r := b.Relations[0]
		if have := seen[r.ID]; have != nil && have != r {
			t.Fatalf("relation %x was decoded twice", r.ID)
		}
		seen[r.ID], after = r, b.Last
	}
	if len(seen) != 2 || seen[0xabc].Identity != 'f' || seen[orders.ID].Columns[0].Type.Kind != change.KindInt {
		t.Errorf("relations %+v", seen)
	}
}

func TestNextUnavailable(t *testing.T) {
	l, f := begunFaulty(t, eventlog.Options{TailBytes: 1})
	fill(t, l, newRows(), 5, 2)
	f.Fail(syscall.EIO)
	_, err := l.Next(change.Before(genesis))
	wantIs(t, err, eventlog.ErrUnavailable)
	wantIs(t, err, syscall.EIO)
	f.Fail(nil)
	wantAll(t, l, 10)
}

// Appends, readers at the head, readers from the start, retention and bounds, all
// at once; -race looks on.
func TestConcurrentUse(t *testing.T) {
	e, err := eventlog.OpenBolt(eventlog.BoltOptions{Dir: t.TempDir(), SegmentBytes: 256 << 10})
	must(t, err)
	l := begun(t, eventlog.Options{Engine: e, TailBytes: 32 << 10, CacheBytes: 128 << 10})
	const batches = 150
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() { tailReader(t, l, batches, i%2 == 0) })
	}
	s := newRows()
	for range batches {
		must(t, l.Append(ctx, s.batch(1+rand.IntN(20))))
		s.Advance(s.commit + 0x40)
		must(t, l.Append(ctx, s.batch(0)))
		if b := l.Bounds(); b.Durable > b.WAL || b.Last.Less(b.Floor) || b.Durable != b.WAL {
			t.Errorf("bounds %+v", b)
		}
	}
	wg.Wait()
	wantAll(t, l, s.next)
}

// tailReader follows the log over the given number of batches, or goes over it
// again and again from the start until it has that many.
func tailReader(t *testing.T, l *eventlog.Log, batches int, live bool) {
	at, row, n := change.Before(genesis), 0, 0
	for n < batches && !t.Failed() {
		woken := l.Changed()
		b, err := l.Next(at)
		if err != nil {
			t.Error(err)
			return
		}
		if b == nil {
			<-woken
			if !live {
				at, row, n = change.Before(genesis), 0, 0
			}
			continue
		}
		numbers, err := rowNumbers(b)
		if err != nil || b.Prev != at || numbers[0] != row {
			t.Errorf("after %s: batch after %s with rows from %d instead of %d, %v", at, b.Prev, numbers[0], row, err)
			return
		}
		at, row, n = b.Last, row+len(numbers), n+1
	}
}

// Readers across Begin get batches of one generation or an error, never a broken
// chain that is none.
func TestReadersAcrossBegin(t *testing.T) {
	l := begun(t, eventlog.Options{Dir: t.TempDir(), TailBytes: 1, CacheBytes: 64 << 10})
	running, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	for range 4 {
		wg.Go(func() {
			for running.Err() == nil {
				generation := l.Bounds().Lineage.Generation
				floor := l.Bounds().Floor
				_, _, err := walk(l, floor, 0)
				if err != nil && l.Bounds().Lineage.Generation == generation {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 8 {
		floor := genesis + change.LSN(i)*0x100000
		must(t, l.Begin(ctx, lineage, floor, "gap"))
		fill(t, l, newSource(change.Before(floor), floor, 0, 200), 10, 30)
	}
}
