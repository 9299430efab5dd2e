package integration

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// generator makes values as text that Postgres reads.
type generator struct {
	*rand.Rand
	version int // major version of the server
}

// valueType is a type to test.
type valueType struct {
	// name is pg_type.typname: a part of the names of tables and types.
	name string
	// sql is the type's name in DDL, without typmod.
	sql      string
	delim    byte
	hasArray bool
	// value makes one value. nil: query gives the values.
	value func(*generator) string
	query string
}

// builtinValues has a generator for every type in pg_catalog that can be the type
// of a column and has values that SQL can write, by pg_type.typname.
var builtinValues = map[string]func(*generator) string{
	"bool": oneOf("t", "f"),
	"int2": func(g *generator) string {
		return g.either(strconv.Itoa(int(int16(g.Uint32()))), "0", "-1", "32767", "-32768")
	},
	"int4": func(g *generator) string {
		return g.either(strconv.Itoa(int(g.int32())), "0", "-1", "2147483647", "-2147483648")
	},
	"int8": func(g *generator) string {
		return g.either(strconv.FormatInt(int64(g.Uint64()), 10), "0", "-1", "9223372036854775807", "-9223372036854775808", "9007199254740993")
	},
	"float4":  (*generator).float4,
	"float8":  (*generator).float8,
	"numeric": (*generator).numeric,
	"money": func(g *generator) string {
		return g.either(fmt.Sprintf("%d.%02d", int64(g.Uint64())/1000, g.IntN(100)), "0", "-0.01", "92233720368547758.07", "-92233720368547758.08")
	},

	"text":      (*generator).str,
	"varchar":   (*generator).str,
	"bpchar":    func(g *generator) string { return g.str() + strings.Repeat(" ", g.IntN(3)) },
	"name":      (*generator).str,
	"refcursor": (*generator).str,
	"char":      (*generator).char,
	"bytea":     func(g *generator) string { return fmt.Sprintf(`\x%x`, g.bytes(g.IntN(40))) },
	"bit":       func(g *generator) string { return g.digits("01", g.IntN(80)) },
	"varbit":    func(g *generator) string { return g.digits("01", g.IntN(80)) },
	"uuid": func(g *generator) string {
		return g.either(fmt.Sprintf("%x", g.bytes(16)), strings.Repeat("0", 32), strings.Repeat("f", 32))
	},
	"xml": oneOf("", "text", "<a/>", `<a b="c &amp; &quot;d&quot;">é&lt;<!-- "x" --></a>`, `<?xml version="1.0" encoding="UTF-8"?><r>`+"\n\t"+`ü</r>`, "<![CDATA[a\"b\\c]]>"),

	"date":        (*generator).date,
	"time":        (*generator).timeOfDay,
	"timetz":      func(g *generator) string { return g.timeOfDay() + g.zone() },
	"timestamp":   (*generator).timestamp,
	"timestamptz": func(g *generator) string { return g.timestampTZ() },
	"interval":    (*generator).interval,

	"json":  func(g *generator) string { return g.doc(4) },
	"jsonb": func(g *generator) string { return g.doc(4) },
	"jsonpath": oneOf(`$`, `strict $.a[*] ? (@.b > 1.50 && @.c like_regex "^x\"y" flag "i")`, `$."odd \"key\" \u00e9".size()`, `$[last - 1 to last].**{2 to 5}.x`, `-$.a + 1e3`,
		`$ ? (@ == "line\nend" || exists (@.x))`, `lax $.datetime("HH24:MI")`),

	"point": (*generator).point,
	"lseg":  func(g *generator) string { return "[" + g.point() + "," + g.point() + "]" },
	"line": func(g *generator) string {
		return "{" + strconv.Itoa(g.IntN(9)+1) + "," + g.float8() + "," + g.float8() + "}"
	},
	"box":     func(g *generator) string { return g.point() + "," + g.point() },
	"path":    func(g *generator) string { return g.pick("["+g.points()+"]", "("+g.points()+")") },
	"polygon": func(g *generator) string { return "(" + g.points() + ")" },
	"circle": func(g *generator) string {
		return "<" + g.point() + "," + strconv.FormatFloat(math.Abs(g.NormFloat64()*1e9), 'g', -1, 64) + ">"
	},

	"inet":     func(g *generator) string { return g.inet(true) },
	"cidr":     func(g *generator) string { return g.inet(false) },
	"macaddr":  func(g *generator) string { return fmt.Sprintf("%x", g.bytes(6)) },
	"macaddr8": func(g *generator) string { return fmt.Sprintf("%x", g.bytes(8)) },

	"tsvector": func(g *generator) string {
		return g.lexemes(" ", func(g *generator) string { return g.pick("", ":1", ":2A,5", ":3B,7C,16383D") })
	},
	"tsquery": func(g *generator) string {
		return g.lexemes(g.pick(" & ", " | ", " <-> ", " <3> ", " & !"), func(g *generator) string { return g.pick("", ":*", ":AB") })
	},

	"int2vector": func(g *generator) string {
		return g.list(" ", g.IntN(5), func() string { return strconv.Itoa(int(int16(g.Uint32()))) })
	},
	"oidvector":     func(g *generator) string { return g.list(" ", g.IntN(5), g.uint32) },
	"oid":           (*generator).uint32,
	"xid":           (*generator).uint32,
	"cid":           (*generator).uint32,
	"xid8":          func(g *generator) string { return strconv.FormatUint(g.Uint64(), 10) },
	"tid":           func(g *generator) string { return fmt.Sprintf("(%d,%d)", g.Uint32(), g.IntN(1<<16)) },
	"pg_lsn":        func(g *generator) string { return fmt.Sprintf("%X/%X", g.Uint32(), g.Uint32()>>g.IntN(32)) },
	"pg_snapshot":   oneOf("10:20:10,14,15", "1:1:", "4611686018427387903:9223372036854775807:4611686018427387904"),
	"txid_snapshot": oneOf("10:20:10,14,15", "1:1:"),
	"aclitem":       oneOf("postgres=arwdDxt/postgres", "=r/postgres", "postgres=r*w*/postgres", "postgres=/postgres"),

	"regclass":      oneOf("-", "pg_class", "pg_toast.pg_toast_1255", "123456", `"t_int4"`),
	"regcollation":  oneOf("-", `"C"`, `pg_catalog."POSIX"`, "123456"),
	"regconfig":     oneOf("-", "simple", "pg_catalog.english", "123456"),
	"regdictionary": oneOf("-", "simple", "english_stem", "123456"),
	"regnamespace":  oneOf("-", "public", "pg_catalog", "123456"),
	"regoper":       oneOf("0", "||/", "pg_catalog.|/", "123456"),
	"regoperator":   oneOf("0", "+(integer,integer)", "-(NONE,numeric)", `||(text,text)`, "123456"),
	"regproc":       oneOf("-", "now", "pg_catalog.version", "ext.hstore_to_json", "123456"),
	"regprocedure":  oneOf("-", "abs(numeric)", "substring(text,integer,integer)", "ext.hstore_to_json(ext.hstore)", "123456"),
	"regrole":       oneOf("-", "postgres", "pg_monitor", "123456"),
	"regtype":       oneOf("-", "integer", "text[]", `"char"`, "timestamp with time zone", "ext.hstore", "123456"),

	"int4range": func(g *generator) string { return g.intRange(g.int32) },
	"int8range": func(g *generator) string { return g.intRange(g.int32) },
	"numrange":  func(g *generator) string { return g.span(g.plainNumeric) },
	"daterange": func(g *generator) string { return g.span(func() string { return g.year() + "-02-28" }) },
	"tsrange":   func(g *generator) string { return g.span(func() string { return g.year() + "-06-15 01:02:03.5" }) },
	"tstzrange": func(g *generator) string { return g.span(func() string { return g.year() + "-06-15 01:02:03.5+03" }) },

	"int4multirange": func(g *generator) string { return g.multirange(func() string { return g.intRange(g.int32) }) },
	"int8multirange": func(g *generator) string { return g.multirange(func() string { return g.intRange(g.int32) }) },
	"nummultirange":  func(g *generator) string { return g.multirange(func() string { return g.span(g.plainNumeric) }) },
	"datemultirange": func(g *generator) string {
		return g.multirange(func() string { return g.span(func() string { return g.year() + "-02-28" }) })
	},
	"tsmultirange": func(g *generator) string {
		return g.multirange(func() string { return g.span(func() string { return g.year() + "-06-15 01:02:03.5" }) })
	},
	"tstzmultirange": func(g *generator) string {
		return g.multirange(func() string { return g.span(func() string { return g.year() + "-06-15 01:02:03.5+03" }) })
	},
}

