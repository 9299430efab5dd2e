package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"
)

// sessionsDDL is a small application with users and sessions.
const sessionsDDL = `
create table users (id int primary key, name text, disabled bool not null default false, seen timestamp);
create table sessions (id bigint primary key, token text, kind varchar not null default 'web', expires timestamptz not null, data jsonb);
insert into users values (42, 'Ada'), (43, 'Bob');
insert into sessions values
	(1, 'ada', default, '2026-12-01', '{"user": 42, "org": 7}'), (2, 'bob', default, '2026-12-01', '{"user": "43"}'),
	(3, 'old', default, '2026-11-19', '{"user": 42}'), (4, 'nobody', default, '2026-12-01', '{}'), (5, 'odd', default, '2026-12-01', '{"user": "x42"}'),
	(6, 'twice', default, '2026-12-01', '{"user": 42}'), (7, 'twice', default, '2026-12-01', '{"user": 42}'),
	(8, 'api', 'api', '2026-12-01', '{"user": 42}'), (9, 'gone', default, '2026-12-01', '{"user": 99}'), (10, 'zero', default, '2026-12-01', '{"user": "4\t2"}')`

// noon is when the tests of these tables take place.
var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func sessionsEntry() *SessionEntry {
	return &SessionEntry{Cookies: []string{"sid"}, Decode: "plain", User: "user",
		Store: &Store{Schema: "public", Table: "sessions", Key: "token", Where: []Equal{{Column: "kind", Value: "web"}},
			Expires: &Expires{Column: "expires"}, Data: &Data{Column: "data", Format: "json"}, Watch: []string{"org"}},
		Claims:  ClaimSource{SQL: "select id as user_id, name, :session->'org' as org from users where id = :user::int and not disabled"},
		Depends: []Depend{{Schema: "public", Table: "users", Key: "id"}}}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, sessionsDDL)
	s, p := d.source(t, sessionsEntry(), nil), d.postgres(t)
	for _, c := range []struct {
		key, claims string
		reason      Reason
		fails       string
		row         bool
	}{
		{key: "ada", claims: `{"name":"Ada","org":7,"user_id":42}`, row: true},
		{key: "bob", claims: `{"name":"Bob","org":null,"user_id":43}`, row: true},
		{key: "ADA", reason: NoRow},
		{key: "", reason: NoRow},
		{key: "api", reason: NoRow},
		{key: "old", reason: Expired, row: true},
		{key: "nobody", reason: NoUser, row: true},
		{key: "odd", reason: BadValue, row: true},
		{key: "zero", reason: BadValue, row: true},
		{key: "gone", reason: NoClaims, row: true},
		{key: "a\x00b", reason: BadValue},
		{key: "a\xffb", reason: BadValue},
		{key: "twice", fails: "two rows with one key: auth.0.store.key must name a column that is unique"},
		{key: strings.Repeat("k", 16000), reason: NoRow},
	} {
		f, err := p.lookup(t.Context(), s, question{key: []byte(c.key), now: noon})
		if reason, _ := ReasonOf(err); reason != c.reason || err != nil && c.reason == "" && (c.fails == "" || !strings.Contains(err.Error(), c.fails)) || string(f.claims) != c.claims {
			t.Errorf("%.20q: %v %s, want %s%s %s", c.key, err, f.claims, c.reason, c.fails, c.claims)
		}
		if (f.row != nil) != c.row {
			t.Errorf("%.20q: row %v", c.key, f.row)
		}
		if (c.reason != BadValue || c.row) && f.snapshot.Xmax == 0 {
			t.Errorf("%.20q: no snapshot", c.key)
		}
	}
	if n := p.pool.Stat().NewConnsCount(); n != 1 {
		t.Errorf("%d connections were made: a refusal must not cost one", n)
	}
	f, err := p.lookup(t.Context(), s, question{key: []byte("ada"), now: noon})
	if err != nil || f.user != "42" || string(f.session) != `{"org":7,"user":42}` || cmp.Diff([]string{"42"}, f.dependUsers) != "" || f.row.watched != string(f.session) {
		t.Errorf("%+v %v", f, err)
	}
}

