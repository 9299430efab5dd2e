package integration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/channel"
	"github.com/walrelay/walrelay/snapshot"
)

// newReader is a snapshot.Reader that is closed, and shown to have left nothing behind,
// when the test ends.
func newReader(t testing.TB, db *database, o snapshot.Options) *snapshot.Reader {
	t.Helper()
	if o.URL == "" {
		o.URL = db.url()
	}
	r, err := snapshot.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		eventually(t, func() string {
			if n := db.readers(t); n != "" {
				return "a closed Reader has connections: " + n
			}
			return ""
		})
	})
	return r
}

// readers are the states of the connections for snapshots, sorted.
func (d *database) readers(t testing.TB) (states string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // it is asked at the end of tests, too
	conn, err := d.cluster.ConnTo(ctx, d.name)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, "select coalesce(string_agg(state, ', ' order by state), '') from pg_stat_activity where datname = $1 and application_name = $2", d.name, snapshot.ApplicationName).Scan(&states)
	if err != nil {
		t.Fatal(err)
	}
	return states
}

// begin takes a snapshot that is closed when the test ends, or earlier.
func begin(t testing.TB, r *snapshot.Reader) channel.Snapshot {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := r.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// relation is that of a table of schema public.
func (d *database) relation(t testing.TB, name string) *change.Relation {
	t.Helper()
	table := d.check(t, d.target(name)).Tables["public."+name]
	if table == nil {
		t.Fatalf("no table %s", name)
	}
	return table.Relation()
}

// rowText shows a row as id|a|NULL.
func rowText(row []change.Value) string {
	parts := make([]string, len(row))
	for i, v := range row {
		switch v.Kind {
		case change.Text:
			parts[i] = string(v.Text)
		case change.Null:
			parts[i] = "NULL"
		default:
			parts[i] = fmt.Sprintf("<%c>", v.Kind)
		}
	}
	return strings.Join(parts, "|")
}

// readRows gives the rows, sorted.
func readRows(t testing.TB, s channel.Snapshot, q channel.SnapshotQuery) []string {
	t.Helper()
	rows := []string{}
	err := s.Read(t.Context(), q, func(row []change.Value) error {
		rows = append(rows, rowText(row))
		return nil
	})
	if err != nil {
		t.Fatalf("read %s: %v", q.Relation.FullName(), err)
	}
	slices.Sort(rows)
	return rows
}

// typesAtOnce is how many types one run of TestSnapshotText takes: all of them would take
// as long as TestTypesEqualToJSONB does.
const typesAtOnce = 15

// Values are the same text in a snapshot and in the stream. Which types are tested
// depends on WALRELAY_TEST_SEED.
func TestSnapshotText(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create schema ext; create extension hstore schema ext; create extension citext schema ext")
	conn := connectWith(t, db, valueSettings)
	g := newGenerator(t, db)
	types := g.types(t, conn)
	g.Shuffle(len(types), func(i, j int) { types[i], types[j] = types[j], types[i] })
	needed := slices.IndexFunc(types, func(v *valueType) bool { return v.name == "int4" }) // regclass names its table
	types[0], types[needed] = types[needed], types[0]
	types = types[:typesAtOnce]
	tables := []string{"names", "parts"}
	ddl := append(slices.Clone(fixedTables),
		"create function f(int) returns int language sql as 'select 1'",
		"create table names (id int primary key, c regclass, t regtype, p regprocedure, cs regclass[], gone int, twice int generated always as (id * 2) stored); alter table names drop gone",
		"create table parts (id int primary key, note text) partition by hash (id); create table part partition of parts for values with (modulus 1, remainder 0)")
	for _, typ := range types {
		ddl, tables = append(ddl, typ.ddl()), append(tables, "t_"+typ.name)
	}
	db.exec(t, ddl...)
	source := startSource(t, db, tables...)
	for _, typ := range types {
		g.fill(t, conn, typ)
	}
	db.exec(t, "insert into names values (1, 'names', 'mood', 'f(int)', '{names,pg_class}'), (2, null, null, null, null)", "insert into parts values (1, 'x'), (2, null)",
		"select pg_logical_emit_message(true, 'end', '')")
	want := source.inserted(t, "end")
	p := db.check(t, db.target(tables...))
	s := begin(t, newReader(t, db, snapshot.Options{}))
	for _, name := range tables {
		got := readRows(t, s, channel.SnapshotQuery{Relation: p.Tables["public."+name].Relation()})
		if diff := cmp.Diff(want[name], got); diff != "" || len(got) == 0 {
			t.Errorf("%s, %d rows: (-stream +snapshot)\n%s", name, len(got), diff)
		}
	}
}

// inserted are the rows inserted up to a message, by table, sorted.
func (s *source) inserted(t testing.TB, end string) map[string][]string {
	t.Helper()
	rows := map[string][]string{}
	var after, before []change.Value
	s.changes(t, s.log.Bounds().Floor, func(c *change.Change) bool {
		if c.Op == change.Insert {
			var err error
			if after, before, err = c.Images(after, before); err != nil {
				t.Fatal(err)
			}
			rows[c.Relation.Name] = append(rows[c.Relation.Name], rowText(after))
		}
		return string(c.Prefix) != end || c.Op != change.Message
	})
	for _, r := range rows {
		slices.Sort(r)
	}
	return rows
}

// Conditions, limits, tables of every kind, more rows than are fetched at once.
func TestSnapshotRows(t *testing.T) {
	t.Parallel()
	db := newDatabase(t,
		`create table items (id bigint primary key, "a ""b" varchar, n int); insert into items select i, 'x' || i, nullif(i, 3) from generate_series(1, 1200) i`,
		"create table base (id int primary key, v text); create table heir () inherits (base); insert into base values (1, 'own'); insert into heir values (2, 'heir')",
		`create table days (id int, day int, primary key (day, id)) partition by range (day); create table days_1 partition of days for values from (1) to (2);
		 create table days_2 partition of days for values from (2) to (9) partition by range (id); create table days_3 partition of days_2 for values from (0) to (9);
		 insert into days values (1, 1), (2, 5)`,
		"create table empty (id int primary key)")
	// Of Postgres's own operators none takes these types exactly, so with public in the path this one would be called.
	db.exec(t, "create function never(varchar, text) returns bool language plpgsql as 'begin raise exception ''called''; end'",
		"create operator public.<> (leftarg = varchar, rightarg = text, function = never)")
	r := newReader(t, db, snapshot.Options{})
	s := begin(t, r)
	items := db.relation(t, "items")
	if rows := readRows(t, s, channel.SnapshotQuery{Relation: items}); len(rows) != 1200 || rows[0] != "1000|x1000|1000" || !slices.Contains(rows, "3|x3|NULL") {
		t.Errorf("%d rows, first %s", len(rows), rows[0])
	}
	wantLines(t, "condition", readRows(t, s, channel.SnapshotQuery{Relation: items, Where: `"id" = any($1::int8[]) and "a ""b" <> $2::text or false`, Args: []string{"{7,9,11}", "x9"}}), []string{"11|x11|11", "7|x7|7"})
	if rows := readRows(t, s, channel.SnapshotQuery{Relation: items, Limit: 700}); len(rows) != 700 {
		t.Errorf("%d rows, want 700", len(rows))
	}
	wantLines(t, "heirs", readRows(t, s, channel.SnapshotQuery{Relation: db.relation(t, "base")}), []string{"1|own"})
	wantLines(t, "partitions", readRows(t, s, channel.SnapshotQuery{Relation: db.relation(t, "days")}), []string{"1|1", "2|5"})
	wantLines(t, "leaf", readRows(t, s, channel.SnapshotQuery{Relation: db.relation(t, "days_3")}), []string{"2|5"})
	wantLines(t, "none", readRows(t, s, channel.SnapshotQuery{Relation: db.relation(t, "empty")}), []string{})

	enough, n := errors.New("enough"), 0
	err := s.Read(t.Context(), channel.SnapshotQuery{Relation: items}, func([]change.Value) error {
		if n++; n == 600 {
			return enough
		}
		return nil
	})
	if err != enough || n != 600 {
		t.Errorf("stopped after %d rows: %v", n, err)
	}
	db.exec(t, "insert into empty values (1)")
	wantLines(t, "the same snapshot after a stop", readRows(t, s, channel.SnapshotQuery{Relation: db.relation(t, "empty")}), []string{})
	wantLines(t, "a new one", readRows(t, begin(t, r), channel.SnapshotQuery{Relation: db.relation(t, "empty")}), []string{"1"})
}

// A table that was altered cannot be read as what it was; Postgres would give rows of
// another shape, or none.
func TestSnapshotTableChanged(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, sql string
		gone      bool // also for a new snapshot
	}{
		{"column added", "alter table items add w int", true},
		{"column dropped", "alter table items drop v", true},
		{"column renamed", "alter table items rename v to w", true},
		{"columns exchanged", "alter table items rename v to w; alter table items rename n to v; alter table items rename w to n", true},
		{"type changed", "alter table items alter n type bigint", true},
		{"type changed without rewrite", "set timezone = 'UTC'; alter table items alter at type timestamp", true},
		{"domain instead of its base", "create domain num as int; alter table items alter n type num", true},
		{"table renamed", "alter table items rename to things", true},
		{"table replaced", "alter table items rename to old; create table items (like old including all)", true},
		{"schema changed", "create schema s; alter table items set schema s", true},
		{"table dropped", "drop table items", true},
		{"column made anew", "alter table items drop at; alter table items add at timestamptz", false},
		{"truncated", "truncate items", false},
		{"rewritten", "alter table items alter n type bigint; alter table items alter n type int", false},
		{"partition truncated", "truncate parts", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t, "create table items (id int primary key, v int, n int, at timestamptz); insert into items values (1, 2, 3, now())",
				"create table parts (id int primary key, v int) partition by hash (id); create table part partition of parts for values with (modulus 1, remainder 0); insert into parts values (1)")
			r := newReader(t, db, snapshot.Options{})
			name := "items"
			if strings.HasPrefix(test.name, "partition") {
				name = "parts"
			}
			q := channel.SnapshotQuery{Relation: db.relation(t, name)}
			read := func(s channel.Snapshot) error {
				defer s.Close()
				return s.Read(t.Context(), q, func([]change.Value) error { return nil })
			}
			s := begin(t, r)
			db.exec(t, test.sql)
			if err := read(s); !errors.Is(err, channel.ErrTableChanged) || !strings.Contains(err.Error(), "public."+name) {
				t.Errorf("a snapshot from before: %v", err)
			}
			if err := read(begin(t, r)); errors.Is(err, channel.ErrTableChanged) != test.gone || err != nil && !test.gone {
				t.Errorf("a new snapshot: %v", err)
			}
		})
	}
}

