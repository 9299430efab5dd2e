package auth

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walrelay/walrelay/change"
)

var (
	adas = sessionRow{id: "1", token: "t-ada", user: "ada", org: "x", kind: "web"}
	bobs = sessionRow{id: "2", token: "t-bob", user: "bob", org: "x", kind: "web"}
)

// inWorld runs a test in virtual time, with the sessions running.
func inWorld(t *testing.T, change func(*Options), test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, change)
		w.have(adas, bobs)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		test(t, w)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		w.Close()
	})
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

func TestResolveAndCache(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(t *testing.T, w *world) {
		one, err := w.come("x=1; sid=t-ada")
		if err != nil {
			t.Fatal(err)
		}
		if one.Claims().Anonymous() || one.MaxStream() != time.Hour {
			t.Errorf("claims %v, max stream %s", one.Claims(), one.MaxStream())
		}
		again, err := w.come("sid=t-ada")
		if again != one || err != nil || w.queries() != 1 {
			t.Errorf("the same cookie: %p, %v after %d look-ups", again, err, w.queries())
		}
		for _, cookie := range []string{"", "other=1", "sid=", "sid=nobody's"} {
			if one, err := w.come(cookie); one != nil || !errors.Is(err, ErrNoSession) {
				t.Errorf("%q: %v, %v", cookie, one, err)
			}
		}
	})
}

// TestRevocationTable is the table of auth.md 5.1.
func TestRevocationTable(t *testing.T) {
	t.Parallel()
	moved := func(f func(*sessionRow)) sessionRow { r := adas; f(&r); return r }
	for name, test := range map[string]struct {
		change func(*tx)
		want   string
		asks   int // look-ups that it costs
	}{
		"DELETE": {deleteSession(adas), "signed_out", 0},
		"touch":  {updateSession(adas, moved(func(r *sessionRow) { r.expires = time.Now().Add(1e6 * time.Hour) })), "open", 0},
		"touch, the rest in unchanged TOAST": {func(t *tx) {
			values := moved(func(r *sessionRow) { r.expires = time.Now().Add(time.Hour) }).values()
			values[2], values[3] = change.Value{Kind: change.Unchanged}, change.Value{Kind: change.Unchanged}
			t.observe(&change.Change{Op: change.Update, Relation: webSessions, New: tuple(values)})
		}, "open", 0},
		"rotated, the rest in unchanged TOAST": {func(t *tx) {
			values := moved(func(r *sessionRow) { r.token = "t-new" }).values()
			values[2], values[3] = change.Value{Kind: change.Unchanged}, change.Value{Kind: change.Unchanged}
			t.observe(&change.Change{Op: change.Update, Relation: webSessions, New: tuple(values)})
		}, "signed_out", 0},
		"the identity moves":    {updateSession(adas, moved(func(r *sessionRow) { r.id = "7" })), "signed_out", 0},
		"the token is rotated":  {updateSession(adas, moved(func(r *sessionRow) { r.token = "t-new" })), "signed_out", 0},
		"logout by UPDATE":      {updateSession(adas, moved(func(r *sessionRow) { r.user = "" })), "signed_out", 0},
		"where is false":        {updateSession(adas, moved(func(r *sessionRow) { r.kind = "reset" })), "signed_out", 0},
		"a watched value":       {updateSession(adas, moved(func(r *sessionRow) { r.org = "y" })), "claims_changed", 1},
		"another user":          {updateSession(adas, moved(func(r *sessionRow) { r.user = "bob" })), "claims_changed", 1},
		"TRUNCATE":              {truncateTable(webSessions), "signed_out", 0},
		"another session":       {deleteSession(bobs), "open", 0},
		"an unknown session":    {deleteSession(sessionRow{id: "99"}), "open", 0},
		"INSERT":                {insertSession(sessionRow{id: "3", token: "t", user: "ada", kind: "web"}), "open", 0},
		"claims change":         {setRole("ada", "user"), "claims_changed", 1},
		"claims stay":           {setRole("ada", "admin"), "open", 1},
		"the user is gone":      {setRole("ada", ""), "signed_out", 1},
		"another user's claims": {setRole("bob", "admin"), "open", 0},
		"TRUNCATE of users":     {truncateTable(webUsers), "signed_out", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, nil, func(t *testing.T, w *world) {
				st := w.enter("sid=t-ada")
				w.commit(test.change)
				if test.want == "signed_out" && test.asks == 0 {
					st.is(t, "signed_out") // at once: before anything later can be delivered
				}
				time.Sleep(time.Second)
				st.is(t, test.want)
				if got := w.queries() - 1; got != test.asks {
					t.Errorf("%d look-ups, want %d", got, test.asks)
				}
				if test.want == "open" {
					return
				}
				late := w.attach(st.session) // a request that was resolved before
				late.is(t, test.want)
			})
		})
	}
}