// queriedValues are types whose input function accepts nothing; the catalog has values.
var queriedValues = map[string]string{
	"pg_node_tree":    "select adbin from pg_attrdef union all select * from (select ev_action from pg_rewrite limit 20) r",
	"pg_ndistinct":    "select stxdndistinct from pg_statistic_ext_data",
	"pg_dependencies": "select stxddependencies from pg_statistic_ext_data",
	"pg_mcv_list":     "select stxdmcv from pg_statistic_ext_data",
}

// nullOnly are types of which SQL can neither write nor find a value outside of an index.
var nullOnly = map[string]string{
	"gtsvector":                    "exists inside GiST indexes",
	"pg_brin_bloom_summary":        "exists inside BRIN indexes",
	"pg_brin_minmax_multi_summary": "exists inside BRIN indexes",
}

// extraTypes are made by fixedTables or belong to extensions.
var extraTypes = []*valueType{
	{name: "hstore", sql: "ext.hstore", value: (*generator).hstore},
	{name: "citext", sql: "ext.citext", value: (*generator).str},
	{name: "mood", sql: "mood", value: oneOf("sad", "it's \"so so\"", `back\slash, {brace} (paren)`, "NULL", "", "dömödödöm")},
	{name: "floatrange", sql: "floatrange", value: func(g *generator) string { return g.span(g.plainNumeric) }},
	{name: "empty", sql: "empty", value: oneOf("()")},
}

