package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/walrelay/walrelay/pgtemp"
	"github.com/walrelay/walrelay/pgtemp/guard"
	"github.com/walrelay/walrelay/pgtemp/pgtest"
)

// shared is what the tests of one run have in common. Each part is made when the
// first test asks for it; closeShared ends them all.
var shared struct {
	guard   lazy[*guard.Guard]
	cluster lazy[*pgtemp.Cluster]
	binary  lazy[string]
	dir     lazy[string]
}

// lazy is a value made at its first use.
type lazy[T any] struct {
	once  sync.Once
	value T
	err   error
	made  bool
}

func (l *lazy[T]) get(t testing.TB, make func() (T, error)) T {
	t.Helper()
	l.once.Do(func() {
		l.value, l.err = make()
		l.made = l.err == nil
	})
	if l.err != nil {
		t.Fatal(l.err)
	}
	return l.value
}

func closeShared() error {
	var err error
	if shared.cluster.made {
		err = errors.Join(err, shared.cluster.value.Close())
	}
	if shared.dir.made {
		err = errors.Join(err, os.RemoveAll(shared.dir.value))
	}
	if shared.guard.made {
		err = errors.Join(err, shared.guard.value.Close())
	}
	return err
}

// theGuard cleans up should this process be killed.
func theGuard(t testing.TB) *guard.Guard {
	t.Helper()
	return shared.guard.get(t, guard.New)
}

// sharedDir is a directory for what is made once per run.
func sharedDir(t testing.TB) string {
	t.Helper()
	g := theGuard(t)
	return shared.dir.get(t, func() (string, error) {
		dir, err := os.MkdirTemp("", "walrelay-test-")
		if err != nil {
			return "", err
		}
		return dir, g.Dir(dir)
	})
}

// sharedCluster is the cluster on which newDatabase makes databases. Tests must
// not stop it; see newCluster.
func sharedCluster(t testing.TB) *pgtemp.Cluster {
	t.Helper()
	return shared.cluster.get(t, func() (*pgtemp.Cluster, error) {
		return pgtemp.Start(context.Background(), pgtemp.Options{Settings: map[string]string{"max_connections": "400"}})
	})
}

// newCluster is a cluster for this test alone.
func newCluster(t testing.TB, opts pgtemp.Options) *pgtemp.Cluster {
	t.Helper()
	return pgtest.Start(t, opts)
}

// database is a database for one test. Its name is also a valid name for the
// slot and the publication, and unique in its cluster.
type database struct {
	cluster *pgtemp.Cluster
	name    string
}

var (
	databases atomic.Int64
	notInName = regexp.MustCompile(`[^a-z0-9_]+`)
)

// newDatabase makes a database on the shared cluster and runs the statements in
// it. It is dropped when the test ends, with its slots and whoever uses it.
func newDatabase(t testing.TB, sql ...string) *database {
	t.Helper()
	d := newDatabaseOn(t, sharedCluster(t), sql...)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("last lines of the log of Postgres %d, shared by all tests:\n%s", d.cluster.Version(), d.cluster.LogTail(30))
		}
		if err := d.cluster.DropDatabase(context.WithoutCancel(t.Context()), d.name); err != nil {
			t.Error(err)
		}
	})
	return d
}

// newDatabaseOn makes a database on a cluster of the test's own, with which it
// goes.
func newDatabaseOn(t testing.TB, cluster *pgtemp.Cluster, sql ...string) *database {
	t.Helper()
	name := notInName.ReplaceAllString(strings.ToLower(strings.TrimPrefix(t.Name(), "Test")), "_")
	name = fmt.Sprintf("t%d_%s", databases.Add(1), name[:min(len(name), 40)])
	if err := cluster.CreateDatabase(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	d := &database{cluster: cluster, name: name}
	d.exec(t, sql...)
	return d
}

func (d *database) url() string { return d.cluster.URL(d.name) }

// exec runs each string on one connection, one after the other.
func (d *database) exec(t testing.TB, sql ...string) {
	t.Helper()
	if len(sql) == 0 {
		return
	}
	if err := d.cluster.ExecIn(t.Context(), d.name, sql...); err != nil {
		t.Fatal(err)
	}
}

// conn is a connection that is closed when the test ends.
func (d *database) conn(t testing.TB) *pgx.Conn {
	t.Helper()
	conn, err := d.cluster.ConnTo(t.Context(), d.name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The server may be gone by design of the test: then so is the connection.
		_ = conn.Close(context.WithoutCancel(t.Context()))
	})
	return conn
}

// value is the first column of the first row that a statement gives, in
// Postgres's text form; "" for NULL. The arguments are passed as text.
func (d *database) value(t testing.TB, sql string, args ...any) string {
	t.Helper()
	conn, err := d.cluster.ConnTo(t.Context(), d.name)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	params := make([][]byte, len(args))
	for i, arg := range args {
		params[i] = fmt.Append(nil, arg)
	}
	result := conn.PgConn().ExecParams(t.Context(), sql, params, nil, nil, nil).Read()
	if result.Err != nil || len(result.Rows) == 0 {
		t.Fatalf("%s: %d rows, error: %v", sql, len(result.Rows), result.Err)
	}
	return string(result.Rows[0][0])
}
