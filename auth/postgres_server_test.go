package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/pgtemp"
	"github.com/walrelay/walrelay/replication"
)

// server is the one Postgres of all tests of the package that need one. It is started by the
// first of them.
var server struct {
	start   sync.Once
	cluster *pgtemp.Cluster
	err     error
	names   atomic.Int64
}

func TestMain(m *testing.M) {
	letPanic = true
	code := m.Run()
	if server.cluster != nil {
		if err := server.cluster.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// testDatabase is a database of its own for one test.
type testDatabase struct{ name string }

func newDatabase(t testing.TB, sql ...string) *testDatabase {
	t.Helper()
	server.start.Do(func() { server.cluster, server.err = pgtemp.Start(context.Background(), pgtemp.Options{}) })
	if server.err != nil {
		t.Fatal(server.err)
	}
	d := &testDatabase{name: "t" + strconv.FormatInt(server.names.Add(1), 10)}
	if err := server.cluster.CreateDatabase(t.Context(), d.name); err != nil {
		t.Fatal(err)
	}
	d.exec(t, sql...)
	return d
}

func (d *testDatabase) url() string { return server.cluster.URL(d.name) }

func (d *testDatabase) exec(t testing.TB, sql ...string) {
	t.Helper()
	if len(sql) == 0 {
		return
	}
	if err := server.cluster.ExecIn(t.Context(), d.name, sql...); err != nil {
		t.Fatal(err)
	}
}

// conn is a connection as replication has it.
func (d *testDatabase) conn(t testing.TB) *pgx.Conn {
	t.Helper()
	conn, err := replication.Connect(t.Context(), d.url())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

// postgres are look-ups in the database.
func (d *testDatabase) postgres(t testing.TB) *postgres {
	t.Helper()
	p, err := newPostgres(d.url(), 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

// relations are the tables of an entry as the stream announces them, by schema.name.
func (d *testDatabase) relations(t testing.TB, e *SessionEntry) map[string]*change.Relation {
	t.Helper()
	var target replication.Target
	if e.Store != nil {
		target.Tables = append(target.Tables, replication.TableSpec{Schema: e.Store.Schema, Name: e.Store.Table})
	}
	for _, dep := range e.Depends {
		target.Tables = append(target.Tables, replication.TableSpec{Schema: dep.Schema, Name: dep.Table})
	}
	p, err := replication.Check(t.Context(), d.conn(t), target)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*change.Relation{}
	for name, table := range p.Tables {
		if table != nil {
			out[name] = table.Relation()
		}
	}
	return out
}

// source is an entry that has learned its tables.
func (d *testDatabase) source(t testing.TB, e *SessionEntry, env map[string]string) *source {
	t.Helper()
	s := compile(t, e, env)
	if _, err := s.learn(d.relations(t, e)); err != nil {
		t.Fatal(err)
	}
	return s
}

func compile(t testing.TB, e *SessionEntry, env map[string]string) *source {
	t.Helper()
	s, err := newSource("auth.0", e, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fill makes rows of JSON, whatever refers to what.
func (d *testDatabase) fill(t testing.TB, rows map[string][]map[string]any) {
	t.Helper()
	conn := d.conn(t)
	for table, list := range rows {
		data, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		name := pgx.Identifier{"public", table}.Sanitize()
		_, err = conn.Exec(t.Context(), "set session_replication_role = replica; set search_path = public; insert into "+name+
			" select * from jsonb_populate_recordset(null::"+name+", '"+quoteLiteral(string(data))+"')", pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			t.Fatalf("rows of %s: %v", table, err)
		}
	}
}

func quoteLiteral(s string) string {
	out := ""
	for _, r := range s {
		if r == '\'' {
			out += "'"
		}
		out += string(r)
	}
	return out
}
