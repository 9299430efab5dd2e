//go:build linux || darwin

package pgtemp_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/walrelay/walrelay/pgtemp"
	"github.com/walrelay/walrelay/pgtemp/pgtest"
)

// waitValue waits until a query, see value, gives want.
func waitValue(t *testing.T, c *pgtemp.Cluster, sql, want string) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for got := value(t, c, sql); got != want; got = value(t, c, sql) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: got %q, want %q\nlog:\n%s", sql, got, want, c.LogTail(20))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

const (
	systemID = "select system_identifier::text from pg_control_system()"
	rows     = "select count(*)::text from t"
	timeline = "select substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"
)

// A standby follows its primary over restarts of both, and becomes a primary that
// can have a standby in its turn.
func TestStandby(t *testing.T) {
	primary := pgtest.Start(t, pgtemp.Options{Settings: map[string]string{"application_name": "from the primary"}})
	mustExec(t, primary, "create table t (n int)", "insert into t values (1)")
	standby := pgtest.StartStandby(t, primary, pgtemp.StandbyOptions{Settings: map[string]string{"work_mem": "5MB"}})
	if standby.Port() == primary.Port() || standby.DataDir() == primary.DataDir() {
		t.Error("the standby has a port or directory of the primary's")
	}
	if a, b := value(t, primary, systemID), value(t, standby, systemID); a != b {
		t.Errorf("system identifiers %s and %s", a, b)
	}
	for name, want := range map[string]string{"work_mem": "5MB", "application_name": "from the primary", "hot_standby_feedback": "on"} {
		if got := value(t, standby, "select current_setting('"+name+"')"); got != want {
			t.Errorf("%s of the standby is %q, want %q", name, got, want)
		}
	}
	mustExec(t, primary, "insert into t values (2)")
	waitValue(t, standby, rows, "2")
	if err := standby.Exec(t.Context(), "insert into t values (0)"); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("the standby takes writes: %v", err)
	}
	for name, restart := range map[string]func() error{
		"standby": func() error { return standby.Restart(t.Context()) },
		"primary": func() error { return primary.Restart(t.Context()) },
	} {
		if err := restart(); err != nil {
			t.Fatalf("restart the %s: %v", name, err)
		}
		mustExec(t, primary, "insert into t values (3)")
		waitValue(t, standby, rows, value(t, primary, rows))
	}

	if err := primary.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustExec(t, standby, "insert into t values (5)")
	if got := value(t, standby, timeline) + " " + value(t, standby, rows); got != "00000002 5" {
		t.Errorf("timeline and rows after the promotion: %s", got)
	}
	next := pgtest.StartStandby(t, standby, pgtemp.StandbyOptions{})
	mustExec(t, standby, "insert into t values (6)")
	waitValue(t, next, rows, "6")
	if err := standby.Restart(t.Context()); err != nil { // it is a primary still
		t.Fatal(err)
	}
	mustExec(t, standby, "insert into t values (7)")
	waitValue(t, next, rows, "7")
	if err := primary.StartAgain(t.Context()); err != nil { // the old one, where it ended
		t.Fatal(err)
	}
	if got := value(t, primary, timeline) + " " + value(t, primary, rows); got != "00000001 4" {
		t.Errorf("timeline and rows of the old primary: %s", got)
	}
}

// A copy made while rows are written, tables go and WAL is recycled is none the worse.
func TestStandbyOfBusyPrimary(t *testing.T) {
	primary := pgtest.Start(t, pgtemp.Options{Settings: map[string]string{"max_wal_size": "32MB", "min_wal_size": "32MB"}})
	mustExec(t, primary, "create table t (n int)")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		var err error
		for err == nil && ctx.Err() == nil {
			err = primary.Exec(t.Context(), "insert into t select generate_series(1, 5000)",
				"create table gone as select * from t limit 20000", "checkpoint", "drop table gone")
		}
		done <- err
	}()
	standby := pgtest.StartStandby(t, primary, pgtemp.StandbyOptions{})
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	waitValue(t, standby, "select count(*)::text || ' ' || coalesce(sum(n), 0) from t", value(t, primary, "select count(*)::text || ' ' || coalesce(sum(n), 0) from t"))
	waitValue(t, standby, "select count(*)::text from pg_class where relname = 'gone'", "0")
}

// With the slot's state copied, or synchronised from 17 on, logical decoding goes on
// at the promoted standby where it was at the primary.
func TestStandbySlots(t *testing.T) {
	primary := pgtest.Start(t, pgtemp.Options{})
	// A file name may need quotes in a connection string, so may a database.
	if err := primary.CreateDatabase(t.Context(), "it's"); err != nil {
		t.Fatal(err)
	}
	create := "select pg_create_logical_replication_slot('s', 'test_decoding')"
	opts := pgtemp.StandbyOptions{Name: "second", Database: "it's", CopySlots: []string{"s"}}
	if primary.Version() >= 17 {
		create = "select pg_create_logical_replication_slot('s', 'test_decoding', failover => true)"
		opts.CopySlots = nil
	}
	mustExec(t, primary, "create table t (n int)", create)
	standby := pgtest.StartStandby(t, primary, opts)
	for deadline := time.Now().Add(30 * time.Second); primary.Version() >= 17; {
		// The copy counts once the slot needs nothing that the standby may lack.
		mustExec(t, primary, "select pg_log_standby_snapshot()", "select pg_replication_slot_advance('s', pg_current_wal_lsn())")
		if value(t, standby, "select count(*)::text from pg_replication_slots where slot_name = 's' and synced and not temporary") == "1" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the slot is not synchronised:\n%s", standby.LogTail(20))
		}
		time.Sleep(50 * time.Millisecond)
	}
	mustExec(t, primary, "insert into t values (1)")
	waitValue(t, standby, rows, "1")
	if err := primary.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustExec(t, standby, "insert into t values (2)")
	if got, want := value(t, standby, "select string_agg(data, ', ') from pg_logical_slot_get_changes('s', null, null) where data like 'table%'"),
		"table public.t: INSERT: n[integer]:1, table public.t: INSERT: n[integer]:2"; got != want {
		t.Errorf("decoded after the promotion: %s, want %s", got, want)
	}
	if got := value(t, standby, "select count(*)::text from pg_replication_slots"); got != "1" {
		t.Errorf("the standby has %s slots, want 1: the primary's own are not for it", got)
	}
}

// What cannot be a standby leaves nothing, and neither does one that was closed.
func TestStandbyLeavesNothing(t *testing.T) {
	before := goleak.IgnoreCurrent()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	primary, err := pgtemp.Start(t.Context(), pgtemp.Options{TempDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	standby, err := primary.StartStandby(t.Context(), pgtemp.StandbyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for want, opts := range map[string]pgtemp.StandbyOptions{
		`replication slot "standby" already exists`: {},
		"requires a Boolean value":                  {Name: "other", Settings: map[string]string{"hot_standby": "maybe"}},
	} {
		if _, err := primary.StartStandby(t.Context(), opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", opts, err, want)
		}
	}
	for _, c := range []*pgtemp.Cluster{standby, primary} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if left, _ := filepath.Glob(dir + "/*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := primary.StartStandby(t.Context(), pgtemp.StandbyOptions{}); err == nil {
		t.Error("a closed cluster has got a standby")
	}
	goleak.VerifyNone(t, before)
}
