package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// authCommand runs a command of `walrelay auth` on the relay's configuration. What it prints is
// searched for secrets at the end.
func (r *relay) authCommand(t testing.TB, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	got := startProcess(t, r.command(t, append([]string{"auth", args[0], "-c", r.config}, args[1:]...)...)).wait(t)
	leaks.watch("output of auth "+args[0]+" in "+t.Name(), fixed(got.stdout+got.stderr))
	return got.stdout, got.stderr, got.code
}

// authSteps runs auth explain with a file of cookies or headers and returns the steps.
func (r *relay) authSteps(t testing.TB, flag, text string) string {
	t.Helper()
	file := filepath.Join(tempDir(t), "request.txt")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := r.authCommand(t, "explain", flag, file)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	_, steps, _ := strings.Cut(stdout, "\n\n")
	return steps
}

// TestAuthExplain: every way in which a cookie can be kept, and every answer, beside a walrelay
// that says the same.
func TestAuthExplain(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, plainSchema)
	r := newAuthRelay(t, db, plainAuth.yaml())
	id, gone, disabled := db.newSession(t, 1), sessionID(t), db.newSession(t, 3)
	db.exec(t, "update users set disabled = true where id = 3")
	r.startAuth(t)
	for cookie, want := range map[string]string{id: "ready", gone: "401", disabled: "401"} {
		r.wantOutcome(t, want, sid(cookie), "notes")
	}
	stdout, stderr, code := r.authCommand(t, "explain")
	if code != 0 || !regexp.MustCompile(`(?s)^# \S+walrelay.yaml:\d+:5\nauth.0:\n  cookie: \[sid\]\n.*\n    table: public.sessions\n.*\n  max_stream: 1h\n`).MatchString(stdout) {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
	for _, test := range []struct{ flag, text, want string }{
		{"--cookie-file", "sid=" + id, `(?m)^ok  auth.0   session   accepted`},
		{"--cookie-file", "Cookie: a=b; sid=" + id + "\r\n", `(?m)^ok  auth.0   claims    .*"role": ?"member"`},
		{"--cookie-file", "# Netscape HTTP Cookie File\n#HttpOnly_localhost\tFALSE\t/\tFALSE\t0\tsid\t" + id + "\n", `(?m)^ok  auth.0   session   accepted`},
		{"--header-file", "X-Other: 1\nCookie: sid=" + id, `(?m)^ok  auth.0   user      user_id is 1$`},
		{"--cookie-file", "sid=" + gone, `(?s)no  auth.0   store .*no  auth.0   session   refused`},
		{"--cookie-file", "sid=" + disabled, `(?s)no  auth.0   claims .*no  auth.0   session   refused`},
		{"--cookie-file", "other=" + id, `(?m)^no  request  session .*nothing that an entry reads`},
	} {
		if got := r.authSteps(t, test.flag, test.text); !regexp.MustCompile(test.want).MatchString(got) {
			t.Errorf("want %s, got\n%s", test.want, got)
		}
	}
}

// TestAuthCheck: what is wrong with the tables of auth is found before walrelay runs, with its
// place in the file, and serve says the same.
func TestAuthCheck(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, plainSchema)
	r := newAuthRelay(t, db, plainAuth.yaml())
	if stdout, stderr, code := r.authCommand(t, "check"); code != 0 || !strings.HasSuffix(stdout, "ok       auth.0: cookie sid, decode plain, sessions in public.sessions: a logout ends streams at once\n") {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
	for _, test := range []struct{ name, old, new, sql, want string }{
		{"a misspelt column", "key: id, expires", "key: idd, expires", "", `(?m)^error    \S+walrelay.yaml:\d+:\d+: auth.0.store.key: table public.sessions: it has no column "idd"`},
		{"a misspelt table", "table: sessions", "table: session", "", `(?m)^error    \S+walrelay.yaml:\d+:\d+: auth.0.store.table: table public.session: it does not exist`},
		{"claims that are no SQL", "select id, role,", "select id, rle,", "", `(?m)^error    \S+walrelay.yaml:\d+:\d+: auth.0.claims: .*rle`},
		{"a secret that is not there", "decode: plain", "decode: express\n    secrets: [env:WALRELAY_NO_SUCH_SECRET]", "", `(?m)^error    \S+walrelay.yaml:\d+:\d+: auth.0.secrets: .*WALRELAY_NO_SUCH_SECRET is not set`},
		{"no replica identity", "", "", "alter table sessions replica identity nothing", `(?m)^error    \S+walrelay.yaml:\d+:\d+: auth.0.store.table: table public.sessions: its replica identity is NOTHING`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.sql != "" {
				db.exec(t, test.sql)
			}
			broken := newAuthRelay(t, db, strings.Replace(plainAuth.yaml(), test.old, test.new, 1))
			stdout, stderr, code := broken.authCommand(t, "check")
			if code != 1 || !regexp.MustCompile(test.want).MatchString(stdout) || !strings.Contains(stderr, "serve would not start") {
				t.Errorf("exit code %d, want %s\n%s%s", code, test.want, stdout, stderr)
			}
			whole := startProcess(t, broken.command(t, "check", "-c", broken.config)).wait(t)
			if whole.code != 1 || !regexp.MustCompile(test.want).MatchString(whole.stdout) {
				t.Errorf("check: exit code %d\n%s%s", whole.code, whole.stdout, whole.stderr)
			}
			broken.wantRefused(t, strings.TrimPrefix(test.want, "(?m)^error    "))
		})
	}
}