// TestVectorNegativesInStore: what no decoder can know is refused by the store.
func TestVectorNegativesInStore(t *testing.T) {
	t.Parallel()
	checked := 0
	for name, setting := range settings {
		if len(setting.later) == 0 {
			continue
		}
		checked++
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := loadStoreVector(t, name)
			d := v.database(t)
			e, env := v.workedEntry(t)
			s, p := d.source(t, e, env), d.postgres(t)
			for _, negative := range v.Negative {
				q, err := v.question(t, s, negative.CookieHeader)
				if _, later := setting.later[negative.Why]; later && err == nil {
					_, err = p.lookup(t.Context(), s, q)
				}
				if _, refused := ReasonOf(err); !refused {
					t.Errorf("%s: %v", negative.Why, err)
				}
			}
		})
	}
	if checked < 4 {
		t.Errorf("%d vectors", checked)
	}
}

// TestPasswordChange: a session that was made with another password is refused.
func TestPasswordChange(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"django-db":                        "update auth_user set password = 'x' || password",
		"rails-activerecord-session-store": "update users set encrypted_password = replace(encrypted_password, '$04$l', '$04$k')",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := loadStoreVector(t, name)
			d := v.database(t)
			e, env := v.workedEntry(t)
			s, p := d.source(t, e, env), d.postgres(t)
			q, err := v.question(t, s, v.CookieHeader)
			if err != nil {
				t.Fatal(err)
			}
			f, err := p.lookup(t.Context(), s, q)
			if err != nil || strings.Contains(string(f.claims), "_check") {
				t.Fatalf("%s %v", f.claims, err)
			}
			d.exec(t, sql)
			f, err = p.lookup(t.Context(), s, q)
			if reason, _ := ReasonOf(err); reason != PasswordChanged || f.claims != nil {
				t.Errorf("%s %v", f.claims, err)
			}
			e.Claims.SQL = "select 1 as id"
			if _, err := p.lookup(t.Context(), d.source(t, e, env), q); err == nil || !strings.Contains(err.Error(), "auth.0.claims gives no column _check") {
				t.Errorf("without the column: %v", err)
			}
		})
	}
}

// TestDependUsers: users are spelled as the keys of the tables are.
func TestDependUsers(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, "create extension citext", sessionsDDL, `
		create table t_int (k int primary key); create table t_numeric (k numeric(10,2) primary key); create table t_text (k text primary key);
		create table t_char (k char(6) primary key); create table t_uuid (k uuid primary key); create table t_citext (k citext primary key);
		create domain user_id as varchar(3); create table t_domain (k user_id primary key);
		insert into sessions values (20, 'number', default, '2026-12-01', '{"user": "+042"}'), (21, 'uuid', default, '2026-12-01', '{"user": "{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}"}'),
			(22, 'name', default, '2026-12-01', '{"user": "Ada"}'), (23, 'long', default, '2026-12-01', '{"user": "longer than the column"}')`)
	for _, c := range []struct {
		key    string
		tables []string
		want   []string
		row    string
	}{
		{"number", []string{"t_int", "t_numeric", "t_text"}, []string{"42", "42", "+042"}, "42"},
		{"uuid", []string{"t_uuid"}, []string{"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}, "{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}"},
		{"name", []string{"t_citext", "t_char", "t_domain", "t_text"}, []string{"ada", "Ada", "Ada", "Ada"}, "Ada"},
		{"long", []string{"t_char", "t_domain"}, []string{"longer than the column", "longer than the column"}, ""},
	} {
		e := sessionsEntry()
		e.Claims, e.Depends = ClaimSource{}, nil
		for _, table := range c.tables {
			e.Depends = append(e.Depends, Depend{Schema: "public", Table: table, Key: "k"})
		}
		s := d.source(t, e, nil)
		f, err := d.postgres(t).lookup(t.Context(), s, question{key: []byte(c.key), now: noon})
		if diff := cmp.Diff(c.want, f.dependUsers); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", c.key, err, diff)
		}
		for i := range c.tables {
			if c.row != "" {
				d.checkTouch(t, s, i, c.row, f.dependUsers[i])
			}
		}
	}
}

