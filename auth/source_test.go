package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walrelay/walrelay/change"
)

// table makes a relation: columns are name:type, with a star in front when they are the
// primary key.
func table(oid uint32, name string, columns ...string) *change.Relation {
	types := map[string]*change.Type{"int": typeInt, "bigint": typeBigint, "text": typeText, "varchar": typeVarchar, "timestamp": typeTimestamp,
		"timestamptz": typeTimestampTZ, "numeric": typeNumeric, "bytea": typeBytea, "char": typeChar, "bool": typeBool,
		"json": {OID: 114, Name: "json", Kind: change.KindJSON}, "citext": {OID: 20000, Name: "public.citext"}, "text[]": {OID: 1009, Name: "text[]", Kind: change.KindArray, Elem: typeText, Delim: ','}}
	rel := &change.Relation{ID: uint64(oid)<<32 | uint64(len(columns)), OID: oid, Schema: "public", Name: name, Identity: 'd'}
	for i, c := range columns {
		c, key := strings.CutPrefix(c, "*")
		n, typ, _ := strings.Cut(c, ":")
		rel.Columns = append(rel.Columns, change.Column{Name: n, Identity: key, Type: types[typ]})
		if key {
			rel.Key = append(rel.Key, i)
		}
		rel.ID = rel.ID*31 + uint64(len(n))*7 + uint64(types[typ].OID) + uint64(n[0])
	}
	return rel
}

// tables are relations by name.
func tables(rels ...*change.Relation) map[string]*change.Relation {
	out := map[string]*change.Relation{}
	for _, rel := range rels {
		out[rel.FullName()] = rel
	}
	return out
}

// values make a tuple: nil is NULL, a ValueKind itself, all else text.
func values(texts ...any) (out []change.Value) {
	for _, v := range texts {
		switch v := v.(type) {
		case nil:
			out = append(out, change.Value{Kind: change.Null})
		case change.ValueKind:
			out = append(out, change.Value{Kind: v})
		default:
			out = append(out, textValue(fmt.Sprint(v)))
		}
	}
	return out
}

// passport is an entry such as that of Express with Passport.
func passport() *SessionEntry {
	return &SessionEntry{Cookies: []string{"sid"}, Decode: "plain", User: "passport.user",
		Store: &Store{Schema: "public", Table: "session", Key: "sid", Expires: &Expires{Column: "expire"}, Data: &Data{Column: "sess", Format: "json"},
			Watch: []string{"org"}, Where: []Equal{{Column: "kind", Value: "web"}}},
		Claims:  ClaimSource{SQL: "select 1 as id where :user = '1' and :session->>'org' = 'x'"},
		Depends: []Depend{{Schema: "public", Table: "users", Key: "id"}, {Schema: "public", Table: "member", Key: "user_id"}, {Schema: "public", Table: "member", Key: "boss"}}}
}

var (
	passportTable = table(10, "session", "*id:bigint", "sid:varchar", "sess:json", "expire:timestamp", "kind:varchar")
	usersTable    = table(20, "users", "*id:int", "name:text")
	memberTable   = table(30, "member", "*id:int", "*user_id:int", "boss:int")
)

