package integration

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Postgres writes values as the session's settings say, and settings may hang on the
// role or the database. They do not change the JSON.
func TestReplicationSettings(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, `create table items (id int primary key, day date, at timestamptz, local timestamp, "time" timetz, span interval,
		f4 real, f8 double precision, bytes bytea, name text, days daterange, spans interval[], xml xml, tab regclass)`)
	role := db.role(t, "superuser")
	r := newRelay(t, db, standard(publicTables("items")))
	r.as(db, role, "")
	var sql []string
	for _, setting := range []string{
		"datestyle = 'SQL, DMY'", "timezone = 'Asia/Kathmandu'", "extra_float_digits = 0", "bytea_output = escape", "intervalstyle = sql_standard",
		"client_encoding = latin1", "standard_conforming_strings = off", "search_path = nowhere", "statement_timeout = 1", "quote_all_identifiers = on",
		"lc_messages = 'C'", "xmloption = document",
	} {
		sql = append(sql, "alter database "+db.name+" set "+setting, "alter role "+role+" set "+setting, "alter role "+role+" in database "+db.name+" set "+setting)
	}
	// Over a connection that was there before, so with none of them.
	conn := db.conn(t)
	steps := make([]step, len(sql))
	for i := range sql {
		steps[i] = step{conn, sql[i]}
	}
	script(t, steps)
	r.start(t)
	r.waitReady(t)
	s := r.live(t, "items")
	script(t, []step{
		{conn, "set timezone = 'UTC'"},
		{conn, `insert into items values (1, '2026-02-01', '2026-02-01 12:00:00.5+00', '2026-02-01 12:00:00.5', '12:00:00+05:45', '-1 year 2 mons -3 days 04:05:06.7',
			0.1::real + 0.2::real, 0.1::float8 + 0.2::float8, '\x00ff5c41', 'Ÿ ü €', '[2026-02-01,2026-03-01)', array['1 day 2 hours', '-1 mon'::interval], '<a>ü</a>', 'items')`},
		{conn, "update items set name = 'b'"},
		{conn, "select pg_logical_emit_message(true, 'walrelay:items', '\"end of settings\"')"},
	})
	lines := s.readTo(t, `"end of settings"`)
	script(t, []step{{conn, "set intervalstyle = postgres"}, {conn, "set datestyle = 'ISO, MDY'"}, {conn, "set extra_float_digits = 1"}, {conn, "set bytea_output = hex"}})
	var row string
	if err := conn.QueryRow(t.Context(), "select to_jsonb(items) from items").Scan(&row); err != nil {
		t.Fatal(err)
	}
	if len(lines) != 2 || !strings.HasPrefix(lines[0], `1.0 items insert {"id":1} `) {
		t.Fatalf("got %q", lines)
	}
	got := strings.TrimPrefix(lines[1], `2.0 items update {"id":1} `)
	if !sameJSON(t, got, row) {
		t.Errorf("got\n%s\nto_jsonb gives\n%s", got, row)
	}
	for _, part := range []string{`"day":"2026-02-01"`, `"at":"2026-02-01T12:00:00.5+00:00"`, `"bytes":"\\x00ff5c41"`, `"f8":0.30000000000000004`, `"span":"-10 mons -3 days +04:05:06.7"`} {
		if !strings.Contains(got, part) {
			t.Errorf("no %s in %s", part, got)
		}
	}
}

// sameJSON compares two texts, whatever the order of keys.
func sameJSON(t testing.TB, a, b string) bool {
	t.Helper()
	var x, y any
	frame{data: a}.decode(t, &x)
	frame{data: b}.decode(t, &y)
	return cmp.Equal(x, y)
}
