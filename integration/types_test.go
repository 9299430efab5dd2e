package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/replication"
)

// rowsPerType is how many random rows every type's table gets.
const rowsPerType = 130

// TestTypesEqualToJSONB writes random and extreme values of every type into
// tables, reads the tables from the WAL, and compares each row's JSON with
// to_jsonb of the same server, number by number. Every type of the server must
// have a generator in types_values_test.go or a reason there for not having one.
//
// WALRELAY_TEST_SEED repeats a run.
func TestTypesEqualToJSONB(t *testing.T) {
	db := newDatabase(t, "create schema ext; create extension hstore schema ext; create extension citext schema ext")
	conn := connectWith(t, db, valueSettings)
	g := newGenerator(t, db)
	types := g.types(t, conn)

	ddl := slices.Clone(fixedTables)
	for _, typ := range types {
		ddl = append(ddl, typ.ddl())
	}
	db.exec(t, append(ddl, "create publication everything for all tables")...)
	stream := openStream(t, db)
	for _, typ := range types {
		g.fill(t, conn, typ)
	}
	db.exec(t, fixedRows(g)...)
	db.exec(t, "select pg_logical_emit_message(true, 'end', '')")

	want := serverJSON(t, conn)
	c := comparison{t: t, want: want}
	stream.rows(t, conn, c.check)
	c.finish()
	checkKeyOrder(t, conn, c.json)
}

// ddl makes the table of a type, in which it stands by itself, under domains, in
// arrays and in composites, and the types needed for that.
func (v *valueType) ddl() string {
	r := strings.NewReplacer("$name", v.name, "$type", v.sql)
	if !v.hasArray {
		return r.Replace("create table t_$name (id int primary key, v $type)")
	}
	return r.Replace(`
create domain dom_$name as $type;
create domain dom2_$name as dom_$name;
create domain doms_$name as $type[];
create type comp_$name as (gone int, x $type, "y ""Ÿ""" $type[], z dom_$name);
alter type comp_$name drop attribute gone;
create type nest_$name as (c comp_$name, cs comp_$name[], d doms_$name, ds doms_$name[]);
create table t_$name (
  id int primary key, v $type, d dom2_$name, a $type[], da dom_$name[], ad doms_$name,
  c comp_$name, ca comp_$name[], n nest_$name, na nest_$name[])`)
}

// fill writes the rows of a type's table.
func (g *generator) fill(t *testing.T, conn *pgx.Conn, v *valueType) {
	t.Helper()
	if v.query != "" {
		sql := fmt.Sprintf("insert into t_%s (id, v) select row_number() over (), q.v from (%s) q(v)", v.name, v.query)
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("fill the table of %s: %v", v.name, err)
		}
		return
	}
	var b bytes.Buffer
	for id := range rowsPerType {
		b.WriteString(strconv.Itoa(id))
		for _, column := range g.row(v) {
			b.WriteByte('\t')
			b.WriteString(copyField(column))
		}
		b.WriteByte('\n')
	}
	if _, err := conn.PgConn().CopyFrom(t.Context(), &b, "copy t_"+v.name+" from stdin"); err != nil {
		t.Fatalf("fill the table of %s: %v", v.name, err)
	}
}

// row is one row without its id, in the order of ddl.
func (g *generator) row(v *valueType) []*string {
	value := func() *string { return g.orNull(func() string { return v.value(g) }) }
	array := func() *string { return g.orNull(func() string { return g.array(v.delim, value) }) }
	comp := func() *string { return g.orNull(func() string { return g.composite(value(), array(), value()) }) }
	comps := func() *string { return g.orNull(func() string { return g.array(',', comp) }) }
	// A domain over box[] has box[]'s delimiter, which is box's.
	nest := func() *string {
		return g.orNull(func() string {
			return g.composite(comp(), comps(), array(), g.orNull(func() string { return g.array(v.delim, array) }))
		})
	}
	if !v.hasArray {
		return []*string{value()}
	}
	return []*string{value(), value(), array(), array(), array(), comp(), comps(), nest(), g.orNull(func() string { return g.array(',', nest) })}
}

// copyField is a value in COPY's text format.
func copyField(s *string) string {
	if s == nil {
		return `\N`
	}
	return copyEscapes.Replace(*s)
}

var copyEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`)

// rowsSQL reads rows the way the stream carries them: without generated columns.
const rowsSQL = `
select relname::text,
       'select id, (to_jsonb(the_row)' || coalesce((select string_agg(' - ' || quote_literal(attname), '')
          from pg_attribute where attrelid = c.oid and attgenerated <> ''), '') || ')::text from ' || quote_ident(relname) || ' the_row'
  from pg_class c
 where relkind = 'r' and relnamespace = 'public'::regnamespace and relname like 't\_%'`

// serverJSON is to_jsonb of every row, by table and id.
func serverJSON(t *testing.T, conn *pgx.Conn) map[string]string {
	t.Helper()
	rows, err := conn.Query(t.Context(), rowsSQL)
	if err != nil {
		t.Fatal(err)
	}
	queries := map[string]string{}
	var table, query string
	if _, err = pgx.ForEachRow(rows, []any{&table, &query}, func() error { queries[table] = query; return nil }); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for table, query := range queries {
		rows, err := conn.Query(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		var id int
		var doc string
		_, err = pgx.ForEachRow(rows, []any{&id, &doc}, func() error {
			out[fmt.Sprint(table, " ", id)] = doc
			return nil
		})
		if err != nil {
			t.Fatalf("read to_jsonb of %s: %v", table, err)
		}
	}
	return out
}

// comparison checks rows from the stream against those of the server.
type comparison struct {
	t    *testing.T
	want map[string]string
	// json is our JSON of column v of t_json, by id.
	json map[string]string
	seen int
	size int // bytes of our JSON
	bad  int
}

// check is called for every row of the stream.
func (c *comparison) check(rel *change.Relation, row []change.Value) {
	table := rel.Name
	key := fmt.Sprint(table, " ", string(row[rel.Column("id")].Text))
	want, ok := c.want[key]
	if !ok {
		c.t.Errorf("%s: in the stream, not in the table", key)
		return
	}
	delete(c.want, key)
	c.seen++
	c.keepJSON(rel, row)
	got := appendRow(nil, rel, row)
	c.size += len(got)
	if !utf8.Valid(got) || bytes.ContainsAny(got, "\r\n") {
		c.t.Errorf("%s: not one line of UTF-8: %q", key, got)
	}
	gotCanon, err := canonicalJSON(string(got))
	if err != nil {
		c.t.Errorf("%s: our JSON: %v", key, err)
	}
	wantCanon, err := canonicalJSON(want)
	if err != nil {
		c.t.Errorf("%s: the server's JSON: %v", key, err)
	}
	if gotCanon == wantCanon {
		return
	}
	if c.bad++; c.bad <= 20 {
		w, g := around(wantCanon, gotCanon)
		c.t.Errorf("%s: differs from to_jsonb:\nwant …%s…\n got …%s…", key, w, g)
	}
}

func (c *comparison) keepJSON(rel *change.Relation, row []change.Value) {
	i := rel.Column("v")
	if rel.Name != "t_json" || row[i].Kind == change.Null {
		return
	}
	if c.json == nil {
		c.json = map[string]string{}
	}
	c.json[string(row[rel.Column("id")].Text)] = string(rel.Columns[i].Type.AppendJSON(nil, row[i].Text))
}

func (c *comparison) finish() {
	for _, key := range slices.Sorted(maps.Keys(c.want)) {
		c.t.Errorf("%s: in the table, not in the stream", key)
	}
	if c.bad > 20 {
		c.t.Errorf("%d rows differ in all", c.bad)
	}
	c.t.Logf("%d rows compared, %d bytes of JSON", c.seen, c.size)
}

func appendRow(dst []byte, rel *change.Relation, row []change.Value) []byte {
	dst = append(dst, '{')
	for i, v := range row {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = change.AppendKey(dst, rel.Columns[i].Name)
		if v.Kind == change.Null {
			dst = append(dst, "null"...)
		} else {
			dst = rel.Columns[i].Type.AppendJSON(dst, v.Text)
		}
	}
	return append(dst, '}')
}

// checkKeyOrder: json values come out byte for byte as jsonb prints them, but
// for the blanks: keys in its order, no more escapes than it has.
func checkKeyOrder(t *testing.T, conn *pgx.Conn, got map[string]string) {
	t.Helper()
	rows, err := conn.Query(t.Context(), "select id::text, to_jsonb(v)::text from t_json where v is not null")
	if err != nil {
		t.Fatal(err)
	}
	var id, doc string
	n := 0
	_, err = pgx.ForEachRow(rows, []any{&id, &doc}, func() error {
		n++
		var want bytes.Buffer
		if err := json.Compact(&want, []byte(doc)); err != nil {
			return err
		}
		if got[id] != want.String() {
			t.Errorf("t_json %s:\n got %s\nwant %s", id, got[id], want.String())
		}
		return nil
	})
	if err != nil || n == 0 {
		t.Errorf("%d json values compared, error %v", n, err)
	}
}

// canonicalJSON gives equal strings for equal JSON: no white space, keys sorted,
// strings decoded and with their length in front, numbers as they are written.
// Keys must not repeat.
func canonicalJSON(doc string) (string, error) {
	if !json.Valid([]byte(doc)) {
		return "", fmt.Errorf("no valid JSON: %.200s", doc)
	}
	c := canonical{rest: doc}
	out := c.value(nil)
	return string(out), c.err
}

// canonical walks valid JSON.
type canonical struct {
	rest string
	err  error // the first key that repeats
}

// peek is the first byte of the next token.
func (c *canonical) peek() byte {
	c.rest = strings.TrimLeft(c.rest, " \t\r\n")
	return c.rest[0]
}

func (c *canonical) value(dst []byte) []byte {
	switch c.peek() {
	case '{':
		return c.object(dst)
	case '[':
		return c.array(dst)
	case '"':
		return c.str(dst)
	}
	n := strings.IndexAny(c.rest, ",]} \t\r\n") // number, true, false, null
	if n < 0 {
		n = len(c.rest)
	}
	dst = append(dst, c.rest[:n]...)
	c.rest = c.rest[n:]
	return dst
}

func (c *canonical) str(dst []byte) []byte {
	n := 1
	for ; c.rest[n] != '"'; n++ {
		if c.rest[n] == '\\' {
			n++
		}
	}
	token := c.rest[:n+1]
	c.rest = c.rest[n+1:]
	text := token[1:n]
	if strings.Contains(text, `\`) {
		c.err = errors.Join(c.err, json.Unmarshal([]byte(token), &text))
	}
	dst = strconv.AppendInt(dst, int64(len(text)), 10)
	return append(append(dst, '"'), text...)
}

func (c *canonical) array(dst []byte) []byte {
	dst = append(dst, '[')
	for {
		c.rest = c.rest[1:] // [ or ,
		if c.peek() != ']' {
			dst = append(c.value(dst), ',')
		}
		if c.peek() == ']' {
			c.rest = c.rest[1:]
			return append(dst, ']')
		}
	}
}

func (c *canonical) object(dst []byte) []byte {
	members := map[string][]byte{}
	for {
		c.rest = c.rest[1:] // { or ,
		if c.peek() == '"' {
			key := string(c.str(nil))
			if _, twice := members[key]; twice {
				c.err = errors.Join(c.err, fmt.Errorf("key %s twice", key))
			}
			c.peek()
			c.rest = c.rest[1:] // :
			members[key] = c.value(nil)
		}
		if c.peek() == '}' {
			c.rest = c.rest[1:]
			break
		}
	}
	dst = append(dst, '{')
	for _, key := range slices.Sorted(maps.Keys(members)) {
		dst = append(append(append(append(dst, key...), ':'), members[key]...), ',')
	}
	return append(dst, '}')
}

// around is a and b where they begin to differ.
func around(a, b string) (string, string) {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	from := max(0, i-150)
	return a[from:min(len(a), i+150)], b[from:min(len(b), i+150)]
}

func TestCanonicalJSON(t *testing.T) {
	same := func(a, b string) bool {
		x, err1 := canonicalJSON(a)
		y, err2 := canonicalJSON(b)
		return err1 == nil && err2 == nil && x == y
	}
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{`{"a":1,"b":[true,null,"x"]}`, ` {"b": [true, null, "\u0078"], "a": 1}`, true},
		{`{"a":1}`, `{"a":1.0}`, false},
		{`100`, `1e2`, false},
		{`"1"`, `1`, false},
		{`[1,2]`, `[2,1]`, false},
		{`[[1],2]`, `[[1,2]]`, false},
		{`{"a":1,"a":1}`, `{"a":1}`, false},
		{`{"a":null}`, `{}`, false},
		{`"null"`, `null`, false},
		{`"é"`, `"e\u0301"`, false},
		{`1 2`, `1 2`, false},
		{`{"a":[{"b":1}]}`, `{"a":[{"b":1}]}`, true},
	} {
		if got := same(tt.a, tt.b); got != tt.same {
			t.Errorf("%s and %s: same is %v", tt.a, tt.b, got)
		}
	}
}

// TestLoadTypes reads type trees from a real catalog.
func TestLoadTypes(t *testing.T) {
	db := newDatabase(t,
		`create schema ext; create extension hstore schema ext; create schema "Odd name";
		 create domain "Odd name"."Id" as bigint; create domain order_id as "Odd name"."Id";
		 create type mood as enum ('sad', 'ok'); alter type mood add value 'so so' before 'ok';
		 create type pos as (gone int, id order_id, moods mood[], attrs ext.hstore); alter type pos drop attribute gone;
		 create table item (id int, gone text, lines pos[]); alter table item drop column gone;
		 create type hstore as (k text);
		 create type span as range (subtype = float8)`)
	conn := db.conn(t)
	if _, err := conn.Exec(t.Context(), "set search_path = public, ext"); err != nil {
		t.Fatal(err)
	}
	oid := func(name string) uint32 {
		var oid uint32
		if err := conn.QueryRow(t.Context(), "select $1::text::regtype::oid", name).Scan(&oid); err != nil {
			t.Fatal(err)
		}
		return oid
	}
	text := &change.Type{OID: 25, Name: "text"}
	mood := &change.Type{OID: oid("mood"), Name: "public.mood", Labels: []string{"sad", "so so", "ok"}}
	orderID := &change.Type{OID: oid("order_id"), Name: "public.order_id", Base: "bigint", Kind: change.KindInt}
	pos := &change.Type{OID: oid("pos"), Name: "public.pos", Kind: change.KindComposite, Fields: []change.Field{
		{Name: "id", Type: orderID},
		{Name: "moods", Type: &change.Type{OID: oid("mood[]"), Name: "public.mood[]", Kind: change.KindArray, Delim: ',', Elem: mood}},
		{Name: "attrs", Type: &change.Type{OID: oid("ext.hstore"), Name: "ext.hstore", Kind: change.KindHstore}},
	}}
	want := map[uint32]*change.Type{
		oid("text"): text,
		oid("pos"):  pos,
		oid("item"): {OID: oid("item"), Name: "public.item", Kind: change.KindComposite, Fields: []change.Field{
			{Name: "id", Type: &change.Type{OID: 23, Name: "integer", Kind: change.KindInt}},
			{Name: "lines", Type: &change.Type{OID: oid("pos[]"), Name: "public.pos[]", Kind: change.KindArray, Delim: ',', Elem: pos}},
		}},
		oid(`"Odd name"."Id"`): {OID: oid(`"Odd name"."Id"`), Name: `"Odd name"."Id"`, Base: "bigint", Kind: change.KindInt},
		oid("public.hstore"):   {OID: oid("public.hstore"), Name: "public.hstore", Kind: change.KindComposite, Fields: []change.Field{{Name: "k", Type: text}}},
		oid("span"):            {OID: oid("span"), Name: "public.span"},
		oid("box[]"):           {OID: oid("box[]"), Name: "box[]", Kind: change.KindArray, Delim: ';', Elem: &change.Type{OID: 603, Name: "box"}},
		oid("oidvector"):       {OID: 30, Name: "oidvector", Kind: change.KindVector, Elem: &change.Type{OID: 26, Name: "oid"}},
		oid("point"):           {OID: 600, Name: "point"},
		oid("name"):            {OID: 19, Name: "name"},
		oid(`"char"`):          {OID: 18, Name: `"char"`},
		oid("timestamptz"):     {OID: 1184, Name: "timestamp with time zone", Kind: change.KindTimestampTZ},
		oid("jsonb"):           {OID: 3802, Name: "jsonb", Kind: change.KindJSONB},
		4_000_000_000:          {OID: 4_000_000_000, Name: "oid 4000000000"},
		0:                      {Name: "oid 0"},
	}
	got, err := replication.LoadTypes(t.Context(), conn, slices.Collect(maps.Keys(want)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("types (-want +got):\n%s", diff)
	}
}

// connectWith is a connection with the settings, closed when the test ends.
func connectWith(t *testing.T, db *database, settings map[string]string) *pgx.Conn {
	t.Helper()
	cfg, err := pgx.ParseConfig(db.url())
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(cfg.RuntimeParams, settings)
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return conn
}

// newGenerator takes its seed from WALRELAY_TEST_SEED, or makes one, and prints it.
func newGenerator(t *testing.T, db *database) *generator {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("WALRELAY_TEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("WALRELAY_TEST_SEED=%s: not a number", s)
		}
	}
	version, err := strconv.Atoi(db.value(t, "select current_setting('server_version_num')"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("Postgres %d, WALRELAY_TEST_SEED=%d", version/10000, seed)
	return &generator{Rand: rand.New(rand.NewPCG(seed, 1)), version: version / 10000}
}
