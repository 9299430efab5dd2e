package integration

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/walrelay/walrelay/replication"
)

// What is wrong with a table that auth alone names is said in its words; what only events
// need is not asked of it.
func TestAuthStreamPreflight(t *testing.T) {
	t.Parallel()
	publication := "create publication $pub for table session%s with (publish_via_partition_root = true)"
	with := func(list string) string { return "; " + strings.ReplaceAll(publication, "%s", list) }
	for name, test := range map[string]struct {
		sql   string
		since int      // Postgres
		reads []string // columns
		want  []string // findings
	}{
		"fit":            {sql: "create table session (sid text primary key, data text, expire timestamp)", reads: []string{"sid", "data", "expire"}},
		"identity index": {sql: "create table session (id serial primary key, sid text not null unique); alter table session replica identity using index session_sid_key", reads: []string{"sid"}},
		"no key, index":  {sql: "create table session (sid text not null unique); alter table session replica identity using index session_sid_key"},
		"no key, full":   {sql: "create table session (sid text, data text); alter table session replica identity full", reads: []string{"data"}},
		"generated":      {sql: "create table session (sid text primary key, upped text generated always as (upper(sid)) stored)"},
		"no identity": {sql: "create table session (sid text)",
			want: []string{"^error .* it has no primary key and so no replica identity: .*refuses the application's UPDATE and DELETE; fix: ALTER TABLE .*FULL;"}},
		"nothing": {sql: "create table session (sid text primary key); alter table session replica identity nothing",
			want: []string{"^error .* its replica identity is NOTHING"}},
		"unlogged": {sql: "create unlogged table session (sid text primary key)", want: []string{"^error .* it is UNLOGGED"}},
		"missing":  {sql: "create table sessions (sid text primary key)", want: []string{`^error .* it does not exist.*did you mean "public.sessions"`}},
		"no column": {sql: "create table session (sid text primary key)", reads: []string{"side"},
			want: []string{`^error .* it has no column "side"; did you mean "sid"`}},
		"heirs": {sql: "create table session (sid text primary key); create table session_more () inherits (session)",
			want: []string{`^error .* other tables inherit from it: .*outlive its end; fix: ALTER TABLE … NO INHERIT "?public"?\."?session"?;`}},
		"security": {sql: "create table session (sid text primary key); alter table session enable row level security",
			want: []string{"^warning .* it has row level security: rows that it hides from role postgres are not found"}},
		"partitions": {sql: `create table session (sid text, day int, primary key (sid, day)) partition by range (day);
				create table session_1 partition of session for values from (1) to (2)`,
			want: []string{"^warning .* it is partitioned: .*TRUNCATE of a single partition"}},
		"unlogged partition": {sql: `create table session (sid text, day int, primary key (sid, day)) partition by range (day);
				create unlogged table session_1 partition of session for values from (1) to (2)`,
			want: []string{"^error .* it has a partition .*UNLOGGED", "^warning .* it is partitioned"}},
		"partitions, full": {sql: `create table session (sid text, day int) partition by range (day); create table session_1 partition of session for values from (1) to (2);
				alter table session replica identity full; alter table session_1 replica identity full`,
			want: []string{"^warning .* it is partitioned", "^warning .* every new partition needs REPLICA IDENTITY FULL of its own"}},
		"column list": {sql: "create table session (sid text primary key, data text, expire timestamp)" + with(" (sid, expire)"), since: 15, reads: []string{"sid", "expire"}},
		"list without identity": {sql: "create table session (sid text primary key, data text)" + with(" (data)"), since: 15, reads: []string{"data"},
			want: []string{`^error .* it has a column list on public.session, which lacks "sid" of its replica identity, .*; fix: ALTER PUBLICATION \S+ DROP TABLE "?public"?\."?session"?; walrelay adds it again`}},
		"list without column": {sql: "create table session (sid text primary key, data text)" + with(" (sid)"), since: 15, reads: []string{"data"},
			want: []string{`^error .* it has a column list on public.session, which lacks "data", which auth reads`}},
		"list, full": {sql: "create table session (sid text primary key, data text); alter table session replica identity full" + with(" (sid)"), since: 15,
			want: []string{"^error .* it has a column list on public.session, which makes Postgres refuse UPDATEs"}},
		"row filter": {sql: "create table session (sid text primary key)" + with(" where (sid <> '')"), since: 15,
			want: []string{"^error .* it has a row filter on public.session"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if sharedCluster(t).Version() < test.since {
				return // there is no such publication
			}
			db := newDatabase(t)
			db.exec(t, strings.ReplaceAll(test.sql, "$pub", db.name))
			spec := privateTable("session")
			for _, column := range test.reads {
				spec.Uses = append(spec.Uses, replication.ColumnUse{Column: column, Watched: true})
			}
			p := db.check(t, replication.Target{URL: db.url(), Slot: db.name, Publication: db.name, Tables: []replication.TableSpec{spec}})
			for i, f := range p.Findings {
				line := f.Severity.String() + " " + f.String()
				if i < len(test.want) && !regexp.MustCompile(test.want[i]).MatchString(line) {
					t.Errorf("got %s\nwant %s", line, test.want[i])
				}
				if strings.Contains(line, "channel") || strings.Contains(line, "rule") || strings.Contains(line, "event") {
					t.Errorf("there are no channels here: %s", line)
				}
			}
			if len(p.Findings) != len(test.want) {
				t.Errorf("%d findings, not %d:\n%v", len(p.Findings), len(test.want), p.Findings)
			}
			errors := p.Findings.Errors()
			if table := p.Tables["public.session"]; table != nil && (len(errors) == 0 && table.Unfit != "" || len(errors) > 0 && errors[0].Table != "" && table.Unfit != errors[0].Problem) {
				t.Errorf("unfit: %q", table.Unfit)
			}
		})
	}
}

