package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walrelay/walrelay/auth"
)

const authHead = `
postgres: {url: postgres://app@db/shop}
claims: {id: text, user_id: text, org_id: text, roles: "text[]"}
channels: {orders: {table: orders, allow: public}}
auth:
`

// entries are those of a valid auth section, indented by two.
func entries(t *testing.T, section string) []auth.Entry {
	t.Helper()
	return mustParse(t, authHead+section, nil).Auth
}

// A preset is what the worked examples of the design write out, with what is the
// application's own: its claims, and names that no framework fixes.
func TestPresetsAreTheExamples(t *testing.T) {
	for name, test := range map[string]struct{ short, long string }{
		"express-passport": {`
  - preset: express-passport
    claims: select id as user_id, org_id, roles from app_users where id = :user::int
    depends: [{table: app_users, key: id}]
`, `
  - cookie: connect.sid
    decode: express
    secrets: [env:SESSION_SECRET]
    store: {table: session, key: sid, expires: expire, data: {column: sess, format: json}}
    user: passport.user
    claims: select id as user_id, org_id, roles from app_users where id = :user::int
    depends: [{table: app_users, key: id}]
`},
		"django": {`
  - preset: django
    claims: &sql |
      select u.id as user_id, u.is_staff, u.password as _check,
             array(select g.name from auth_user_groups x join auth_group g on g.id=x.group_id where x.user_id=u.id) as roles
      from auth_user u where u.id = :user::int and u.is_active
`, `
  - cookie: sessionid
    decode: plain
    secrets: [env:DJANGO_SECRET_KEY]
    store: {table: django_session, key: session_key, expires: expire_date, data: {column: session_data, format: django}}
    user: _auth_user_id
    check: django-auth-hash
    claims: |
      select u.id as user_id, u.is_staff, u.password as _check,
             array(select g.name from auth_user_groups x join auth_group g on g.id=x.group_id where x.user_id=u.id) as roles
      from auth_user u where u.id = :user::int and u.is_active
    depends: [{table: auth_user, key: id}, {table: auth_user_groups, key: user_id}]
`},
		"rails8": {`
  - preset: rails8
    claims: select id as user_id, org_id, array[role] as roles from users where id = :user::bigint
`, `
  - cookie: session_id
    decode: rails-signed
    secrets: [env:SECRET_KEY_BASE]
    store: {table: sessions, key: id}
    user: user_id
    claims: select id as user_id, org_id, array[role] as roles from users where id = :user::bigint
    depends: [{table: users, key: id}]
`},
		"devise": {`
  - {preset: devise, cookie: _shop_session}
`, `
  - cookie: _shop_session
    decode: rails
    secrets: [env:SECRET_KEY_BASE]
    user: warden.user.user.key.0.0
    check: devise-salt
    claims: select id, id as user_id, encrypted_password as _check from users where id = :user
    depends: [{table: users, key: id}]
`},
		"laravel": {`
  - preset: laravel
    claims: select id as user_id, org_id, array[role] as roles from users where id = :user::bigint
`, `
  - cookie: laravel_session
    decode: laravel
    secrets: [env:APP_KEY]
    store: {table: sessions, key: id, expires: {column: last_activity, unit: unix, plus: 120m}}
    user: user_id
    claims: select id as user_id, org_id, array[role] as roles from users where id = :user::bigint
    depends: [{table: users, key: id}]
`},
		"better-auth": {`
  - preset: better-auth
    claims: |
      select u.id as user_id, m."organizationId" as org_id, array_agg(m.role) as roles
      from "user" u left join member m on m."userId"=u.id and m."organizationId"=:session->>'activeOrganizationId'
      where u.id = :user group by 1,2
`, `
  - cookie: [__Secure-better-auth.session_token, better-auth.session_token]
    decode: better-auth
    secrets: [env:BETTER_AUTH_SECRET]
    store: {table: session, key: token, expires: expiresAt, watch: [userId, activeOrganizationId]}
    user: userId
    claims: |
      select u.id as user_id, m."organizationId" as org_id, array_agg(m.role) as roles
      from "user" u left join member m on m."userId"=u.id and m."organizationId"=:session->>'activeOrganizationId'
      where u.id = :user group by 1,2
    depends: [{table: member, key: userId}, {table: '"user"', key: id}]
`},
		"phoenix": {`
  - preset: phoenix
    cookie: _demo_key
    salt: k3ySalt1
    claims: select id as user_id, org_id, array[role] as roles from users where id = :user::bigint
`, `
  - cookie: _demo_key
    decode: phoenix
    secrets: [env:SECRET_KEY_BASE]
    salt: k3ySalt1
    from: user_token
    store: {table: users_tokens, key: token, where: {context: session}, expires: {column: inserted_at, plus: 14d}}
    user: user_id
    claims: select id as user_id, org_id, array[role] as roles from users where id = :user::bigint
    depends: [{table: users, key: id}]
`},
		"authjs": {`
  - preset: authjs
`, `
  - cookie: [__Secure-authjs.session-token, authjs.session-token]
    decode: plain
    store: {table: sessions, key: sessionToken, expires: expires}
    user: userId
`},
		"supabase": {`
  - {preset: supabase, cookie: sb-abcd-auth-token, jwks: "https://abcd.supabase.co/auth/v1/.well-known/jwks.json"}
`, `
  - cookie: sb-abcd-auth-token
    decode: supabase
    jwks: https://abcd.supabase.co/auth/v1/.well-known/jwks.json
    algorithms: [ES256]
    audience: authenticated
    from: session_id
    store: {table: auth.sessions, key: id}
    user: user_id
`},
	} {
		t.Run(name, func(t *testing.T) {
			short, long := entries(t, test.short), entries(t, test.long)
			if short[0].Session.Preset != name {
				t.Errorf("Preset = %q", short[0].Session.Preset)
			}
			short[0].Session.Preset = ""
			if diff := cmp.Diff(long, short); diff != "" {
				t.Errorf("(-written out +preset):\n%s", diff)
			}
		})
	}
	if len(presets) != 9 {
		t.Errorf("%d presets", len(presets))
	}
}