func learned(t *testing.T, e *SessionEntry, rels ...*change.Relation) *source {
	t.Helper()
	s := compile(t, e, nil)
	if _, err := s.learn(tables(rels...)); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNewSourceRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want string
		edit func(e *SessionEntry)
	}{
		{"auth.0: decode: \"nonsense\" is unknown", func(e *SessionEntry) { e.Decode = "nonsense" }},
		{"auth.0: secrets: secret 1: the environment variable NOT_SET is not set", func(e *SessionEntry) { e.Decode, e.Secrets = "express", []string{"env:NOT_SET"} }},
		{"auth.0: encryption: secret 1:", func(e *SessionEntry) { e.Encryption = []string{"env:NOT_SET"} }},
		{"auth.0.store: hash: \"md5\" is unknown", func(e *SessionEntry) { e.Store.Hash = "md5" }},
		{"auth.0: store.data.format: \"pickle\" is unknown", func(e *SessionEntry) { e.Store.Data.Format = "pickle" }},
		{"auth.0: store.data.format: django: secrets are missing", func(e *SessionEntry) { e.Store.Data.Format = "django" }},
		{"auth.0.timezone: \"Mars/Olympus\" is no name", func(e *SessionEntry) { e.Timezone = "Mars/Olympus" }},
		{"auth.0.timezone: \"Local\" is no name", func(e *SessionEntry) { e.Timezone = "Local" }},
		{"auth.0.claims: a string is not closed", func(e *SessionEntry) { e.Claims.SQL = "select 'x" }},
		{"auth.0: user is missing", func(e *SessionEntry) { e.User = "" }},
		{"auth.0: claims: headers are for forward", func(e *SessionEntry) { e.Claims = ClaimSource{Headers: map[string]string{"id": "X"}} }},
		{"auth.0: check: django-auth-hash compares with the column _check", func(e *SessionEntry) { e.Check, e.Claims = "django-auth-hash", ClaimSource{} }},
		{"auth.0: check: django-auth-hash: secrets are missing", func(e *SessionEntry) { e.Check = "django-auth-hash" }},
		{"auth.0: store: table and key are needed", func(e *SessionEntry) { e.Store.Key = "" }},
		{"auth.0: from names the key of a store", func(e *SessionEntry) { e.Store, e.From = nil, "sid" }},
	} {
		e := passport()
		c.edit(e)
		if _, err := newSource("auth.0", e, func(string) (string, bool) { return "", false }); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v\nwant %s", err, c.want)
		}
	}
}

// Secrets are replaced at once, or not at all.
func TestSetSecrets(t *testing.T) {
	t.Parallel()
	v := loadStoreVector(t, "express-session-passport")
	e, env := v.workedEntry(t)
	s := compile(t, e, env)
	ask := func(secret string, ok bool) error {
		err := s.setSecrets(func(string) (string, bool) { return secret, ok })
		if err == nil {
			_, err = v.question(t, s, v.CookieHeader)
		}
		return err
	}
	if _, err := v.question(t, s, v.CookieHeader); err != nil {
		t.Error(err)
	}
	if err := ask("", false); err == nil || !strings.Contains(err.Error(), "not set") {
		t.Errorf("an empty environment: %v", err)
	}
	if _, err := v.question(t, s, v.CookieHeader); err != nil {
		t.Errorf("after secrets that could not be read: %v", err)
	}
	if reason, _ := ReasonOf(ask("another", true)); reason != BadSignature {
		t.Errorf("another secret: %s", reason)
	}
}

func TestLearnRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, want string
		session    *change.Relation
		edit       func(e *SessionEntry)
	}{
		{"no table", "table public.session (auth.0.store.table) is not known", nil, nil},
		{"no key", `table public.session has no column "sid" (auth.0.store.key) that is published; did you mean "`,
			table(10, "session", "*id:bigint", "sidd:varchar", "sess:json", "expire:timestamp", "kind:varchar"), nil},
		{"no data", `no column "sess" (auth.0.store.data)`, table(10, "session", "*id:bigint", "sid:varchar", "expire:timestamp", "kind:varchar"), nil},
		{"no expires", `no column "expire" (auth.0.store.expires)`, table(10, "session", "*id:bigint", "sid:varchar", "sess:json", "kind:varchar"), nil},
		{"no where", `no column "kind" (auth.0.store.where.kind)`, table(10, "session", "*id:bigint", "sid:varchar", "sess:json", "expire:timestamp"), nil},
		{"expires of another type", `column "expire" (auth.0.store.expires): it is of type text`, table(10, "session", "*id:bigint", "sid:varchar", "sess:json", "expire:text", "kind:varchar"), nil},
		{"no identity", "has no replica identity, so that a logout would not be seen: ALTER TABLE \"public\".\"session\" ADD PRIMARY KEY", table(10, "session", "id:bigint", "sid:varchar", "sess:json", "expire:timestamp", "kind:varchar"), nil},
		{"no user column", `no column "user_id" (auth.0.user)`, passportTable, func(e *SessionEntry) { e.User, e.Store.Data, e.Store.Watch = "user_id", nil, nil }},
		{"no watched column", `no column "org" (auth.0.store.watch)`, passportTable, func(e *SessionEntry) { e.User, e.Store.Data = "sid", nil }},
		{"no claims column", `no column "role" (auth.0.claims.r)`, passportTable, func(e *SessionEntry) {
			e.User, e.Store.Data, e.Store.Watch, e.Claims = "sid", nil, nil, ClaimSource{Paths: map[string]string{"r": "role"}}
		}},
		{"no depends column", `table public.users has no column "uid" (auth.0.depends.0.key)`, passportTable, func(e *SessionEntry) { e.Depends[0].Key = "uid" }},
		{"no depends table", "table public.teams (auth.0.depends.0.table) is not known", passportTable, func(e *SessionEntry) { e.Depends[0].Table = "teams" }},
	} {
		e := passport()
		if c.edit != nil {
			c.edit(e)
		}
		s := compile(t, e, nil)
		rels := tables(usersTable, memberTable)
		if c.session != nil {
			rels["public.session"] = c.session
		}
		if _, err := s.learn(rels); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v\nwant %s", c.name, err, c.want)
		}
		var unready *NotReadyError
		if _, err := (&postgres{}).lookup(t.Context(), s, question{}); !errors.As(err, &unready) {
			t.Errorf("%s: a look-up gives %v", c.name, err)
		}
	}
}

