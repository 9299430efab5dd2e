package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every test that docs/guarantees.md and docs/security.md name exists.
func TestDocumentsNameTests(t *testing.T) {
	var doc, code strings.Builder
	for _, path := range []string{"docs/guarantees.md", "docs/security.md"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		doc.Write(text)
	}
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		code.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("`(Test\\w+)(…?)").FindAllStringSubmatch(doc.String(), -1)
	if len(names) < 50 {
		t.Fatalf("%d tests are named", len(names))
	}
	for _, name := range names {
		end := "("
		if name[2] != "" { // of several
			end = ""
		}
		if !strings.Contains(code.String(), "func "+name[1]+end) {
			t.Errorf("there is no %s", name[1])
		}
	}
}
