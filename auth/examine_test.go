package auth

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walrelay/walrelay/filter"
)

var (
	numberClaim = filter.Type{Class: filter.ClassNumber, Name: "bigint"}
	textClaim   = filter.Type{Class: filter.ClassText, Name: "text"}
	boolClaim   = filter.Type{Class: filter.ClassBool, Name: "boolean"}
	textsClaim  = filter.Type{Class: filter.ClassText, List: true, Name: "text[]"}
	knownClaims = []filter.Claim{{Name: "user_id", Type: numberClaim, Required: true}, {Name: "name", Type: textClaim}, {Name: "org", Type: numberClaim}}
)

// examined are the findings about one entry.
func (d *testDatabase) examined(t *testing.T, url string, e *SessionEntry, declared []filter.Claim) []string {
	t.Helper()
	got, err := Examine(t.Context(), url, []Entry{{Key: "auth.0", Session: e}, {Key: "auth.1", Anonymous: &AnonymousEntry{}}}, declared)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range got.Findings {
		out = append(out, fmt.Sprintf("%s %s %s", f.Severity, f.Key, f))
	}
	return out
}

func TestExamineTables(t *testing.T) {
	t.Parallel()
	const index = "; create index on sessions (token)"
	for _, c := range []struct {
		name, sql string
		edit      func(e *SessionEntry)
		want      []string
	}{
		{"all is well", index, nil, nil},
		{"no index", "", nil, []string{`warning auth.0.store.key table public.sessions: no index begins with column "token": every sign-in reads the whole table; fix: CREATE INDEX CONCURRENTLY ON "public"."sessions" ("token");`}},
		{"an index that begins with a column of where", "; create index on sessions (kind, token)", nil, nil},
		{"an index that begins with another column", "; create index on sessions (id, token)", nil, []string{`warning auth.0.store.key table public.sessions: no index begins with`}},
		{"an index on an expression", "; create index on sessions (lower(token), token)", nil, []string{`warning auth.0.store.key table public.sessions: no index begins with`}},
		{"unlogged", index + "; alter table sessions set unlogged", nil, []string{
			`warning auth.0.store.table table public.sessions: it is UNLOGGED: its changes are not in the WAL, so that a logout is noticed only when the session is looked up again (revalidate: 1m0s); fix: ALTER TABLE "public"."sessions" SET LOGGED;`}},
		{"unlogged, a column is missing", index + "; alter table sessions set unlogged", func(e *SessionEntry) { e.Store.Expires.Column = "expire" }, []string{
			"warning auth.0.store.table table public.sessions: it is UNLOGGED", `error auth.0.store.table table public.sessions: it has no column "expire"; did you mean "expires"?`}},
		{"no such table", index, func(e *SessionEntry) { e.Store.Table, e.Depends[0].Table = "nowhere", "neither" }, nil},
		{"where of another type", index + "; alter table sessions alter kind drop default; alter table sessions alter kind type int using 1", nil, []string{
			`error auth.0.store.where.kind table public.sessions: "web" is no value of column "kind", which is of type integer`}},
		{"an unknown time zone", index, func(e *SessionEntry) { e.Timezone = "Mars/Olympus" }, []string{`error auth.0.timezone auth.0: Postgres knows no time zone "Mars/Olympus"`}},
		{"a time zone", index, func(e *SessionEntry) { e.Timezone = "Europe/Berlin" }, nil},
		{"depends by another column than the key", index + "; create table member (id int primary key, user_id int not null)", func(e *SessionEntry) {
			e.Depends = append(e.Depends, Depend{Schema: "public", Table: "member", Key: "user_id"})
		}, []string{`warning auth.0.depends.1.key table public.member: its replica identity does not carry column "user_id": a DELETE or UPDATE does not tell whose row it was, so that each has all sessions of auth.0 looked up again; ` +
			`fix: CREATE UNIQUE INDEX CONCURRENTLY "member_walrelay_identity" ON "public"."member" ("id", "user_id"); ALTER TABLE "public"."member" REPLICA IDENTITY USING INDEX "member_walrelay_identity";`}},
		{"depends by a column that may be null", index + "; create table member (a int, b int, user_id int, primary key (b, a) include (user_id))", func(e *SessionEntry) {
			e.Depends = append(e.Depends, Depend{Schema: "public", Table: "member", Key: "user_id"})
		}, []string{`fix: ALTER TABLE "public"."member" ALTER COLUMN "user_id" SET NOT NULL; CREATE UNIQUE INDEX CONCURRENTLY "member_walrelay_identity" ON "public"."member" ("b", "a", "user_id"); ` +
			`ALTER TABLE "public"."member" REPLICA IDENTITY USING INDEX "member_walrelay_identity"; or, where it may be NULL: ALTER TABLE "public"."member" REPLICA IDENTITY FULL;`}},
		{"depends with FULL", index + "; create table member (id int primary key, user_id int); alter table member replica identity full", func(e *SessionEntry) {
			e.Depends = append(e.Depends, Depend{Schema: "public", Table: "member", Key: "user_id"})
		}, nil},
		{"depends with an index", index + "; create table member (id int primary key, user_id int not null, unique (id, user_id)); alter table member replica identity using index member_id_user_id_key", func(e *SessionEntry) {
			e.Depends = append(e.Depends, Depend{Schema: "public", Table: "member", Key: "user_id"})
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t, sessionsDDL+c.sql)
			e := sessionsEntry()
			e.Revalidate = time.Minute
			if c.edit != nil {
				c.edit(e)
			}
			checkFindings(t, c.want, d.examined(t, d.url(), e, knownClaims))
		})
	}
}

