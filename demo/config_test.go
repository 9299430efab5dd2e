package demo

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"github.com/walrelay/walrelay/config"
)

// writeAndLoad writes the demo's configuration and reads it.
func writeAndLoad(t *testing.T) (c *config.Config, dir string, a addresses) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), `a "dir": #1`)
	path := filepath.Join(t.TempDir(), "walrelay.yaml")
	a = addresses{public: ":8080", admin: "127.0.0.1:9090", shop: "127.0.0.1:3000"}
	if err := writeConfig(path, "postgres://postgres@127.0.0.1:5432/shop?sslmode=disable", dir, filepath.Join(dir, "secret"), a); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path, func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	return c, dir, a
}

// TestConfigLoads gives the configuration to those who read it.
func TestConfigLoads(t *testing.T) {
	c, dir, a := writeAndLoad(t)
	if c.Log.Dir != dir || c.HTTP.Listen != ":8080" || c.HTTP.Upstream.Host != a.shop || c.Admin.Listen != a.admin {
		t.Errorf("log %q, listen %q, upstream %v, admin %q", c.Log.Dir, c.HTTP.Listen, c.HTTP.Upstream, c.Admin.Listen)
	}
	if len(c.Auth) != 1 || c.Auth[0].Session.Secrets[0] != "file:"+filepath.Join(dir, "secret") || len(c.Warnings) > 0 {
		t.Errorf("auth %+v, warnings %v", c.Auth, c.Warnings)
	}
	names := map[string]bool{}
	for _, ch := range c.Channels {
		names[ch.Name] = true
	}
	for _, name := range append([]string{"list"}, channels...) {
		if !names[name] {
			t.Errorf("no channel %s", name)
		}
	}
}

// TestComposeFile gives the configuration in docker-compose.yml to those who read it: it
// is the same as the demo's, but for what is where.
func TestComposeFile(t *testing.T) {
	text, err := os.ReadFile("../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]struct{ Environment map[string]string }
		Configs  struct{ Walrelay struct{ Content string } }
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	environment := file.Services["walrelay"].Environment
	if s := environment["SESSION_SECRET"]; s == "" || s != file.Services["shop"].Environment["SESSION_SECRET"] {
		t.Errorf("the shop and walrelay have different secrets, or none: %q", s)
	}
	compose, err := config.Parse("docker-compose.yml", []byte(strings.ReplaceAll(file.Configs.Walrelay.Content, "$$", "$")),
		func(name string) (string, bool) { v, ok := environment[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	own, _, _ := writeAndLoad(t)
	compose.Auth[0].Session.Secrets = own.Auth[0].Session.Secrets
	if diff := cmp.Diff(own.Auth, compose.Auth); diff != "" {
		t.Errorf("auth differs:\n%s", diff)
	}
	for _, want := range own.Channels {
		i := slices.IndexFunc(compose.Channels, func(c config.Channel) bool { return c.Name == want.Name })
		if i < 0 {
			t.Errorf("no channel %s", want.Name)
			continue
		}
		got := compose.Channels[i]
		if got.Table != want.Table || !slices.Equal(got.Columns, want.Columns) || (got.Snapshot == nil) != (want.Snapshot == nil) || got.Allow.Public != want.Allow.Public {
			t.Errorf("channel %s: %+v, want %+v", want.Name, got, want)
		}
	}
}
