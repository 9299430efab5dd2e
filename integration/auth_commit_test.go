package integration

import (
	"fmt"
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
	db := newDatabaseOn(t, cluster, plainSchema)
	r := startAuthRelay(t, db, plainAuth.with(func(s *authSettings) { s.limits = manyFailures }).yaml())

	// The stream has told of the tables, which with stuck commits takes its time.
	warm := r.signedIn(t, sid(db.newSession(t, 9)), "notes")
	db.exec(t, "update users set seen = now() where id = 9")
	warm.wantAlive(t, db, 9)

	for user, sql := range map[int]string{
		1: "delete from sessions where id = 'ID'",
		2: "update sessions set user_id = null where id = 'ID'",
	} {
		t.Run(sql, func(t *testing.T) {
			id := db.newSession(t, user)
			s, lasting := r.signedIn(t, sid(id), "notes"), r.signedIn(t, sid(db.newSession(t, user)), "notes")
			logout := db.stuck(t, strings.ReplaceAll(sql, "ID", id)+"; "+insertNote(user, "in the same transaction"))
			s.wantEnd(t, "signed_out")
			if got := db.value(t, "select count(user_id) from sessions where id = $1", id); got != "1" {
				t.Fatal("the commit is visible: this tests nothing")
			}
			lasting.wantBody(t, "in the same transaction")
			if user == 1 { // once: walrelay waits for as long as it may take
				wantNoneReady(t, "while the commit was stuck", r.outcomes(t, 2, id, "notes")())
			}
			over := r.outcomes(t, 8, id, "notes") // these are asked while it becomes visible
			logout.release(t)
			wantNoneReady(t, "begun while the commit was stuck", over())
			r.wantOutcome(t, "401", sid(id), "notes")
			lasting.wantAlive(t, db, user)
		})
	}

	t.Run("sign in", func(t *testing.T) {
		id := sessionID(t)
		r.wantOutcome(t, "401", sid(id), "notes")
		login := db.stuck(t, insertSession(id, 3))
		wantNoneReady(t, "before the sign-in was visible", r.outcomes(t, 2, id, "notes")())
		login.release(t)
		eventually(t, func() string { return differs(r.outcome(t, sid(id), "notes"), "ready") })
		r.signedIn(t, sid(id), "notes").wantAlive(t, db, 3)
	})

	for user, sql := range map[int]string{
		4: "update sessions set org_id = 2 where id = 'ID'",
		5: "update users set role = 'guest' where id = 5",
	} {
		t.Run(sql, func(t *testing.T) {
			id := db.newSession(t, user, fmt.Sprintf("org_id = %d", user))
			s := r.signedIn(t, sid(id), "team")
			s.wantAlive(t, db, user)
			changed := db.stuck(t, strings.ReplaceAll(sql, "ID", id)+"; "+insertNote(user, "in the same transaction"))
			db.exec(t, insertNote(user, "after it"))
			changed.release(t)
			if got := bodies(t, s.ended(t, "claims_changed")); len(got) != 0 {
				t.Errorf("the stream got %q with the change or after it", got)
			}
		})
	}

	t.Run("nothing that matters", func(t *testing.T) {
		s := r.signedIn(t, sid(db.newSession(t, 6)), "notes")
		touched := db.stuck(t, "update users set seen = now() where id = 6; "+insertNote(6, "in the same transaction"))
		db.exec(t, insertNote(6, "after it"))
		touched.release(t)
		s.wantBody(t, "in the same transaction")
		s.wantBody(t, "after it")
		s.wantAlive(t, db, 6)
	})
}
