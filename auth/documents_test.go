package auth_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/walrelay/walrelay/auth"
	"github.com/walrelay/walrelay/config"
)

// documented are configurations of docs/sessions/ and the vectors of their frameworks.
var documented = []struct {
	vector        string
	page, section string // no section: what is before the first
	// secret is what the vector calls it; empty: none.
	secret string
	// adapt gives the tables of the vector the names and columns that the page speaks of.
	adapt  string
	claims string
}{
	{"express-session-passport", "express.md", "express-session with connect-pg-simple", "secret",
		"alter table app_users rename to users; alter table users add disabled bool not null default false", `{"id":42,"org_id":7,"roles":["admin","billing"]}`},
	{"cookie-session", "express.md", "cookie-session and Koa", "keys", someUsers, `{"id":42,"roles":["admin"]}`},
	{"django-db", "django.md", "Sessions in the database", "SECRET_KEY", "", `{"id":1,"is_staff":true,"is_superuser":false,"roles":["billing"],"user_id":1}`},
	{"rails8-signed-session-id", "rails.md", "Rails 8: `bin/rails generate authentication`", "secret_key_base", "alter table app_sessions rename to sessions", `{"id":1,"org_id":7,"role":"admin"}`},
	{"rails-encrypted-cookie-sha256", "rails.md", "Cookie store and Devise", "secret_key_base", "alter table users add locked_at timestamp", `{"id":1,"org_id":7,"role":"admin"}`},
	{"rails-activerecord-session-store", "rails.md", "activerecord-session_store", "", "", `{"id":1,"role":"admin"}`},
	{"laravel-database", "laravel.md", "", "APP_KEY", "", `{"id":42,"org_id":7,"role":"admin"}`},
	{"phoenix-gen-auth", "phoenix.md", "", "secret_key_base", "", `{"id":42,"org_id":7,"role":"admin"}`},
	{"authjs-database", "authjs.md", "Database sessions", "", "alter table users add role text", `{"email":"ada@example.test","id":1,"role":null}`},
	{"authjs-v5-jwe", "authjs.md", "JWT sessions", "secret", "", `{"email":"ada@example.test","id":"42"}`},
	{"better-auth", "better-auth.md", "", "secret", "", `{"email":"ada@example.test","id":"kF9TpM6iKkTpDqpyTpoKEZolAf7o9SyK"}`},
	{"better-auth", "better-auth.md", "Organizations", "secret", "", `{"id":"kF9TpM6iKkTpDqpyTpoKEZolAf7o9SyK","org_id":"DJ4jMyStv1bOUhkmp7TvvFm5cZ9m55CL","roles":["owner"]}`},
	{"flask-cookie", "flask.md", "Flask", "SECRET_KEY", someUsers, `{"id":42,"role":"admin"}`},
	{"starlette-cookie", "flask.md", "Starlette, FastAPI", "secret_key", someUsers, `{"id":42,"role":"admin"}`},
	{"iron-session", "others.md", "iron-session", "password", someUsers, `{"id":42,"role":"admin"}`},
	{"gorilla-cookiestore-encrypted", "others.md", "gorilla/sessions CookieStore", "hash_key", someUsers, `{"id":42,"role":"admin"}`},
	{"lucia-sha256", "others.md", "Tokens hashed in a table (the Lucia guide, your own code)", "",
		"alter table app_users rename to users; alter table users add disabled bool not null default false, add role text", `{"id":42,"role":null}`},
	{"scs-postgresstore", "others.md", "scs with postgresstore or pgxstore", "",
		"alter table app_users rename to users; alter table users add disabled bool not null default false, add role text", `{"id":42,"role":null}`},
}

const someUsers = `create table users (id bigint primary key, roles text[], role text, active bool not null default true, disabled bool not null default false);
	insert into users values (42, '{admin}', 'admin')`

// TestDocumentsOpenCookies: what docs/sessions/ say to copy opens cookies of the real
// frameworks, with the rights that the page names and no more.
func TestDocumentsOpenCookies(t *testing.T) {
	t.Parallel()
	for _, c := range documented {
		t.Run(c.vector+" "+c.section, func(t *testing.T) {
			t.Parallel()
			text := readSection(t, c.page, c.section)
			blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(text, -1)
			if len(blocks) == 0 {
				t.Fatal("the section has no configuration")
			}
			block := blocks[len(blocks)-1][1]
			cfg, err := config.Parse(c.page, []byte("postgres: {url: postgres://app@db/shop}\n"+block+"channels: {orders: {table: orders, allow: true}}\n"), nil)
			if err != nil {
				t.Fatal(err)
			}
			grants := regexp.MustCompile(`(?m)^GRANT SELECT .*;`).FindAllString(text, -1)
			got := auth.OpenDocumented(t, c.vector, cfg.Auth[0].Session, c.secret, c.adapt, grants)
			if got != c.claims {
				t.Errorf("claims %s, want %s", got, c.claims)
			}
		})
	}
}

// readSection is a part of a page of docs/sessions/.
func readSection(t *testing.T, page, heading string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/sessions/" + page)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(text), "\n## ")
	if heading == "" {
		return parts[0]
	}
	i := slices.IndexFunc(parts, func(p string) bool { return strings.HasPrefix(p, heading+"\n") })
	if i < 0 {
		t.Fatalf("%s has no section %q", page, heading)
	}
	return parts[i]
}