// checkFindings: each is in its place, by a part of it.
func checkFindings(t *testing.T, want, got []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d findings, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
		return
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("got  %s\nwant %s", got[i], want[i])
		}
	}
}

// TestFixesHelp: what a finding tells to do makes it go away.
func TestFixesHelp(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, sessionsDDL, `create table member (id int primary key, user_id int); alter table sessions set unlogged`)
	role := "r_" + d.name
	d.exec(t, "create role "+role+" login", "revoke all on schema public from public")
	e := sessionsEntry()
	e.Depends = append(e.Depends, Depend{Schema: "public", Table: "member", Key: "user_id"})
	e.Claims.SQL = "select u.id as user_id from users u left join member m on m.user_id = u.id where u.id = :user::int"
	url := server.cluster.UserURL(d.name, role, "")
	for round := 0; ; round++ {
		got, err := Examine(t.Context(), url, []Entry{{Key: "auth.0", Session: e}}, knownClaims)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Findings) == 0 {
			break
		}
		if round == 6 {
			t.Fatalf("still there: %v", got.Findings)
		}
		for _, f := range got.Findings {
			fix, _, _ := strings.Cut(f.Fix, "(or of")
			fix, _, _ = strings.Cut(fix, " or, where")
			for sql := range strings.SplitSeq(fix, ";") {
				if strings.TrimSpace(sql) != "" {
					d.exec(t, sql)
				}
			}
		}
	}
	p, err := newPostgres(url, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	if _, err := p.lookup(t.Context(), d.source(t, e, nil), question{key: []byte("ada"), now: noon}); err != nil {
		t.Errorf("after all fixes: %v", err)
	}
	if got := d.relations(t, e)["public.member"]; !got.Columns[1].Identity {
		t.Error("the replica identity does not carry the key")
	}
}

// TestExamineRights: grants on columns are enough, and exactly those that are missing are
// named.
func TestExamineRights(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, sessionsDDL+"; create index on sessions (token); create table hidden (x int)")
	role := "r_" + d.name
	d.exec(t, "create role "+role+" login", "revoke all on schema public from public", "grant select (id, token) on sessions to "+role)
	url := server.cluster.UserURL(d.name, role, "")
	e := sessionsEntry()
	checkFindings(t, []string{
		"error auth.0.store.table table public.sessions: role " + role + " may not use schema public; fix: GRANT USAGE ON SCHEMA \"public\" TO " + role + ";",
		`error auth.0.store.table table public.sessions: role ` + role + ` may not read "data", "expires", "kind"; fix: GRANT SELECT ("data", "expires", "kind") ON "public"."sessions" TO ` + role + `;`,
		"error auth.0.depends.0.table table public.users: role " + role + " may not use schema",
		`error auth.0.depends.0.table table public.users: role ` + role + ` may not read "id"`,
		`error auth.0.claims claims of auth.0: relation "users" does not exist`,
	}, d.examined(t, url, e, knownClaims))
	d.exec(t, "grant usage on schema public to "+role, "grant select (id, token, data, expires, kind) on sessions to "+role, "grant select (id) on users to "+role)
	checkFindings(t, []string{`error auth.0.claims claims of auth.0: permission denied for table users (SQLSTATE 42501); fix: GRANT SELECT ON "users" TO ` + role + `; (or of the columns that the query reads)`},
		d.examined(t, url, e, knownClaims))
	d.exec(t, "grant select (name, disabled) on users to "+role, "alter table sessions enable row level security")
	checkFindings(t, []string{"warning auth.0.store.table table public.sessions: it has row level security, which applies to role " + role}, d.examined(t, url, e, knownClaims))
}

