package channel

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walrelay/walrelay/change"
)

// Owners that write while the lane fills their queues again and again: each gets on
// and off lanes all the time, gets everything, in order and once. The race detector
// sees whether a lane lets go of a subscriber before another takes it.
func TestOverflowWhileOwnersWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{QueueBytes: 1})
		stop := h.run()
		const owners, rows = 8, 400
		got := make([][]string, owners)
		var wait sync.WaitGroup
		for i := range owners {
			s := h.subscribe("", "all", fmt.Sprintf("room/%d", i))
			wait.Go(func() {
				defer s.Close()
				for {
					<-s.Changed()
					for runs := s.Take(); len(runs) > 0; runs = s.Take() {
						for _, r := range runs {
							for j := range r.Frames {
								got[i] = append(got[i], r.Event(j).ID)
							}
						}
					}
					if _, ended := s.Ended(); ended {
						return
					}
				}
			})
		}
		for id := range rows {
			h.tx(insert(id, -1, "x"))
		}
		for range 5 { // passes may wait for one another
			time.Sleep(time.Second)
			synctest.Wait()
		}
		stop()
		wait.Wait()
		if h.Stats().Overflows < owners {
			t.Errorf("%d overflows", h.Stats().Overflows)
		}
		for i, ids := range got {
			if len(ids) != rows+1 { // with ready
				t.Errorf("owner %d got %d events, want %d", i, len(ids), rows+1)
			}
			for n := 1; n < len(ids); n++ {
				was, _ := ParseEventID(ids[n-1])
				if is, _ := ParseEventID(ids[n]); !was.At.Less(is.At) {
					t.Errorf("owner %d: %s after %s", i, ids[n], ids[n-1])
				}
			}
		}
	})
}

// A subscriber whose queue is full boards another lane only when its own has let go
// of it.
func TestOverflowLetsGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHub(t, Options{QueueBytes: 1})
		defer h.run()()
		s := h.subscribe("", "all")
		run := h.readyRun(s.view, false, EventID{At: change.Position{Commit: 0x200}, Tag: s.view.tag}, change.Position{}, "")
		if s.push(run) != overflow { // as its lane does
			t.Fatal("the queue did not overflow")
		}
		for range 3 {
			s.Take()
		}
		synctest.Wait()
		if st := h.Stats(); st.Waiting+int(st.CatchUpPasses) != 0 {
			t.Errorf("it has boarded another lane already: %+v", st)
		}
		s.fallBehind(s.position())
		<-s.Changed()
		s.Take()
		synctest.Wait()
		if st := h.Stats(); st.CatchUpPasses != 1 {
			t.Errorf("it has not boarded a catch-up lane: %+v", st)
		}
	})
}

// A subscriber that lost changes with its lane names nothing behind them before it
// has been told.
func TestNoHeartbeatAheadOfReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 300 {
			h := newTestHub(t, Options{})
			stop := h.run()
			s := h.subscribe("", "all")
			drain(s)
			h.log.mu.Lock() // the lane finds out when all is done
			var last change.Position
			for id := range 3 {
				h.builder.Begin(change.Tx{Commit: h.commit, XID: uint32(h.commit)})
				insert(id, 7, "x")(h.builder, h.rel)
				h.commit += 0x10
				h.builder.Commit(h.commit)
				b := h.builder.Seal(time.Now())
				h.log.bounds.Last, h.log.bounds.WAL, h.log.bounds.Floor = b.Last, b.WAL, b.Last
				last = b.Last
			}
			h.log.mu.Unlock()
			done := make(chan struct{})
			go func() {
				defer close(done)
				h.log.update(func() {})
			}()
			for told := false; !told; {
				at := s.Complete()
				for _, r := range s.Take() {
					told = told || r.Frames[0].Kind == EventReset
				}
				if at != (EventID{}) && !told && !at.At.Less(last) {
					t.Fatalf("complete up to %v before the reset", at.At)
				}
			}
			<-done
			s.Close()
			stop()
		}
	})
}
