//go:build linux || darwin

package pgtemp_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/walrelay/walrelay/pgtemp"
	"github.com/walrelay/walrelay/pgtemp/pgtest"
	"go.uber.org/goleak"
)

// value is the only column of the only row that a query gives, as text.
func value(t *testing.T, c *pgtemp.Cluster, sql string) string {
	t.Helper()
	conn, err := c.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	var v string
	if err := conn.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func mustExec(t *testing.T, c *pgtemp.Cluster, sql ...string) {
	t.Helper()
	if err := c.Exec(t.Context(), sql...); err != nil {
		t.Fatal(err)
	}
}

// A cluster keeps its data and its address over every way of stopping it.
func TestStopKillStartAgain(t *testing.T) {
	c := pgtest.Start(t, pgtemp.Options{Settings: map[string]string{"application_name": "it's"}})
	mustExec(t, c, "create table t (n int)", "insert into t values (1)")
	url := c.URL("postgres")
	for _, step := range []struct {
		name string
		stop func(context.Context) error
	}{
		{"fast", func(ctx context.Context) error { return c.Stop(ctx, pgtemp.Fast) }},
		{"immediate", func(ctx context.Context) error { return c.Stop(ctx, pgtemp.Immediate) }},
		{"kill", c.Kill},
		{"stop of a stopped server", func(ctx context.Context) error {
			if err := c.Kill(ctx); err != nil {
				return err
			}
			return c.Stop(ctx, pgtemp.Fast)
		}},
	} {
		t.Run(step.name, func(t *testing.T) {
			if err := step.stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			if c.Running() {
				t.Error("still running")
			}
			if err := c.Exec(t.Context(), "select 1"); err == nil {
				t.Error("the stopped server answers")
			}
			if err := c.StartAgain(t.Context()); err != nil {
				t.Fatal(err)
			}
			mustExec(t, c, "insert into t values (1)")
		})
	}
	if err := c.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := value(t, c, "select count(*)::text from t"); got != "5" {
		t.Errorf("rows after all restarts: got %s, want 5", got)
	}
	if got := c.URL("postgres"); got != url {
		t.Errorf("address changed from %s to %s", url, got)
	}
	if got := value(t, c, "show application_name"); got != "it's" {
		t.Errorf("setting: got %q", got)
	}
}

// What the rest of the project relies on.
func TestSettings(t *testing.T) {
	c := pgtest.Start(t, pgtemp.Options{Settings: map[string]string{"max_wal_senders": "7"}})
	for name, want := range map[string]string{
		"wal_level": "logical", "fsync": "off", "max_wal_senders": "7", "max_replication_slots": "32",
		"server_encoding": "UTF8", "lc_collate": "C", "TimeZone": "UTC",
	} {
		sql := "select current_setting('" + name + "')"
		if name == "lc_collate" { // no setting any more from 16 on
			sql = "select datcollate from pg_database where datname = 'postgres'"
		}
		if got := value(t, c, sql); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if got := value(t, c, "select (current_setting('server_version_num')::int / 10000)::text"); got != itoa(c.Version()) {
		t.Errorf("server version %s, Version() %d", got, c.Version())
	}
}

// Password login can be demanded, and a wrong one is refused.
func TestHBA(t *testing.T) {
	c := pgtest.Start(t, pgtemp.Options{HBA: []string{"host all app 127.0.0.1/32 scram-sha-256"}})
	mustExec(t, c, "set password_encryption = 'scram-sha-256'; create role app login password 'right one'")
	if err := connect(t, c.UserURL("postgres", "app", "right one")); err != nil {
		t.Error(err)
	}
	if err := connect(t, c.UserURL("postgres", "app", "wrong")); err == nil || !strings.Contains(err.Error(), "password authentication failed") {
		t.Errorf("wrong password: got %v", err)
	}
}

// Two clusters from one template are two clusters: replication lineage depends
// on it. Several may start at once.
func TestTemplate(t *testing.T) {
	t.Setenv(pgtemp.EnvCache, t.TempDir())
	ids := make([]string, 4)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			t.Run("", func(t *testing.T) {
				c := pgtest.Start(t, pgtemp.Options{})
				ids[i] = value(t, c, "select system_identifier::text from pg_control_system()")
				// The identifier in the WAL must fit too, or recovery refuses it.
				mustExec(t, c, "create table t as select 1", "select pg_switch_wal()")
				if err := c.Kill(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := c.StartAgain(t.Context()); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, id := range ids {
		if id == "" || seen[id] {
			t.Errorf("system identifiers are not distinct: %v", ids)
		}
		seen[id] = true
	}
	if parts, _ := filepath.Glob(os.Getenv(pgtemp.EnvCache) + "/pgtemp/*"); len(parts) != 1 {
		t.Errorf("the cache should hold one template, has %v", parts)
	}
}

// Neither a cache that cannot be used nor a damaged template stands in the way.
func TestBadCache(t *testing.T) {
	t.Run("unusable", func(t *testing.T) {
		t.Setenv(pgtemp.EnvCache, "/dev/null/nowhere")
		mustExec(t, pgtest.Start(t, pgtemp.Options{}), "select 1")
	})
	t.Run("damaged", func(t *testing.T) {
		cache := t.TempDir()
		t.Setenv(pgtemp.EnvCache, cache)
		mustExec(t, pgtest.Start(t, pgtemp.Options{}), "select 1")
		control, err := filepath.Glob(cache + "/pgtemp/*/global/pg_control")
		if err != nil || len(control) != 1 {
			t.Fatal(control, err)
		}
		if err := os.Truncate(control[0], 100); err != nil {
			t.Fatal(err)
		}
		mustExec(t, pgtest.Start(t, pgtemp.Options{}), "select 1")
	})
}

func TestDropDatabase(t *testing.T) {
	c := pgtest.Start(t, pgtemp.Options{})
	if err := c.CreateDatabase(t.Context(), `a "b"'c`); err != nil {
		t.Fatal(err)
	}
	if err := c.ExecIn(t.Context(), `a "b"'c`, "select pg_create_logical_replication_slot('s', 'pgoutput')"); err != nil {
		t.Fatal(err)
	}
	conn, err := c.ConnTo(t.Context(), `a "b"'c`)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if err := c.DropDatabase(t.Context(), `a "b"'c`); err != nil {
		t.Fatal(err)
	}
	if got := value(t, c, "select count(*)::text from pg_replication_slots"); got != "0" {
		t.Errorf("slots left: %s", got)
	}
}

// Close leaves no file, no process and no goroutine.
func TestCloseLeavesNothing(t *testing.T) {
	before := goleak.IgnoreCurrent()
	for _, kill := range []bool{false, true} {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
			t.Fatal(err)
		}
		c, err := pgtemp.Start(t.Context(), pgtemp.Options{TempDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if kill {
			if err := c.Kill(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
		if left, _ := filepath.Glob(dir + "/*"); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		if err := c.StartAgain(t.Context()); err == nil {
			t.Error("a closed cluster started")
		}
	}
	goleak.VerifyNone(t, before)
}

// The parent is this test binary, run again; it is killed as hard as can be.
func TestDiesWithParent(t *testing.T) {
	if os.Getenv("PGTEMP_TEST_PARENT") != "" {
		c, err := pgtemp.Start(t.Context(), pgtemp.Options{})
		if err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString(c.LogFile() + "\n")
		select {}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestDiesWithParent$")
	cmd.Env = append(os.Environ(), "PGTEMP_TEST_PARENT=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := out.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(strings.TrimSpace(string(buf[:n])))
	pidFile, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, _, _ := strings.Cut(string(pidFile), "\n")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the parent ended by itself")
	}
	for deadline := time.Now().Add(20 * time.Second); exists(dir) || alive(t, pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("20 s after its parent's death: directory there: %v, server there: %v", exists(dir), alive(t, pid))
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// alive counts a zombie, which only its new parent can remove, as dead.
func alive(t *testing.T, pid string) bool {
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	if errors.Is(syscall.Kill(n, 0), syscall.ESRCH) {
		return false
	}
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	return err != nil || !strings.Contains(string(stat), ") Z ")
}
