package channel

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/eventlog"
)

// wantEnded checks that nothing can be had of a subscriber any more.
func wantEnded(t *testing.T, s *Subscriber, reason string) {
	t.Helper()
	if got := drain(s); len(got) > 0 {
		t.Errorf("after End: %q", got)
	}
	if got, ended := s.Ended(); !ended || got != reason {
		t.Errorf("ended %v %q, want %q", ended, got, reason)
	}
	if id, at := s.LastID(), s.Complete(); id != "" || at != (EventID{}) {
		t.Errorf("an id after End: %q %q", id, at)
	}
	if s.Held() {
		t.Error("it is held")
	}
}

// unjudged is a change that no rule can judge.
func unjudged(b *change.Builder, r *change.Relation) {
	b.Row(change.Insert, r, []byte{'N', 0, 3, 't', 0, 0, 0, 1, '1', byte(change.Omitted), byte(change.Omitted)}, true)
}

// TestEndDropsQueue: neither what was queued before End nor what comes after it is handed out.
func TestEndDropsQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		defer h.run()()
		s, other := h.subscribe("", "all"), h.subscribe("", "all")
		drain(s)
		h.tx(insert(1, 1, "queued"))
		synctest.Wait()
		s.End("signed_out")
		select {
		case <-s.Changed():
		default:
			t.Error("the owner was not woken")
		}
		h.tx(insert(2, 1, "later"))
		wantEnded(t, s, "signed_out")
		s.End("claims_changed")
		s.Pause(true)
		s.Pause(false)
		wantEnded(t, s, "signed_out")
		if n := len(h.live.subscribers()); n != 1 {
			t.Errorf("%d subscribers on the lane", n)
		}
		if got := drain(other); len(got) != 3 {
			t.Errorf("the other one got %q", got)
		}
		s.Close()
		s.End("again")
	})
}

// TestEndAfterTheHub: what the hub lets the owner take at an end of its own, End does not.
func TestEndAfterTheHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{})
		defer h.run()()
		s := h.subscribe("", "all")
		h.tx(insert(1, 1, "queued"))
		synctest.Wait()
		s.finish("draining")
		s.End("signed_out")
		wantEnded(t, s, "signed_out")
	})
}

// TestEndWhileHeld: the snapshot that is being read is nobody's, and its bytes are given back.
func TestEndWhileHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSnapshots{visible: Visibility{Snapshot: change.Snapshot{Xmin: 5, Xmax: 5}, Until: 0x100}, rows: [][]string{{"1", "7", "x"}}}
		f.during = func() { time.Sleep(time.Second) }
		h := snapshotHub(t, f, 10)
		defer h.run()()
		user := userOf(t, claimsOf(t, "id bigint"), `{"id":7}`)
		s := h.subscribeAs(user, "", "mine")
		if !s.Held() {
			t.Fatal("it is not held")
		}
		s.End("signed_out")
		time.Sleep(10 * time.Second)
		h.tx(insert(2, 7, "later"))
		wantEnded(t, s, "signed_out")
		if n := h.snapshotBytes.Load(); n != 0 || f.open != 0 {
			t.Errorf("%d bytes and %d snapshots are held", n, f.open)
		}
	})
}

// TestEndBeforeSnapshotIsWritten: bytes of a snapshot that nobody will write are given back at
// once, of one that is being written with the next Take.
func TestEndBeforeSnapshotIsWritten(t *testing.T) {
	for _, taken := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeSnapshots{visible: Visibility{Snapshot: change.Snapshot{Xmin: 5, Xmax: 5}, Until: 0x100}, rows: [][]string{{"1", "7", "x"}}}
			h := snapshotHub(t, f, 10)
			defer h.run()()
			s := h.subscribeAs(userOf(t, claimsOf(t, "id bigint"), `{"id":7}`), "", "mine")
			synctest.Wait()
			if taken {
				s.Take()
			}
			s.End("signed_out")
			if n := h.snapshotBytes.Load(); (n > 0) != taken {
				t.Errorf("taken %v: %d bytes are held after End", taken, n)
			}
			s.Take()
			if n := h.snapshotBytes.Load(); n != 0 {
				t.Errorf("taken %v: %d bytes are held", taken, n)
			}
		})
	}
}

