package auth

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/walrelay/walrelay/change"
)

// unseen changes rows of which replication never tells.
func (w *world) unseen(f func()) {
	w.lock.Lock()
	defer w.lock.Unlock()
	f()
}

// TestMissed: what nobody heard of is found out by look-ups, and no stream goes on before.
func TestMissed(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(t *testing.T, w *world) {
		gone, changed, lasting := w.enter("sid=t-ada"), w.enter("sid=t-bob"), w.enter("sid=t-ada")
		w.unseen(func() { delete(w.rows, "t-ada"); w.roles["bob"] = "admin" })
		gone.is(t, "open")
		w.Missed()
		for _, st := range []*fakeStream{gone, changed, lasting} {
			st.is(t, "paused")
		}
		time.Sleep(time.Second)
		gone.is(t, "signed_out")
		changed.is(t, "claims_changed")
		lasting.is(t, "signed_out")
		st := w.enter("sid=t-bob")
		w.Missed()
		time.Sleep(time.Second)
		st.is(t, "open")
	})
}

// TestMissedDuringLookup: a look-up that asked before does not count, neither the first of a
// session nor one that is repeated.
func TestMissedDuringLookup(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.waiting = make(chan struct{})
		answer := make(chan error, 1)
		go func() { _, err := w.come("sid=t-ada"); answer <- err }()
		synctest.Wait()
		w.unseen(func() { delete(w.rows, "t-ada") })
		w.Missed()
		close(w.waiting)
		wantError(t, <-answer, ErrNoSession)
	})
	inWorld(t, nil, func(t *testing.T, w *world) {
		st := w.enter("sid=t-ada")
		answer := make(chan struct{})
		w.unseen(func() { w.waiting = answer })
		w.commit(setRole("ada", "admin"))
		time.Sleep(time.Second) // it has read, and waits
		w.unseen(func() { delete(w.rows, "t-ada") })
		w.Missed()
		close(answer)
		time.Sleep(time.Second)
		st.is(t, "signed_out")
	})
}

// TestMissedXIDs: the server that has taken over gives out ids that snapshots of the one before
// have already.
func TestMissedXIDs(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(t *testing.T, w *world) {
		st := w.enter("sid=t-ada")
		answer := make(chan struct{})
		w.unseen(func() { w.waiting, w.xmax = answer, firstXID-100 })
		w.Missed()
		time.Sleep(time.Second) // it has been looked up, and is still as it was
		gone := &change.Change{Op: change.Delete, Relation: webSessions, Old: keyTuple(adas.id), OldKind: change.OldKey, Tx: change.Tx{XID: firstXID - 50}}
		w.Observe(gone)
		close(answer)
		time.Sleep(time.Second)
		st.is(t, "signed_out")
	})
}
