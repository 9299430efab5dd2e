package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// startAuthHoldable is [startHoldable] with the plain store: replication can be kept down
// while queries go on.
func startAuthHoldable(t testing.TB, db *database) *relay {
	t.Helper()
	role := db.role(t, "replication in role pg_read_all_stats")
	db.exec(t, "grant create on database "+db.name+" to "+role)
	for _, table := range []string{"users", "sessions", "notes"} {
		db.exec(t, "alter table "+table+" owner to "+role)
	}
	r := newAuthRelay(t, db, plainAuth.with(func(s *authSettings) { s.limits = manyFailures }).yaml())
	r.as(db, role, "")
	r.startAuth(t)
	return r
}

// TestAuthTailDown: while replication is down rows do not come either, so streams may stay.
// What was deleted meanwhile is not let in, and its streams end before the first row that
// was committed after that.
func TestAuthTailDown(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, plainSchema)
	r := startAuthHoldable(t, db)
	id, other := db.newSession(t, 1), db.newSession(t, 1)
	s, lasting := r.signedIn(t, sid(id), "notes"), r.signedIn(t, sid(other), "notes")
	db.exec(t, insertNote(1, "before"))
	s.wantBody(t, "before")
	lasting.wantBody(t, "before")

	release := r.hold(t, db)
	db.exec(t, "delete from sessions where id = '"+id+"'", insertNote(1, "meanwhile"))
	r.wantOutcome(t, "401", sid(sessionID(t)), "notes")
	fresh := db.newSession(t, 2)
	// walrelay may still know the session, and does not know better. But a query would.
	snapshot := openSSE(t, r.streamURL("board"), sid(id))
	time.Sleep(time.Second) // in which there could be one
	release()
	s.wantEnd(t, "signed_out")
	for _, f := range snapshot.waitEnd(t) {
		if strings.Contains(f.data, "meanwhile") {
			t.Errorf("a row that was committed after the session's end came with a snapshot: %s", f.data)
		}
	}
	lasting.wantBody(t, "meanwhile")
	lasting.wantAlive(t, db, 1)
	r.wantOutcome(t, "401", sid(id), "notes")
	eventually(t, func() string { return differs(r.outcome(t, sid(fresh), "notes"), "ready") })
}

// TestAuthTailReconnects: walsenders are terminated while sessions end. None survives, and
// those that go on miss nothing.
func TestAuthTailReconnects(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, plainSchema)
	r := startAuthRelay(t, db, plainAuth.with(func(s *authSettings) { s.limits = "per_user: 1000, " + manyFailures }).yaml())
	oracle := newOracle(t, db)
	lasting := r.signedIn(t, sid(db.newSession(t, 1)), "notes")
	w := db.writeNotes(t, 1)
	conn := db.conn(t)
	for i := range orders {
		id := db.newSession(t, 1)
		before := db.value(t, "select coalesce(max(id), 0)::text from notes") // what came with the session before may come after its end
		s := r.signedIn(t, sid(id), "notes")
		for range 2 {
			db.exec(t, "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = '"+db.name+"' and active_pid is not null")
			time.Sleep(50 * time.Millisecond) // so that it may be back, or not
		}
		script(t, endSession(conn, i, id))
		for _, f := range s.ended(t, "signed_out") {
			row := eventOf(t, f).Row
			if body := row["body"]; row != nil && (body == "" || body == "late") && rowID(t, row["id"]) > rowID(t, before) {
				t.Errorf("%s: the stream got %s, which was committed with the session's end, or after it", orders[i].name, f.data)
			}
		}
		r.wantOutcome(t, "401", sid(id), "notes")
	}
	w.finish(t)
	got, want := toldOf(t, lasting.waitComplete(t, db.mark(t))), notesOf(oracle.read(t), 1)
	if wantPrefix(t, "the stream that goes on", got, want); len(got) != len(want) {
		t.Errorf("the stream that goes on: %d notes of %d", len(got), len(want))
	}
}

// rowID reads the id of a note.
func rowID(t testing.TB, v any) (n int64) {
	t.Helper()
	if _, err := fmt.Sscan(fmt.Sprint(v), &n); err != nil {
		t.Fatalf("%v is no id: %v", v, err)
	}
	return n
}

