package config

import (
	"maps"
	"slices"
	"time"

	"github.com/walrelay/walrelay/auth"
)

// Presets say what a framework does unless its application says otherwise. They only fill
// fields that the file leaves out, and the result is checked like a written one.

// preset is what a framework fixes.
type preset struct {
	// entry has the fields to fill; of Store also single ones.
	entry func(file *auth.SessionEntry) auth.SessionEntry
	// claims is SQL where the framework fixes tables and columns, else empty.
	claims string
	// depends are tables of users, taken where the claims SQL reads them.
	depends []auth.Depend
	// watch is taken where the claims SQL reads :session.
	watch []string
}

const djangoClaims = `select u.id, u.id as user_id, u.is_staff, u.is_superuser, u.password as _check,
       array(select g.name from auth_user_groups x join auth_group g on g.id = x.group_id where x.user_id = u.id) as roles
from auth_user u where u.id = :user::int and u.is_active`

const deviseClaims = `select id, id as user_id, encrypted_password as _check from users where id = :user`

var presets = map[string]preset{
	"django": {
		entry: presetDjango, claims: djangoClaims,
		depends: []auth.Depend{{Schema: "public", Table: "auth_user", Key: "id"}, {Schema: "public", Table: "auth_user_groups", Key: "user_id"}},
	},
	"rails8":  {entry: presetRails8, depends: usersByID},
	"laravel": {entry: presetLaravel, depends: usersByID},
	"phoenix": {entry: presetPhoenix, depends: usersByID},
	"authjs":  {entry: presetAuthJS, depends: usersByID},
	"better-auth": {
		entry:   presetBetterAuth,
		depends: []auth.Depend{{Schema: "public", Table: "member", Key: "userId"}, {Schema: "public", Table: "user", Key: "id"}},
		watch:   []string{"userId", "activeOrganizationId"},
	},
	"express-passport": {entry: presetExpressPassport, depends: usersByID},
	"devise":           {entry: presetDevise, claims: deviseClaims, depends: usersByID},
	"supabase":         {entry: presetSupabase},
}

var usersByID = []auth.Depend{{Schema: "public", Table: "users", Key: "id"}}

func presetNames() []string { return slices.Sorted(maps.Keys(presets)) }

// presetDjango: sessions in the database, or in the cookie (signed_cookies) with
// decode: django.
func presetDjango(file *auth.SessionEntry) auth.SessionEntry {
	e := auth.SessionEntry{Cookies: []string{"sessionid"}, Decode: "plain", Secrets: []string{"env:DJANGO_SECRET_KEY"}, User: "_auth_user_id", Check: "django-auth-hash"}
	if file.Decode != "django" {
		e.Store = &auth.Store{Schema: "public", Table: "django_session", Key: "session_key",
			Expires: &auth.Expires{Column: "expire_date"}, Data: &auth.Data{Column: "session_data", Format: "django"}}
	}
	return e
}

// presetRails8: `rails generate authentication`.
func presetRails8(*auth.SessionEntry) auth.SessionEntry {
	return auth.SessionEntry{Cookies: []string{"session_id"}, Decode: "rails-signed", Secrets: []string{"env:SECRET_KEY_BASE"},
		Store: &auth.Store{Schema: "public", Table: "sessions", Key: "id"}, User: "user_id"}
}

// presetLaravel: SESSION_DRIVER=database and SESSION_LIFETIME=120.
func presetLaravel(*auth.SessionEntry) auth.SessionEntry {
	return auth.SessionEntry{Cookies: []string{"laravel_session"}, Decode: "laravel", Secrets: []string{"env:APP_KEY"},
		Store: &auth.Store{Schema: "public", Table: "sessions", Key: "id", Expires: &auth.Expires{Column: "last_activity", Unit: "unix", Plus: 120 * time.Minute}},
		User:  "user_id"}
}

// presetPhoenix: mix phx.gen.auth. Cookie and salt are in the application's endpoint.ex.
func presetPhoenix(*auth.SessionEntry) auth.SessionEntry {
	return auth.SessionEntry{Decode: "phoenix", Secrets: []string{"env:SECRET_KEY_BASE"}, From: "user_token",
		Store: &auth.Store{Schema: "public", Table: "users_tokens", Key: "token", Where: []auth.Equal{{Column: "context", Value: "session"}},
			Expires: &auth.Expires{Column: "inserted_at", Plus: 14 * 24 * time.Hour}},
		User: "user_id"}
}

