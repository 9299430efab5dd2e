package integration

import (
	"strings"
	"testing"
)

// Express with express-session, connect-pg-simple and passport.
const (
	expressSchema = `create table app_users (id int primary key, name text unique not null, password text not null, org_id int not null, roles text[] not null);
		insert into app_users select id, name, encode(sha256(convert_to(name || '-password', 'UTF8')), 'hex'), id, '{member}'
			from (values (1, 'ada-lovelace'), (2, 'alan-turing')) as u (id, name);
		create table notes (id bigint generated always as identity primary key, user_id bigint not null, org_id bigint, body text not null);
		alter table notes replica identity full`
	expressEntry = `  - cookie: connect.sid
    decode: express
    secrets: [env:SESSION_SECRET, env:SESSION_SECRET_OLD]
    store: {table: session, key: sid, expires: expire, data: {column: sess, format: json}}
    user: passport.user
    claims: select id, org_id as org, roles from app_users where id = :user::int
    depends: [{table: app_users, key: id}]
`
)

var expressAuth = authSettings{entries: expressEntry, claims: `id: bigint, org: bigint, roles: "text[]"`,
	channels: `  notes: {table: public.notes, allow: row.user_id == user.id}
  audit: {table: public.notes, allow: '"admin" in user.roles'}
`}

// expressRelay is an Express application and a walrelay beside it.
func expressRelay(t testing.TB) (db *database, app string, r *relay) {
	t.Helper()
	db = newDatabase(t, expressSchema)
	secret, old := newToken(), newToken()
	leaks.secret(t, "secret of Express", secret, old)
	leaks.secret(t, "password", "ada-lovelace-password", "alan-turing-password")
	app = startExpress(t, db, secret, old)
	newVisitor(t, app).do(t, "visit") // it makes its table now
	return db, app, startAuthRelay(t, db, expressAuth.yaml(), "SESSION_SECRET="+secret, "SESSION_SECRET_OLD="+old)
}

// logIn signs a user of the applications in.
func (v *visitor) logIn(t testing.TB, path, user string) {
	t.Helper()
	v.do(t, path, "username="+user, "password="+user+"-password")
}

// TestAuthExpress: who signs in to the real application has a stream of the own rows with
// the same cookie; using the application does not disturb it, both ways of signing out end
// it.
func TestAuthExpress(t *testing.T) {
	t.Parallel()
	db, app, r := expressRelay(t)
	ada, alan := newVisitor(t, app), newVisitor(t, app)
	r.wantOutcome(t, "401", ada.header(), "notes")
	alan.logIn(t, "login", "alan-turing")
	his := r.signedIn(t, alan.header(), "notes")
	leaks.secret(t, "hash of a password", strings.Fields(db.value(t, "select string_agg(password, ' ') from app_users"))...)
	r.wantOutcome(t, "403", alan.header(), "audit")

	t.Run("signing in makes a new session", func(t *testing.T) {
		ada.do(t, "visit") // a session that is nobody's
		anonymous := ada.header()
		r.wantOutcome(t, "401", anonymous, "notes")
		ada.logIn(t, "login", "ada-lovelace")
		if ada.header().Get("Cookie") == anonymous.Get("Cookie") {
			t.Fatal("the application did not regenerate the session: this tests nothing")
		}
		r.wantOutcome(t, "401", anonymous, "notes")
		before := r.signedIn(t, ada.header(), "notes")
		ada.logIn(t, "login", "ada-lovelace") // once more
		before.wantEnd(t, "signed_out")
		r.wantOutcome(t, "ready", ada.header(), "notes")
	})

	for _, logout := range []string{"logout", "destroy"} {
		t.Run(logout, func(t *testing.T) {
			ada.logIn(t, "login", "ada-lovelace")
			hers, cookie := r.signedIn(t, ada.header(), "notes"), ada.header()
			for range 3 {
				ada.do(t, "GET me")
				ada.do(t, "visit")
				db.exec(t, insertNote(2, "for alan"), insertNote(1, "for ada"))
				hers.wantBody(t, "for ada")
				his.wantBody(t, "for alan")
			}
			ada.do(t, logout)
			db.exec(t, insertNote(1, "too late"))
			hers.wantEnd(t, "signed_out")
			r.wantOutcome(t, "401", cookie, "notes")
			his.wantAlive(t, db, 2)
		})
	}

	t.Run("signing in without a new session", func(t *testing.T) {
		ada.do(t, "visit")
		cookie := ada.header()
		r.wantOutcome(t, "401", cookie, "notes")
		ada.logIn(t, "login-in-place", "ada-lovelace")
		if ada.header().Get("Cookie") != cookie.Get("Cookie") {
			t.Fatal("the session is a new one: this tests nothing")
		}
		eventually(t, func() string { return differs(r.outcome(t, cookie, "notes"), "ready") })
		hers := r.signedIn(t, cookie, "notes")
		ada.logIn(t, "login-in-place", "alan-turing") // somebody else, in the same session
		hers.wantEnd(t, "claims_changed")
		now := r.signedIn(t, cookie, "notes")
		db.exec(t, insertNote(1, "not for alan"))
		now.wantAlive(t, db, 2)
	})

	t.Run("forged cookies", func(t *testing.T) {
		alan := alan.header().Get("Cookie")
		name, value, _ := strings.Cut(alan, "=")
		id, _, _ := strings.Cut(strings.TrimPrefix(value, "s%3A"), ".")
		for _, forged := range []string{name + "=" + id, name + "=s%3A" + id, alan[:len(alan)-1], name + "=s%3A" + id + "." + newToken(), "Connect.Sid=" + value} {
			r.wantOutcome(t, "401", cookieHeader(forged), "notes")
		}
		r.wantOutcome(t, "ready", cookieHeader("theme=dark", alan, "lang=de"), "notes")
	})

	t.Run("explained", func(t *testing.T) {
		r.explain(t, alan.header(), "accepted")
		r.explain(t, cookieHeader(alan.header().Get("Cookie")+"x"), "refused")
	})

	t.Run("roles", func(t *testing.T) {
		his := r.signedIn(t, alan.header(), "notes")
		db.exec(t, "update app_users set roles = '{member,admin}' where id = 2")
		his.wantEnd(t, "claims_changed")
		r.wantOutcome(t, "ready", alan.header(), "audit")
		db.exec(t, "delete from app_users where id = 2")
		eventually(t, func() string { return differs(r.outcome(t, alan.header(), "notes"), "401") })
	})

	// The event log has the rows of channels, and none of sessions and users.
	leaks.wantNotOnDisk(t, r.logDir, "for alan")
}

// differs says so, for [eventually].
func differs(got, want string) string {
	if got == want {
		return ""
	}
	return "got " + got + ", want " + want
}
