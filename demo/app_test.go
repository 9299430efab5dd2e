package demo

import (
	"strings"
	"testing"
)

func TestAppRefusesArguments(t *testing.T) {
	t.Setenv("DATABASE_URL", "")
	t.Setenv("LISTEN", "")
	for args, want := range map[string]string{
		"":                              "no database",
		"--database-url postgres://x/y": "no address",
		"--database-url postgres://x/y --listen :1 more": `unexpected argument "more"`,
		"--nonsense": "not defined: -nonsense",
		"--database-url postgres://[ --listen 127.0.0.1:": "database URL",
	} {
		if err := App(t.Context(), strings.Fields(args)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("demo-app %s: %v, want an error with %q", args, err, want)
		}
	}
}