// Before anything is learned nothing is looked up.
func TestLookupBeforeLearn(t *testing.T) {
	t.Parallel()
	var unready *NotReadyError
	if _, err := (&postgres{}).lookup(t.Context(), compile(t, passport(), nil), question{}); !errors.As(err, &unready) {
		t.Errorf("got %v", err)
	}
}

func TestLearnAgain(t *testing.T) {
	t.Parallel()
	renamed := *passportTable
	renamed.Name, renamed.ID = "old_session", 99
	full := *passportTable
	full.Identity, full.ID = 'f', 98
	byKey := table(10, "session", "id:bigint", "*sid:varchar", "sess:json", "expire:timestamp", "kind:varchar")
	for _, c := range []struct {
		name string
		rel  *change.Relation
		want rebound
		err  string
	}{
		{"the same", passportTable, rebound{}, ""},
		{"one column more", table(10, "session", "*id:bigint", "sid:varchar", "sess:json", "expire:timestamp", "kind:varchar", "ip:text"), rebound{}, ""},
		{"another order", table(10, "session", "sid:varchar", "*id:bigint", "sess:json", "expire:timestamp", "kind:varchar"), rebound{}, ""},
		{"FULL", &full, rebound{}, ""},
		{"another identity", byKey, rebound{store: true}, ""},
		{"made anew", table(11, "session", "*id:bigint", "sid:varchar", "sess:json", "expire:timestamp", "kind:varchar"), rebound{store: true}, ""},
		{"another type of the key", table(10, "session", "*id:bigint", "sid:text", "sess:json", "expire:timestamp", "kind:varchar"), rebound{store: true}, ""},
		{"another type of the identity", table(10, "session", "*id:int", "sid:varchar", "sess:json", "expire:timestamp", "kind:varchar"), rebound{store: true}, ""},
		{"a column in place of a path", table(10, "session", "*id:bigint", "sid:varchar", "sess:json", "expire:timestamp", "kind:varchar", "org:text"), rebound{store: true}, ""},
		{"a column is gone", table(10, "session", "*id:bigint", "sid:varchar", "expire:timestamp", "kind:varchar"), rebound{store: true}, `no column "sess"`},
		{"renamed", &renamed, rebound{}, "table public.session (auth.0.store.table) is called public.old_session now"},
		{"users with another type", table(20, "users", "*id:bigint", "name:text"), rebound{depends: true}, ""},
		{"users with another column", table(20, "users", "*id:int"), rebound{}, ""},
	} {
		s := learned(t, passport(), passportTable, usersTable, memberTable)
		got, err := s.learn(tables(c.rel))
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %+v %v, want %+v %s", c.name, got, err, c.want, c.err)
		}
		if (s.bound.Load().err == nil) != (c.err == "") {
			t.Errorf("%s: look-ups go on with %v", c.name, s.bound.Load().err)
		}
		if _, again := s.learn(nil); (again == nil) != (c.err == "") {
			t.Errorf("%s: forgotten after learning nothing: %v", c.name, again)
		}
	}
}

