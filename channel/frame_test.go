package channel

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/walrelay/walrelay/change"
)

// TestFrameBytes: an id stands on a line of its own behind the data, in the last frame of a position
// only.
func TestFrameBytes(t *testing.T) {
	b := &runBuffer{}
	b.add(EventDelete, []byte(`{"a":1}`), change.Position{Commit: 0x10, Index: 1}, "tag")
	b.add(EventInsert, []byte(`{"a":2}`), change.Position{Commit: 0x10, Index: 1}, "tag")
	b.add(EventUpdate, []byte(`{"a":2}`), change.Position{Commit: 0x10, Index: 2}, "tag")
	b.idOnly(change.Position{Commit: 0x20}, "tag")
	r := b.seal()
	const want = "event: delete\ndata: {\"a\":1}\n\nevent: insert\ndata: {\"a\":2}\nid: 0/10.1.tag\n\nevent: update\ndata: {\"a\":2}\nid: 0/10.2.tag\n\nid: 0/20.0.tag\n\n"
	if string(r.Bytes) != want {
		t.Errorf("got %q\nwant %q", r.Bytes, want)
	}
	for i, id := range []string{"", "0/10.1.tag", "0/10.2.tag", "0/20.0.tag"} {
		if e := r.Event(i); e.ID != id {
			t.Errorf("event %d has the id %q, want %q", i, e.ID, id)
		}
	}
}

// TestPendingRuns: what a view gets does not depend on how its frames are kept until they are handed
// out: the only one, several, of one position or of several, small and large, after flushes with few
// and with many.
func TestPendingRuns(t *testing.T) {
	h := New(Options{Log: newMemLog(), QueueBytes: 1 << 40})
	l := newLane(h, change.Position{})
	tag := strings.Repeat("t", tagLen)
	s := &Subscriber{hub: h, view: &view{tag: tag, generation: l.generation}, wake: make(chan struct{}, 1)}
	l.join(s)
	rider, random := l.index.views[s.view], rand.New(rand.NewPCG(4, 4))
	at, commit := change.Position{Commit: 0x1000}, time.Unix(1000, 0)
	for round := range 300 {
		want := &runBuffer{}
		for range random.IntN(5) {
			data := bytes.Repeat([]byte{'x'}, random.IntN(1+1<<random.IntN(12)))
			if at.Index++; random.IntN(3) > 0 {
				at.Commit += 8
			} else if len(want.frames) > 0 {
				at = want.frames[len(want.frames)-1].At
			}
			kind := EventKind(random.IntN(3))
			want.add(kind, data, at, tag)
			l.index.add(rider, kind, data, at, commit)
			commit = commit.Add(time.Second)
		}
		if l.index.pending != len(want.buf) {
			t.Fatalf("round %d: %d bytes pending, want %d", round, l.index.pending, len(want.buf))
		}
		first := commit.Add(-time.Duration(len(want.frames)) * time.Second)
		if n := len(want.frames); n > 0 && random.IntN(4) == 0 {
			last := want.frames[n-1].At
			l.index.cutOff(rider, nil, ReasonGap, last)
			want.dropAt(last)
			rider.cut, l.index.cuts = nil, l.index.cuts[:0]
		}
		l.flush()
		runs := s.Take()
		if len(want.frames) == 0 {
			if len(runs) != 0 {
				t.Fatalf("round %d: %d runs of nothing", round, len(runs))
			}
			continue
		}
		if len(runs) != 1 || !bytes.Equal(runs[0].Bytes, want.buf) || !slices.Equal(runs[0].Frames, want.frames) || !runs[0].Commit.Equal(first) {
			t.Fatalf("round %d: got %+v, want %+v", round, runs, want)
		}
	}
	if l.index.pending != 0 {
		t.Errorf("%d bytes pending at the end", l.index.pending)
	}
}

// TestTakeKeepsRuns: what Take has returned stays as it is until the next Take, whatever is queued
// meanwhile, and nothing of it is held longer.
func TestTakeKeepsRuns(t *testing.T) {
	s := &Subscriber{hub: New(Options{Log: newMemLog()}), view: &view{}, wake: make(chan struct{}, 1)}
	push := func(from, n int) {
		for i := range n {
			b := &runBuffer{}
			b.event(EventInsert, fmt.Append(nil, from+i), change.Position{Commit: change.LSN(from+i) * 8})
			if s.push(b.seal()) != pushed {
				t.Fatal("the run was not queued")
			}
		}
	}
	next := 1
	for round, n := range []int{1, 1, 3, 0, 2, 40, 1, 2} {
		push(next, n)
		got := s.Take()
		push(next+n, 2) // and more while the owner writes
		for i, r := range got {
			if want := fmt.Sprint(next + i); string(r.Event(0).Data) != want {
				t.Fatalf("round %d: run %d has %s, want %s", round, i, r.Event(0).Data, want)
			}
		}
		if next += n; len(got) != n {
			t.Fatalf("round %d: %d runs, want %d", round, len(got), n)
		}
		if got = s.Take(); len(got) != 2 {
			t.Fatalf("round %d: %d more runs, want 2", round, len(got))
		}
		next += 2
	}
	s.Take()
	s.Take()
	for _, memory := range [][]*Run{s.queue, s.out} {
		for _, r := range memory[:cap(memory)] {
			if r != nil {
				t.Errorf("a run is held that nobody will ask for: %s", r.Bytes)
			}
		}
	}
}
