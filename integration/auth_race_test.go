package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// slowClaims takes its time after it has its snapshot, so that much can happen meanwhile.
const slowClaims = "claims: select id, role, home as org from users where id = :user::bigint and not disabled and (select pg_sleep(0.3)) is not null"

// TestAuthWhileLookingUp: a session changes while a look-up of it is under way, whose
// snapshot does not have the change.
func TestAuthWhileLookingUp(t *testing.T) {
	t.Parallel()
	settings := plainAuth
	lines := strings.Split(settings.entries, "\n")
	for i, line := range lines {
		if strings.Contains(line, "claims:") {
			lines[i] = "    " + slowClaims
		}
	}
	settings.entries, settings.limits = strings.Join(lines, "\n"), manyFailures
	db := newDatabase(t, plainSchema)
	r := startAuthRelay(t, db, settings.yaml())
	lasting := r.signedIn(t, sid(db.newSession(t, 9)), "notes")
	for user, sql := range map[int]string{
		1: "delete from sessions where id = 'ID'",
		2: "update sessions set user_id = null where id = 'ID'",
		3: "update sessions set expires = now() where id = 'ID'",
		4: "update users set disabled = true where id = 4",
	} {
		sql := func(id string) string { return strings.ReplaceAll(sql, "ID", id) }
		t.Run(sql("a session"), func(t *testing.T) {
			// While it is looked up for the first time.
			id := db.newSession(t, user)
			wait := r.outcomes(t, 1, id, "notes")
			db.waitSleeping(t, 1)
			db.exec(t, sql(id))
			if got := wait()[0]; got == "ready" { // it was over at that moment, or is by now
				eventually(t, func() string { return differs(r.outcome(t, sid(id), "notes"), "401") })
			}
			r.wantOutcome(t, "401", sid(id), "notes")

			// While it is looked up again.
			db.exec(t, fmt.Sprintf("update users set disabled = false where id = %d", user))
			id = db.newSession(t, user)
			s := r.signedIn(t, sid(id), "notes")
			db.exec(t, fmt.Sprintf("update users set seen = now() where id = %d", user))
			db.waitSleeping(t, 1)
			db.exec(t, sql(id)+"; "+insertNote(user, "too late"))
			s.wantEnd(t, "signed_out")
			r.wantOutcome(t, "401", sid(id), "notes")
		})
	}
	lasting.wantAlive(t, db, 9)
	db.exec(t, "update users set seen = now() where id = 9")
	db.waitSleeping(t, 1)
	db.exec(t, "truncate sessions; "+insertNote(9, "too late"))
	lasting.wantEnd(t, "signed_out")
}

// waitSleeping waits until so many look-ups sleep.
func (d *database) waitSleeping(t testing.TB, n int) {
	t.Helper()
	eventually(t, func() string {
		return differs(d.value(t, `select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'`), fmt.Sprint(n))
	})
}

// TestAuthBusySession: a session whose row changes all the time can be signed in to, and its
// end is seen.
func TestAuthBusySession(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, plainSchema)
	r := startAuthRelay(t, db, plainAuth.yaml())
	id := db.newSession(t, 1)
	conn, stop, done := db.conn(t), make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if _, err := conn.Exec(t.Context(), "update sessions set touched = touched + 1, expires = now() + interval '1 day' where id = '"+id+"'"); err != nil {
				done <- err
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	var streams []*sse
	for range 5 {
		eventually(t, func() string { return differs(r.outcome(t, sid(id), "notes"), "ready") })
		streams = append(streams, r.signedIn(t, sid(id), "notes"))
	}
	for _, s := range streams {
		s.close()
	}
	s := r.signedIn(t, sid(id), "notes")
	s.wantAlive(t, db, 1)
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s.wantAlive(t, db, 1)
	db.exec(t, "delete from sessions")
	s.wantEnd(t, "signed_out")
}
