package demo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAppRefusesArguments(t *testing.T) {
	t.Setenv("DATABASE_URL", "")
	t.Setenv("LISTEN", "")
	t.Setenv("SESSION_SECRET", "")
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"":                              "no database",
		"--database-url postgres://x/y": "no address",
		"--database-url postgres://x/y --listen :1 more": `unexpected argument "more"`,
		"--nonsense": "not defined: -nonsense",
		"--database-url postgres://x/y --listen :1":                               "no secret",
		"--database-url postgres://x/y --listen :1 --secret-file /no/such/file":   "read the secret",
		"--database-url postgres://[ --listen 127.0.0.1: --secret-file " + secret: "database URL",
	} {
		if err := App(t.Context(), strings.Fields(args)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("demo-app %s: %v, want an error with %q", args, err, want)
		}
	}
}
