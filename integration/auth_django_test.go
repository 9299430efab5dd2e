package integration

import (
	"fmt"
	"strings"
	"testing"
)

const djangoEntry = `  - cookie: sessionid
    decode: plain
    secrets: [env:DJANGO_SECRET_KEY]
    store: {table: django_session, key: session_key, expires: expire_date, data: {column: session_data, format: django}}
    user: _auth_user_id
    check: django-auth-hash
    claims: |
      select u.id, u.is_staff as staff, u.password as _check,
             array(select g.name::text from auth_user_groups x join auth_group g on g.id = x.group_id where x.user_id = u.id order by 1) as groups
      from auth_user u where u.id = :user::int and u.is_active
    depends: [{table: auth_user, key: id}, {table: auth_user_groups, key: user_id}]
`

var djangoAuth = authSettings{entries: djangoEntry, claims: `id: bigint, staff: bool, groups: "text[]"`,
	channels: `  notes: {table: public.notes, allow: row.user_id == user.id}
  drafts: {table: public.notes, allow: '"editors" in user.groups'}
`}

// TestAuthDjango: the same with Django, whose sessions say who it is only together with the
// user's row.
func TestAuthDjango(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, `create table notes (id bigint generated always as identity primary key, user_id bigint not null, org_id bigint, body text not null);
		alter table notes replica identity full`)
	secret := "django-" + newToken()
	leaks.secret(t, "secret of Django", secret)
	app := startDjango(t, db, secret)
	operator := newVisitor(t, app)
	for _, user := range []string{"grace-hopper", "edsger-dijkstra"} {
		leaks.secret(t, "password", user+"-password")
		operator.do(t, "sign-up", "username="+user, "password="+user+"-password")
	}
	db.wantUsers(t, "grace-hopper", "edsger-dijkstra")
	leaks.secret(t, "hash of a password", strings.Fields(db.value(t, "select string_agg(password, ' ') from auth_user"))...)
	r := startAuthRelay(t, db, djangoAuth.yaml(), "DJANGO_SECRET_KEY="+secret)
	grace, phone, edsger := newVisitor(t, app), newVisitor(t, app), newVisitor(t, app)
	r.wantOutcome(t, "401", grace.header(), "notes")
	grace.logIn(t, "login", "grace-hopper")
	edsger.logIn(t, "login", "edsger-dijkstra")
	his := r.signedIn(t, edsger.header(), "notes")

	t.Run("using the application", func(t *testing.T) {
		hers := r.signedIn(t, grace.header(), "notes")
		phone.logIn(t, "login", "grace-hopper") // which writes last_login to the user's row
		for range 3 {
			grace.do(t, "GET me")
			grace.do(t, "theme", "theme=dark")
			operator.do(t, "administer", "username=grace-hopper", "first_name=Grace "+newToken())
			db.exec(t, insertNote(2, "for edsger"))
			hers.wantAlive(t, db, 1)
		}
		hers.close()
	})

	t.Run("logout", func(t *testing.T) {
		hers, onPhone, cookie := r.signedIn(t, grace.header(), "notes"), r.signedIn(t, phone.header(), "notes"), grace.header()
		grace.do(t, "logout")
		db.exec(t, insertNote(1, "after the logout"))
		hers.wantEnd(t, "signed_out")
		r.wantOutcome(t, "401", cookie, "notes")
		onPhone.wantBody(t, "after the logout")
	})

	// Django itself notices at the next request of the other session only.
	t.Run("password changed elsewhere", func(t *testing.T) {
		grace.logIn(t, "login", "grace-hopper")
		hers, onPhone, cookie := r.signedIn(t, grace.header(), "notes"), r.signedIn(t, phone.header(), "notes"), grace.header()
		const password = "grace-hopper-another-password"
		leaks.secret(t, "password", password)
		phone.do(t, "password", "password="+password)
		hers.ended(t, "signed_out")
		onPhone.ended(t, "signed_out") // Django gives this one a new key
		if db.value(t, "select count(*) from django_session where session_key = $1", grace.client.Jar.Cookies(grace.app)[0].Value) != "1" {
			t.Error("the session's row is gone: this tests nothing")
		}
		r.wantOutcome(t, "401", cookie, "notes")
		r.wantOutcome(t, "ready", phone.header(), "notes")
		r.signedIn(t, phone.header(), "notes").wantAlive(t, db, 1)
	})

	t.Run("groups", func(t *testing.T) {
		r.wantOutcome(t, "403", edsger.header(), "drafts")
		his := r.signedIn(t, edsger.header(), "notes")
		operator.do(t, "administer", "username=edsger-dijkstra", "join=editors")
		his.ended(t, "claims_changed")
		drafts := r.signedIn(t, edsger.header(), "drafts")
		drafts.wantAlive(t, db, 1)
		// The row that is deleted has a key of its own: its user is not in the WAL.
		operator.do(t, "administer", "username=edsger-dijkstra", "leave=editors")
		drafts.ended(t, "claims_changed")
		r.wantOutcome(t, "403", edsger.header(), "drafts")
	})

	t.Run("explained", func(t *testing.T) {
		r.explain(t, edsger.header(), "accepted")
		r.explain(t, cookieHeader("sessionid="+sessionID(t)), "refused")
	})

	t.Run("deactivated", func(t *testing.T) {
		his.ended(t, "claims_changed") // by the group
		his = r.signedIn(t, edsger.header(), "notes")
		operator.do(t, "administer", "username=edsger-dijkstra", "active=false")
		his.ended(t, "signed_out")
		r.wantOutcome(t, "401", edsger.header(), "notes")
		operator.do(t, "administer", "username=edsger-dijkstra", "active=true")
		eventually(t, func() string { return differs(r.outcome(t, edsger.header(), "notes"), "ready") })
	})
}

// wantUsers checks that the ids of Django's users are those of the notes, from 1 on.
func (d *database) wantUsers(t testing.TB, names ...string) {
	t.Helper()
	for i, name := range names {
		if got := d.value(t, "select username from auth_user where id = $1", fmt.Sprint(i+1)); got != name {
			t.Fatalf("user %d is %q, want %q", i+1, got, name)
		}
	}
}
