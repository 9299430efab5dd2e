package config

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/walrelay/walrelay/auth"
)

func example(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile("../config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The example is a valid file, and what it writes down are the defaults.
func TestExampleHasTheDefaults(t *testing.T) {
	c, err := Parse("config.example.yaml", example(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Channels) != 2 {
		t.Errorf("%d channels", len(c.Channels))
	}
	want := defaults()
	want.File, want.Postgres.URL, want.Channels, want.Claims, want.Auth, want.Warnings = c.File, c.Postgres.URL, c.Channels, c.Claims, c.Auth, c.Warnings
	if diff := cmp.Diff(want, c, sameConfig); diff != "" {
		t.Errorf("(-defaults +example):\n%s", diff)
	}
	session, forward := *c.Auth[0].Session, *c.Auth[1].Forward
	fillDefaults(&session)
	lean := auth.SessionEntry{Store: session.Store}
	fillDefaults(&lean)
	if session.Timezone != lean.Timezone || session.MaxStream != lean.MaxStream || session.Revalidate != lean.Revalidate || session.NegativeTTL != lean.NegativeTTL {
		t.Errorf("a session's defaults: %+v, want those of %+v", session, lean)
	}
	if forward.Timeout != defaultForwardTimeout || forward.MaxStream != statelessMaxStream || !forward.PassSetCookie || forward.Bearer {
		t.Errorf("a forward's defaults: %+v", forward)
	}
	if c.Channels[0].JSON != (JSON{}) {
		t.Errorf("json: %v", c.Channels[0].JSON)
	}
}

// The example documents every key, and every key of later versions but those of
// single limits, as a line of its own that is commented out.
func TestExampleIsComplete(t *testing.T) {
	data := example(t)
	r := newReader("f", nil)
	r.read(data)
	lines := strings.Split(string(data), "\n")
	for key := range r.known {
		name := key[strings.LastIndexByte(key, '.')+1:]
		if !slices.ContainsFunc(lines, func(l string) bool { return documents(l, name) }) {
			t.Errorf("the key %s is not in the example", key)
		}
	}
	for _, key := range []string{"nats"} {
		at := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(strings.TrimSpace(l), "# "+key+":") })
		if at < 0 {
			t.Errorf("%s is not in the example", key)
			continue
		}
		before := strings.Join(lines[max(0, at-6):at], "\n")
		if !strings.Contains(before, "NOT IN THIS VERSION") {
			t.Errorf("%s is not marked as being in a later version", key)
		}
	}
}

// documents reports whether a line of the example has the key, set or commented
// out, alone or within braces.
func documents(line, key string) bool {
	line = strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(line), "# "), "- ")
	return strings.HasPrefix(line, key+":") || strings.Contains(line, "{"+key+":") || strings.Contains(line, ", "+key+":")
}