// fixedTables make what fixedRows fills, and statistics_source, a table for
// queriedValues that is not compared.
var fixedTables = []string{
	`create type mood as enum ('sad', 'it''s "so so"', 'back\slash, {brace} (paren)', 'NULL', '', 'dömödödöm')`,
	`create type floatrange as range (subtype = float8)`,
	`create type empty as ()`,
	`create table statistics_source (id int primary key, a int default 1 + 2, b int default length('x'), c text default 'it''s')`,
	`create statistics st (ndistinct, dependencies, mcv) on a, b, c from statistics_source`,
	`insert into statistics_source select n, n % 5, n % 5, 'it''s ' || n % 3 from generate_series(1, 500) n; analyze statistics_source`,
	// Typmods.
	`create table t_typmod (id int primary key, n numeric(30, 8), n0 numeric(5, 0), c char(7), ch char, vc varchar(40), b bit(9), vb varbit(20),
	   ts0 timestamp(0), ts3 timestamptz(3), tm2 time(2), i interval(2), id2s interval day to second, c_a char(7)[], n_a numeric(30, 8)[])`,
	// Rows within rows, with dropped and generated columns and odd names.
	`create table "t_Inner "" row" (id bigint, gone text, doc json, at timestamptz, "Ключ 🔑" text, twice bigint generated always as (id * 2) stored)`,
	`alter table "t_Inner "" row" drop column gone`,
	`create type mixed as (b bool, i int8, f float8, n numeric(40, 5), d date, ts timestamp, tz timestamptz, j json, jb jsonb, h ext.hstore, m mood, r int4range, mr int4multirange,
	   bx box[], v int2vector, o oidvector[], rw "t_Inner "" row"[], u uuid, by bytea)`,
	`create table t_mixed (id int primary key, m mixed, ms mixed[], rw "t_Inner "" row", "odd "" \ name
" text default 'x')`,
	// Values too large to be in every row.
	`create table t_extreme (id int primary key, n numeric, ns numeric[], j json, js json[], t text, ts text[])`,
}