// checkTouch inserts a row and looks whether the stream names the user as a look-up does.
func (d *testDatabase) checkTouch(t *testing.T, s *source, i int, key, want string) {
	t.Helper()
	table := s.entry.Depends[i].Table
	c := d.capture(t, d.relations(t, s.entry))
	defer c.close(t)
	d.exec(t, "insert into "+table+" values ('"+key+"')", "delete from "+table)
	for _, one := range c.read(t) {
		after, before := imagesOf(t, one)
		users, all := s.touched(one, after, before)
		if len(users) != 1 || users[0] != (touch{depend: i, user: want}) || all {
			if s.entry.Depends[i].Table == "t_text" && users[0].user == key {
				continue // text is compared as it is written
			}
			t.Errorf("%s %s: %+v %v, want %s", one.Op, table, users, all, want)
		}
	}
}

// TestRowsOfManyTypes: columns of types that are written in more than one way give the same
// row from a query and from the stream.
func TestRowsOfManyTypes(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, "create extension citext", `
		create type mood as enum ('sad', 'ok');
		create table sessions (token citext, c char(9), b bool, i inet, tz timestamptz, ts timestamp, f float8, n numeric, u uuid, iv interval, by bytea, m mood, a text[], d date, r real,
			key bytea, usr char(8), payload bytea, ends numeric, primary key (c, b, i, tz, f, n, u, iv, by, m, d, r));
		insert into sessions values ('Tok', 'abc', true, '10.0.0.1/32', '2026-11-20 21:43:45.9+02', '2026-11-20 21:43:45', 0.30000000000000004, 1.50, 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '26 hours', '\x00ff',
			'ok', '{a,"b c"}', '2026-11-20', 0.1, '\x6b6579', '42', '{"x": 1.0}', 1795299000.5)`)
	e := &SessionEntry{Cookies: []string{"sid"}, Decode: "plain", User: "usr",
		Store: &Store{Schema: "public", Table: "sessions", Key: "key", Expires: &Expires{Column: "ends", Unit: "unix", Plus: time.Second}, Data: &Data{Column: "payload", Format: "json"},
			Watch: []string{"x", "tz", "ts", "iv", "f", "a", "b", "usr", "r"},
			Where: []Equal{{"b", "yes"}, {"n", "1.5"}, {"c", "abc"}, {"token", "TOK"}, {"i", "10.0.0.1"}, {"tz", "2026-11-20 19:43:45.9Z"}, {"m", "ok"}, {"f", "3.0000000000000004e-1"}}}}
	s := d.source(t, e, nil)
	f, err := d.postgres(t).lookup(t.Context(), s, question{key: []byte("key"), now: noon})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"a":"{a,\"b c\"}","b":"t","f":"0.30000000000000004","iv":"26:00:00","r":"0.1","ts":"2026-11-20 21:43:45","tz":"2026-11-20 19:43:45.9+00","usr":"42      ","x":1.0}`
	if f.row.watched != want || !f.row.expires.Equal(time.UnixMilli(1795299001500)) || f.user != "42      " {
		t.Errorf("%+v\nwatched %s\nwant    %s", f, f.row.watched, want)
	}
	c := d.capture(t, d.relations(t, e))
	d.exec(t, "update sessions set usr = usr")
	checkSameRow(t, s, f.row, c.read(t))
	c.close(t)
}

// TestWhereSpelledTwice: what Postgres takes for equal and is written differently cannot be
// judged in the stream, so it is refused loudly.
func TestWhereSpelledTwice(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, sessionsDDL, "alter table sessions alter kind drop default; alter table sessions alter kind type interval using '1 day'")
	e := sessionsEntry()
	for value, want := range map[string]string{"24 hours": "auth.0.store.where", "1 days": ""} {
		e.Store.Where[0].Value = value
		_, err := d.postgres(t).lookup(t.Context(), d.source(t, e, nil), question{key: []byte("ada"), now: noon})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", value, err)
		}
	}
}

// TestBigPayload: a payload in a TOAST table that an UPDATE leaves alone is not in the
// stream.
func TestBigPayload(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, sessionsDDL, `alter table sessions alter data type json; alter table sessions alter data set storage external;
		update sessions set data = json_build_object('user', 42, 'x', repeat('y', 10000)) where token = 'ada'`)
	s := d.source(t, sessionsEntry(), nil)
	s.now = func() time.Time { return noon }
	c := d.capture(t, d.relations(t, s.entry))
	d.exec(t, "update sessions set expires = '2026-12-02' where token = 'ada'")
	change := c.read(t)[0]
	c.close(t)
	after, _ := imagesOf(t, change)
	r, err := s.row(change.Relation, after)
	if err != nil || !r.partial || r.user != "" || r.expires.Day() != 2 {
		t.Errorf("%+v %v", r, err)
	}
}

// TestTimezone: a timestamp without zone and now() are in the entry's zone for the claims,
// and rows are read in it.
func TestTimezone(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, sessionsDDL, "alter table sessions alter expires type timestamp using '2026-11-20 13:30'; update users set seen = '2026-11-20 13:30'")
	e := sessionsEntry()
	e.Claims.SQL = "select current_setting('TimeZone') as zone, seen::timestamptz at time zone 'UTC' as seen from users where id = :user::int"
	for zone, want := range map[string]string{"": `{"seen":"2026-11-20T13:30:00","zone":"UTC"}`, "Europe/Berlin": `{"seen":"2026-11-20T12:30:00","zone":"Europe/Berlin"}`} {
		e.Timezone = zone
		f, err := d.postgres(t).lookup(t.Context(), d.source(t, e, nil), question{key: []byte("ada"), now: noon})
		if err != nil || string(f.claims) != want {
			t.Errorf("%s: %s %v", zone, f.claims, err)
		}
	}
	e.Timezone = "Asia/Tokyo" // it was over at 04:30 UTC
	_, err := d.postgres(t).lookup(t.Context(), d.source(t, e, nil), question{key: []byte("ada"), now: noon})
	if reason, _ := ReasonOf(err); reason != Expired {
		t.Errorf("Tokyo: %v", err)
	}
}

// TestPathClaims: claims without SQL are values of the payload, or columns.
func TestPathClaims(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, sessionsDDL, "alter table sessions add roles text[] default '{a,b}', add level int default 3, add ok bool, add note text default '5'")
	e := sessionsEntry()
	e.Store.Watch = nil
	e.Claims = ClaimSource{Paths: map[string]string{"id": "user", "org_id": "org", "roles": "roles", "level": "level", "ok": "ok", "note": "note", "none": "a.b"}}
	f, err := d.postgres(t).lookup(t.Context(), d.source(t, e, nil), question{key: []byte("ada"), now: noon})
	if want := `{"id":42,"level":3,"none":null,"note":"5","ok":null,"org_id":7,"roles":["a","b"]}`; err != nil || string(f.claims) != want {
		t.Errorf("%s %v\nwant %s", f.claims, err, want)
	}
	if want := `{"a":{"b":null},"level":"3","note":"5","ok":null,"org":7,"roles":"{a,b}","user":42}`; f.row.watched != want {
		t.Errorf("what claims are made of is watched: %s", f.row.watched)
	}
	e.Claims = ClaimSource{}
	f, err = d.postgres(t).lookup(t.Context(), d.source(t, e, nil), question{key: []byte("ada"), now: noon})
	if err != nil || string(f.claims) != `{"id":"42"}` {
		t.Errorf("%s %v", f.claims, err)
	}
}

// TestLongNumbers: numbers that a float8 would round are strings, so that they are believed.
func TestLongNumbers(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, sessionsDDL, "alter table sessions add big bigint default 9223372036854775807")
	e := sessionsEntry()
	e.Claims.SQL = "select 9223372036854775807 as big, 123456789012345 as small, array[1, 9223372036854775807] as list, 1.5 as f, jsonb_build_object('x', 9223372036854775807) as o"
	f, err := d.postgres(t).lookup(t.Context(), d.source(t, e, nil), question{key: []byte("ada"), now: noon})
	if want := `{"big":"9223372036854775807","f":1.5,"list":[1,"9223372036854775807"],"o":{"x":"9223372036854775807"},"small":123456789012345}`; err != nil || string(f.claims) != want {
		t.Errorf("%s %v\nwant %s", f.claims, err, want)
	}
	e.Claims = ClaimSource{Paths: map[string]string{"big": "big"}}
	f, err = d.postgres(t).lookup(t.Context(), d.source(t, e, nil), question{key: []byte("ada"), now: noon})
	if want := `{"big":"9223372036854775807"}`; err != nil || string(f.claims) != want {
		t.Errorf("%s %v", f.claims, err)
	}
}

// TestWithoutStore: a cookie that holds its session, with and without SQL.
func TestWithoutStore(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, sessionsDDL)
	p := d.postgres(t)
	payload, err := parseObject([]byte(`{"sub": "42", "org": {"id": 7}}`))
	if err != nil {
		t.Fatal(err)
	}
	q := question{payload: payload, now: noon}
	e := sessionsEntry()
	e.Store, e.User, e.Decode, e.Secrets = nil, "sub", "flask", []string{"env:S"}
	e.Claims.SQL = "select id, :session->'org'->>'id' as org from users where id = :user::int"
	f, err := p.lookup(t.Context(), d.source(t, e, map[string]string{"S": "s"}), q)
	if err != nil || string(f.claims) != `{"id":42,"org":"7"}` || f.row != nil || f.snapshot.Xmax == 0 || cmp.Diff([]string{"42"}, f.dependUsers) != "" {
		t.Errorf("%+v %s %v", f, f.claims, err)
	}
	e.Claims, e.Depends = ClaimSource{Paths: map[string]string{"id": "sub", "org": "org.id"}}, nil
	f, err = (&postgres{}).lookup(t.Context(), compile(t, e, map[string]string{"S": "s"}), q)
	if err != nil || string(f.claims) != `{"id":"42","org":7}` || f.snapshot.Xmax != 0 {
		t.Errorf("without Postgres: %s %v", f.claims, err)
	}
	delete(q.payload, "sub")
	_, err = (&postgres{}).lookup(t.Context(), compile(t, e, map[string]string{"S": "s"}), q)
	if reason, _ := ReasonOf(err); reason != NoUser {
		t.Errorf("nobody: %v", err)
	}
}

// TestUserInCookie: a token names its row, and the user; the row only says whether the
// session is still there.
func TestUserInCookie(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, sessionsDDL)
	e := sessionsEntry()
	e.Decode, e.Secrets, e.From, e.User = "flask", []string{"env:S"}, "sid", "sub"
	e.Store.Data, e.Store.Watch = nil, []string{"kind", "org"}
	s := d.source(t, e, map[string]string{"S": "s"})
	q := question{key: []byte("ada"), payload: map[string]any{"sid": "ada", "sub": "42", "org": "9"}, now: noon}
	f, err := d.postgres(t).lookup(t.Context(), s, q)
	if err != nil || f.user != "42" || string(f.claims) != `{"name":"Ada","org":"9","user_id":42}` || string(f.session) != `{"kind":"web","org":"9","sub":"42"}` {
		t.Fatalf("%+v %s %v", f, f.claims, err)
	}
	c := d.capture(t, d.relations(t, e))
	d.exec(t, "update sessions set token = token where token = 'ada'")
	checkSameRow(t, s, f.row, c.read(t))
	c.close(t)
	if f.row.user == "" {
		t.Error("a row that says nothing of the user seems signed out")
	}
}

// TestErrorsAreSilent: whatever Postgres says of a value stays there.
func TestErrorsAreSilent(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, sessionsDDL, `
		create function boom(text) returns int language plpgsql as $$ begin raise exception 'user % is odd', $1; end $$;
		create function dynamic(text) returns int language plpgsql as $$ declare r int; begin execute 'select ' || $1 into r; return r; end $$;
		create function slow() returns int language plpgsql as $$ begin perform pg_sleep(60); return 1; end $$;
		create table log (x text);
		create function writes(x text) returns int language plpgsql as $$ begin insert into log values (x); return 1; end $$;
		insert into sessions values (30, 'secret', default, '2026-12-01', '{"user": "supersecret"}')`)
	p := d.postgres(t)
	for _, c := range []struct{ sql, want string }{
		{"select id from users where id = :user::int", "bad_value"},
		{"select boom(:user) as id", "SQLSTATE P0001"},
		{"select dynamic(:user) as id", "SQLSTATE 42"},
		{"select writes(:user) as id", "read only (SQLSTATE 25006)"},
		{"select id from users for update", "read only (SQLSTATE 25006)"},
		{"select nothing from users", `column "nothing" does not exist (SQLSTATE 42703)`},
		{"select 1 from nowhere", `relation "nowhere" does not exist (SQLSTATE 42P01)`},
		{"select 1 where", "syntax error at or near"},
		{"select id from users", "auth.0.claims gives more than one row for one user"},
	} {
		e := sessionsEntry()
		e.Depends, e.Claims.SQL = nil, c.sql
		f, err := p.lookup(t.Context(), d.source(t, e, nil), question{key: []byte("secret"), now: noon})
		if err == nil || !strings.Contains(err.Error(), c.want) || f.claims != nil {
			t.Errorf("%s: %v, want %s", c.sql, err, c.want)
			continue
		}
		if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "supersecret") {
			t.Errorf("%s: the error has the user in it: %v", c.sql, err)
		}
		for inner := err; inner != nil; inner = errors.Unwrap(inner) {
			if strings.Contains(fmt.Sprintf("%#v", inner), "supersecret") {
				t.Errorf("%s: an error below has the user in it", c.sql)
			}
		}
	}
	e := sessionsEntry()
	e.Depends, e.Claims.SQL = nil, "select slow()"
	s := d.source(t, e, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("nobody waits any more")
	go func() {
		for p.pool.Stat().AcquiredConns() == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel(gone)
	}()
	if _, err := p.lookup(ctx, s, question{key: []byte("secret"), now: noon}); !errors.Is(err, gone) {
		t.Errorf("a look-up that nobody waits for: %v", err)
	}
	if _, err := p.snapshot(t.Context()); err != nil {
		t.Errorf("after it: %v", err)
	}
}

// TestLookupSession: what the connections of look-ups are like.
func TestLookupSession(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, sessionsDDL)
	e := sessionsEntry()
	e.Depends = nil
	e.Claims.SQL = `select current_setting('application_name') as a, current_setting('default_transaction_read_only') as b, current_setting('statement_timeout') as c,
		current_setting('transaction_isolation') as d, current_setting('transaction_read_only') as e, current_setting('search_path') as f, current_setting('row_security') as g`
	p, err := newPostgres(d.url()+"&target_session_attrs=read-write", 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	s := d.source(t, e, nil)
	for range 2 { // the second uses the same connection
		f, err := p.lookup(t.Context(), s, question{key: []byte("ada"), now: noon})
		if want := `{"a":"walrelay-auth","b":"on","c":"3s","d":"repeatable read","e":"on","f":"\"$user\", public","g":"on"}`; err != nil || string(f.claims) != want {
			t.Errorf("%s %v", f.claims, err)
		}
	}
	if n := p.pool.Stat().TotalConns(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// TestLookupsAskThePrimary: whatever hosts the URL names, a standby is not asked; and after a
// reset no connection is the one from before.
func TestLookupsAskThePrimary(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, sessionsDDL)
	for _, attrs := range []string{"", "&target_session_attrs=any", "&target_session_attrs=primary"} {
		if cfg, err := lookupConfig(d.url() + attrs); err != nil || cfg.ConnConfig.ValidateConnect == nil {
			t.Errorf("%q: any server will do, %v", attrs, err)
		}
	}
	p := d.postgres(t)
	backend := func() (pid uint32) {
		if err := p.with(t.Context(), func(pg *pgconn.PgConn) error { pid = pg.PID(); return nil }); err != nil {
			t.Fatal(err)
		}
		return pid
	}
	was := backend()
	if again := backend(); again != was {
		t.Errorf("backend %d after %d: connections are kept", again, was)
	}
	p.reset()
	if now := backend(); now == was {
		t.Error("a connection has outlived a reset")
	}
}

func TestSnapshotOfNow(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, sessionsDDL)
	p := d.postgres(t)
	before, err := p.snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	results, err := d.conn(t).PgConn().Exec(t.Context(), "begin; update public.users set name = name; select pg_current_xact_id()::xid; commit").ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var xid uint32
	if _, err := fmt.Sscan(string(results[2].Rows[0][0]), &xid); err != nil {
		t.Fatal(err)
	}
	after, err := p.snapshot(t.Context())
	if err != nil || before.Has(xid) || !after.Has(xid) {
		t.Errorf("%d in %v: %v, in %v: %v, %v", xid, before, before.Has(xid), after, after.Has(xid), err)
	}
}

func TestNewPostgresRefuses(t *testing.T) {
	t.Parallel()
	_, err := newPostgres("postgres://user:supersecret@:::", 1)
	if err == nil || !strings.Contains(err.Error(), "postgres.url") || strings.Contains(err.Error(), "supersecret") {
		t.Errorf("got %v", err)
	}
	p, err := newPostgres("postgres://user:supersecret@127.0.0.1:1/db?sslmode=disable", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if _, err := p.snapshot(t.Context()); err == nil || strings.Contains(err.Error(), "supersecret") {
		t.Errorf("got %v", err)
	}
}