// A table that was renamed is the store still; another that has taken its name is it too.
func TestIsStore(t *testing.T) {
	t.Parallel()
	s := compile(t, passport(), nil)
	if !s.isStore(passportTable) || s.isStore(usersTable) {
		t.Error("by name, before anything is known")
	}
	if _, err := s.learn(tables(passportTable, usersTable, memberTable)); err != nil {
		t.Fatal(err)
	}
	renamed, other := *passportTable, *passportTable
	renamed.Name, other.OID = "old_session", 77
	if !s.isStore(&renamed) || !s.isStore(&other) || s.isStore(usersTable) {
		t.Error("by OID")
	}
	e := passport()
	e.Store, e.Decode, e.Depends = nil, "phoenix", nil
	if (&source{entry: e}).isStore(passportTable) {
		t.Error("without a store")
	}
}

func TestRow(t *testing.T) {
	t.Parallel()
	s := learned(t, passport(), passportTable, usersTable, memberTable)
	signedIn := `{"passport":{"user":42},"org":"x","cookie":{"expires":1}}`
	base := row{identity: "\x021", key: keySum([]byte("k")), fits: true, expires: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), user: "42", watched: `{"org":"x","passport":{"user":42}}`}
	with := func(edit func(r *row)) row {
		r := base
		edit(&r)
		return r
	}
	for _, c := range []struct {
		name  string
		tuple []change.Value
		want  row
	}{
		{"signed in", values(1, "k", signedIn, "2026-11-20 00:00:00", "web"), base},
		{"the cookie's part is no matter", values(1, "k", `{"org":"x","passport":{"user":42}}`, "2026-11-20 00:00:00", "web"), base},
		{"signed out", values(1, "k", `{"passport":{}, "org":"x"}`, "2026-11-20 00:00:00", "web"), with(func(r *row) { r.user, r.watched = "", `{"org":"x","passport":{"user":null}}` })},
		{"nobody is null", values(1, "k", `{"passport":{"user":null}, "org":"x"}`, "2026-11-20 00:00:00", "web"), with(func(r *row) { r.user, r.watched = "", `{"org":"x","passport":{"user":null}}` })},
		{"no payload", values(1, "k", nil, "2026-11-20 00:00:00", "web"), with(func(r *row) { r.user, r.watched = "", `{"org":null,"passport":{"user":null}}` })},
		{"another place", values(1, "k", signedIn, "2026-11-20 00:00:00", "api"), with(func(r *row) { r.fits = false })},
		{"no place", values(1, "k", signedIn, "2026-11-20 00:00:00", nil), with(func(r *row) { r.fits = false })},
		{"another key", values(1, "l", signedIn, "2026-11-20 00:00:00", "web"), with(func(r *row) { r.key = keySum([]byte("l")) })},
		{"no key", values(1, nil, signedIn, "2026-11-20 00:00:00", "web"), with(func(r *row) { r.key = [32]byte{} })},
		{"no end", values(1, "k", signedIn, "infinity", "web"), with(func(r *row) { r.expires = time.Time{} })},
		{"ended", values(1, "k", signedIn, nil, "web"), with(func(r *row) { r.expires = over })},
		{"numbers as they are written", values(1, "k", `{"passport":{"user":42},"org":1.50e2}`, "2026-11-20 00:00:00", "web"), with(func(r *row) { r.watched = `{"org":1.50e2,"passport":{"user":42}}` })},
		{"no HTML", values(1, "k", `{"passport":{"user":42},"org":"<&>"}`, "2026-11-20 00:00:00", "web"), with(func(r *row) { r.watched = `{"org":"<&>","passport":{"user":42}}` })},
		{"a payload that did not change", values(1, "k", change.Unchanged, "2026-11-20 00:00:00", "web"), with(func(r *row) { r.partial, r.hidden, r.user, r.watched = true, true, "", "{}" })},
		{"a key that did not change", values(1, change.Unchanged, signedIn, "2026-11-20 00:00:00", "web"), with(func(r *row) { r.partial, r.key = true, [32]byte{} })},
	} {
		got, err := s.row(passportTable, c.tuple)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if got != c.want {
			t.Errorf("%s:\ngot  %+v\nwant %+v", c.name, got, c.want)
		}
	}
}