// TestOldNews: what a look-up has seen already is no reason to do anything.
func TestOldNews(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(t *testing.T, w *world) {
		xid := uint64(firstXID)
		w.xmax++ // the transaction is visible to queries before replication brings it
		st := w.enter("sid=t-ada")
		late := &tx{w: w, xid: xid, at: w.now()}
		for _, c := range []func(*tx){deleteSession(adas), setRole("ada", "user"), truncateTable(webSessions)} {
			c(late)
			st.is(t, "open")
		}
		if w.queries() != 1 {
			t.Errorf("%d look-ups", w.queries())
		}
	})
}

// TestStuckDelete: a DELETE that has come by replication and is not visible yet, as when a
// synchronous standby is away. No look-up brings the session back.
func TestStuckDelete(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(t *testing.T, w *world) {
		st := w.enter("sid=t-ada")
		xid := w.commitStuck(deleteSession(adas))
		st.is(t, "signed_out")
		_, err := w.come("sid=t-ada")
		var later *NotReadyError
		if !errors.As(err, &later) {
			t.Errorf("while it is stuck: %v, want an error that passes", err)
		}
		time.Sleep(time.Hour) // however long it is stuck
		if _, err := w.come("sid=t-ada"); !errors.As(err, &later) {
			t.Errorf("an hour later: %v", err)
		}
		if _, err := w.come("sid=t-bob"); err != nil {
			t.Errorf("another session: %v", err)
		}
		w.release(xid)
		_, err = w.come("sid=t-ada")
		wantError(t, err, ErrNoSession)
	})
}

// TestStuckReleased: a look-up that waits for a change to become visible goes on with it.
func TestStuckReleased(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(t *testing.T, w *world) {
		xid := w.commitStuck(setRole("ada", "user"))
		time.AfterFunc(time.Second, func() { w.release(xid) })
		began := time.Now()
		st := w.enter("sid=t-ada")
		if time.Since(began) < time.Second {
			t.Error("admitted with claims that are out of date")
		}
		st.is(t, "open")
	})
}

// TestChangeDuringLookup: the change comes between the query and its answer.
func TestChangeDuringLookup(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]func(*tx){"delete": deleteSession(adas), "truncate": truncateTable(webSessions), "user": setRole("ada", "")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, nil, func(t *testing.T, w *world) {
				w.waiting = make(chan struct{})
				answer := make(chan error, 1)
				go func() { _, err := w.come("sid=t-ada"); answer <- err }()
				synctest.Wait()
				w.commit(c)
				close(w.waiting)
				wantError(t, <-answer, ErrNoSession)
				if w.queries() != 2 {
					t.Errorf("%d look-ups, want a second one", w.queries())
				}
			})
		})
	}
}

func TestPauseWhileInDoubt(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(t *testing.T, w *world) {
		st := w.enter("sid=t-ada")
		xid := w.commitStuck(setRole("ada", "admin"))
		st.is(t, "paused")
		late := w.enter("sid=t-ada")
		late.is(t, "paused")
		time.Sleep(time.Second)
		st.is(t, "paused")
		w.release(xid)
		time.Sleep(time.Second)
		st.is(t, "open")
		late.is(t, "open")
	})
}

// TestDoubtsAreCoalesced: rows that change all the time cost a look-up now and then.
func TestDoubtsAreCoalesced(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(t *testing.T, w *world) {
		st := w.enter("sid=t-ada")
		const changes = 1000
		for range changes {
			w.commit(setRole("ada", "admin"))
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		st.is(t, "open")
		if got := w.queries(); got > changes/50 {
			t.Errorf("%d look-ups for %d changes in a second", got, changes)
		}
	})
}

