package integration

import (
	"testing"
)

// A store of which the stream tells nothing, or not everything, lets nobody in, and who is
// in is sent away: nobody would hear of a logout. Public channels go on, and all is well
// again when the table is.
func TestAuthStreamUnfit(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, harm, mend string }{
		{"dropped", "create table copy (like sessions including all); insert into copy select * from sessions; drop table sessions", "alter table copy rename to sessions"},
		{"renamed", "alter table sessions rename to elsewhere", "alter table elsewhere rename to sessions"},
		{"without key", "create table copy as table sessions; drop table sessions; alter table copy rename to sessions",
			"alter table sessions add primary key (id), alter expires set not null"},
		{"inherited", "create table more () inherits (sessions)", "alter table more no inherit sessions"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t, plainSchema)
			r := startAuthRelay(t, db, plainAuth.with(func(s *authSettings) { s.limits = manyFailures }).yaml())
			id := db.newSession(t, 1)
			s, open := r.signedIn(t, sid(id), "notes"), r.signedIn(t, nil, "open")
			s.wantAlive(t, db, 1)
			open.next(t)
			db.exec(t, test.harm)
			s.waitEnd(t)
			for range 3 {
				if got := r.outcome(t, sid(id), "notes"); got == "ready" {
					t.Error("somebody was let in")
				}
			}
			open.wantAlive(t, db, 1)
			db.exec(t, test.mend)
			eventually(t, func() string { return differs(r.outcome(t, sid(id), "notes"), "ready") })
			s = r.signedIn(t, sid(id), "notes")
			s.wantAlive(t, db, 1)
			db.exec(t, "delete from sessions where id = '"+id+"'")
			s.ended(t, "signed_out")
		})
	}
}
