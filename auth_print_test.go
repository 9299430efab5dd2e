package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walrelay/walrelay/config"
)

// The example's entries, and one with all that it does not have, as explain prints them.
func TestPrintAuth(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(secret, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := `postgres: {url: postgres://app:hunter2@db/shop}
claims: {id: bigint, role: text}
auth:
  - {preset: phoenix, cookie: [_a_key, "a'b"], salt: "s: 1", claims: "select :user as id, :session\nfrom users", max_stream: 90m, negative_ttl: 90s}
  - {bearer: true, decode: jwt, algorithms: [RS256], issuer: "https://id/", audience: [a, b], jwks: "https://id.example.com/keys?key=hunter2", max_age: 14d, from: sid,
     store: {table: '"A".b', key: id, hash: rack, expires: {column: e, unit: unix, plus: 36h}}, user: sub, claims: {id: sub, role: r.x}, stream_past_exp: 10m}
  - {cookie: sc, decode: securecookie, secrets: [env:HASH, "file:` + secret + `"], encryption: [env:BLOCK, "file:/nowhere"], encoding: hex, user: u}
  - forward: {url: "http://127.0.0.1:3000/me?token=hunter2", cookies: [s], headers: {id: X-Id}}
  - anonymous: {claims: {role: anon}}
channels: {orders: {table: orders, allow: public}}
`
	cfg, err := config.Parse("f", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	printAuth(&out, cfg, func(name string) (string, bool) { return "hunter2", name == "HASH" || name == "SECRET_KEY_BASE" })
	if strings.Contains(out.String(), "hunter2") {
		t.Error("it shows a secret")
	}
	want := `# f:4:5
auth.0:
  preset: phoenix # filled in below
  cookie: [_a_key, "a'b"]
  decode: phoenix
  secrets:
    - [secret] # env:SECRET_KEY_BASE, set
  salt: "s: 1"
  from: user_token
  store:
    table: public.users_tokens
    key: token
    where: {context: session}
    expires: {column: inserted_at, plus: 14d}
  user: user_id
  claims:
    select :user as id, :session
    from users
  depends:
    - {table: public.users, key: id}
  timezone: UTC
  max_stream: 1h30m
  revalidate: 1m
  negative_ttl: 1m30s

# f:5:5
auth.1:
  bearer: true
  decode: jwt
  issuer: https://id/
  audience: [a, b]
  algorithms: [RS256]
  max_age: 14d
  jwks: https://id.example.com/keys?...
  from: sid
  store:
    table: A.b
    key: id
    hash: rack
    expires: {column: e, unit: unix, plus: 36h}
  user: sub
  claims: {id: sub, role: r.x}
  timezone: UTC
  max_stream: 1h
  revalidate: 1m
  negative_ttl: 2s
  stream_past_exp: 10m

# f:7:5
auth.2:
  cookie: [sc]
  decode: securecookie
  secrets:
    - [secret] # env:HASH, set
    - [secret] # file:KEY, set
  encryption:
    - [secret] # env:BLOCK, NOT SET
    - [secret] # file:/nowhere, CANNOT BE READ
  encoding: hex
  user: u
  claims: # none: the claim id is the user
  timezone: UTC
  max_stream: 10m
  revalidate: 1m
  negative_ttl: 2s

# f:8:5
auth.3:
  forward:
    url: http://127.0.0.1:3000/me?...
    cookies: [s]
    bearer: false
    headers: {id: X-Id}
    pass_set_cookie: true
    timeout: 3s
    max_stream: 10m

# f:9:5
auth.4:
  anonymous:
    claims: {"role":"anon"}
`
	if diff := cmp.Diff(want, strings.ReplaceAll(out.String(), secret, "KEY")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestShortDuration(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		time.Hour: "1h", 90 * time.Minute: "1h30m", time.Minute: "1m", 61 * time.Second: "1m1s", 36 * time.Hour: "36h", 48 * time.Hour: "2d", 500 * time.Millisecond: "500ms",
		time.Hour + time.Second: "1h0m1s", 10 * time.Minute: "10m", 20 * time.Hour: "20h", 10 * time.Second: "10s",
	} {
		if got := shortDuration(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
		if back, err := time.ParseDuration(shortDuration(d)); err == nil && back != d {
			t.Errorf("%v reads %v again", d, back)
		}
	}
}
