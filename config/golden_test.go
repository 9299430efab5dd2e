package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite the errors in testdata")

// TestErrors runs the files in testdata. Each is a txtar archive: why the case
// exists, the file walrelay.yaml, the environment as NAME=value lines (optional),
// and the errors. Every file that holds a password holds "hunter2".
func TestErrors(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test data: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { testErrors(t, file) })
	}
}

func testErrors(t *testing.T, file string) {
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(strings.TrimSpace(string(a.Comment))) == 0 {
		t.Error("the file does not say why it exists")
	}
	cfg, err := Parse("walrelay.yaml", archived(a, "walrelay.yaml"), testEnv(string(archived(a, "env"))))
	var errs *Errors
	if !errors.As(err, &errs) || cfg != nil {
		t.Fatalf("Parse = %v, %v, want an *Errors only", cfg, err)
	}
	got := err.Error() + "\n"
	if strings.Contains(got, "hunter2") {
		t.Errorf("the errors show the password:\n%s", got)
	}
	if *update {
		for i := range a.Files {
			if a.Files[i].Name == "errors" {
				a.Files[i].Data = []byte(got)
			}
		}
		if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(archived(a, "errors")), got); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}

// archived is the file of that name in an archive, or nothing.
func archived(a *txtar.Archive, name string) []byte {
	for _, f := range a.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

// testEnv makes an environment of NAME=value lines.
func testEnv(lines string) Env {
	vars := map[string]string{}
	for line := range strings.Lines(lines) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		vars[name] = value
	}
	return func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}
}