// fixedRows fills fixedTables with SQL: the server builds the values, so their
// text is nothing that the generator thought up.
func fixedRows(g *generator) []string {
	q := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	var rows []string
	for id := range rowsPerType {
		rows = append(rows, fmt.Sprintf(`insert into t_typmod select %d, %s, %d, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, array[%s, null, %s]::char(7)[], array[[%s, 0]]::numeric(30, 8)[]`,
			id, g.plainNumeric(), g.IntN(200000)-100000, q(g.word())+"::char(7)", q(g.word()[:1]), q(g.word()), q(g.digits("01", 9))+"::bit(9)", q(g.digits("01", g.IntN(20)))+"::varbit",
			q(g.timestampNear()), q(g.timestampNear()), q(g.timeOfDay()), q(g.interval()), q(g.interval()), q(g.word()), q(g.word()), g.plainNumeric()))
		inner := func() string {
			return fmt.Sprintf(`row(%s, %s::json, %s::timestamptz, %s, null)::"t_Inner "" row"`, strconv.Itoa(int(g.int32())), q(g.doc(2)), q(g.timestampTZ()), q(g.str()))
		}
		mixed := func() string {
			return fmt.Sprintf(`row(%t, %d, %s::float8, %s, %s::date, %s::timestamp, %s::timestamptz, %s::json, %s::jsonb, %s::ext.hstore, %s::mood, %s::int4range, %s::int4multirange, array[%s::box, null], %s::int2vector, array[%s::oidvector], array[%s, null, %s], %s::uuid, %s::bytea)::mixed`,
				g.IntN(2) == 0, g.int32(), q(g.float8()), g.plainNumeric(), q(g.date()), q(g.timestamp()), q(g.timestampTZ()), q(g.doc(3)), q(g.doc(3)), q(g.hstore()),
				q("it's \"so so\""), q(g.intRange(g.int32)), q(g.multirange(func() string { return g.intRange(g.int32) })), q(g.point()+","+g.point()),
				q(builtinValues["int2vector"](g)), q(builtinValues["oidvector"](g)), inner(), inner(), q(fmt.Sprintf("%x", g.bytes(16))), q(fmt.Sprintf(`\x%x`, g.bytes(9))))
		}
		rows = append(rows, fmt.Sprintf(`insert into t_mixed select %d, %s, array[[%s, null], [%s, %s]], %s`, id, mixed(), mixed(), mixed(), mixed(), inner()))
	}
	return append(rows,
		`insert into t_mixed (id) values (100000)`,
		`insert into t_extreme values
		   (1, ('1e131071')::numeric, array['-9.99e131071'::numeric, '1e-16383'], '1e131071', array['[1e-16383]'::json, '-1.5E131071'], repeat('"', 100000), array[repeat('\', 50000), repeat('é"', 1000)]),
		   (2, (repeat('9', 131072) || '.' || repeat('7', 16383))::numeric, null, ('{"a":' || repeat('9', 131072) || '.' || repeat('7', 16383) || '}')::json, null, repeat(E'\n\t\x01', 40000), null),
		   (3, null, null, ('[' || repeat('{"k": [', 1000) || '1' || repeat(']}', 1000) || ']')::json, null, null, null)`,
		`insert into t_extreme (id, j) select 4, json_object_agg('k' || n % 700, repeat('x', n % 50) order by n) from generate_series(1, 2000) n`,
		`insert into "t_Inner "" row" values (7, '{"a": 1}', 'infinity', 'x')`,
	)
}