// TestDoubtNeverSettled: what cannot be known ends the streams, and they come back.
func TestDoubtNeverSettled(t *testing.T) {
	t.Parallel()
	for name, breaks := range map[string]func(w *world){
		"Postgres is down": func(w *world) { w.down = errors.New("connection refused"); w.commitStuck(setRole("ada", "admin")) },
		"stuck":            func(w *world) { w.commitStuck(setRole("ada", "admin")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, nil, func(t *testing.T, w *world) {
				st := w.enter("sid=t-ada")
				breaks(w)
				time.Sleep(lookupPatience + time.Second)
				st.is(t, "unavailable")
				var later *NotReadyError
				if _, err := w.come("sid=t-ada"); !errors.As(err, &later) {
					t.Errorf("%v, want an error that passes", err)
				}
			})
		})
	}
}

func TestSessionExpiry(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(t *testing.T, w *world) {
		soon := adas
		soon.expires = time.Now().Add(10 * time.Second)
		slides := bobs
		slides.expires = soon.expires
		w.have(soon, slides)
		a, b := w.enter("sid=t-ada"), w.enter("sid=t-bob")
		extended := slides
		extended.expires = slides.expires.Add(10 * time.Second)
		w.have(extended) // replication lags: only a query knows
		time.Sleep(9 * time.Second)
		a.is(t, "open")
		time.Sleep(2 * time.Second)
		a.is(t, "signed_out")
		b.is(t, "open")
		further := extended
		further.expires = extended.expires.Add(time.Hour)
		w.commit(updateSession(extended, further))
		time.Sleep(time.Minute)
		b.is(t, "open")
		if w.queries() != 4 {
			t.Errorf("%d look-ups, want two at the start and one at the end of each", w.queries())
		}
	})
}

// TestStreamPastExp: open streams may outlast the token, new ones may not.
func TestStreamPastExp(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(t *testing.T, w *world) {
		st := w.enter("sid=t-ada")
		w.mu.Lock()
		st.session.until = w.now().Add(time.Minute)
		st.session.ends = st.session.until.Add(time.Minute)
		st.session.rowExpires(time.Time{})
		w.wind(st.session)
		w.mu.Unlock()
		time.Sleep(61 * time.Second)
		st.is(t, "open")
		_, err := w.come("sid=t-ada")
		wantError(t, err, ErrNoSession)
		time.Sleep(time.Minute)
		st.is(t, "signed_out")
	})
}

// dated is a decoder whose cookies expire.
type dated struct {
	decoder
	at time.Time
}

func (d dated) decode(c cookie, now time.Time) (decoded, error) {
	out, err := d.decoder.decode(c, now)
	out.expires = d.at
	return out, err
}

// TestCachedPastExp: a session that is kept for open streams lets nobody in once its token has expired.
func TestCachedPastExp(t *testing.T) {
	t.Parallel()
	inWorld(t, func(o *Options) { o.Entries[0].Session.StreamPastExp = time.Hour }, func(t *testing.T, w *world) {
		o := *w.sources[0].opener.Load()
		o.decoder = dated{o.decoder, w.now().Add(time.Minute)}
		w.sources[0].opener.Store(&o)
		st := w.enter("sid=t-ada")
		time.Sleep(59 * time.Second)
		if _, err := w.come("sid=t-ada"); err != nil {
			t.Errorf("refused before its end: %v", err)
		}
		time.Sleep(2 * time.Second)
		st.is(t, "open")
		_, err := w.come("sid=t-ada")
		wantError(t, err, ErrNoSession)
	})
}

func TestReplicationIsAway(t *testing.T) {
	t.Parallel()
	var away atomic.Bool
	inWorld(t, func(o *Options) { o.Following = func() bool { return !away.Load() } }, func(t *testing.T, w *world) {
		st := w.enter("sid=t-ada")
		away.Store(true)
		time.Sleep(deafFor - 2*time.Second)
		st.is(t, "open")
		time.Sleep(5 * time.Second)
		st.is(t, "unavailable")
		var later *NotReadyError
		if _, err := w.come("sid=t-ada"); !errors.As(err, &later) {
			t.Errorf("%v, want an error that passes", err)
		}
		away.Store(false)
		time.Sleep(2 * time.Second)
		w.enter("sid=t-ada").is(t, "open")
	})
}