// What cannot be read is an error, which has no value in it.
func TestRowRefuses(t *testing.T) {
	t.Parallel()
	s := learned(t, passport(), passportTable, usersTable, memberTable)
	altered := *passportTable
	altered.ID++
	for name, c := range map[string]struct {
		rel   *change.Relation
		tuple []change.Value
	}{
		"an altered table":   {&altered, values(1, "k", "{}", "2026-11-20 00:00:00", "web")},
		"another table":      {usersTable, values(1, "k")},
		"too few columns":    {passportTable, values(1, "k")},
		"no identity":        {passportTable, values(change.Missing, "k", "{}", "2026-11-20 00:00:00", "web")},
		"broken JSON":        {passportTable, values(1, "k", `{"supersecret": `, "2026-11-20 00:00:00", "web")},
		"a list":             {passportTable, values(1, "k", `["supersecret"]`, "2026-11-20 00:00:00", "web")},
		"a broken time":      {passportTable, values(1, "k", "{}", "supersecret", "web")},
		"a time left out":    {passportTable, values(1, "k", "{}", change.Omitted, "web")},
		"a payload left out": {passportTable, values(1, "k", change.Omitted, "2026-11-20 00:00:00", "web")},
		"a key left out":     {passportTable, values(1, change.Omitted, "{}", "2026-11-20 00:00:00", "web")},
		"where not sent":     {passportTable, values(1, "k", "{}", "2026-11-20 00:00:00", change.Unchanged)},
		"a payload too deep": {passportTable, values(1, "k", strings.Repeat("[", 100), "2026-11-20 00:00:00", "web")},
	} {
		if got, err := s.row(c.rel, c.tuple); err == nil || strings.Contains(err.Error(), "supersecret") {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
	if _, err := s.learn(tables(table(10, "session", "*id:bigint", "sid:varchar", "sess:json", "kind:varchar"))); err == nil {
		t.Fatal("learned a table without expires")
	}
	if got, err := s.row(s.bound.Load().store.rel, values(1, "k", "{}", "web")); err == nil {
		t.Errorf("a row of a table that does not fit: %+v", got)
	}
}

// TestPayloadExpires: a payload may have an end of its own, and the earlier one counts.
func TestPayloadExpires(t *testing.T) {
	t.Parallel()
	v := loadStoreVector(t, "scs-postgresstore")
	rel := table(10, "sessions", "*token:text", "data:bytea", "expiry:timestamptz")
	e, _ := v.workedEntry(t)
	e.Depends = nil
	s := learned(t, e, rel)
	s.now = v.clock
	data := v.Rows["sessions"][0]["data"]
	for column, want := range map[string]string{"infinity": "2026-11-21T21:43:51Z", "2026-11-20 22:00:00+00": "2026-11-20T22:00:00Z", "2027-01-01 00:00:00+00": "2026-11-21T21:43:51Z"} {
		r, err := s.row(rel, values("k", data, column))
		if got := r.expires.Truncate(time.Second).Format(time.RFC3339); err != nil || got != want {
			t.Errorf("%s: %s %v, want %s", column, got, err, want)
		}
	}
	s.now = func() time.Time { return v.MadeAt.Add(25 * time.Hour) }
	_, err := s.row(rel, values("k", data, "infinity"))
	if reason, _ := ReasonOf(err); reason != Expired {
		t.Errorf("when it is over: %v", err)
	}
}

// TestAfter: an UPDATE is judged by what it carries, also where it leaves out a large value.
func TestAfter(t *testing.T) {
	t.Parallel()
	rel := table(10, "session", "*id:int", "user_id:int", "org:int", "sess:json", "note:text")
	e := &SessionEntry{Cookies: []string{"sid"}, Decode: "plain", User: "user_id",
		Store: &Store{Schema: "public", Table: "session", Key: "id", Data: &Data{Column: "sess", Format: "json"}, Watch: []string{"org", "role", "note"}}}
	const unchanged = change.Unchanged
	for _, c := range []struct {
		name  string
		user  string
		tuple []change.Value
		want  verdict
	}{
		{"the same", "user_id", values(1, 42, 7, `{"role":"a","x":1}`, "n"), unaltered},
		{"another user", "user_id", values(1, 43, 7, `{"role":"a"}`, "n"), altered},
		{"another path", "user_id", values(1, 42, 7, `{"role":"b"}`, "n"), altered},
		{"another column", "user_id", values(1, 42, 8, `{"role":"a"}`, "n"), altered},
		{"nobody", "user_id", values(1, nil, 7, `{"role":"a"}`, "n"), departed},
		{"a large payload stays", "user_id", values(1, 42, 7, unchanged, "n"), unaltered},
		{"nobody, a large payload stays", "user_id", values(1, nil, 7, unchanged, "n"), departed},
		{"another user, a large payload stays", "user_id", values(1, 43, 7, unchanged, "n"), altered},
		{"another column, a large payload stays", "user_id", values(1, 42, 8, unchanged, "n"), altered},
		{"another path, a large column stays", "user_id", values(1, 42, 7, `{"role":"b"}`, unchanged), altered},
		{"a large column stays", "user_id", values(1, 42, 7, `{"role":"a"}`, unchanged), unaltered},
		{"a path is the user: a large payload stays", "role", values(1, 42, 7, unchanged, "n"), unaltered},
		{"a path is the user: another column, a large payload stays", "role", values(1, 42, nil, unchanged, "n"), altered},
		{"a path is the user: nobody", "role", values(1, 42, 7, `{}`, unchanged), departed},
	} {
		e.User = c.user
		s := learned(t, e, rel)
		was, err := s.row(rel, values(1, 42, 7, `{"role":"a"}`, "n"))
		if err != nil {
			t.Fatal(err)
		}
		now, err := s.row(rel, c.tuple)
		if got := was.after(now); err != nil || got != c.want {
			t.Errorf("%s: %v %v, want %v", c.name, got, err, c.want)
		}
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	e := passport()
	rel := table(10, "session", "*a:text", "sid:varchar", "sess:json", "expire:timestamp", "kind:varchar", "*b:text")
	s := learned(t, e, rel, usersTable, memberTable)
	seen := map[string]string{}
	for _, v := range [][2]any{{"a", "b"}, {"ab", ""}, {"", "ab"}, {"a\x02", "b"}, {"a", nil}, {nil, "a"}, {nil, nil}, {"", ""}, {strings.Repeat("x", 300), "y"}} {
		id, ok := s.identity(rel, values(v[0], change.Missing, change.Missing, change.Missing, change.Missing, v[1]))
		if other, again := seen[id]; !ok || again {
			t.Errorf("%v: %q %v, the same as %s", v, id, ok, other)
		}
		seen[id] = fmt.Sprint(v)
	}
	for _, tuple := range [][]change.Value{values("a", "k", "{}", nil, nil, change.Missing), values("a"), nil} {
		if id, ok := s.identity(rel, tuple); ok {
			t.Errorf("%v has identity %q", tuple, id)
		}
	}
	// Of a table that has no identity, all rows would be one.
	none := table(10, "session", "a:text", "sid:varchar", "sess:json", "expire:timestamp", "kind:varchar", "b:text")
	if _, err := s.learn(map[string]*change.Relation{none.FullName(): none}); err == nil {
		t.Error("a table without identity will do")
	}
	if id, ok := s.identity(none, values("a", "k", "{}", nil, nil, "b")); ok {
		t.Errorf("a row without identity is %q", id)
	}
	// Under FULL the primary key stands for the row, without one the key column.
	full := *rel
	full.Identity = 'f'
	if got := identityColumns(&full, 1); cmp.Diff([]int{0, 5}, got) != "" {
		t.Errorf("FULL with a primary key: %v", got)
	}
	full.Key = nil
	if got := identityColumns(&full, 1); cmp.Diff([]int{1}, got) != "" {
		t.Errorf("FULL without a primary key: %v", got)
	}
}

func TestTouched(t *testing.T) {
	t.Parallel()
	s := learned(t, passport(), passportTable, usersTable, memberTable)
	altered := *memberTable
	altered.ID++
	const missing = change.Missing
	for _, c := range []struct {
		name          string
		op            change.Op
		rel           *change.Relation
		after, before []change.Value
		want          []touch
		all           bool
	}{
		{"insert", change.Insert, usersTable, values(42, "a"), nil, []touch{{0, "42"}}, false},
		{"update", change.Update, usersTable, values(42, "a"), values(42, missing), []touch{{0, "42"}}, false},
		{"an update of the key", change.Update, usersTable, values(43, "a"), values(42, missing), []touch{{0, "43"}, {0, "42"}}, false},
		{"delete", change.Delete, usersTable, nil, values(42, missing), []touch{{0, "42"}}, false},
		{"two keys, one in the identity", change.Insert, memberTable, values(1, 42, 7), nil, []touch{{1, "42"}, {2, "7"}}, false},
		{"an update may have moved the row away", change.Update, memberTable, values(1, 42, 7), values(1, 42, missing), []touch{{1, "42"}, {2, "7"}}, true},
		{"a delete does not say whose", change.Delete, memberTable, nil, values(1, 42, missing), []touch{{1, "42"}}, true},
		{"with FULL it does", change.Update, memberTable, values(1, 42, 7), values(1, 41, 8), []touch{{1, "42"}, {1, "41"}, {2, "7"}, {2, "8"}}, false},
		{"nobody's", change.Insert, memberTable, values(1, 42, nil), nil, []touch{{1, "42"}}, false},
		{"left out", change.Insert, memberTable, values(1, 42, change.Omitted), nil, []touch{{1, "42"}}, true},
		{"of the store", change.Delete, passportTable, nil, values(1, missing, missing, missing, missing), nil, false},
		{"of another table", change.Insert, table(50, "other", "*id:int"), values(1), nil, nil, false},
		{"altered, not learned", change.Insert, &altered, values(1, 42, 7), nil, nil, true},
	} {
		got, all := s.touched(&change.Change{Op: c.op, Relation: c.rel}, c.after, c.before)
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(touch{})); diff != "" || all != c.all {
			t.Errorf("%s: all=%v, want %v\n%s", c.name, all, c.all, diff)
		}
	}
	if _, all := s.touched(&change.Change{Op: change.Truncate, Truncated: []*change.Relation{passportTable, usersTable}}, nil, nil); !all {
		t.Error("TRUNCATE of users")
	}
	if _, all := s.touched(&change.Change{Op: change.Truncate, Truncated: []*change.Relation{passportTable}}, nil, nil); all {
		t.Error("TRUNCATE of sessions")
	}
	if _, all := s.touched(&change.Change{Op: change.Message}, nil, nil); all {
		t.Error("a message")
	}
	if _, all := compile(t, passport(), nil).touched(&change.Change{Op: change.Insert, Relation: usersTable}, values(1, "a"), nil); !all {
		t.Error("before the table is known, anybody may be meant")
	}
}

func TestSpelling(t *testing.T) {
	t.Parallel()
	citext := &change.Type{Name: "public.citext"}
	for _, c := range []struct {
		typ        *change.Type
		text, want string
	}{
		{typeInt, "42", "42"}, {typeText, "Ab ", "Ab "}, {typeChar, "ab   ", "ab"}, {citext, "Bob", "bob"},
		{typeNumeric, "42.00", "42"}, {typeNumeric, "42.50", "42.5"}, {typeNumeric, "100", "100"}, {&change.Type{Name: "public.mail", Base: "public.citext"}, "A@B", "a@b"},
	} {
		if got := spelling(c.typ, c.text); got != c.want {
			t.Errorf("%s %q: %q, want %q", c.typ.Name, c.text, got, c.want)
		}
	}
}

// Everything that is watched is in :session, whatever the names.
func TestWatched(t *testing.T) {
	t.Parallel()
	rel := table(10, "session", "*id:int", "sess:json", "passport:text", "a.b:text")
	for _, c := range []struct {
		watch   []string
		payload string
		want    string
	}{
		{nil, `{"user":{"id":1}}`, `{"user":{"id":1}}`},
		{[]string{"user", "user.name"}, `{"user":{"id":1,"name":"x"}}`, `{"user":{"id":1,"name":"x"},"user.id":1,"user.name":"x"}`},
		{[]string{"passport", "passport.user"}, `{"passport":{"user":7}}`, `{"passport":"col","passport.user":7,"user":{"id":null}}`},
		{[]string{"a.b", "a.c"}, `{"a":{"b":1,"c":2}}`, `{"a":{"c":2},"a.b":null,"user":{"id":null}}`},
		{[]string{"key.0.0", "list"}, `{"key":[[5],"s"],"list":[1,"2",null,true]}`, `{"key":{"0":{"0":5}},"list":[1,"2",null,true],"user":{"id":null}}`},
	} {
		s := learned(t, &SessionEntry{Cookies: []string{"sid"}, Decode: "plain", User: "user.id",
			Store: &Store{Schema: "public", Table: "session", Key: "id", Data: &Data{Column: "sess", Format: "json"}, Watch: c.watch}}, rel)
		r, err := s.row(rel, values(1, c.payload, "col", nil))
		if err != nil || r.watched != c.want {
			t.Errorf("%v: %s %v, want %s", c.watch, r.watched, err, c.want)
		}
	}
}

// TestSourceIsShared: a source learns, and gets new secrets, while it is in use.
func TestSourceIsShared(t *testing.T) {
	t.Parallel()
	s := learned(t, passport(), passportTable, usersTable, memberTable)
	var g sync.WaitGroup
	for _, work := range []func(){
		func() { _, _ = s.learn(tables(passportTable, usersTable)) },
		func() { _ = s.setSecrets(func(string) (string, bool) { return "", false }) },
		func() { _, _ = s.row(passportTable, values(1, "k", `{"passport":{"user":42}}`, "infinity", "web")) },
		func() { _, _ = s.identity(passportTable, values(1, "k", "{}", "infinity", "web")) },
		func() {
			s.touched(&change.Change{Op: change.Insert, Relation: usersTable}, values(42, "a"), nil)
		},
		func() { s.bound.Load().store.canonical.Store(&[]string{"web"}) },
	} {
		g.Go(func() {
			for range 100 {
				work()
			}
		})
	}
	g.Wait()
}

// FuzzRow: a row is read or refused, whatever is in it, and again in the same way.
func FuzzRow(f *testing.F) {
	f.Add("k", `{"passport":{"user":42},"org":"x"}`, "2026-11-20 00:00:00", "web", byte(0))
	f.Add("k", `{"passport":{"user":{"a":[1,2]}},"org":1e400}`, "infinity", "", byte(7))
	s, err := newSource("auth.0", passport(), nil)
	if err != nil {
		f.Fatal(err)
	}
	if _, err := s.learn(tables(passportTable, usersTable, memberTable)); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, key, data, expire, kind string, unchanged byte) {
		tuple := values(1, key, data, expire, kind)
		for i := range tuple {
			if unchanged&(1<<i) != 0 {
				tuple[i] = change.Value{Kind: change.Unchanged}
			}
		}
		r, err := s.row(passportTable, tuple)
		again, _ := s.row(passportTable, tuple)
		if r != again {
			t.Errorf("%+v and %+v", r, again)
		}
		if err == nil && !json.Valid([]byte(r.watched)) {
			t.Errorf("watched is no JSON: %s", r.watched)
		}
	})
}
