package auth

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/filter"
)

// walEnds are what the streams of the vectors' sessions are told by each step of the wal: a stream is
// opened for every session with a user once it is there, numbered in their order. What is looked up
// again finds what it was, so that only its cost is seen here.
var walEnds = map[string][]string{
	"laravel-database": {
		"login (session()->migrate(true)): 1 opens",
		"GET request 1: ",
		"GET request 2, 1 s later: ",
		"Auth::logout() without invalidate (user_id becomes null): 1 signed_out",
		"login again without migrate: 2 opens",
		"logout: session()->invalidate(): 2 signed_out",
	},
	"django-db": { // the check of the password's hash is not part of this
		"login: 1 opens",
		"GET /me (session not modified): ",
		"request that writes the session: ",
		"second login (other browser): 1 looked up again, 2 opens",
		"password change (no session row changes: the hash inside no longer fits): 1 looked up again, 2 looked up again",
		"GET /me with the old session after the password change (Django flushes it): 1 signed_out",
		"reset + login again: 2 looked up again, 2 looked up again, 3 opens",
		"logout: 3 signed_out",
	},
	"rails-activerecord-session-store": {
		"login: 1 opens",
		"request that saves the session (updated_at): ",
		"logout: 1 signed_out",
	},
	"lucia-sha256": {
		"login: 1 opens",
		"sliding extension (once per 15 days in the guide): ",
		"logout: 1 signed_out",
	},
	"phoenix-gen-auth": {
		"login: 1 opens",
		"ordinary request (the Plug cookie store writes nothing): ",
		"password change (deletes all tokens) / logout (deletes one): 1 signed_out",
	},
	"better-auth": {
		"sign-up: 1 opens",
		"sign-in: 2 opens",
		"organization/create (sets session.activeOrganizationId): 1 looked up again, 2 looked up again, 2 looked up again, 2 claims_changed, 3 opens",
		"get-session (updateAge 0: every read extends): ",
		"sign-in with cookieCache elsewhere, then sign-out: 4 opens, 3 signed_out",
	},
	"express-session-passport": {
		"login: 1 opens",
		"request 1 (GET /me): ",
		"request 2 (GET /me), 1.1 s later: ",
		"role change in app_users: 1 looked up again",
		"logout (passport req.logout): 1 signed_out",
	},
	"scs-postgresstore": {
		"login: 1 opens",
		"GET /me (IdleTimeout set: every request writes): ",
		"logout: 1 signed_out",
	},
	"authjs-database": {
		"login by magic link: 1 opens",
		"(membership row added by the app): 1 looked up again",
		"GET /auth/session (updateAge 0: every read extends): ",
		"signout: 1 signed_out",
	},
	"rails8-signed-session-id": {
		"login: 1 opens",
		"role change: 1 looked up again",
		"role restored: 1 looked up again",
		"password change (generator: user.sessions.destroy_all): 2 opens, 1 signed_out",
		"logout: 2 signed_out",
	},
}