func TestIdleSessionsGo(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(t *testing.T, w *world) {
		st := w.enter("sid=t-ada")
		time.Sleep(time.Hour)
		if w.cached(st.session.cookie) == nil {
			t.Error("a session with a stream is gone")
		}
		st.detach()
		time.Sleep(idleFor + time.Second)
		if w.cached(st.session.cookie) != nil || len(w.index.refs) != 0 || len(w.index.all) != 0 || len(w.open.session) != 0 || len(w.timers.due) != 0 {
			t.Error("a session without streams is still there")
		}
		w.attach(st.session).is(t, "renew") // nobody watches over it any more
	})
}

func TestRefusedCookiesAreRemembered(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(t *testing.T, w *world) {
		for range 3 {
			_, err := w.come("sid=unknown")
			wantError(t, err, ErrNoSession)
		}
		if w.queries() != 1 {
			t.Errorf("%d look-ups", w.queries())
		}
		time.Sleep(3 * time.Second)
		_, _ = w.come("sid=unknown")
		if w.queries() != 2 {
			t.Errorf("%d look-ups after the time to live", w.queries())
		}
	})
}

// TestLoginByUpdate: a session that belongs to nobody becomes somebody's. The page connects
// right after, and must not be told what was.
func TestLoginByUpdate(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(t *testing.T, w *world) {
		nobodys := sessionRow{id: "5", token: "t-5", kind: "web"}
		w.have(nobodys)
		_, err := w.come("sid=t-5")
		wantError(t, err, ErrNoSession)
		theirs := nobodys
		theirs.user = "ada"
		w.have(theirs) // replication has not told yet
		w.enter("sid=t-5").is(t, "open")
	})
}

func TestSeveralValues(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.have(sessionRow{id: "8", token: "t-ada2", user: "ada", org: "z", kind: "web"})
		_, err := w.come("sid=t-ada; sid=t-bob")
		wantError(t, err, ErrNoSession)
		if _, err := w.come("sid=t-ada; sid=t-ada2"); err != nil {
			t.Errorf("two sessions of one user: %v", err)
		}
		if _, err := w.come("sid=stale; sid=t-bob"); err != nil {
			t.Errorf("a stale one beside a good one: %v", err)
		}
		_, err = w.come("sid=a; sid=b; sid=c; sid=d; sid=e")
		wantError(t, err, ErrNoSession)
	})
}

func TestStreamLimits(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.have(sessionRow{id: "8", token: "t-ada2", user: "ada", kind: "web"})
		var streams []*fakeStream
		for range 4 {
			streams = append(streams, w.enter("sid=t-ada"))
		}
		_, err := streams[0].session.Attach(&fakeStream{})
		var limit *LimitError
		if !errors.As(err, &limit) || limit.Key != "per_session" {
			t.Errorf("%v", err)
		}
		w.enter("sid=t-ada2")
		second := w.enter("sid=t-ada2")
		if _, err := second.session.Attach(&fakeStream{}); !errors.As(err, &limit) || limit.Key != "per_user" {
			t.Errorf("%v", err)
		}
		streams[0].detach()
		if _, err := second.session.Attach(&fakeStream{}); err != nil {
			t.Error(err)
		}
	})
}

func TestFailuresAreBounded(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.enter("sid=t-bob")
		for i := range 5 {
			_, err := w.come(fmt.Sprintf("sid=guess%d", i))
			wantError(t, err, ErrNoSession)
		}
		if _, err := w.come("sid=t-bob"); err != nil {
			t.Errorf("a neighbour whose session is known: %v", err)
		}
		before := w.queries()
		_, err := w.come("sid=t-ada")
		var many *TooManyFailuresError
		if !errors.As(err, &many) || many.Wait <= 0 {
			t.Errorf("%v", err)
		}
		if w.queries() != before {
			t.Error("Postgres was asked")
		}
		if _, err := w.comeFrom("10.0.0.2", "sid=t-ada"); err != nil {
			t.Errorf("another address: %v", err)
		}
		time.Sleep(time.Minute)
		if _, err := w.come("sid=t-ada"); err != nil {
			t.Errorf("a minute later: %v", err)
		}
	})
}

