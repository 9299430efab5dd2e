package channel

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// awaited returns what has been listed, once everybody has come to rest.
func awaited(r *Ready) []uint64 {
	synctest.Wait()
	select {
	case <-r.Changed():
	default:
	}
	return r.Take(nil)
}

// bound is a subscriber whose owner has taken everything.
func (h *testHub) bound(r *Ready, id uint64, channels ...string) *Subscriber {
	h.t.Helper()
	s := h.subscribe("", channels...)
	s.Bind(r, id)
	for runs, _, _ := s.Next(); len(runs) > 0; runs, _, _ = s.Next() {
	}
	return s
}

// A batch wakes the owner once, with all whom it concerns; who has not asked since is not listed
// again, and misses nothing.
func TestBoundSubscribersAreListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		defer h.run()()
		r := NewReady()
		const n = 100
		subs := make([]*Subscriber, n)
		for i := range subs {
			name := "all"
			if i%2 == 1 {
				name = "room/1"
			}
			subs[i] = h.bound(r, uint64(i), name)
		}
		if ids := awaited(r); len(ids) > 0 {
			t.Errorf("%d listed before there is anything", len(ids))
		}
		h.tx(insert(1, 7, "a"), insert(2, 7, "b"))
		ids := awaited(r)
		if slices.Sort(ids); len(ids) != n/2 || ids[0] != 0 || ids[n/2-1] != n-2 {
			t.Errorf("listed %v, want all even ones", ids)
		}
		h.tx(insert(3, 1, "c"))
		ids = awaited(r)
		if slices.Sort(ids); len(ids) != n/2 || ids[0] != 1 {
			t.Errorf("listed %v, want those who were not before", ids)
		}
		for i, s := range subs {
			want := 3 - i%2*2
			runs, _, _ := s.Next()
			got := 0
			for _, r := range runs {
				got += len(r.Frames)
			}
			if got != want {
				t.Errorf("subscriber %d got %d events, want %d", i, got, want)
			}
		}
		h.tx(insert(4, 1, "d"))
		if ids := awaited(r); len(ids) != n {
			t.Errorf("%d listed after they have asked, want %d", len(ids), n)
		}
	})
}

// What cannot wait for a client to read is told although its owner has been woken.
func TestEndIsListedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		stop := h.run()
		r := NewReady()
		ended, drained := h.bound(r, 1, "all"), h.bound(r, 2, "all")
		h.tx(insert(1, 1, "a"))
		awaited(r)
		ended.End("signed_out")
		if ids := awaited(r); !slices.Equal(ids, []uint64{1}) {
			t.Errorf("listed %v, want the one that ended", ids)
		}
		if runs, end, ok := ended.Next(); len(runs) > 0 || end != "signed_out" || !ok {
			t.Errorf("%d runs, end %q", len(runs), end)
		}
		stop()
		if ids := awaited(r); !slices.Contains(ids, 2) {
			t.Errorf("listed %v, want the one that the hub has ended", ids)
		}
		if runs, end, ok := drained.Next(); len(runs) != 1 || ok {
			t.Errorf("%d runs, end %q: what was queued comes before the end", len(runs), end)
		}
		if runs, end, ok := drained.Next(); len(runs) > 0 || end != "draining" || !ok {
			t.Errorf("%d runs, end %q", len(runs), end)
		}
	})
}

// An owner of many whose queues are full all the time: each subscriber gets everything, in order
// and once, also when it comes back by catch-up lanes.
func TestOverflowOfBoundSubscribers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{QueueBytes: 1})
		stop := h.run()
		const n, rows = 20, 200
		r := NewReady()
		subs, got := make([]*Subscriber, n), make([][]string, n)
		for i := range subs {
			subs[i] = h.subscribe("", "all", fmt.Sprintf("room/%d", i))
			subs[i].Bind(r, uint64(i))
			r.Add(uint64(i))
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for over := map[uint64]bool{}; len(over) < n; {
				<-r.Changed()
				for _, id := range r.Take(nil) {
					if takeAll(subs[id], &got[id]) {
						over[id] = true
					}
				}
			}
		}()
		for id := range rows {
			h.tx(insert(id, -1, "x"))
		}
		for range 5 { // passes may wait for one another
			time.Sleep(time.Second)
			synctest.Wait()
		}
		stop()
		<-done
		if h.Stats().Overflows == 0 {
			t.Error("no queue was full")
		}
		for i, ids := range got {
			if len(ids) != rows+1 { // with ready
				t.Errorf("subscriber %d got %d events, want %d", i, len(ids), rows+1)
			}
			if !slices.IsSortedFunc(ids, func(a, b string) int {
				x, _ := ParseEventID(a)
				y, _ := ParseEventID(b)
				return x.At.Compare(y.At)
			}) {
				t.Errorf("subscriber %d got events out of order", i)
			}
		}
	})
}

// takeAll appends the ids of what there is, and reports whether that was the end.
func takeAll(s *Subscriber, ids *[]string) (over bool) {
	for {
		runs, _, ended := s.Next()
		if ended {
			s.Close()
			return true
		}
		if len(runs) == 0 {
			return false
		}
		for _, r := range runs {
			for i := range r.Frames {
				*ids = append(*ids, r.Event(i).ID)
			}
		}
	}
}

// Lists keep no more memory than is usual.
func TestReadyShrinks(t *testing.T) {
	r := NewReady()
	for id := range uint64(4 * maxSpareWakes) {
		r.Add(id)
	}
	spare := r.Take(nil)
	r.Take(spare)
	r.Add(1)
	if got := r.Take(nil); cap(got) > maxSpareWakes || len(got) != 1 {
		t.Errorf("%d listed, room for %d", len(got), cap(got))
	}
	var w wakes
	for id := range uint64(4 * maxSpareWakes) {
		w.add(r, id)
	}
	w.send()
	if cap(w[0].ids) > maxSpareWakes {
		t.Errorf("room for %d", cap(w[0].ids))
	}
}
