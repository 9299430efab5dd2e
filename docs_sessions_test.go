package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/walrelay/walrelay/auth"
	"github.com/walrelay/walrelay/config"
)

// sessionPages are the pages of docs/sessions/, by name.
func sessionPages(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("docs/sessions/*.md")
	if err != nil || len(paths) < 12 {
		t.Fatalf("%d pages, %v", len(paths), err)
	}
	pages := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		pages[filepath.Base(path)] = string(text)
	}
	return pages
}

// Every configuration in docs/sessions/ is one, without a warning, and a block that begins
// with "# the same" is the same as the one before it.
func TestSessionsDocuments(t *testing.T) {
	t.Parallel()
	for name, page := range sessionPages(t) {
		blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(page, -1)
		var before []auth.Entry
		for _, block := range blocks {
			text := block[1]
			if !strings.Contains(text, "auth:") {
				t.Errorf("%s: a block without auth:\n%s", name, text)
				continue
			}
			entries := sessionEntries(t, name, text)
			if strings.HasPrefix(text, "# the same") {
				if diff := cmp.Diff(before, entries); diff != "" {
					t.Errorf("%s: not the same as the block before it:\n%s\n%s", name, text, diff)
				}
			}
			before = entries
		}
		if len(blocks) == 0 {
			t.Errorf("%s has no configuration", name)
		}
	}
}

// sessionEntries loads a block and what every configuration needs.
func sessionEntries(t *testing.T, page, text string) []auth.Entry {
	t.Helper()
	if !strings.Contains(text, "channels:") {
		text += "channels: {orders: {table: orders, allow: row.owner == user.id}}\n"
	}
	cfg, err := config.Parse(page, []byte("postgres: {url: postgres://app@db/shop}\n"+text), nil)
	if err != nil {
		t.Errorf("%s: %v\n%s", page, err, text)
		return nil
	}
	for _, w := range cfg.Warnings {
		if strings.Contains(w.Error(), "no rule reads it") { // which is the channels' to do
			continue
		}
		t.Errorf("%s: warning: %v\n%s", page, w, text)
	}
	for i := range cfg.Auth {
		if s := cfg.Auth[i].Session; s != nil {
			s.Preset = ""
		}
	}
	return cfg.Auth
}

// Links of the session pages lead to pages and headings that exist.
func TestSessionsDocumentsLink(t *testing.T) {
	t.Parallel()
	for name, page := range sessionPages(t) {
		for _, link := range regexp.MustCompile(`\]\(([^)#]*)(#[^)]*)?\)`).FindAllStringSubmatch(page, -1) {
			target := link[1]
			if strings.Contains(target, ":") {
				continue
			}
			if target == "" {
				target = name
			}
			text, err := os.ReadFile(filepath.Join("docs/sessions", target))
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if link[2] != "" && !strings.Contains(anchors(string(text)), link[2]+"\n") {
				t.Errorf("%s: %s has no heading %s", name, target, link[2])
			}
		}
	}
}

// anchors are the headings of a page as links name them, a line each.
func anchors(page string) string {
	var out strings.Builder
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(page, -1) {
		text := regexp.MustCompile(`[^a-z0-9_ -]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		out.WriteString("#" + strings.ReplaceAll(text, " ", "-") + "\n")
	}
	return out.String()
}