// TestTableAltered: a column that sessions need is gone, then is back.
func TestTableAltered(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(t *testing.T, w *world) {
		st := w.enter("sid=t-ada")
		without := *webSessions
		without.ID, without.Columns = 11, append([]change.Column(nil), webSessions.Columns...)
		without.Columns[2].Name = "owner"
		w.Observe(&change.Change{Op: change.Update, Relation: &without, New: tuple(bobs.values()), Tx: change.Tx{XID: uint32(w.xmax)}})
		if st.state() == "open" {
			t.Error("the stream goes on")
		}
		w.commit(deleteSession(bobs)) // announces the table as it was
		w.enter("sid=t-ada").is(t, "open")
	})
}

// TestPolled: of an UNLOGGED table the WAL tells nothing.
func TestPolled(t *testing.T) {
	t.Parallel()
	inWorld(t, func(o *Options) { o.Unlogged = []string{"public.session"} }, func(t *testing.T, w *world) {
		st := w.enter("sid=t-ada")
		w.lock.Lock()
		delete(w.rows, "t-ada")
		w.lock.Unlock()
		time.Sleep(50 * time.Second)
		st.is(t, "open")
		time.Sleep(11 * time.Second)
		st.is(t, "signed_out")
	})
}

// TestReload: other claims end sessions, other secrets only the cookies that they sealed.
func TestReload(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(t *testing.T, w *world) {
		st := w.enter("sid=t-ada")
		w.SetDeclared(slices.Clone(w.o.Declared))
		if err := w.SetSecrets(); err != nil {
			t.Error(err)
		}
		st.is(t, "open")
		again, err := w.come("sid=t-ada")
		if err != nil || again == st.session || w.queries() != 2 {
			t.Errorf("after other secrets a cookie is opened afresh: %v after %d look-ups", err, w.queries())
		}
		w.commit(deleteSession(bobs), setRole("bob", "user"))
		st.is(t, "open")
		w.SetDeclared(w.o.Declared[:1])
		st.is(t, "claims_changed")
		w.enter("sid=t-ada").is(t, "open")
	})
}

// TestClientLeavesDuringLookup: it does not wait, and the look-up serves those that stay.
func TestClientLeavesDuringLookup(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.waiting = make(chan struct{})
		ctx, leave := context.WithCancel(t.Context())
		r := (&http.Request{Header: http.Header{"Cookie": {"sid=t-ada"}}}).WithContext(ctx)
		left, stayed := make(chan error, 1), make(chan error, 1)
		go func() { _, err := w.Resolve(r, Client{IP: "10.0.0.1"}); left <- err }()
		synctest.Wait()
		go func() { _, err := w.come("sid=t-ada"); stayed <- err }()
		synctest.Wait()
		leave()
		var later *NotReadyError
		if err := <-left; !errors.As(err, &later) {
			t.Errorf("who left: %v", err)
		}
		close(w.waiting)
		if err := <-stayed; err != nil || w.queries() != 1 {
			t.Errorf("who stayed: %v after %d look-ups", err, w.queries())
		}
	})
}

// TestOneLookupForMany: a page with many streams, or many pages, ask once.
func TestOneLookupForMany(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(t *testing.T, w *world) {
		w.waiting = make(chan struct{})
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if _, err := w.come("sid=t-ada"); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(w.waiting)
		wg.Wait()
		if w.queries() != 1 {
			t.Errorf("%d look-ups", w.queries())
		}
	})
}

// TestSessionsConverge plays random transactions, some of which queries see late, against a
// model: a stream is open at rest iff its session and claims are what they were when it
// was opened, and it is never open after a commit that ended its session.
func TestSessionsConverge(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(o *Options) { o.Limits = Limits{Lookups: 4, FailedPerMinute: 1e6} }, func(t *testing.T, w *world) {
				converge(t, w, rand.New(rand.NewPCG(seed, 5)))
			})
		})
	}
}