func TestExamineClaims(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, sessionsDDL+"; create index on sessions (token); create function writes() returns int language sql as 'delete from users returning 1'")
	for _, c := range []struct {
		name, sql string
		declared  []filter.Claim
		edit      func(e *SessionEntry)
		want      []string
	}{
		{"undeclared", "select id as user_id, name, disabled from users where id = :user::int", knownClaims, nil, []string{`warning auth.0.claims claims of auth.0: claim "disabled" is not declared, so that no rule can read it`}},
		{"nearly declared", "select id as user_id, name as nam from users where id = :user::int", knownClaims, nil, []string{`claim "nam" is not declared, so that no rule can read it; did you mean "name"?`}},
		{"a required one is missing", "select id, name from users where id = :user::int", knownClaims, nil, []string{`error auth.0.claims claims of auth.0: claim "user_id" is declared as required, and they do not have it`, `warning auth.0.claims claims of auth.0: claim "id" is not declared`}},
		{"twice", "select id as user_id, name as user_id from users where id = :user::int", knownClaims, nil, []string{`error auth.0.claims claims of auth.0: two columns are called "user_id"`}},
		{"check without its column", "select id as user_id from users where id = :user::int", knownClaims, func(e *SessionEntry) { e.Check = "devise-salt" }, []string{"error auth.0.check claims of auth.0: check: devise-salt compares with a column _check"}},
		{"check with its column", "select id as user_id, name as _check from users where id = :user::int", knownClaims, func(e *SessionEntry) { e.Check = "devise-salt" }, nil},
		{"a column for no check", "select id as user_id, name as _check from users where id = :user::int", knownClaims, nil, []string{"warning auth.0.claims claims of auth.0: it has a column _check, and nothing is compared with it"}},
		{"no such column", "select nothing from users", knownClaims, nil, []string{`error auth.0.claims claims of auth.0: column "nothing" does not exist (SQLSTATE 42703)`}},
		{"no cast", "select id as user_id from users where :user is not null", knownClaims, nil, []string{`say of what type the user is, as in :user::int`}},
		{"it writes", "select writes() as user_id", knownClaims, nil, []string{"error auth.0.claims claims of auth.0: the query writes or locks rows, and look-ups are read only"}},
		{"it locks", "select id as user_id from users where id = :user::int for update", knownClaims, nil, []string{"error auth.0.claims claims of auth.0: the query writes or locks rows"}},
		{"it fails for nobody", "select 1 / (coalesce(:user, '0')::int) as user_id", knownClaims, nil, nil},
		{"no SQL at all", "selec 1", knownClaims, nil, []string{"error auth.0.claims claims of auth.0: syntax error"}},
		{"not closed", "select 'x", knownClaims, nil, []string{"error auth.0.claims claims of auth.0: a string is not closed"}},
		{"a number for a text", "select id as a from users where id = :user::int", []filter.Claim{{Name: "a", Type: textClaim}}, nil, []string{`error auth.0.claims claims of auth.0: column "a" is of type integer, and the claim is declared as text: nobody is let in; fix: CAST(… AS text) in the query`}},
		{"a text for a number", "select name as a from users where id = :user::int", []filter.Claim{{Name: "a", Type: numberClaim}}, nil, nil},
		{"a bool for a number", "select disabled as a from users where id = :user::int", []filter.Claim{{Name: "a", Type: numberClaim}}, nil, []string{"column \"a\" is of type boolean"}},
		{"a text for a bool", "select name as a from users where id = :user::int", []filter.Claim{{Name: "a", Type: boolClaim}}, nil, []string{"column \"a\" is of type text"}},
		{"one for a list", "select name as a from users where id = :user::int", []filter.Claim{{Name: "a", Type: textsClaim}}, nil, []string{"fix: array[a], or array_agg"}},
		{"a list for one", "select array[name] as a from users where id = :user::int", []filter.Claim{{Name: "a", Type: textClaim}}, nil, []string{"fix: declare it as text[]"}},
		{"a list", "select array[name] as a from users where id = :user::int", []filter.Claim{{Name: "a", Type: textsClaim}}, nil, nil},
		{"JSON may be anything", "select :session->'org' as a, '1'::json as b", []filter.Claim{{Name: "a", Type: textClaim}, {Name: "b", Type: boolClaim}}, nil, nil},
		{"paths", "", knownClaims, func(e *SessionEntry) { e.Claims = ClaimSource{Paths: map[string]string{"user_id": "user", "x": "y"}} }, []string{`claim "x" is not declared`}},
		{"nothing", "", knownClaims, func(e *SessionEntry) { e.Claims = ClaimSource{} }, []string{`claim "user_id" is declared as required`, `claim "id" is not declared`}},
	} {
		e := sessionsEntry()
		e.Claims.SQL = c.sql
		if c.edit != nil {
			c.edit(e)
		}
		t.Run(c.name, func(t *testing.T) { checkFindings(t, c.want, d.examined(t, d.url(), e, c.declared)) })
	}
}