// Variants of a framework that one word of the file decides.
func TestPresetVariants(t *testing.T) {
	for _, test := range []struct{ short, long string }{
		{"{preset: authjs, decode: authjs}", "{cookie: [__Secure-authjs.session-token, authjs.session-token], decode: authjs, secrets: [env:AUTH_SECRET], user: sub}"},
		{"{preset: authjs, decode: nextauth}", "{cookie: [__Secure-next-auth.session-token, next-auth.session-token], decode: nextauth, secrets: [env:NEXTAUTH_SECRET], user: sub}"},
		{`{preset: supabase, cookie: c, secrets: ["file:/run/jwt"]}`,
			`{cookie: c, decode: supabase, algorithms: [HS256], secrets: ["file:/run/jwt"], audience: authenticated, from: session_id, store: {table: auth.sessions, key: id}, user: user_id}`},
		{`{preset: django, decode: django, check: none, claims: "select :user as id"}`,
			`{cookie: sessionid, decode: django, secrets: [env:DJANGO_SECRET_KEY], user: _auth_user_id, check: none, claims: "select :user as id"}`},
	} {
		short, long := entries(t, "  - "+test.short), entries(t, "  - "+test.long)
		short[0].Session.Preset = ""
		if diff := cmp.Diff(long, short); diff != "" {
			t.Errorf("%s (-written out +preset):\n%s", test.short, diff)
		}
	}
}

// Nothing that the file says is replaced, of a store neither.
func TestPresetLeavesWhatIsWritten(t *testing.T) {
	const written = `bearer: true, decode: phoenix, secrets: [env:A, env:B], salt: s, from: f, user: u, check: none,
      store: {table: a.b, key: k, hash: sha256-hex, where: {c: d}, expires: {column: e, unit: unix-ms}, data: {column: g, format: json}, watch: [h]},
      claims: "select :user as id, :session from users", depends: [{table: x.y, key: z}], timezone: Europe/Berlin,
      max_stream: 5m, revalidate: 5s, negative_ttl: 1s`
	want := entries(t, "  - {"+written+"}")
	for _, name := range presetNames() {
		if name == "supabase" { // whose algorithms and audience phoenix would refuse
			continue
		}
		got := entries(t, "  - {preset: "+name+", "+written+"}")
		got[0].Session.Preset = ""
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-written +filled):\n%s", name, diff)
		}
	}
}

