package channel

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/eventlog"
)

// memLog is an event log in memory. Its batches are cut small, so that lanes meet
// many of them.
type memLog struct {
	mu      sync.Mutex
	batches []*change.Batch
	bounds  eventlog.Bounds
	history []eventlog.Ended
	since   map[string]change.LSN
	late    uint64 // version of since
	changed chan struct{}
	reads   int
	broken  error // next read fails once
}

func newMemLog() *memLog {
	return &memLog{changed: make(chan struct{}), bounds: eventlog.Bounds{
		Floor: change.Before(0x100), Last: change.Before(0x100), WAL: 0x100, Lineage: eventlog.Lineage{SystemID: "1", Timeline: 1, Generation: 1}}}
}

func (l *memLog) Next(after change.Position) (*change.Batch, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads++
	if err := l.broken; err != nil {
		l.broken = nil
		return nil, err
	}
	if after.Less(l.bounds.Floor) {
		return nil, eventlog.ErrTrimmed
	}
	for _, b := range l.batches {
		if after.Less(b.Last) {
			return b, nil
		}
	}
	return nil, nil
}

func (l *memLog) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

func (l *memLog) Bounds() eventlog.Bounds {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bounds
}

func (l *memLog) InMemory() change.Position { return l.Bounds().Floor }

func (l *memLog) Since(table string) change.LSN {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.since[table]
}

func (l *memLog) SinceVersion() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.late
}

func (l *memLog) History() []eventlog.Ended { return l.history }

func (l *memLog) update(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	close(l.changed)
	l.changed = make(chan struct{})
}

// testHub is a hub over a memLog with a table public.t(id, room, body), FULL.
type testHub struct {
	*Hub
	t       testing.TB
	log     *memLog
	builder *change.Builder
	rel     *change.Relation
	commit  change.LSN
}

func bigint() *change.Type { return &change.Type{OID: 20, Name: "bigint", Kind: change.KindInt} }

func testRelation() *change.Relation {
	return &change.Relation{ID: 1, OID: 7, Schema: "public", Name: "t", Identity: 'f', Key: []int{0}, Columns: []change.Column{
		{Name: "id", Identity: true, Type: bigint()}, {Name: "room", Identity: true, Type: bigint()}, {Name: "body", Identity: true, Type: &change.Type{OID: 25, Name: "text"}}}}
}

func newTestHub(t testing.TB, o Options) *testHub {
	log := newMemLog()
	rel := testRelation()
	o.Log = log
	if o.Rules == nil {
		o.Rules = []*Rule{
			ruled(t, rel, Rule{Name: "all"}, "", "public"),
			ruled(t, rel, Rule{Name: "room/{room}", Columns: []string{"body"}}, "row.room == params.room", "public"),
		}
	}
	h := &testHub{Hub: New(o), t: t, log: log, rel: rel, commit: 0x100, builder: change.NewBuilder(log.bounds.Last, log.bounds.WAL)}
	return h
}

// run starts the hub and gives a function that stops it.
func (h *testHub) run() (stop func()) {
	ctx, cancel := context.WithCancel(h.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = h.Run(ctx) }()
	synctest.Wait()
	return func() { cancel(); <-done }
}

func tup(values ...string) []byte {
	out := []byte{0, byte(len(values))}
	for _, v := range values {
		if v == "-" {
			out = append(out, 'u')
			continue
		}
		out = append(append(out, 't', byte(len(v)>>24), byte(len(v)>>16), byte(len(v)>>8), byte(len(v))), v...)
	}
	return out
}

func insert(id, room int, body string) func(*change.Builder, *change.Relation) {
	return func(b *change.Builder, r *change.Relation) {
		b.Row(change.Insert, r, append([]byte{'N'}, tup(fmt.Sprint(id), fmt.Sprint(room), body)...), false)
	}
}

func update(id, room int, body string, id2, room2 int, body2 string) func(*change.Builder, *change.Relation) {
	return func(b *change.Builder, r *change.Relation) {
		p := append([]byte{'O'}, tup(fmt.Sprint(id), fmt.Sprint(room), body)...)
		b.Row(change.Update, r, append(append(p, 'N'), tup(fmt.Sprint(id2), fmt.Sprint(room2), body2)...), false)
	}
}

func remove(id, room int, body string) func(*change.Builder, *change.Relation) {
	return func(b *change.Builder, r *change.Relation) {
		b.Row(change.Delete, r, append([]byte{'O'}, tup(fmt.Sprint(id), fmt.Sprint(room), body)...), false)
	}
}

// tx commits one transaction as one batch.
func (h *testHub) tx(ops ...func(*change.Builder, *change.Relation)) {
	h.builder.Begin(change.Tx{Commit: h.commit, XID: uint32(h.commit), Time: 0})
	for _, op := range ops {
		op(h.builder, h.rel)
	}
	h.commit += 0x10
	h.builder.Commit(h.commit)
	b := h.builder.Seal(time.Now())
	h.log.update(func() {
		h.log.batches = append(h.log.batches, b)
		h.log.bounds.Last, h.log.bounds.WAL = b.Last, b.WAL
	})
}

func (h *testHub) subscribe(lastID string, channels ...string) *Subscriber {
	h.t.Helper()
	s, err := h.Subscribe(h.t.Context(), Request{Channels: channels, LastEventID: lastID})
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// drain takes what is queued, in short form: "name id data" without tx. Like an
// owner it goes on after an empty Take, which may put the subscriber on a lane again.
func drain(s *Subscriber) (out []string) {
	for empty := 0; empty < 2; {
		synctest.Wait()
		runs := s.Take()
		if len(runs) == 0 {
			empty++
			continue
		}
		empty = 0
		for _, r := range runs {
			for i := range r.Frames {
				e := r.Event(i)
				data := string(e.Data)
				if at := strings.Index(data, `,"tx":`); at >= 0 {
					data = data[:at]
				}
				id, _, _ := cutTag(e.ID)
				out = append(out, strings.TrimSpace(e.Name+" "+id+" "+data))
			}
		}
	}
	return out
}

func cutTag(id string) (string, string, bool) {
	i := strings.LastIndexByte(id, '.')
	if i < 0 {
		return id, "", false
	}
	return id[:i], id[i+1:], true
}

func lastID(s *Subscriber) string {
	synctest.Wait()
	return s.LastID()
}

func want(t *testing.T, got []string, lines ...string) {
	t.Helper()
	if d := cmp.Diff(lines, got); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}
}
