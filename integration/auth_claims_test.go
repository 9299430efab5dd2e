package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/walrelay/walrelay/change"
)

// TestAuthClaimsChange: what a user is changes while rows are committed, by the row of the
// session and by that of the user. A stream has nothing that was committed with the change
// or after it; the same cookie comes back as what the user is now, told to forget.
func TestAuthClaimsChange(t *testing.T) {
	t.Parallel()
	const other = "insert into notes (user_id, org_id) values (1, 1), (1, 2)"
	for _, way := range []struct{ name, sql, back string }{
		{"organisation of the session", "update sessions set org_id = 2 where id = 'ID'", "update sessions set org_id = 1 where id = 'ID'"},
		{"organisation of the user", "update users set home = 2 where id = 1", "update users set home = 1 where id = 1"},
	} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t, plainSchema, "update users set home = 1")
			r := startAuthRelay(t, db, plainAuth.yaml())
			oracle := newOracle(t, db)
			session := []string{}
			if strings.Contains(way.sql, "sessions") {
				session = append(session, "org_id = 1")
			}
			id := db.newSession(t, 1, session...)
			s := r.signedIn(t, sid(id), "team")
			w := db.writeNotes(t, 1, 2) // of the organisations 1 and 2
			const rounds = 8
			var streams [][]told
			for round := range rounds {
				sql := strings.ReplaceAll([]string{way.sql, way.back}[round%2], "ID", id)
				switch round / 2 % 3 {
				case 1:
					sql = "begin; " + other + "; " + sql + "; " + other + "; commit"
				case 2:
					sql += "; " + other // in one implicit transaction
				}
				s.wantComplete(t, db)
				db.exec(t, sql)
				streams = append(streams, toldOf(t, s.ended(t, "claims_changed")))
				s.reconnect(t)
				s.nextReady(t)
				s.wantReset(t, "view", "team")
			}
			w.finish(t)
			s.close()
			db.mark(t)
			changes := oracle.read(t)
			switches := switchesOf(changes, way.sql)
			if len(switches) != rounds {
				t.Fatalf("the oracle has %d switches, want %d", len(switches), rounds)
			}
			notes := 0
			for round, got := range streams {
				for _, n := range got {
					if notes++; !n.at.Less(change.Before(switches[round].Commit)) {
						t.Errorf("round %d: the claims changed at %v; the stream got %v", round, switches[round], n)
					}
				}
			}
			if notes == 0 {
				t.Error("no stream got a note: this tests nothing")
			}
		})
	}
}

// switchesOf are the changes of the table that a statement updates.
func switchesOf(changes []recorded, sql string) (out []change.Position) {
	table := strings.Fields(sql)[1]
	for _, c := range changes {
		if c.op == "update" && c.table == table {
			out = append(out, c.at)
		}
	}
	return out
}

// wantComplete waits until a stream is complete up to now; its events stay where they are.
func (s *sse) wantComplete(t testing.TB, db *database) {
	t.Helper()
	target := change.Before(db.mark(t))
	eventually(t, func() string {
		s.stream.mu.Lock()
		defer s.stream.mu.Unlock()
		if n := len(s.stream.frames); n > 0 && s.stream.frames[n-1].id != "" && !positionOf(t, s.stream.frames[n-1].id).Less(target) {
			return ""
		}
		return fmt.Sprintf("the stream is not complete up to %v", target)
	})
}

// TestAuthEqualClaims: the rows behind the claims change and the claims do not. The streams
// go on, with every row once.
func TestAuthEqualClaims(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, plainSchema)
	r := startAuthRelay(t, db, plainAuth.yaml())
	oracle := newOracle(t, db)
	id := db.newSession(t, 1)
	streams := []*sse{r.signedIn(t, sid(id), "notes"), r.signedIn(t, sid(id), "notes"), r.signedIn(t, sid(db.newSession(t, 1)), "notes")}
	writers := []*noteWriter{db.writeNotes(t, 1, 2), db.writeNotes(t, 1)}
	for n := range 40 {
		db.exec(t, "update users set seen = now() where id = 1",
			fmt.Sprintf("update sessions set touched = %d where id = '%s'", n, id),
			"begin; "+insertNote(1, "between")+"; update users set seen = now(); "+insertNote(1, "between")+"; commit")
	}
	for _, w := range writers {
		w.finish(t)
	}
	target := db.mark(t)
	want := notesOf(oracle.read(t), 1)
	for i, s := range streams {
		got := toldOf(t, s.waitComplete(t, target))
		if wantPrefix(t, fmt.Sprintf("stream %d", i), got, want); len(got) != len(want) {
			t.Errorf("stream %d: %d notes of %d", i, len(got), len(want))
		}
	}
}

// TestAuthUserGone: users who are disabled or deleted have no session any more.
func TestAuthUserGone(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, plainSchema)
	r := startAuthRelay(t, db, plainAuth.with(func(s *authSettings) { s.limits = manyFailures }).yaml())
	for user, sql := range map[int]string{
		1: "update users set disabled = true where id = 1",
		2: "delete from users where id = 2",
		3: "update users set id = 33 where id = 3",
		4: "update sessions set user_id = null where user_id = 4",
		5: "delete from sessions where user_id = 5",
	} {
		id := db.newSession(t, user)
		s := r.signedIn(t, sid(id), "notes")
		db.exec(t, sql+"; "+insertNote(user, "too late"))
		s.wantEnd(t, "signed_out")
		r.wantOutcome(t, "401", sid(id), "notes")
	}
	t.Run("and back", func(t *testing.T) {
		id := db.newSession(t, 1)
		r.wantOutcome(t, "401", sid(id), "notes")
		db.exec(t, "update users set disabled = false where id = 1")
		eventually(t, func() string { return differs(r.outcome(t, sid(id), "notes"), "ready") })
	})
}

// TestAuthAmbiguousClaims: a query for claims that gives two rows says nothing.
func TestAuthAmbiguousClaims(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, plainSchema)
	settings := plainAuth
	settings.entries = strings.Replace(settings.entries, "where id = :user::bigint and not disabled", "where id >= :user::bigint", 1)
	r := startAuthRelay(t, db, settings.yaml())
	if got := r.outcome(t, sid(db.newSession(t, 1)), "notes"); got == "ready" {
		t.Errorf("a user who is nine got %q", got)
	}
	r.wantOutcome(t, "ready", sid(db.newSession(t, 9)), "notes")
}