// types are the types to test on this server. It fails the test for a type that
// nothing here knows.
func (g *generator) types(t *testing.T, conn *pgx.Conn) []*valueType {
	t.Helper()
	// Left out: pseudo-types (p), which no column can have; row types of system
	// tables (c), which are composites like those of t_mixed; true arrays, which
	// each type's table has.
	rows, err := conn.Query(t.Context(), `
		select typname, typdelim::text, typarray <> 0
		  from pg_type
		 where typnamespace = 'pg_catalog'::regnamespace and typtype in ('b', 'r', 'm', 'e', 'd')
		   and (typsubscript <> 'array_subscript_handler'::regproc or typname in ('int2vector', 'oidvector'))
		 order by typname`)
	if err != nil {
		t.Fatal(err)
	}
	var out []*valueType
	var name, delim string
	var hasArray bool
	_, err = pgx.ForEachRow(rows, []any{&name, &delim, &hasArray}, func() error {
		v := &valueType{name: name, sql: `pg_catalog."` + name + `"`, delim: delim[0], hasArray: hasArray, value: builtinValues[name], query: queriedValues[name]}
		if why, null := nullOnly[name]; null {
			t.Logf("%s: only NULL, it %s", name, why)
			v.query = "select null::" + v.sql
		}
		if v.value == nil && v.query == "" {
			t.Errorf("type %s: no generator; add one to builtinValues", name)
			return nil
		}
		out = append(out, v)
		return nil
	})
	if err != nil || t.Failed() {
		t.Fatalf("read the list of types: %v", err)
	}
	for _, v := range out {
		if v.name == "xml" && !hasXML(t, conn) {
			t.Log("xml: only NULL, the server was built without libxml")
			v.value, v.query = nil, "select null::xml"
		}
	}
	for _, v := range extraTypes {
		v.delim, v.hasArray = ',', true
		out = append(out, v)
	}
	t.Logf("%d types, %d of them of the system", len(out), len(out)-len(extraTypes))
	return out
}

func hasXML(t *testing.T, conn *pgx.Conn) bool {
	t.Helper()
	_, err := conn.Exec(t.Context(), "select '<a/>'::xml")
	return err == nil
}

func oneOf(values ...string) func(*generator) string {
	return func(g *generator) string { return g.pick(values...) }
}

func (g *generator) pick(values ...string) string { return values[g.IntN(len(values))] }

// either is usually the first value and sometimes one of the edges.
func (g *generator) either(usual string, edges ...string) string {
	if g.IntN(3) > 0 {
		return usual
	}
	return g.pick(edges...)
}

func (g *generator) orNull(value func() string) *string {
	if g.IntN(8) == 0 {
		return nil
	}
	s := value()
	return &s
}

func (g *generator) list(sep string, n int, value func() string) string {
	items := make([]string, n)
	for i := range items {
		items[i] = value()
	}
	return strings.Join(items, sep)
}

// What array_in and hstore_in, and record_in, undo inside quotes.
var (
	arrayEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	rowEscapes   = strings.NewReplacer(`\`, `\\`, `"`, `""`)
)

// array writes an array of up to three dimensions, sometimes with lower bounds.
func (g *generator) array(delim byte, value func() *string) string {
	if g.IntN(8) == 0 {
		return "{}"
	}
	dims := 1
	if g.IntN(3) == 0 {
		dims += 1 + g.IntN(2)
	}
	sizes, bounds := make([]int, dims), ""
	for i := range sizes {
		sizes[i] = 1 + g.IntN(4-dims)
		lower := g.IntN(7) - 3
		bounds += fmt.Sprintf("[%d:%d]", lower, lower+sizes[i]-1)
	}
	body := g.dimension(delim, sizes, value)
	if g.IntN(4) == 0 {
		return bounds + "=" + body
	}
	return body
}

func (g *generator) dimension(delim byte, sizes []int, value func() *string) string {
	return "{" + g.list(string(delim), sizes[0], func() string {
		if len(sizes) > 1 {
			return g.dimension(delim, sizes[1:], value)
		}
		s := value()
		if s == nil {
			return "NULL"
		}
		return `"` + arrayEscapes.Replace(*s) + `"`
	}) + "}"
}

func (g *generator) composite(fields ...*string) string {
	parts := make([]string, len(fields))
	for i, f := range fields {
		if f != nil {
			parts[i] = `"` + rowEscapes.Replace(*f) + `"`
		}
	}
	return "(" + strings.Join(parts, ",") + ")"
}

func (g *generator) int32() int32   { return int32(g.Uint32()) >> g.IntN(31) }
func (g *generator) uint32() string { return strconv.FormatUint(uint64(g.Uint32()>>g.IntN(32)), 10) }

func (g *generator) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}

