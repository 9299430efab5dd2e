package integration

import (
	"strings"
	"testing"
)

// TestAuthStoreRows: everything that can happen to a session's row.
func TestAuthStoreRows(t *testing.T) {
	t.Parallel()
	const schema = `create table tokens (id bigint primary key, token text unique not null, kind text not null default 'session', user_id bigint, note text);
		create table notes (id bigint generated always as identity primary key, user_id bigint not null, org_id bigint, body text not null);
		alter table notes replica identity full`
	settings := authSettings{entries: `  - cookie: token
    decode: plain
    store: {table: tokens, key: token, where: {kind: session}}
    user: user_id
`, claims: "id: bigint", limits: manyFailures, channels: "  notes: {table: public.notes, allow: row.user_id == user.id}\n"}
	db := newDatabase(t, schema)
	r := startAuthRelay(t, db, settings.yaml())
	token := func(id string) string { return db.value(t, "select token from tokens where id = $1", id) }
	header := func(token string) map[string][]string { return cookieHeader("token=" + token) }
	next := 0
	sign := func(t *testing.T) (id, value string, s *sse) {
		t.Helper()
		next++
		id, value = "'"+strings.Repeat("1", next)+"'", sessionID(t)
		db.exec(t, "insert into tokens values ("+id+", '"+value+"', 'session', 1)")
		return strings.Trim(id, "'"), value, r.signedIn(t, header(value), "notes")
	}
	_, lasting, witness := sign(t)

	for name, sql := range map[string]string{
		"signed out":             "delete from tokens where id = ID",
		"nobody's":               "update tokens set user_id = null where id = ID",
		"of another kind":        "update tokens set kind = 'reset' where id = ID",
		"another identity":       "update tokens set id = -id where id = ID",
		"another key":            "update tokens set token = 'NEW' where id = ID",
		"deleted and made again": "begin; create temp table t on commit drop as select * from tokens where id = ID; delete from tokens where id = ID; insert into tokens select * from t; commit",
	} {
		t.Run(name, func(t *testing.T) {
			id, value, s := sign(t)
			s.wantAlive(t, db, 1)
			witness.next(t)
			db.exec(t, "update tokens set note = 'touched' where id = "+id) // nothing that matters
			s.wantAlive(t, db, 1)
			witness.next(t)
			renewed := sessionID(t)
			db.exec(t, strings.NewReplacer("ID", id, "NEW", renewed).Replace(sql)+"; "+insertNote(1, "too late"))
			s.wantEnd(t, "signed_out")
			witness.wantBody(t, "too late")
			switch name {
			case "another identity", "deleted and made again": // the cookie is still somebody's
				eventually(t, func() string { return differs(r.outcome(t, header(value), "notes"), "ready") })
			case "another key":
				r.wantOutcome(t, "401", header(value), "notes")
				if token(id) != renewed {
					t.Fatal("the key is as it was")
				}
				r.signedIn(t, header(renewed), "notes").wantAlive(t, db, 1)
				witness.next(t)
			default:
				r.wantOutcome(t, "401", header(value), "notes")
			}
		})
	}

	t.Run("truncated", func(t *testing.T) {
		db.exec(t, "truncate tokens; "+insertNote(1, "too late"))
		witness.wantEnd(t, "signed_out")
		r.wantOutcome(t, "401", header(lasting), "notes")
		_, _, s := sign(t)
		s.wantAlive(t, db, 1)
	})
}

// TestAuthUnloggedStore: the WAL does not have the rows of an unlogged table, so they are
// looked at again and again.
func TestAuthUnloggedStore(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, plainSchema, "alter table sessions set unlogged")
	r := startAuthRelay(t, db, plainAuth.entry("revalidate: 1s").yaml())
	id, other := db.newSession(t, 1), db.newSession(t, 2)
	s, lasting := r.signedIn(t, sid(id), "notes"), r.signedIn(t, sid(other), "notes")
	s.wantAlive(t, db, 1)
	db.exec(t, "delete from sessions where id = '"+id+"'")
	s.ended(t, "signed_out")
	eventually(t, func() string { return differs(r.outcome(t, sid(id), "notes"), "401") })
	lasting.wantAlive(t, db, 2)
	r.stderr.waitFor(t, "level=WARN.*sessions.*(?i:unlogged)")
	db.wantWritable(t, "with an unlogged store")
}

// TestAuthStoreAltered: a store whose key is gone says nothing of anybody: all streams end,
// nobody is let in, the log says why, and it passes when the table is as it was.
func TestAuthStoreAltered(t *testing.T) {
	t.Parallel()
	for name, alter := range map[string]struct{ sql, back string }{
		"key renamed":  {"alter table sessions rename column id to sid", "alter table sessions rename column sid to id"},
		"key dropped":  {"alter table sessions add column copy text; update sessions set copy = id; alter table sessions drop column id; alter table sessions add primary key (copy)", "alter table sessions rename column copy to id"},
		"user renamed": {"alter table sessions rename column user_id to account_id", "alter table sessions rename column account_id to user_id"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t, plainSchema)
			r := startAuthRelay(t, db, plainAuth.with(func(s *authSettings) { s.limits = manyFailures }).yaml())
			id, other := db.newSession(t, 1), db.newSession(t, 2)
			s, second := r.signedIn(t, sid(id), "notes"), r.signedIn(t, sid(other), "notes")
			s.wantAlive(t, db, 1)
			db.exec(t, alter.sql)
			db.exec(t, "update sessions set touched = touched + 1") // with which the WAL tells of it
			s.waitEnd(t)
			second.waitEnd(t)
			for range 3 {
				wantNoneReady(t, "without its column", []string{r.outcome(t, sid(id), "notes")})
			}
			r.stderr.waitFor(t, "level=(WARN|ERROR).*sessions.*(id|user_id)")
			r.wantOutcome(t, "ready", nil, "open") // who needs no session notices nothing
			db.exec(t, alter.back)
			db.exec(t, "update sessions set touched = touched + 1")
			eventually(t, func() string { return differs(r.outcome(t, sid(id), "notes"), "ready") })
			r.signedIn(t, sid(id), "notes").wantAlive(t, db, 1)
		})
	}
}

// TestAuthTablesAreNoChannels: rows of sessions are credentials.
func TestAuthTablesAreNoChannels(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, plainSchema)
	settings := plainAuth
	settings.channels += "  leak: {table: public.sessions, allow: public}\n"
	r := newAuthRelay(t, db, settings.yaml())
	for _, command := range []string{"check", "serve"} {
		wantProblems(t, startProcess(t, r.command(t, command, "-c", r.config)).wait(t),
			`auth\.0\.store\.table: public\.sessions .*channel leak`, `channels\.leak\.table: public\.sessions .*credentials`)
	}
}
