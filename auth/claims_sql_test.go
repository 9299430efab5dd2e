package auth

import (
	"strings"
	"testing"
)

func TestParseClaimsSQL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, sql, want string
		user, session   int
	}{
		{"a cast", "select :user::int", "select $1::int", 1, 0},
		{"both", "select :session->>'org', :user", "select $1::jsonb->>'org', $2", 2, 1},
		{"used twice", "select :user, :user::text, :session", "select $1, $1::text, $2::jsonb", 1, 2},
		{"none", "select 1 as id", "select 1 as id", 0, 0},
		{"a string", "select ':user', 'it''s :user'", "select ':user', 'it''s :user'", 0, 0},
		{"a string with escapes", `select E'it\'s :user', e'\\', :user`, `select E'it\'s :user', e'\\', $1`, 1, 0},
		{"a backslash in a plain string", `select '\', :user`, `select '\', $1`, 1, 0},
		{"a name ending in e", `select name':user'`, `select name':user'`, 0, 0},
		{"a quoted name", `select ":user", "a"":user"`, `select ":user", "a"":user"`, 0, 0},
		{"a dollar quote", "select $$:user$$, $x1$ :user $$ $x1$, :user", "select $$:user$$, $x1$ :user $$ $x1$, $1", 1, 0},
		{"a dollar in a name", "select a$b, :user, c$b", "select a$b, $1, c$b", 1, 0},
		{"a line comment", "select 1 -- :user\n, :user", "select 1 -- :user\n, $1", 1, 0},
		{"a comment at the end", "select :user -- :user", "select $1 -- :user", 1, 0},
		{"a nested comment", "select /* /* :user */ :user */ :user", "select /* /* :user */ :user */ $1", 1, 0},
		{"a longer name", "select :username, :user_id, :sessions, :users", "select :username, :user_id, :sessions, :users", 0, 0},
		{"a cast to a type called user", "select x::user, y:: user", "select x::user, y:: user", 0, 0},
		{"an argument by name", "select f(user:=1, b := :user)", "select f(user:=1, b := $1)", 1, 0},
		{"a slice", "select a[1:2], a[lo:hi]", "select a[1:2], a[lo:hi]", 0, 0},
		{"a semicolon at the end", "select :user; -- that is all\n", "select $1 -- that is all\n", 1, 0},
		{"letters beyond ASCII", "select größe:user", "select größe$1", 1, 0},
	} {
		got, err := parseClaimsSQL(c.sql)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got.inner != c.want || got.user != c.user || got.session != c.session {
			t.Errorf("%s: %q user=%d session=%d, want %q %d %d", c.name, got.inner, got.user, got.session, c.want, c.user, c.session)
		}
	}
}

func TestParseClaimsSQLRefuses(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]string{
		"":                             "empty",
		" ; ":                          "empty",
		"select 1; select 2":           "more than one statement",
		"select 1; -- x\n /* y */ 'z'": "more than one statement",
		"select $1":                    ":user",
		"select 'x":                    "a string is not closed",
		`select E'x\'`:                 "a string is not closed",
		`select "x`:                    "a name in quotes is not closed",
		"select $x$ :user $y$":         "dollar quotes is not closed",
		"select /* /* */ 1":            "a comment is not closed",
		"select 1) as x, (select 2":    "closed that was not opened",
		"select (1":                    "a parenthesis is not closed",
	} {
		if _, err := parseClaimsSQL(sql); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", sql, err, want)
		}
	}
}

func TestClaimsSQLArgs(t *testing.T) {
	t.Parallel()
	c, err := parseClaimsSQL("select :session, :user")
	if err != nil {
		t.Fatal(err)
	}
	if args := c.args([]byte("u"), []byte("{}")); len(args) != 2 || string(args[0]) != "{}" || string(args[1]) != "u" {
		t.Errorf("%q", args)
	}
}

// FuzzClaimsSQL: what comes out has no name of ours left outside of quotes, and the wrapped
// query has as many parentheses as the inner one wants.
func FuzzClaimsSQL(f *testing.F) {
	for _, s := range []string{"select :user::int", "select $a$ :user $a$, E'\\'' /* */ -- x", `select "a"":user"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseClaimsSQL(text)
		if err != nil {
			return
		}
		again, err := parseClaimsSQL(strings.NewReplacer("$1", "x", "$2", "x").Replace(c.inner))
		if err == nil && !strings.Contains(text, "$") && (again.user != 0 || again.session != 0) {
			t.Errorf("%q leaves a parameter in %q", text, c.inner)
		}
	})
}