func converge(t *testing.T, w *world, rnd *rand.Rand) {
	committed := map[string]sessionRow{adas.token: adas, bobs.token: bobs} // as of the WAL
	roles := map[string]string{"ada": "admin", "bob": "user"}
	type watched struct {
		*fakeStream
		row  sessionRow
		role string
	}
	var streams []watched
	var stuck []uint64
	locked := map[string]bool{} // rows that a stuck transaction has changed: nobody else can
	pick := func(m map[string]sessionRow) (sessionRow, bool) {
		for _, token := range []string{"t-ada", "t-bob"} {
			if r, ok := m[token]; ok && !locked[token] && rnd.IntN(2) == 0 {
				return r, true
			}
		}
		return sessionRow{}, false
	}
	for range 60 {
		var c func(*tx)
		var hold string
		switch rnd.IntN(7) {
		case 0, 1:
			token := []string{"t-ada", "t-bob"}[rnd.IntN(2)]
			st := &fakeStream{}
			before, role := committed[token], roles[committed[token].user]
			one, err := w.come("sid=" + token)
			if err != nil {
				continue
			}
			st.session = one
			if st.detach, err = one.Attach(st); err != nil {
				t.Fatal(err)
			}
			streams = append(streams, watched{st, before, role})
			continue
		case 2:
			if r, ok := pick(committed); ok {
				delete(committed, r.token)
				c, hold = deleteSession(r), r.token
			}
		case 3:
			if r, ok := pick(committed); ok {
				is := r
				is.org = fmt.Sprint(rnd.IntN(2))
				committed[r.token] = is
				c, hold = updateSession(r, is), r.token
			}
		case 4:
			token := []string{"t-ada", "t-bob"}[rnd.IntN(2)]
			if _, there := committed[token]; !there && !locked[token] {
				r := map[string]sessionRow{"t-ada": adas, "t-bob": bobs}[token]
				committed[token] = r
				c, hold = insertSession(r), token
			}
		case 5:
			user := []string{"ada", "bob"}[rnd.IntN(2)]
			if !locked[user] {
				roles[user] = []string{"admin", "user"}[rnd.IntN(2)]
				c, hold = setRole(user, roles[user]), user
			}
		case 6:
			for _, xid := range stuck {
				w.release(xid)
			}
			stuck = nil
			clear(locked)
			time.Sleep(time.Duration(rnd.IntN(300)) * time.Millisecond)
		}
		if c == nil {
			continue
		}
		if rnd.IntN(2) == 0 {
			w.commit(c)
		} else {
			stuck = append(stuck, w.commitStuck(c))
			locked[hold] = true
		}
		for _, st := range streams {
			if _, there := committed[st.row.token]; !there && st.state() == "open" {
				t.Fatalf("the session of %s has been deleted, its stream is open", st.row.user)
			}
			if now := committed[st.row.token]; now != st.row && st.state() == "open" {
				t.Fatalf("the session of %s has changed, its stream is open", st.row.user)
			}
		}
	}
	for _, xid := range stuck {
		w.release(xid)
	}
	time.Sleep(lookupPatience + time.Second)
	for _, st := range streams {
		now := committed[st.row.token]
		if (now != st.row || roles[now.user] != st.role) && st.state() == "open" {
			t.Errorf("at rest: %s is open with %v as %s, but it is %v as %s", st.row.user, st.row, st.role, now, roles[now.user])
		}
	}
	for _, token := range []string{"t-ada", "t-bob"} {
		_, there := committed[token]
		if _, err := w.come("sid=" + token); (err == nil) != there {
			time.Sleep(3 * time.Second) // it was refused a moment ago
			if _, err := w.come("sid=" + token); (err == nil) != there {
				t.Errorf("%s is there: %v, but: %v", token, there, err)
			}
		}
	}
}

// BenchmarkObserveTouch is an UPDATE of a session row, as each request of many frameworks
// makes one.
func BenchmarkObserveTouch(b *testing.B) {
	for name, open := range map[string]bool{"open": true, "unknown": false} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b, nil)
			w.have(adas)
			if open {
				w.enter("sid=t-ada")
			}
			r := adas
			r.expires = time.Now().Add(time.Hour)
			c := &change.Change{Op: change.Update, Relation: webSessions, New: tuple(r.values())}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				c.Tx.XID = uint32(firstXID + 10 + i)
				w.Observe(c)
			}
		})
	}
}
