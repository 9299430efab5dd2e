package demo

import (
	"path/filepath"
	"testing"

	"github.com/walrelay/walrelay/config"
)

// TestConfigLoads gives the configuration to those who read it.
func TestConfigLoads(t *testing.T) {
	dir := filepath.Join(t.TempDir(), `a "dir": #1`)
	path := filepath.Join(t.TempDir(), "walrelay.yaml")
	a := addresses{public: ":8080", admin: "127.0.0.1:9090", shop: "127.0.0.1:3000"}
	if err := writeConfig(path, "postgres://postgres@127.0.0.1:5432/shop?sslmode=disable", dir, a); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path, func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	if c.Log.Dir != dir || c.HTTP.Listen != ":8080" || c.HTTP.Upstream.Host != a.shop || c.Admin.Listen != a.admin {
		t.Errorf("log %q, listen %q, upstream %v, admin %q", c.Log.Dir, c.HTTP.Listen, c.HTTP.Upstream, c.Admin.Listen)
	}
	names := map[string]bool{}
	for _, ch := range c.Channels {
		names[ch.Name] = true
	}
	for _, name := range channels {
		if !names[name] {
			t.Errorf("no channel %s", name)
		}
	}
}