func (g *generator) digits(alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[g.IntN(len(alphabet))]
	}
	return string(b)
}

func (g *generator) float8() string {
	f := math.Float64frombits(g.Uint64())
	if g.IntN(2) == 0 {
		f = g.NormFloat64() * math.Pow10(g.IntN(40)-20)
	}
	return g.either(strconv.FormatFloat(f, 'g', -1, 64), "0", "-0", "NaN", "Infinity", "-Infinity", "5e-324", "-5e-324", "2.2250738585072014e-308", "1.7976931348623157e308",
		"1e15", "1e16", "123456789012345678", "0.1", "1e-5", "1e-4", "1e300", "1e-7")
}

func (g *generator) float4() string {
	f := math.Float32frombits(g.Uint32())
	if g.IntN(2) == 0 {
		f = float32(g.NormFloat64() * math.Pow10(g.IntN(40)-20))
	}
	return g.either(strconv.FormatFloat(float64(f), 'g', -1, 32), "0", "-0", "NaN", "Infinity", "-Infinity", "1e-45", "-1e-45", "1.1754944e-38", "3.4028235e38", "1e6", "16777217", "1e20", "0.1")
}

func (g *generator) numeric() string {
	return g.either(g.plainNumeric(), "0", "0.00", "-0.000", "NaN", "Infinity", "-Infinity", "1e-20", "-1.50e10", "9007199254740993.000",
		g.digits("123456789", 1000), "-"+g.digits("123456789", 1000)+"."+g.digits("0123456789", 1000), "0."+g.digits("0", 900)+"1")
}

// plainNumeric is below 10^20.
func (g *generator) plainNumeric() string {
	s := g.pick("", "-") + strconv.Itoa(g.IntN(1000)) + g.digits("0123456789", g.IntN(17))
	if g.IntN(2) == 0 {
		s += "." + g.digits("0123456789", 1+g.IntN(12))
	}
	return s
}

// oddities are pieces of text that one escaping or another cares for.
var oddities = []string{
	`"`, `\`, `\"`, `""`, `\\`, `'`, `,`, `;`, `{`, `}`, `(`, `)`, `[`, `]`, `=>`, `:`, `NULL`, `null`, `{}`, `()`, `\N`, `\.`, `\u0000`, `\n`, `/`, `</script>`, `&`, `%`,
	" ", "  ", "\t", "\n", "\r", "\r\n", "\v", "\f", "\b", "\x01", "\x1b", "\x1f", "\x7f", "\u0080", "\u0085", "\u00a0",
	"e\u0301", "é", "ß", "Ключ", "日本語", "שלום", "\u200d", "\u200f", "\u2028", "\u2029", "\ufeff", "\ufffd", "\uffff", "\ue000", "👩\u200d👩\u200d👧", "\U0001F511", "\U0010FFFF", "\U00010000",
}

func (g *generator) str() string {
	n := g.IntN(6)
	if g.IntN(20) == 0 {
		n = 60
	}
	return g.list("", n, func() string {
		if g.IntN(3) == 0 {
			return g.word()
		}
		return oddities[g.IntN(len(oddities))]
	})
}

func (g *generator) word() string {
	return g.digits("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789", 1+g.IntN(12))
}