// TestEndWhileBehind: nobody boards a catch-up lane for a subscriber that is over.
func TestEndWhileBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{QueueBytes: 1})
		defer h.run()()
		s := h.subscribe("", "all")
		for i := range 5 {
			h.tx(insert(i, 1, "x"))
			synctest.Wait()
		}
		if h.Stats().Overflows == 0 {
			t.Fatal("no overflow")
		}
		s.End("signed_out")
		wantEnded(t, s, "signed_out")
		if st := h.Stats(); st.CatchUpPasses != 0 || st.Waiting != 0 {
			t.Errorf("%d passes, %d waiting", st.CatchUpPasses, st.Waiting)
		}
	})
}

// TestEndOnCatchUpLane: the lane goes on without it, and ends when it has no riders left.
func TestEndOnCatchUpLane(t *testing.T) {
	for _, wait := range []time.Duration{0, 25 * time.Second} { // for the lane, on the lane
		synctest.Test(t, func(t *testing.T) {
			h := newTestHub(t, Options{})
			h.events = slowHistory{h.log}
			for i := range 40 {
				h.tx(insert(i, 1, "x"))
			}
			defer h.run()()
			s := h.subscribe("0/100", "all")
			time.Sleep(wait)
			s.End("signed_out")
			time.Sleep(time.Hour)
			wantEnded(t, s, "signed_out")
			if st := h.Stats(); st.CatchUpLanes != 0 || st.Waiting != 0 || len(h.live.subscribers()) != 0 {
				t.Errorf("%d lanes, %d waiting, %d on the live lane", st.CatchUpLanes, st.Waiting, len(h.live.subscribers()))
			}
		})
	}
}

// TestEndThenReset: what the lanes tell a subscriber by themselves is dropped too.
func TestEndThenReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSnapshots{visible: Visibility{Snapshot: change.Snapshot{Xmin: 5, Xmax: 5}, Until: 0x100}}
		h := snapshotHub(t, f, 10)
		defer h.run()()
		user := userOf(t, claimsOf(t, "id bigint"), `{"id":7}`)
		mine, ahead, all := h.subscribeAs(user, "", "mine"), h.subscribe("FFFFFFF/0", "all"), h.subscribe("", "all")
		drain(mine)
		mine.End("signed_out")
		ahead.End("signed_out")
		all.End("signed_out")
		h.log.update(func() { h.log.broken = eventlog.ErrCorrupt }) // a reset
		synctest.Wait()
		h.tx(unjudged) // a reset, and a snapshot behind it
		time.Sleep(10 * h.aheadWait)
		h.SetRules(nil)
		for _, s := range []*Subscriber{mine, ahead, all} {
			wantEnded(t, s, "signed_out")
		}
	})
}

// TestPause: nothing goes out while a stream is paused, and all of it afterwards, in order and once.
func TestPause(t *testing.T) {
	for _, rows := range []int{3, 40} { // which the queue holds, and not
		synctest.Test(t, func(t *testing.T) {
			h := newTestHub(t, Options{QueueBytes: 1000})
			defer h.run()()
			s := h.subscribe("", "all")
			drain(s)
			s.Pause(true)
			if s.LastID() != "" || s.Complete() != (EventID{}) {
				t.Error("an id while paused")
			}
			var sent []string
			for i := range rows {
				h.tx(insert(i, 1, "x"))
				sent = append(sent, fmt.Sprintf(`insert {"id":%d} {"id":%d,"room":1,"body":"x"}`, i, i))
				if got := drain(s); len(got) > 0 || s.LastID() != "" || s.Complete() != (EventID{}) || !s.Held() {
					t.Fatalf("while paused: %q, id %q, held %v", got, s.LastID(), s.Held())
				}
			}
			s.mu.Lock()
			if s.queued > 1000 || (h.Stats().Overflows > 0) != (rows == 40) {
				t.Errorf("%d bytes are queued, %d overflows", s.queued, h.Stats().Overflows)
			}
			s.mu.Unlock()
			for len(s.Changed()) > 0 {
				<-s.Changed()
			}
			s.Pause(false)
			if len(s.Changed()) == 0 {
				t.Error("the owner was not woken")
			}
			var got []string
			for range 20 { // passes may wait for one another
				got = append(got, short(drain(s))...)
				time.Sleep(time.Second)
			}
			want(t, got, sent...)
			if s.LastID() == "" || s.Held() {
				t.Errorf("afterwards: id %q, held %v", s.LastID(), s.Held())
			}
		})
	}
}

