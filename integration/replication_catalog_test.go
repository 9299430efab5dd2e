package integration

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/eventlog"
	"github.com/walrelay/walrelay/replication"
)

// source is a Source in this process with an event log of its own.
type source struct {
	*replication.Source
	log *eventlog.Log
}

// startSource runs one for the tables of schema public until the test ends.
func startSource(t testing.TB, db *database, tables ...string) *source {
	t.Helper()
	log, err := eventlog.Open(eventlog.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s := &source{log: log, Source: replication.New(replication.Options{Target: db.target(tables...), Log: sourceLog{log}, WALBudget: 1 << 30})}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !t.Failed() {
			t.Error(err)
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	eventually(t, func() string {
		if st := s.State(); st.Phase != replication.PhaseStreaming {
			return "it does not stream: " + string(st.Phase)
		}
		return ""
	})
	return s
}

// target is what a configuration with these tables of schema public asks for.
func (d *database) target(tables ...string) replication.Target {
	t := replication.Target{URL: d.url(), Slot: d.name, Publication: d.name}
	for _, name := range tables {
		t.Tables = append(t.Tables, replication.TableSpec{Schema: "public", Name: name})
	}
	return t
}

// changes calls each for what the log has behind a position, until that returns false.
func (s *source) changes(t testing.TB, after change.Position, each func(*change.Change) bool) {
	t.Helper()
	for {
		var b *change.Batch
		eventually(t, func() string {
			var err error
			if b, err = s.log.Next(after); err != nil {
				t.Fatal(err)
			}
			if b == nil {
				return "nothing more comes"
			}
			return ""
		})
		var r change.Reader
		var c change.Change
		for r.Reset(b); r.Next(&c); {
			if c.Position.Compare(after) > 0 && !each(&c) {
				return
			}
		}
		if r.Err() != nil {
			t.Fatal(r.Err())
		}
		after = b.Last
	}
}

// check is what a preflight says.
func (d *database) check(t testing.TB, target replication.Target) *replication.Preflight {
	t.Helper()
	conn, err := replication.Connect(t.Context(), d.url())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	p, err := replication.Check(t.Context(), conn, target)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What the catalog says that the stream will announce is what it announces, to the ID.
func TestReplicationCatalogRelation(t *testing.T) {
	t.Parallel()
	db := newDatabase(t,
		"create extension citext; create type mood as enum ('ok', 'sad'); create domain price as numeric(10, 2) not null",
		"create table plain (id int primary key, gone int, price price, mood mood, moods mood[], note text not null); alter table plain drop gone",
		"create table pair (a int, b text, v int, primary key (b, a))",
		"create table whole (id int primary key, v citext, twice int generated always as (id * 2) stored); alter table whole replica identity full",
		"create table keyless (a int, b text); alter table keyless replica identity full",
		`create table covered (id int not null, owner int not null, note text, extra int, primary key (id) include (extra));
		 create unique index covering on covered (owner, id) include (note); alter table covered replica identity using index covering`,
		`create table "Odd ""name" ("Order" int primary key, "a b" text)`,
		`create table days (id int, day int, note text, primary key (day, id)) partition by range (day);
		 create table days_1 partition of days for values from (1) to (2)`)
	tables := []string{"plain", "pair", "whole", "keyless", "covered", `Odd "name`, "days"}
	s := startSource(t, db, tables...)
	db.exec(t, "insert into plain values (1, 1.5, 'ok', '{sad}', 'x')", "insert into pair values (1, 'x', 1)", "insert into whole values (1, 'x')",
		"insert into keyless values (1, 'x')", "insert into covered values (1, 1, 'x', 1)", `insert into "Odd ""name" values (1, 'x')`, "insert into days values (1, 1, 'x')")
	want := map[string]*change.Relation{}
	s.changes(t, s.log.Bounds().Floor, func(c *change.Change) bool {
		want[c.Relation.FullName()] = c.Relation
		return len(want) < len(tables)
	})
	p := db.check(t, db.target(tables...))
	for _, name := range tables {
		table := p.Tables["public."+name]
		if table == nil {
			t.Fatalf("no table %s", name)
		}
		if diff := cmp.Diff(want["public."+name], table.Relation()); diff != "" {
			t.Errorf("%s: (-announced +catalog)\n%s", name, diff)
		}
	}
	for name, identity := range map[string]string{"covered": "owner id", "plain": "id", "pair": "b a", "keyless": "a b"} {
		if got := strings.Join(p.Tables["public."+name].IdentityColumns, " "); got != identity {
			t.Errorf("%s: identity %s, want %s", name, got, identity)
		}
	}
	if got := p.Tables["public.covered"].Key; !slices.Equal(got, []string{"id"}) {
		t.Errorf("primary key %q", got)
	}
}

// Which columns may hold equal values of different bytes, and which may lie out of line.
func TestReplicationCatalogColumns(t *testing.T) {
	t.Parallel()
	db := newDatabase(t,
		`create schema ext; create extension citext schema ext;
		 create collation loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
		 create collation strict (provider = icu, locale = 'und');
		 create domain email as ext.citext; create domain emails as email[]; create domain loose_text as text collate loose`,
		`create table c (id int primary key, plain text, bytes text collate "C", icu text collate strict, short varchar(10), n numeric, ints int[], doc jsonb,
			 inline text, external text, ci ext.citext, cis ext.citext[], dom email, doms emails, nd text collate loose, nds text[] collate loose,
			 ndd loose_text, ndds loose_text[], fixed loose_text collate "C");
		 alter table c alter inline set storage plain, alter external set storage external`,
		"create table small (id int primary key, short varchar(10))",
		"create table parts (id int primary key, body text) partition by hash (id)")
	p := db.check(t, db.target("c", "small", "parts"))
	var loose, toastable []string
	for _, name := range []string{"c", "small", "parts"} {
		for _, c := range p.Tables["public."+name].Columns {
			if c.Loose {
				loose = append(loose, name+"."+c.Name)
			}
			if c.Toastable {
				toastable = append(toastable, name+"."+c.Name)
			}
		}
	}
	wantLines(t, "loose", loose, strings.Fields("c.ci c.cis c.dom c.doms c.nd c.nds c.ndd c.ndds"))
	wantLines(t, "toastable", toastable, strings.Fields("c.plain c.bytes c.icu c.short c.ints c.doc c.external c.ci c.cis c.dom c.doms c.nd c.nds c.ndd c.ndds c.fixed parts.body"))
}

// Old tuples do not have the INCLUDE columns of an identity index, so rules cannot compare
// them; nor what the stream has not.
func TestReplicationCatalogUses(t *testing.T) {
	t.Parallel()
	db := newDatabase(t,
		`create table items (id int not null, owner int not null, note text not null, twice int generated always as (id * 2) stored, primary key (id) include (note));
		 create unique index covering on items (id, owner) include (note); alter table items replica identity using index covering`)
	target := db.target("items")
	for _, name := range []string{"id", "owner", "note", "twice"} {
		target.Tables[0].Uses = append(target.Tables[0].Uses, replication.ColumnUse{Column: name, Read: true, Compared: name != "twice", Ref: name})
	}
	var got []string
	for _, f := range db.check(t, target).Findings.Errors() {
		got = append(got, f.Ref.(string)+": "+strings.SplitN(f.Problem, ",", 2)[0])
	}
	want := []string{`note: its replica identity does not carry column "note"`}
	if db.cluster.Version() < 18 {
		want = append([]string{`twice: a rule reads the generated column "twice"`}, want...)
	}
	wantLines(t, "errors", got, want)
}