// TestExamineVectors: the worked examples have nothing wrong with them but what is known.
func TestExamineVectors(t *testing.T) {
	t.Parallel()
	known := map[string][]string{
		"authjs-database": {`warning auth.0.store.key table public.sessions: no index begins with column "sessionToken"`},
		"better-auth":     {`warning auth.0.depends.0.key table public.member: its replica identity does not carry column "userId"`},
		"django-db":       {`warning auth.0.depends.1.key table public.auth_user_groups: its replica identity does not carry column "user_id"`},
	}
	for name := range worked {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := loadStoreVector(t, name)
			d := v.database(t)
			e, _ := v.workedEntry(t)
			id := numberClaim
			if name == "better-auth" {
				id = textClaim
			}
			declared := []filter.Claim{{Name: "user_id", Type: id, Required: true}, {Name: "org_id", Type: id}, {Name: "roles", Type: textsClaim}, {Name: "is_staff", Type: boolClaim}}
			checkFindings(t, known[name], d.examined(t, d.url(), e, declared))
		})
	}
}

// TestUnloggedRelations: a table that no stream announces is learned from the catalog, and
// gives the same rows.
func TestUnloggedRelations(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"express-session-passport", "phoenix-gen-auth", "laravel-database", "better-auth", "scs-postgresstore"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := loadStoreVector(t, name)
			d := v.database(t)
			e, env := v.workedEntry(t)
			s := d.source(t, e, env)
			q, err := v.question(t, s, v.CookieHeader)
			if err != nil {
				t.Fatal(err)
			}
			want, err := d.postgres(t).lookup(t.Context(), s, q)
			if err != nil {
				t.Fatal(err)
			}
			d.exec(t, "alter table "+quotedTable("public", e.Store.Table)+" set unlogged")
			got, err := Examine(t.Context(), d.url(), []Entry{{Key: "auth.0", Session: e}}, nil)
			if err != nil || cmp.Diff([]string{"public." + e.Store.Table}, got.Unlogged) != "" {
				t.Fatalf("%+v %v", got, err)
			}
			s = compile(t, e, env)
			rels := d.relations(t, e)
			delete(rels, "public."+e.Store.Table)
			if _, err := s.learn(rels); err == nil {
				t.Error("learned a table that nobody has told of")
			}
			if _, err := s.learn(got.Relations); err != nil {
				t.Fatal(err)
			}
			is, err := d.postgres(t).lookup(t.Context(), s, q)
			if err != nil || *is.row != *want.row || string(is.claims) != string(want.claims) {
				t.Errorf("%+v %v\nwant %+v", is.row, err, want.row)
			}
		})
	}
}

func TestExamineRefuses(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"postgres://user:supersecret@:::", "postgres://user:supersecret@127.0.0.1:1/db?sslmode=disable"} {
		if _, err := Examine(t.Context(), url, nil, nil); err == nil || strings.Contains(err.Error(), "supersecret") {
			t.Errorf("%v", err)
		}
	}
}