// What a preset fills is one entry's own.
func TestPresetsAreNotShared(t *testing.T) {
	first := entries(t, "  - preset: django")[0].Session
	first.Cookies[0], first.Depends[0].Key, first.Store.Expires.Column = "x", "x", "x"
	if again := entries(t, "  - preset: django")[0].Session; again.Cookies[0] == "x" || again.Depends[0].Key == "x" || again.Store.Expires.Column == "x" {
		t.Errorf("the preset has changed: %+v", again)
	}
	const watching = "  - {preset: better-auth, claims: \"select :user as id, :session\"}"
	entries(t, watching)[0].Session.Store.Watch[0] = "x"
	if again := entries(t, watching)[0].Session.Store.Watch; again[0] == "x" {
		t.Errorf("the preset has changed: %v", again)
	}
}

// What a preset fills in is checked like what is written: the claims of presets are one query.
func TestPresetClaims(t *testing.T) {
	for name, p := range presets {
		if p.claims == "" {
			continue
		}
		if q := parseQuery(p.claims); !q.reads("user") || !q.has("_check") || q.unclosed != "" || q.second != 0 || q.first != "select" {
			t.Errorf("%s: %+v", name, q)
		}
	}
	_, err := Parse("f", []byte(strings.Replace(authHead, "id: text, ", "", 1)+"  - preset: authjs"), nil)
	if err == nil || !strings.Contains(err.Error(), "f:6:5: auth.0.user: without claims here the user is the claim id, which is not declared") {
		t.Errorf("authjs without the claim id: %v", err)
	}
}

func TestAuthDefaults(t *testing.T) {
	got := entries(t, `
  - preset: rails8
  - {cookie: a, decode: flask, secrets: [env:A], user: u}
  - forward: {url: "http://localhost/me", cookies: [s], user: id}
  - forward: {url: "http://localhost/me", bearer: true, claims: {id: x}, pass_set_cookie: false, timeout: 1s, max_stream: 1m}
  - anonymous: {claims: {role: anon, n: 1, l: [a, null], b: true}}
`)
	stored, stateless := got[0].Session, got[1].Session
	if stored.MaxStream != time.Hour || stateless.MaxStream != 10*time.Minute || !stored.Live() || stateless.Live() {
		t.Errorf("max_stream %v with a store, %v without", stored.MaxStream, stateless.MaxStream)
	}
	for _, e := range []*auth.SessionEntry{stored, stateless} {
		if e.Revalidate != time.Minute || e.NegativeTTL != 2*time.Second || e.Timezone != "UTC" || e.StreamPastExp != 0 {
			t.Errorf("%+v", e)
		}
	}
	forward := got[2].Forward
	if forward.MaxStream != 10*time.Minute || forward.Timeout != 3*time.Second || !forward.PassSetCookie || forward.Bearer {
		t.Errorf("%+v", forward)
	}
	written := got[3].Forward
	if written.MaxStream != time.Minute || written.Timeout != time.Second || written.PassSetCookie || !written.Bearer || written.Claims.Paths["id"] != "x" {
		t.Errorf("%+v", written)
	}
	if claims := string(got[4].Anonymous.Claims); claims != `{"b":true,"l":["a",null],"n":1,"role":"anon"}` {
		t.Errorf("anonymous claims %s", claims)
	}
	if got[0].Key != "auth.0" || got[4].Key != "auth.4" {
		t.Errorf("keys %s, %s", got[0].Key, got[4].Key)
	}
}

// Keys of entries have their places, for what is found out later.
func TestAuthPos(t *testing.T) {
	c := mustParse(t, `postgres: {url: postgres://app@db/shop}
claims: {id: bigint}
auth:
  - cookie: [a, b]
    decode: plain
    store:
      table: s
      key: id
    user: u
    claims: select id from users where id = :user
    depends:
      - {table: users, key: id}
  - preset: django
channels:
  orders: {table: orders, allow: row.id == user.id}
`, nil)
	for key, want := range map[string]Pos{
		"auth": {4, 3}, "auth.0": {4, 5}, "auth.0.cookie": {4, 13}, "auth.0.store": {6, 5}, "auth.0.store.table": {7, 14}, "auth.0.store.expires": {6, 5},
		"auth.0.depends.0": {12, 9}, "auth.0.depends.0.key": {12, 29}, "auth.0.claims": {10, 13}, "auth.1.store.table": {13, 5},
	} {
		if got := c.Pos(key); got != want {
			t.Errorf("%s at %v, want %v", key, got, want)
		}
	}
}
