//go:build linux || darwin

package pgtemp_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/walrelay/walrelay/pgtemp"
	"github.com/walrelay/walrelay/pgtemp/pgtest"
)

func itoa(n int) string { return strconv.Itoa(n) }

func connect(t *testing.T, url string) error {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		return err
	}
	return conn.Close(t.Context())
}

func TestFindBinaries(t *testing.T) {
	found, err := pgtemp.FindBinaries(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if found.Major < 10 || !strings.Contains(found.Version, "(PostgreSQL) "+itoa(found.Major)) {
		t.Errorf("strange: %+v", found)
	}
	again, err := pgtemp.FindBinaries(t.Context(), found.Dir)
	if err != nil || again != found {
		t.Errorf("named explicitly: %+v, %v", again, err)
	}
	t.Setenv(pgtemp.EnvBinDir, "/nowhere")
	if _, err := pgtemp.FindBinaries(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "$"+pgtemp.EnvBinDir+" is /nowhere") {
		t.Errorf("bad environment: %v", err)
	}
}

// Programs that are not what they seem are named, not run into.
func TestFindBinariesBad(t *testing.T) {
	for name, test := range map[string]struct{ script, want string }{
		"fails":      {"#!/bin/sh\necho broken >&2; exit 3", "exit status 3: broken"},
		"no version": {"#!/bin/sh\necho hello", `said "hello", which names no version`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, program := range []string{"initdb", "postgres"} {
				if err := os.WriteFile(filepath.Join(dir, program), []byte(test.script), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := pgtemp.FindBinaries(t.Context(), dir); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// As root, an installation that only root can reach works too.
func TestUnreachableBinaries(t *testing.T) {
	found, err := pgtemp.FindBinaries(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	prefix := filepath.Join(t.TempDir(), "15") // the parent is 0700
	if err := os.CopyFS(prefix, os.DirFS(filepath.Dir(found.Dir))); err != nil {
		t.Fatal(err)
	}
	c := pgtest.Start(t, pgtemp.Options{BinDir: filepath.Join(prefix, "bin")})
	mustExec(t, c, "select 1")
}

// The error of a server that does not start has what the server said.
func TestStartFails(t *testing.T) {
	_, err := pgtemp.Start(t.Context(), pgtemp.Options{Settings: map[string]string{"wal_level": "verbose"}})
	if err == nil || !strings.Contains(err.Error(), `invalid value for parameter "wal_level"`) {
		t.Errorf("got %v", err)
	}
	c := pgtest.Start(t, pgtemp.Options{})
	_, err = pgtemp.Start(t.Context(), pgtemp.Options{Port: c.Port()})
	if err == nil || !strings.Contains(err.Error(), "Address already in use") {
		t.Errorf("port taken: %v", err)
	}
}
