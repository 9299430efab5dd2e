package auth

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/walrelay/walrelay/change"
)

// walSteps are what each step of the vectors' wal says of sessions and users, see effect.
var walSteps = map[string][]string{
	"rails8-signed-session-id": {
		`login: insert user="1"`,
		"role change: user 1",
		"role restored: user 1",
		`password change (generator: user.sessions.destroy_all): insert user="1", delete true`,
		"logout: delete true",
	},
	"django-db": {
		`login: insert user="", user 1, update expires user watched`,
		"GET /me (session not modified): ",
		"request that writes the session: update expires",
		`second login (other browser): insert user="", user 1, update expires user watched`,
		"password change (no session row changes: the hash inside no longer fits): user 1",
		"GET /me with the old session after the password change (Django flushes it): delete true",
		`reset + login again: user 1, insert user="", user 1, update expires user watched`,
		"logout: delete true",
	},
	"express-session-passport": {
		`login: insert user="42", update`,
		"request 1 (GET /me): update",
		"request 2 (GET /me), 1.1 s later: update expires",
		"role change in app_users: user 42",
		`logout (passport req.logout): update expires user watched (signed out), delete true, insert user=""`,
	},
	"scs-postgresstore": {
		`login: insert user="42"`,
		"GET /me (IdleTimeout set: every request writes): update expires",
		"logout: delete true",
	},
	"better-auth": {
		`sign-up: insert user="kF9TpM6iKkTpDqpyTpoKEZolAf7o9SyK"`,
		`sign-in: insert user="kF9TpM6iKkTpDqpyTpoKEZolAf7o9SyK"`,
		"organization/create (sets session.activeOrganizationId): update expires, user kF9TpM6iKkTpDqpyTpoKEZolAf7o9SyK, update watched",
		"get-session (updateAge 0: every read extends): update expires",
		`sign-in with cookieCache elsewhere, then sign-out: insert user="kF9TpM6iKkTpDqpyTpoKEZolAf7o9SyK", delete true`,
	},
	"laravel-database": {
		`login (session()->migrate(true)): insert user="42"`,
		"GET request 1: update",
		"GET request 2, 1 s later: update expires",
		"Auth::logout() without invalidate (user_id becomes null): update user watched (signed out)",
		"login again without migrate: update user watched",
		`logout: session()->invalidate(): delete true, insert user=""`,
	},
	"lucia-sha256": {
		`login: insert user="42"`,
		"sliding extension (once per 15 days in the guide): update expires",
		"logout: delete true",
	},
	"rails-activerecord-session-store": {
		`login: insert user="1"`,
		"request that saves the session (updated_at): update",
		"logout: delete true",
	},
	"authjs-database": {
		`login by magic link: user 1, insert user="1"`,
		"(membership row added by the app): user 1",
		"GET /auth/session (updateAge 0: every read extends): update expires",
		"signout: delete true",
	},
	"phoenix-gen-auth": {
		`login: insert user="42"`,
		"ordinary request (the Plug cookie store writes nothing): ",
		"password change (deletes all tokens) / logout (deletes one): delete true",
	},
}

// TestVectorSteps reads what the frameworks wrote at login, request and logout.
func TestVectorSteps(t *testing.T) {
	t.Parallel()
	for name := range worked {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := loadStoreVector(t, name)
			d := newDatabase(t, "create extension citext", v.DDL)
			e, env := v.workedEntry(t)
			s := compile(t, e, env)
			s.now = v.clock
			rels := d.relations(t, e)
			if _, err := s.learn(rels); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(walSteps[name], v.effects(t, s, rels)); diff != "" {
				t.Errorf("effects (-want +got):\n%s", diff)
			}
		})
	}
}

// effects are the steps that change anything, in words.
func (v storeVector) effects(t *testing.T, s *source, rels map[string]*change.Relation) (out []string) {
	t.Helper()
	rows := map[string]row{}
	for i, step := range v.WAL {
		var words []string
		for _, line := range step.Changes {
			if c := parseWAL(t, rels, uint32(i), v.unmarshalled(line)); c != nil {
				words = append(words, effect(t, s, rows, c)...)
			}
		}
		out = append(out, step.Step+": "+strings.Join(words, ", "))
	}
	return out
}

// unmarshalled has the payload of the JSON serializer in place of Ruby's.
func (v storeVector) unmarshalled(line string) string {
	if v.DataDecode.JSON == "" {
		return line
	}
	return strings.ReplaceAll(line, v.Rows["sessions"][0]["data"].(string), v.DataDecode.JSON)
}

// effect says what a change means: of the store's rows in their order of appearance, and of
// users.
func effect(t *testing.T, s *source, rows map[string]row, c *change.Change) (out []string) {
	t.Helper()
	after, before := imagesOf(t, c)
	users, all := s.touched(c, after, before)
	for _, u := range users {
		out = append(out, fmt.Sprintf("user %s", u.user))
	}
	if all {
		out = append(out, "all users")
	}
	if !s.isStore(c.Relation) {
		return slices.Compact(out)
	}
	if c.Op == change.Delete {
		id, ok := s.identity(c.Relation, before)
		_, known := rows[id]
		return append(out, fmt.Sprintf("delete %v", ok && known))
	}
	r, err := s.row(c.Relation, after)
	if err != nil {
		return append(out, c.Op.String()+" "+err.Error())
	}
	was, known := rows[r.identity]
	rows[r.identity] = r
	if !known {
		return append(out, fmt.Sprintf("%s user=%q", c.Op, r.user))
	}
	return append(out, c.Op.String()+difference(was, r))
}

// difference names the fields that differ.
func difference(a, b row) (out string) {
	for _, f := range []struct {
		name   string
		differ bool
	}{
		{"expires", !a.expires.Equal(b.expires)}, {"user", a.user != b.user}, {"watched", a.watched != b.watched},
		{"key", a.key != b.key}, {"fits", a.fits != b.fits}, {"partial", a.partial != b.partial},
	} {
		if f.differ {
			out += " " + f.name
		}
	}
	if b.user == "" {
		out += " (signed out)"
	}
	return out
}