// The SQL for a publication that somebody else must make has the tables of auth, too; with
// it the preflight is content, and the stream begins.
func TestAuthStreamPublicationByHand(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key)", "create table session (sid text primary key, data text)")
	role := db.role(t, "replication")
	url := db.cluster.UserURL(db.name, role, "")
	tables := []replication.TableSpec{channelTable("items"), privateTable("session")}
	conn, err := replication.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	check := func() replication.Findings {
		p, err := replication.Check(t.Context(), conn, replication.Target{URL: url, Slot: db.name, Publication: db.name, Tables: tables})
		if err != nil {
			t.Fatal(err)
		}
		return p.Findings
	}
	findings := check()
	if len(findings) != 1 {
		t.Fatalf("findings: %v", findings)
	}
	_, sql, _ := strings.Cut(findings[0].Fix, "run: ")
	if !strings.Contains(sql, "items") || !strings.Contains(sql, "session") {
		t.Fatalf("the fix is %s", findings[0].Fix)
	}
	db.exec(t, sql)
	if findings := check(); len(findings) > 0 {
		t.Errorf("findings: %v", findings)
	}
	w := startWatched(t, db, db.name, tempDir(t), tables...)
	db.exec(t, "insert into session values ('a')", "update session set data = 'x'", "delete from session", "insert into items values (1)")
	wantLines(t, "logged", withoutPositions(w.logged(t, db)), []string{"insert items 1"})
	wantLines(t, "observed", w.observed(), []string{"insert session a", "update session a", "delete session -a"})
}

// A column list spares the stream what auth does not read.
func TestAuthStreamColumnList(t *testing.T) {
	t.Parallel()
	if sharedCluster(t).Version() < 15 {
		return // there are none
	}
	db := newDatabase(t, "create table items (id int primary key)", "create table session (sid text primary key, payload text, expire text)")
	db.exec(t, "create publication "+db.name+" for table items, session (sid, expire) with (publish_via_partition_root = true)")
	w := startWatched(t, db, db.name, tempDir(t), channelTable("items"), privateTable("session"))
	db.exec(t, "insert into session values ('a', 'large', 'b')", "update session set payload = 'larger'", "delete from session", "insert into items values (1)")
	wantLines(t, "logged", withoutPositions(w.logged(t, db)), []string{"insert items 1"})
	wantLines(t, "observed", w.observed(), []string{"insert session a", "update session a", "delete session -a"})
	if st := w.State(); st.Phase != replication.PhaseStreaming {
		t.Errorf("%+v", st)
	}
}
