package integration

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/walrelay/walrelay/pgtemp"
)

// stuckCommit is a transaction whose commit waits for a standby that never comes: it is in
// the WAL, and nobody sees it yet.
type stuckCommit struct {
	db  *database
	pid string
	err chan error
}

// stuck runs statements in such a transaction and returns when it waits.
func (d *database) stuck(t testing.TB, sql string) *stuckCommit {
	t.Helper()
	conn := d.conn(t)
	c := &stuckCommit{db: d, err: make(chan error, 1)}
	if err := conn.QueryRow(t.Context(), "select pg_backend_pid()::text").Scan(&c.pid); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, err := conn.PgConn().Exec(t.Context(), "begin; set local synchronous_commit = on; "+sql+"; commit").ReadAll()
		c.err <- err
	}()
	eventually(t, func() string {
		return differs(d.value(t, "select coalesce(max(wait_event), '') from pg_stat_activity where pid = $1", c.pid), "SyncRep")
	})
	return c
}

// release lets the commit become visible.
func (c *stuckCommit) release(t testing.TB) {
	t.Helper()
	c.db.exec(t, "select pg_cancel_backend("+c.pid+")")
	if err := <-c.err; err != nil {
		t.Fatal(err)
	}
}

// outcomes are those of several requests at once.
func (r *relay) outcomes(t testing.TB, n int, id string, channels ...string) (wait func() []string) {
	var all sync.WaitGroup
	out := make([]string, n)
	for i := range out {
		all.Go(func() {
			got, err := r.tryOutcome(t.Context(), sid(id), channels...)
			if out[i] = got; err != nil {
				out[i] = err.Error()
			}
		})
	}
	return func() []string {
		all.Wait()
		return out
	}
}

// wantNoneReady checks that none of the requests got a stream.
func wantNoneReady(t testing.TB, when string, outcomes []string) {
	t.Helper()
	if slices.Contains(outcomes, "ready") {
		t.Errorf("%s: requests got %q", when, outcomes)
	}
}

// TestAuthCommitNotVisible: the WAL tells of a commit before queries do. What is looked up
// in between must not be taken for what is.
func TestAuthCommitNotVisible(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, pgtemp.Options{Settings: map[string]string{"synchronous_commit": "local", "synchronous_standby_names": "ghost"}})
	prepare := func(t *testing.T) (*database, *relay) {
		t.Parallel()
		db := newDatabaseOn(t, cluster, plainSchema)
		return db, startAuthRelay(t, db, plainAuth.with(func(s *authSettings) { s.limits = manyFailures }).yaml())
	}

	for _, way := range []struct{ name, sql string }{
		{"deleted", "delete from sessions where id = 'ID'"},
		{"signed out by an update", "update sessions set user_id = null where id = 'ID'"},
	} {
		t.Run(way.name, func(t *testing.T) {
			db, r := prepare(t)
			id, other := db.newSession(t, 1), db.newSession(t, 1)
			s, lasting := r.signedIn(t, sid(id), "notes"), r.signedIn(t, sid(other), "notes")
			logout := db.stuck(t, strings.ReplaceAll(way.sql, "ID", id)+"; "+lateNote)
			s.wantEnd(t, "signed_out")
			if got := db.value(t, "select count(user_id) from sessions where id = $1", id); got != "1" {
				t.Fatal("the commit is visible: this tests nothing")
			}
			lasting.wantBody(t, "")
			first := r.outcomes(t, 2, id, "notes")()
			wantNoneReady(t, "while the commit was stuck", first)
			over := r.outcomes(t, 8, id, "notes") // these are asked while it becomes visible
			logout.release(t)
			wantNoneReady(t, "begun while the commit was stuck", over())
			r.wantOutcome(t, "401", sid(id), "notes")
			lasting.wantAlive(t, db, 1)
			t.Logf("while the commit was stuck: %q", first)
		})
	}

	t.Run("signed in", func(t *testing.T) {
		db, r := prepare(t)
		id := sessionID(t)
		r.wantOutcome(t, "401", sid(id), "notes")
		login := db.stuck(t, insertSession(id, 1))
		wantNoneReady(t, "before the sign-in was visible", r.outcomes(t, 2, id, "notes")())
		login.release(t)
		eventually(t, func() string { return differs(r.outcome(t, sid(id), "notes"), "ready") })
		r.signedIn(t, sid(id), "notes").wantAlive(t, db, 1)
	})

	for _, way := range []struct{ name, sql string }{
		{"another organisation", "update sessions set org_id = 2 where id = 'ID'"},
		{"another role", "update users set role = 'guest' where id = 1"},
	} {
		t.Run(way.name, func(t *testing.T) {
			db, r := prepare(t)
			id := db.newSession(t, 1, "org_id = 1")
			s := r.signedIn(t, sid(id), "team")
			s.wantAlive(t, db, 1)
			changed := db.stuck(t, strings.ReplaceAll(way.sql, "ID", id)+"; "+insertNote(1, "in the same transaction"))
			db.exec(t, insertNote(1, "after it"))
			changed.release(t)
			frames := s.waitEnd(t)
			if got := bodies(t, frames); len(got) != 0 {
				t.Errorf("the stream got %q after the change", got)
			}
		})
	}

	t.Run("nothing that matters", func(t *testing.T) {
		db, r := prepare(t)
		s := r.signedIn(t, sid(db.newSession(t, 1)), "notes")
		touched := db.stuck(t, "update users set seen = now() where id = 1; "+insertNote(1, "in the same transaction"))
		db.exec(t, insertNote(1, "after it"))
		touched.release(t)
		s.wantBody(t, "in the same transaction")
		s.wantBody(t, "after it")
		s.wantAlive(t, db, 1)
	})
}
