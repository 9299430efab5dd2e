package integration

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// signExpress is the cookie that express-session makes of a session.
func signExpress(t testing.TB, id, secret string) http.Header {
	t.Helper()
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(id))
	value := url.QueryEscape("s:" + id + "." + base64.RawStdEncoding.EncodeToString(mac.Sum(nil)))
	leaks.cookie(t, value)
	return cookieHeader("sid=" + value)
}

// TestAuthSecretsChange: secrets are changed as operators do, the new one in front of the
// old one and then without it. No stream ends, and no cookie counts but those that the
// secrets of now have signed.
func TestAuthSecretsChange(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, plainSchema)
	dir := tempDir(t)
	current, old := filepath.Join(dir, "current"), filepath.Join(dir, "old")
	put := func(path, secret string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first, second, third := newToken(), newToken(), newToken()
	leaks.secret(t, "secret of Express", first, second, third)
	put(current, first)
	put(old, newToken())
	settings := plainAuth
	settings.entries = `  - cookie: sid
    decode: express
    secrets: ["file:` + current + `", "file:` + old + `"]
    store: {table: sessions, key: id}
    user: user_id
`
	settings.claims, settings.limits = "id: bigint", manyFailures
	settings.channels = "  notes: {table: public.notes, allow: row.user_id == user.id}\n"
	r := startAuthRelay(t, db, settings.yaml())
	reload := func() exit {
		t.Helper()
		return startProcess(t, r.command(t, "reload", "-c", r.config)).wait(t)
	}
	id := db.newSession(t, 1)
	by := func(secret string) http.Header { return signExpress(t, id, secret) }
	s := r.signedIn(t, by(first), "notes")
	r.wantOutcome(t, "401", by(second), "notes")

	put(current, second)
	put(old, first)
	if out := reload(); out.code != 0 {
		t.Fatalf("reload: %s%s", out.stdout, out.stderr)
	}
	r.wantOutcome(t, "ready", by(first), "notes")
	r.wantOutcome(t, "ready", by(second), "notes")

	put(current, third)
	put(old, second)
	if out := reload(); out.code != 0 {
		t.Fatalf("reload: %s%s", out.stdout, out.stderr)
	}
	r.wantOutcome(t, "401", by(first), "notes") // which has a stream, and was known
	r.wantOutcome(t, "ready", by(second), "notes")
	r.wantOutcome(t, "ready", by(third), "notes")
	s.wantAlive(t, db, 1)

	// Without a secret those of before stay, and it says so.
	if err := os.Remove(current); err != nil {
		t.Fatal(err)
	}
	if out := reload(); !strings.Contains(out.stdout, "secrets stay as they were: auth.0.secrets") {
		t.Errorf("reload without a secret: %s%s", out.stdout, out.stderr)
	}
	r.wantOutcome(t, "ready", by(third), "notes")
	s.wantAlive(t, db, 1)
	db.exec(t, "delete from sessions where id = '"+id+"'")
	s.wantEnd(t, "signed_out")
	r.wantOutcome(t, "401", by(third), "notes")
}

// explain runs `walrelay auth explain` on a Cookie header. What it prints has no secret.
func (r *relay) explain(t testing.TB, header http.Header, want string) {
	t.Helper()
	file := filepath.Join(tempDir(t), "cookies.txt")
	if err := os.WriteFile(file, []byte(header.Get("Cookie")), 0o600); err != nil {
		t.Fatal(err)
	}
	out := startProcess(t, r.command(t, "auth", "explain", "-c", r.config, "--cookie-file", file)).wait(t)
	leaks.watch("output of auth explain in "+t.Name(), fixed(out.stdout))
	if out.code != 0 || !strings.Contains(out.stdout, want) {
		t.Errorf("auth explain: exit code %d, want 0 and %q; it wrote:\n%s%s", out.code, want, out.stdout, out.stderr)
	}
}
