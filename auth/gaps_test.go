package auth

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/walrelay/walrelay/change"
)

// during opens a stream with ada's cookie and has something happen between the look-up's reading
// and its answer.
func (w *world) during(what func()) (one *Session, err error) {
	answer, done := make(chan struct{}), make(chan struct{})
	w.unseen(func() { w.waiting = answer })
	go func() { defer close(done); one, err = w.come("sid=t-ada") }()
	synctest.Wait()
	what()
	w.unseen(func() { w.waiting = nil })
	close(answer)
	<-done
	return one, err
}

// byToken is the session table whose rows are known by their token.
func byToken() *change.Relation {
	rel := *webSessions
	rel.ID, rel.Identity, rel.Columns = 12, 'i', append([]change.Column(nil), webSessions.Columns...)
	rel.Columns[0].Identity, rel.Columns[1].Identity = false, true
	return &rel
}

// TestTableAlteredDuringLookup: a session that is found by what the stream names its row by no
// more would never end.
func TestTableAlteredDuringLookup(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(t *testing.T, w *world) {
		rel := byToken()
		one, err := w.during(func() {
			w.Observe(&change.Change{Op: change.Update, Relation: rel, New: tuple(bobs.values()), Tx: change.Tx{XID: firstXID - 1}})
		})
		if err != nil {
			t.Fatal(err)
		}
		st := w.attach(one)
		st.is(t, "open")
		key := make([]change.Value, 6)
		for i := range key {
			key[i].Kind = change.Null
		}
		key[1] = change.Value{Kind: change.Text, Text: []byte(adas.token)}
		w.Observe(&change.Change{Op: change.Delete, Relation: rel, Old: tuple(key), OldKind: change.OldKey, Tx: change.Tx{XID: firstXID}})
		st.is(t, "signed_out")
	})
}

// TestDeclaredDuringLookup: claims are those that are declared when the session is known.
func TestDeclaredDuringLookup(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(t *testing.T, w *world) {
		one, err := w.during(func() { w.SetDeclared(w.o.Declared[:1]) })
		if err != nil || w.queries() != 2 {
			t.Errorf("%d look-ups, %v", w.queries(), err)
		}
		w.attach(one).is(t, "open")
	})
	askMembers(t, func(t *testing.T, w *world, _ *members) {
		one, err := w.come("sid=ann")
		if err != nil {
			t.Fatal(err)
		}
		w.SetDeclared(w.o.Declared[:1])
		w.attach(one).is(t, "claims_changed")
	})
}

// TestSecretsDuringLookup: who was let in by a secret that is in force no more is asked again.
func TestSecretsDuringLookup(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(t *testing.T, w *world) {
		_, err := w.during(func() {
			if err := w.SetSecrets(); err != nil {
				t.Error(err)
			}
		})
		if outcomeOf(err) != "not ready" || len(w.index.cookies) != 0 {
			t.Errorf("%v, and %d cookies are known", err, len(w.index.cookies))
		}
	})
}

// TestLookupSlept: a look-up that is older than what is remembered of changes does not count.
func TestLookupSlept(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(t *testing.T, w *world) {
		one := &Session{sessions: w.Sessions, src: w.sources[0], tag: tag{1}, asked: question{key: []byte("t-ada")}}
		f, err := w.lookUp(t.Context(), one)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(recentFor)
		if ok, err := w.admit(one, f); ok || err != nil {
			t.Errorf("admitted %v, %v", ok, err)
		}
	})
}

// TestFailoverDuringLookup: what the server before said does not count.
func TestFailoverDuringLookup(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(t *testing.T, w *world) {
		_, err := w.during(func() {
			resets := w.resets
			if err := w.Learn(tablesOfTests()); err != nil {
				t.Error(err)
			}
			w.unseen(func() { delete(w.rows, "t-ada") })
			if w.resets != resets+1 {
				t.Error("look-ups go on with the server before")
			}
		})
		wantError(t, err, ErrNoSession)
	})
}