// presetAuthJS: sessions in the database as its Postgres adapters lay them out, or, with
// decode: authjs or nextauth, in the cookie.
func presetAuthJS(file *auth.SessionEntry) auth.SessionEntry {
	e := auth.SessionEntry{Cookies: []string{"__Secure-authjs.session-token", "authjs.session-token"}}
	switch file.Decode {
	case "nextauth":
		e.Cookies = []string{"__Secure-next-auth.session-token", "next-auth.session-token"}
		e.Secrets, e.User = []string{"env:NEXTAUTH_SECRET"}, "sub"
	case "authjs":
		e.Secrets, e.User = []string{"env:AUTH_SECRET"}, "sub"
	default:
		e.Decode, e.User = "plain", "userId"
		e.Store = &auth.Store{Schema: "public", Table: "sessions", Key: "sessionToken", Expires: &auth.Expires{Column: "expires"}}
	}
	return e
}

func presetBetterAuth(*auth.SessionEntry) auth.SessionEntry {
	return auth.SessionEntry{Cookies: []string{"__Secure-better-auth.session_token", "better-auth.session_token"}, Decode: "better-auth",
		Secrets: []string{"env:BETTER_AUTH_SECRET"},
		Store:   &auth.Store{Schema: "public", Table: "session", Key: "token", Expires: &auth.Expires{Column: "expiresAt"}}, User: "userId"}
}

// presetExpressPassport: express-session with connect-pg-simple, and Passport.
func presetExpressPassport(*auth.SessionEntry) auth.SessionEntry {
	return auth.SessionEntry{Cookies: []string{"connect.sid"}, Decode: "express", Secrets: []string{"env:SESSION_SECRET"},
		Store: &auth.Store{Schema: "public", Table: "session", Key: "sid", Expires: &auth.Expires{Column: "expire"}, Data: &auth.Data{Column: "sess", Format: "json"}},
		User:  "passport.user"}
}

// presetDevise: Rails' cookie store with Devise's scope "user". The cookie has the
// application's name.
func presetDevise(*auth.SessionEntry) auth.SessionEntry {
	return auth.SessionEntry{Decode: "rails", Secrets: []string{"env:SECRET_KEY_BASE"}, User: "warden.user.user.key.0.0", Check: "devise-salt"}
}

// presetSupabase: cookie and jwks have the project's name. Secrets in the file mean the
// shared secret of older projects.
func presetSupabase(file *auth.SessionEntry) auth.SessionEntry {
	e := auth.SessionEntry{Decode: "supabase", Algorithms: []string{"ES256"}, Audience: []string{"authenticated"}, From: "session_id",
		Store: &auth.Store{Schema: "auth", Table: "sessions", Key: "id"}, User: "user_id"}
	if len(file.Secrets) > 0 {
		e.Algorithms = []string{"HS256"}
	}
	return e
}

// fillPreset fills what the file leaves out. q is the claims SQL of the file, nil for none;
// the result is that of the entry as it is then.
func fillPreset(e *auth.SessionEntry, q *query) *query {
	p, ok := presets[e.Preset]
	if !ok {
		return q
	}
	fill := p.entry(e)
	if len(e.Cookies) == 0 && !e.Bearer {
		e.Cookies = fill.Cookies
	}
	fillText(&e.Decode, fill.Decode)
	fillList(&e.Secrets, fill.Secrets)
	fillList(&e.Algorithms, fill.Algorithms)
	fillList(&e.Audience, fill.Audience)
	fillText(&e.From, fill.From)
	fillText(&e.User, fill.User)
	fillText(&e.Check, fill.Check)
	fillStore(&e.Store, fill.Store)
	if none(e.Claims) && p.claims != "" {
		q = parseQuery(p.claims)
		e.Claims.SQL = q.text
	}
	if len(e.Depends) == 0 {
		for _, d := range p.depends {
			if q.has(d.Table) {
				e.Depends = append(e.Depends, d)
			}
		}
	}
	if e.Store != nil && q.reads("session") {
		fillList(&e.Store.Watch, p.watch)
	}
	return q
}

func fillStore(to **auth.Store, from *auth.Store) {
	switch {
	case from == nil:
		return
	case *to == nil:
		*to = from
		return
	}
	s := *to
	if s.Table == "" {
		s.Schema, s.Table = from.Schema, from.Table
	}
	fillText(&s.Key, from.Key)
	fillText(&s.Hash, from.Hash)
	fillList(&s.Where, from.Where)
	if s.Expires == nil {
		s.Expires = from.Expires
	}
	if s.Data == nil {
		s.Data = from.Data
	}
}

func fillText(to *string, from string) {
	if *to == "" {
		*to = from
	}
}

func fillList[T any](to *[]T, from []T) {
	if len(*to) == 0 {
		*to = slices.Clone(from)
	}
}