// TestAuthRestart: walrelay begins with what the log has. Sessions that ended meanwhile are
// gone, others come back where they were.
func TestAuthRestart(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, plainSchema)
	r := startAuthRelay(t, db, plainAuth.yaml())
	id, other := db.newSession(t, 1), db.newSession(t, 2)
	s, lasting := r.signedIn(t, sid(id), "notes"), r.signedIn(t, sid(other), "notes")
	s.wantAlive(t, db, 1)
	lasting.wantAlive(t, db, 2)
	r.kill9(t)
	db.exec(t, "delete from sessions where id = '"+id+"'", insertNote(1, "for nobody"), insertNote(2, "for the other"))
	r.startAuth(t)
	r.wantOutcome(t, "401", sid(id), "notes")
	lasting.reconnect(t)
	lasting.wantResumed(t)
	lasting.wantBody(t, "for the other")
	lasting.wantAlive(t, db, 2)
}

// TestAuthSlotLost: the slot is gone, and with it what happened to sessions since. All of
// them are looked up again before anybody is served.
func TestAuthSlotLost(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, plainSchema)
	r := startAuthHoldable(t, db)
	id, other := db.newSession(t, 1), db.newSession(t, 2)
	s, lasting := r.signedIn(t, sid(id), "notes"), r.signedIn(t, sid(other), "notes")
	s.wantAlive(t, db, 1)
	release := r.hold(t, db)
	db.exec(t, "select pg_drop_replication_slot('"+db.name+"')", "delete from sessions where id = '"+id+"'")
	release()
	r.waitReady(t)
	for _, f := range s.waitEnd(t) {
		if f.event == "insert" {
			t.Errorf("the stream of the deleted session got %s", f.data)
		}
	}
	db.exec(t, insertNote(1, "too late"))
	// Until it has been looked up again it is known, and its streams wait.
	eventually(t, func() string { return differs(r.outcome(t, sid(id), "notes"), "401") })
	lasting.waitEnd(t)
	lasting.reconnect(t)
	lasting.nextReady(t)
	lasting.wantReset(t, "gap", "notes")
	lasting.wantAlive(t, db, 2)
}

// TestAuthStoreNotPublished: somebody takes the store out of the publication for a while.
// What happened to sessions then is not in the stream.
func TestAuthStoreNotPublished(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, out, back string }{
		{"store", "alter publication PUB drop table sessions", "alter publication PUB add table sessions"},
		{"not its deletes", "alter publication PUB set (publish = 'insert, update')", "alter publication PUB set (publish = 'insert, update, delete, truncate')"},
		{"made anew", "create table copy (like sessions including all); insert into copy select * from sessions; alter table sessions rename to old; alter table copy rename to sessions", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t, plainSchema)
			r := startAuthRelay(t, db, plainAuth.with(func(s *authSettings) { s.limits = manyFailures }).yaml())
			id, other := db.newSession(t, 1), db.newSession(t, 2)
			s, lasting := r.signedIn(t, sid(id), "notes"), r.signedIn(t, sid(other), "notes")
			s.wantAlive(t, db, 1)
			db.exec(t, strings.ReplaceAll(test.out, "PUB", db.name))
			db.exec(t, "delete from sessions where id = '"+id+"'")
			if test.back != "" {
				db.exec(t, strings.ReplaceAll(test.back, "PUB", db.name))
			}
			s.waitEnd(t)
			eventually(t, func() string { return differs(r.outcome(t, sid(id), "notes"), "401") })
			eventually(t, func() string { return differs(r.outcome(t, sid(other), "notes"), "ready") })
			lasting.close()
			last := r.signedIn(t, sid(other), "notes")
			db.exec(t, insertNote(2, "alive"))
			for f := last.next(t); f.event != "insert"; f = last.next(t) {
				if f.event != "reset" { // of what was not published, which may be everything
					t.Fatalf("got %s %s", f.event, f.data)
				}
			}
			db.exec(t, "delete from sessions where id = '"+other+"'")
			last.ended(t, "signed_out")
		})
	}
}

// TestAuthLookupsBlocked: sessions cannot be looked up for a while. Who has a stream keeps
// it, others are told to come back.
func TestAuthLookupsBlocked(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, plainSchema)
	r := startAuthRelay(t, db, plainAuth.yaml())
	id, other := db.newSession(t, 1), db.newSession(t, 2)
	s := r.signedIn(t, sid(id), "notes")
	conn := db.conn(t)
	script(t, []step{{conn, "begin"}, {conn, "lock table sessions in access exclusive mode"}})
	r.wantOutcome(t, "end unavailable", sid(other), "notes")
	s.wantAlive(t, db, 1)
	r.wantOutcome(t, "ready", nil, "open")
	script(t, []step{{conn, "rollback"}})
	r.wantOutcome(t, "ready", sid(other), "notes")
	s.wantAlive(t, db, 1)
}
