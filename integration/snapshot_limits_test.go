package integration

import (
	"context"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/channel"
	"github.com/walrelay/walrelay/replication"
	"github.com/walrelay/walrelay/snapshot"
)

// However a snapshot ends, its connection is soon out of its transaction, and the next
// snapshot can be taken.
func TestSnapshotEnds(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key); insert into items select generate_series(1, 2000)")
	r := newReader(t, db, snapshot.Options{Connections: 2, StatementTimeout: 500 * time.Millisecond})
	items := channel.SnapshotQuery{Relation: db.relation(t, "items")}
	slow := items
	slow.Where = "pg_catalog.pg_sleep(60) is null"
	for _, test := range []struct {
		name string
		q    channel.SnapshotQuery
		read func(ctx context.Context, cancel func()) func([]change.Value) error
		want string
	}{
		{"to its end", items, func(context.Context, func()) func([]change.Value) error {
			return func([]change.Value) error { return nil }
		}, ""},
		{"stopped", items, func(context.Context, func()) func([]change.Value) error {
			return func([]change.Value) error { return errors.New("enough") }
		}, "^enough$"},
		{"a statement that takes too long", slow, nil, `^read table public.items for a snapshot: it took longer than 500 ms: .*57014.*; fix: `},
		{"a query that is none", channel.SnapshotQuery{Relation: items.Relation, Where: "nonsense"}, nil, `^read table public.items for a snapshot: .*"nonsense" does not exist`},
		{"cancelled between rows", items, func(ctx context.Context, cancel func()) func([]change.Value) error {
			return func([]change.Value) error { cancel(); return nil }
		}, `^read table public.items for a snapshot: the client has gone$`},
		{"cancelled in a statement", slow, func(_ context.Context, cancel func()) func([]change.Value) error {
			time.AfterFunc(100*time.Millisecond, cancel)
			return nil
		}, `^read table public.items for a snapshot: the client has gone$`},
		{"left alone", items, func(ctx context.Context, _ func()) func([]change.Value) error {
			eventually(t, func() string {
				if states := db.readers(t); strings.Contains(states, "in transaction") {
					return states
				}
				return ""
			})
			return nil
		}, `^read table public.items for a snapshot: `},
	} {
		s, err := r.Begin(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		var row func([]change.Value) error
		if test.read != nil {
			row = test.read(ctx, func() { cancel(errors.New("the client has gone")) })
		}
		err = s.Read(ctx, test.q, row)
		if text := errorText(err); (test.want == "") != (err == nil) || !regexp.MustCompile(test.want).MatchString(text) {
			t.Errorf("%s: got %q, want %s", test.name, text, test.want)
		}
		s.Close()
		cancel(nil)
		eventually(t, func() string {
			if states := db.readers(t); strings.Contains(states, "active") || strings.Contains(states, "in transaction") || strings.Count(states, ",") > 1 {
				return test.name + ": connections are " + states
			}
			return ""
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// A server that restarts costs the snapshots that are open, not the next ones.
func TestSnapshotServerGone(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key); insert into items values (1)")
	r := newReader(t, db, snapshot.Options{})
	s := begin(t, r)
	db.exec(t, "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = '"+snapshot.ApplicationName+"'")
	items := channel.SnapshotQuery{Relation: db.relation(t, "items")}
	if err := s.Read(t.Context(), items, func([]change.Value) error { return nil }); err == nil || errors.Is(err, channel.ErrTableChanged) {
		t.Errorf("read from a server that has gone: %v", err)
	}
	s.Close()
	wantLines(t, "after that", readRows(t, begin(t, r), items), []string{"1"})
	gone, err := snapshot.New(snapshot.Options{URL: "postgres://nobody:s3cret@127.0.0.1:1/nowhere"})
	if err != nil {
		t.Fatal(err)
	}
	defer gone.Close()
	if _, err := gone.Begin(t.Context()); err == nil || !regexp.MustCompile(`^begin snapshot: connect to Postgres at 127.0.0.1:1 as nobody: .*fix: start Postgres`).MatchString(err.Error()) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("no server: %v", err)
	}
}

// What the role may not do is said with the SQL that mends it; rows are never left out.
func TestSnapshotRole(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create schema shop; create table shop.items (id int primary key, owner name default current_user); insert into shop.items values (1), (2)",
		"create table mine (id int primary key); insert into mine values (1)")
	role := db.role(t, "")
	var log strings.Builder
	r := newReader(t, db, snapshot.Options{URL: db.cluster.UserURL(db.name, role, ""), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	table := db.check(t, replication.Target{Tables: []replication.TableSpec{{Schema: "shop", Name: "items"}}}).Tables["shop.items"]
	read := func() (n int, err error) {
		s := begin(t, r)
		defer s.Close()
		err = s.Read(t.Context(), channel.SnapshotQuery{Relation: table.Relation()}, func([]change.Value) error { n++; return nil })
		return n, err
	}
	mend := func(problem string) {
		t.Helper()
		_, err := read()
		var permanent *replication.PermanentError
		if !errors.As(err, &permanent) || !strings.Contains(permanent.Fix, problem) || permanent.Op != "read table shop.items for a snapshot" {
			t.Fatalf("got %v, want an error with the fix %q", err, problem)
		}
		_, sql, _ := strings.Cut(permanent.Fix, "sees a row: ")
		if sql == "" {
			sql = permanent.Fix
		}
		db.exec(t, strings.ReplaceAll(sql, "; and ", "; "))
	}
	mend(`GRANT SELECT ON "shop"."items" TO "` + role + `";`)
	if n, err := read(); n != 2 || err != nil {
		t.Errorf("with SELECT: %d rows, %v", n, err)
	}
	db.exec(t, "alter table shop.items enable row level security", "create policy own on shop.items using (owner = current_user)")
	mend(`row level security would hide rows from role "` + role + `"`)
	if n, err := read(); n != 2 || err != nil {
		t.Errorf("with BYPASSRLS: %d rows, %v", n, err)
	}
	// Without the mark Until is the end of the WAL.
	flush := ""
	if db.cluster.Version() >= 17 {
		flush = ", boolean"
	}
	db.exec(t, "revoke execute on function pg_logical_emit_message(boolean, text, text"+flush+"), pg_logical_emit_message(boolean, text, bytea"+flush+") from public")
	from := db.walEnd(t)
	for range 2 {
		s := begin(t, r)
		s.Close()
		if until := s.Visible().Until; until < from {
			t.Errorf("until %s, but the WAL ended at %s before", until, from)
		}
	}
	if n := strings.Count(log.String(), "snapshots cannot mark their place in the WAL"); n != 1 {
		t.Errorf("%d warnings:\n%s", n, log.String())
	}
	fix := regexp.MustCompile(`GRANT EXECUTE ON FUNCTION .*;`).FindString(log.String())
	db.exec(t, strings.ReplaceAll(fix, `\"`, `"`))
	if db.value(t, "select has_function_privilege($1, p.oid, 'EXECUTE') from pg_proc p where proname = 'pg_logical_emit_message' and proargtypes[2] = 'text'::regtype", role) != "t" {
		t.Errorf("the fix does not mend it: %s", log.String())
	}
	r.Close()
	// A role that may not write by default can mark.
	db.exec(t, "alter role "+role+" set default_transaction_read_only = on", "alter role "+role+" set synchronous_commit = off")
	r2 := newReader(t, db, snapshot.Options{URL: db.cluster.UserURL(db.name, role, "")})
	if until := begin(t, r2).Visible().Until; until < from {
		t.Errorf("read only by default: until %s", until)
	}
}