// TestVectorStepsEndStreams replays what frameworks write against open streams.
func TestVectorStepsEndStreams(t *testing.T) {
	t.Parallel()
	for name := range worked {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := loadStoreVector(t, name)
			e, env := v.workedEntry(t)
			rels := newDatabase(t, "create extension citext", v.DDL).relations(t, e)
			synctest.Test(t, func(t *testing.T) {
				if diff := cmp.Diff(walEnds[name], replaySteps(t, v, e, env, rels)); diff != "" {
					t.Errorf("streams (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// replay is a database that has what the stream has said.
type replay struct {
	*Sessions
	rows    map[string]row // by identity
	streams []*fakeStream
	asked   map[string]int // look-ups by identity
	xid     uint32
}

func replaySteps(t *testing.T, v storeVector, e *SessionEntry, env map[string]string, rels map[string]*change.Relation) (out []string) {
	s, err := New(Options{Entries: []Entry{{Key: "auth.0", Session: e}}, Declared: []filter.Claim{{Name: "id", Type: textType(t)}},
		URL: "postgres://nobody@127.0.0.1:1/none", Limits: Limits{Lookups: 4},
		Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok }})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s.now = func() time.Time { return v.MadeAt.Add(time.Since(began)) }
	s.sources[0].now = s.now
	if err := s.Learn(rels); err != nil {
		t.Fatal(err)
	}
	r := &replay{Sessions: s, rows: map[string]row{}, asked: map[string]int{}, xid: firstXID}
	s.lookups = r
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for _, step := range v.WAL {
		var words []string
		for _, line := range step.Changes {
			if c := parseWAL(t, rels, r.xid, v.unmarshalled(line)); c != nil {
				words = append(words, r.play(t, c)...)
				words = append(words, r.enterAll(t)...)
			}
		}
		out = append(out, step.Step+": "+strings.Join(words, ", "))
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	s.Close()
	return out
}

// play applies one change, in a transaction of its own, and says what streams were told.
func (r *replay) play(t *testing.T, c *change.Change) (out []string) {
	src := r.sources[0]
	after, before := imagesOf(t, c)
	r.xid++
	r.mu.Lock()
	if src.isStore(c.Relation) {
		if id, ok := src.identity(c.Relation, before); ok {
			delete(r.rows, id)
		}
		if c.Op != change.Delete {
			is, err := src.row(c.Relation, after)
			if err != nil {
				t.Fatal(err)
			}
			r.rows[is.identity] = is
		}
	}
	clear(r.asked)
	r.mu.Unlock()
	was := make([]string, len(r.streams))
	for i, st := range r.streams {
		was[i] = st.state()
	}
	r.Observe(c)
	for i, st := range r.streams { // at once: nothing later may be delivered
		if is := st.state(); is != was[i] && is == endSignedOut {
			out = append(out, fmt.Sprintf("%d %s", i+1, is))
			was[i] = is
		}
	}
	time.Sleep(churn + 100*time.Millisecond)
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, st := range r.streams {
		if n := r.asked[st.session.found.row.identity]; n > 0 {
			out = append(out, fmt.Sprintf("%d looked up again", i+1))
		}
		if is := st.state(); is != was[i] {
			out = append(out, fmt.Sprintf("%d %s", i+1, is))
		}
	}
	return out
}

// enterAll opens a stream for each session that has none open.
func (r *replay) enterAll(t *testing.T) (out []string) {
	for _, id := range r.closed() {
		out = append(out, r.enter(t, id))
	}
	return out
}

// closed are the sessions of users that have no open stream.
func (r *replay) closed() (ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, one := range r.rows {
		open := slices.ContainsFunc(r.streams, func(st *fakeStream) bool { return st.session.found.row.identity == id && st.state() == "open" })
		if one.user != "" && one.fits && !open {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (r *replay) enter(t *testing.T, id string) string {
	src := r.sources[0]
	one := &Session{sessions: r.Sessions, entry: "auth.0", tag: r.tagOf("cookie", id), src: src, asked: question{key: []byte(id)}}
	f, err := r.lookUp(t.Context(), one)
	if err != nil {
		t.Fatal(err)
	}
	if admitted, err := r.admit(one, f); !admitted || err != nil {
		t.Fatal(admitted, err)
	}
	st := &fakeStream{session: one}
	if st.detach, err = one.Attach(st); err != nil {
		t.Fatal(err)
	}
	r.streams = append(r.streams, st)
	return fmt.Sprintf("%d opens", len(r.streams))
}

func (r *replay) lookup(_ context.Context, src *source, q question) (found, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	one, ok := r.rows[string(q.key)]
	r.asked[string(q.key)]++
	switch {
	case !ok:
		return found{}, refuse(NoRow, "no row")
	case one.user == "":
		return found{}, refuse(NoUser, "nobody")
	}
	f := found{row: &one, user: one.user, session: []byte(one.watched), claims: marshal(map[string]any{"id": one.user}), snapshot: snapshotUpTo(uint64(r.xid))}
	for range src.entry.Depends {
		f.dependUsers = append(f.dependUsers, one.user)
	}
	return f, nil
}

func (r *replay) snapshot(context.Context) (change.Snapshot, error) {
	return snapshotUpTo(uint64(r.xid)), nil
}

func (r *replay) reset() {}