// TestPauseWhileSnapshotIsWritten: a Take that gives nothing because of a pause does not count
// what is still queued as written.
func TestPauseWhileSnapshotIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSnapshots{visible: Visibility{Snapshot: change.Snapshot{Xmin: 5, Xmax: 5}, Until: 0x100}, rows: [][]string{{"1", "7", "x"}}}
		h := snapshotHub(t, f, 10)
		defer h.run()()
		s := h.subscribeAs(userOf(t, claimsOf(t, "id bigint"), `{"id":7}`), "", "mine")
		s.Pause(true)
		if got := drain(s); len(got) > 0 || h.snapshotBytes.Load() == 0 {
			t.Errorf("while paused: %q, and %d bytes are held", got, h.snapshotBytes.Load())
		}
		s.Pause(false)
		if got := drain(s); len(got) != 2 || h.snapshotBytes.Load() != 0 {
			t.Errorf("afterwards: %q, and %d bytes are held", got, h.snapshotBytes.Load())
		}
	})
}

// TestEndAgainstPush: a run that is pushed after End has returned is never handed out, nor is any
// run after it, nor while a pause lasts, whatever the lane and the owner do meanwhile.
func TestEndAgainstPush(t *testing.T) {
	h := newTestHub(t, Options{})
	for range 300 {
		s := &Subscriber{hub: h.Hub, wake: make(chan struct{}, 1), view: &view{}}
		var over, done atomic.Bool
		var pause atomic.Int64 // odd while Take must give nothing
		late := map[*Run]bool{}
		var taken []*Run
		var wait sync.WaitGroup
		wait.Go(func() { // the lane
			defer done.Store(true)
			for i := change.LSN(1); i <= 200; i++ {
				b := &runBuffer{}
				b.add(EventInsert, []byte(`{}`), change.Position{Commit: i}, "aaaaaa")
				r := b.seal()
				late[r] = over.Load()
				s.push(r)
			}
		})
		wait.Go(func() { // the session
			for range 5 {
				s.Pause(true)
				pause.Add(1)
				pause.Add(1)
				s.Pause(false)
			}
			s.End("signed_out")
			over.Store(true)
		})
		wait.Go(func() { // the owner
			for !done.Load() {
				was, began := over.Load(), pause.Load()
				runs := s.Take()
				if len(runs) > 0 && (was || began%2 == 1 && began == pause.Load()) {
					t.Errorf("%d runs, over %v, pause %d", len(runs), was, began)
				}
				taken = append(taken, runs...)
			}
		})
		wait.Wait()
		for _, r := range append(taken, s.Take()...) {
			if late[r] {
				t.Fatalf("a run was handed out that came after End: %s", r.Bytes)
			}
		}
	}
}

// TestEndAnywhere: sessions end at any moment of the life of streams that overflow, catch up,
// wait for snapshots and are reloaded: what is taken then is nothing, and nothing stays behind.
func TestEndAnywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSnapshots{visible: Visibility{Snapshot: change.Snapshot{Xmin: 5, Xmax: 5}, Until: 0x100}, rows: [][]string{{"1", "7", "x"}}}
		f.during = func() { time.Sleep(3 * time.Millisecond) }
		h := snapshotHub(t, f, 10)
		h.queueLimit = 300
		stop := h.run()
		user := userOf(t, claimsOf(t, "id bigint"), `{"id":7}`)
		var wait sync.WaitGroup
		for i := range 60 {
			channels := [][]string{{"mine"}, {"all"}, {"mine", "all"}}[i%3]
			s := h.subscribeAs(user, []string{"", "0/100"}[i%2], channels...)
			var over atomic.Bool
			wait.Go(func() {
				defer s.Close()
				for {
					<-s.Changed()
					for {
						was := over.Load()
						runs := s.Take()
						if len(runs) > 0 && was {
							t.Errorf("%d runs after End", len(runs))
						}
						if len(runs) == 0 {
							break
						}
						time.Sleep(time.Duration(i%7) * time.Millisecond)
					}
					if _, ended := s.Ended(); ended {
						return
					}
				}
			})
			wait.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				s.Pause(true)
				time.Sleep(time.Duration(i%11) * time.Millisecond)
				s.Pause(false)
				time.Sleep(time.Duration(i%5) * time.Millisecond)
				s.End("signed_out")
				over.Store(true)
			})
		}
		for i := range 100 {
			h.tx(insert(i, 7, "x"))
			if i%25 == 24 {
				h.tx(unjudged)
			}
			time.Sleep(time.Millisecond)
		}
		wait.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		if st := h.Stats(); st.Subscribers+st.CatchUpLanes+st.Waiting != 0 || h.snapshotBytes.Load() != 0 {
			t.Errorf("left behind: %d subscribers, %d lanes, %d waiting, %d bytes of snapshots", st.Subscribers, st.CatchUpLanes, st.Waiting, h.snapshotBytes.Load())
		}
		stop()
	})
}