// While a table is read nobody can alter it, and nobody else waits.
func TestSnapshotLock(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key); insert into items select generate_series(1, 3)")
	s := begin(t, newReader(t, db, snapshot.Options{}))
	err := s.Read(t.Context(), channel.SnapshotQuery{Relation: db.relation(t, "items")}, func([]change.Value) error {
		db.exec(t, "insert into items select max(id) + 1 from items", "update items set id = -id where id = 1", "vacuum items", "create index on items (id)")
		if err := db.cluster.ExecIn(t.Context(), db.name, "set lock_timeout = '1ms'", "alter table items add v int"); err == nil {
			t.Error("altered while it is read")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	s.Close()
	db.exec(t, "set lock_timeout = '1s'; alter table items add v int")
}

// Begin waits for its turn, and no longer than its context.
func TestSnapshotTurn(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	r := newReader(t, db, snapshot.Options{Connections: 2})
	first := begin(t, r)
	ctx, cancel := context.WithCancelCause(t.Context())
	next := make(chan error, 2)
	go func() {
		_, err := r.Begin(ctx)
		next <- err
	}()
	cancel(errors.New("the client has gone"))
	if err := <-next; err == nil || !strings.Contains(err.Error(), "the client has gone") {
		t.Errorf("a second snapshot of one: %v", err)
	}
	go func() {
		s, err := r.Begin(t.Context())
		if err == nil {
			s.Close()
		}
		next <- err
	}()
	first.Close()
	first.Close() // does nothing
	if err := <-next; err != nil {
		t.Error(err)
	}
}