// char is a value of "char", one byte. Before version 16 a byte above 0x7f would
// go out as it is, and neither the server's JSON nor its stream were UTF-8.
func (g *generator) char() string {
	if g.version >= 16 && g.IntN(4) == 0 {
		return fmt.Sprintf(`\%o`, 0x80+g.IntN(0x80))
	}
	return g.either(string(rune(1+g.IntN(0x7f))), "", `"`, `\`, ",", "{", " ", "\n")
}

func (g *generator) year() string { return fmt.Sprintf("%04d", 1+g.IntN(9999)) }

// monthDay is the rest of a date, for any year.
func (g *generator) monthDay() string { return fmt.Sprintf("-%02d-%02d", 1+g.IntN(12), 1+g.IntN(28)) }

func (g *generator) date() string {
	far := fmt.Sprintf("%d", 10000+g.IntN(5_000_000)) + g.monthDay()
	old := fmt.Sprintf("%04d", 1+g.IntN(4712)) + g.monthDay() + " BC"
	return g.either(g.year()+g.monthDay(), far, old, "infinity", "-infinity", "4714-11-24 BC", "5874897-12-31", "0001-01-01", "0001-12-31 BC", "9999-12-31", "10000-01-01", "2000-02-29")
}

func (g *generator) timestampNear() string { return g.year() + g.monthDay() + " " + g.clock() }

func (g *generator) timestamp() string {
	far := fmt.Sprintf("%d", 10000+g.IntN(284_000)) + g.monthDay() + " " + g.clock()
	old := fmt.Sprintf("%04d", 1+g.IntN(4712)) + g.monthDay() + " " + g.clock() + " BC"
	return g.either(g.timestampNear(), far, old, "infinity", "-infinity", "4714-11-24 00:00:00 BC", "294276-12-31 23:59:59.999999", "epoch", "0001-12-31 23:59:59.999999 BC")
}

func (g *generator) timestampTZ() string {
	return g.either(g.timestampNear()+g.zone(), g.timestamp(), "294276-12-31 23:59:59.999999+00", "0044-03-15 12:00:00-07 BC")
}

func (g *generator) clock() string {
	s := fmt.Sprintf("%02d:%02d:%02d", g.IntN(24), g.IntN(60), g.IntN(60))
	if g.IntN(2) == 0 {
		s += "." + g.digits("0123456789", 1+g.IntN(6))
	}
	return s
}

func (g *generator) timeOfDay() string {
	return g.either(g.clock(), "00:00:00", "24:00:00", "23:59:59.999999", "12:00:00.000001")
}

func (g *generator) zone() string {
	return g.pick("+00", "-07", "+05:30", "+00:53:28", "-15:59:59", "+14")
}

func (g *generator) interval() string {
	usual := fmt.Sprintf("%d years %d mons %d days %d:%02d:%02d.%06d", g.IntN(200)-100, g.IntN(24)-12, g.IntN(80)-40, g.IntN(400)-200, g.IntN(60), g.IntN(60), g.IntN(1e6))
	edges := []string{"0", "-1 day", "1 mon", "-00:00:00.000001", "178000000 years", "-178000000 years", "1 mon -1 day +00:00:01"}
	if g.version >= 17 {
		edges = append(edges, "infinity", "-infinity")
	}
	return g.either(usual, edges...)
}

func (g *generator) point() string  { return "(" + g.float8() + "," + g.float8() + ")" }
func (g *generator) points() string { return g.list(",", 1+g.IntN(4), g.point) }

func (g *generator) inet(host bool) string {
	if g.IntN(2) == 0 {
		ip := g.bytes(4)
		if !host {
			return fmt.Sprintf("%d.%d.%d.0/%d", ip[0], ip[1], ip[2], 24+g.IntN(9))
		}
		return fmt.Sprintf("%d.%d.%d.%d", ip[0], ip[1], ip[2], ip[3]) + g.pick("", "/8", "/32", "/31")
	}
	if !host {
		return fmt.Sprintf("2001:db8:%x::/%d", g.Uint32()&0xffff, 48+g.IntN(80))
	}
	return fmt.Sprintf("2001:db8::%x", g.Uint32()&0xffff) + g.pick("", "/64", "/128")
}

func (g *generator) lexemes(sep string, suffix func(*generator) string) string {
	return g.list(sep, 1+g.IntN(4), func() string {
		return g.pick(g.word(), "'odd ''word'' \\\\ '", "'é,{}'", `'"'`) + suffix(g)
	})
}

func (g *generator) intRange(value func() int32) string {
	a, b := value(), value()
	if a == math.MaxInt32 || b == math.MaxInt32 { // a closed bound would have no successor
		return "empty"
	}
	return g.bounds(strconv.Itoa(int(min(a, b))), strconv.Itoa(int(max(a, b))))
}

// span is a range with one bound or none: no order of the bounds to care for.
func (g *generator) span(value func() string) string {
	switch g.IntN(4) {
	case 0:
		return "empty"
	case 1:
		return g.bounds("", value())
	case 2:
		return g.bounds(value(), "")
	}
	v := value()
	return `["` + v + `","` + v + `"]`
}

func (g *generator) bounds(lower, upper string) string {
	return g.pick("[", "(") + lower + "," + upper + g.pick("]", ")")
}

func (g *generator) multirange(value func() string) string {
	return "{" + g.list(",", g.IntN(4), value) + "}"
}

func (g *generator) hstore() string {
	quote := func(s string) string { return `"` + arrayEscapes.Replace(s) + `"` }
	return g.list(", ", g.IntN(5), func() string {
		value := "NULL"
		if v := g.orNull(g.str); v != nil {
			value = quote(*v)
		}
		return quote(g.str()) + "=>" + value
	})
}

// doc is a JSON document that jsonb can hold: odd white space, keys that repeat,
// escapes that need not be, numbers in every notation.
func (g *generator) doc(depth int) string {
	kind := g.IntN(8)
	if depth == 0 {
		kind = g.IntN(4)
	}
	switch kind {
	case 0:
		return g.blank() + g.pick("true", "false", "null") + g.blank()
	case 1, 2:
		return g.blank() + g.jsonNumber() + g.blank()
	case 3, 4:
		return g.blank() + g.jsonString(g.str()) + g.blank()
	case 5:
		return g.blank() + "[" + g.blank() + g.list(",", g.IntN(5), func() string { return g.doc(depth - 1) }) + "]" + g.blank()
	}
	return g.blank() + "{" + g.blank() + g.list(","+g.blank(), g.IntN(7), func() string {
		return g.jsonString(g.pick("a", "b", "ab", "é", "", "\"", "id", g.word(), g.str())) + g.blank() + ":" + g.doc(depth-1)
	}) + "}" + g.blank()
}

func (g *generator) blank() string { return g.pick("", "", "", " ", "\n", "\t", "\r\n  ") }

func (g *generator) jsonNumber() string {
	s := g.pick("", "-") + g.pick("0", "1", "9", "12"+g.digits("0123456789", g.IntN(30)))
	if g.IntN(2) == 0 {
		s += "." + g.digits("0123456789", 1+g.IntN(9))
	}
	if g.IntN(2) == 0 {
		s += g.pick("e", "E") + g.pick("", "+", "-") + g.pick("0", "00", "1", "007", "15", "40")
	}
	return g.either(s, "-0", "-0.0", "0e5", "0e-5", "1e400", "-1.5E-400", "123456789012345678901234567890", g.digits("123456789", 1000))
}

// jsonString writes s with more or fewer escapes than needed.
func (g *generator) jsonString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		short := strings.IndexRune("\"\\/\b\f\n\r\t", r)
		switch {
		case short >= 0 && g.IntN(2) == 0:
			b.WriteString(`\` + `"\/bfnrt`[short:short+1])
		case r < ' ' || r == '"' || r == '\\' || r < 0x10000 && g.IntN(5) == 0:
			fmt.Fprintf(&b, g.pick(`\u%04x`, `\u%04X`), r)
		case r >= 0x10000 && g.IntN(3) == 0:
			fmt.Fprintf(&b, `\u%04x\u%04X`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		default:
			b.WriteRune(r)
		}
	}
	return b.String() + `"`
}
