package integration

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// diffFamily is what values that a filter compares with each other have in common: a
// filter.Class, and of an enum its type.
type diffFamily int

const (
	famNumbers diffFamily = iota
	famTexts
	famUUIDs
	famMoods
	famStatuses
	famInstants
	famDays
	famFlags
	famDocuments     // jsonb: only below text(row.column.key)
	famOthers        // only == null
	famCount     int = iota
)

// familyValues are values as Postgres reads them. Some are equal in different clothes (5
// and 5.00), some differ where one could think that they do not (é and e with an accent).
var familyValues = [famCount][]string{
	famNumbers: {
		"0", "1", "5", "7", "-1", "42", "32767", "-32768", "2147483647", "-2147483648", "9007199254740992", "9007199254740993",
		"9223372036854775807", "-9223372036854775808", "9223372036854775808", "-9223372036854775809",
		"5.0", "5.00", "7.000", "-0", "0.00", "-0.000", "1.0", "42.50", "42.5", "007", "-00.10", "5.01", "4.999999999999999999999", "-1.0", "9007199254740993.00", "9223372036854775807.5", "0.1", "-0.1", "1e30", "1e-30",
		"12345678901234567890123.0000000001", "12345678901234567890123.000000000100", strings.Repeat("123456789", 30), strings.Repeat("123456789", 30) + ".5", "0." + strings.Repeat("0", 200) + "1",
		"NaN", "Infinity", "-Infinity",
	},
	famTexts: {
		"", "a", "A", "b", "ab", "AB", "abc", "ABC", "abc ", "abc  ", " abc", " ", "  ", "draft", "DRAFT", "é", "e\u0301", "É", "ß", "ẞ", "SS", "ss", "İ", "i", "I", "ı", "Ω", "ω", "\u2126", "Σ", "σ", "ς", "ΟΔΟΣ",
		"Ключ", "ключ", "日本語", "👩\u200d👩\u200d👧", "Ǆ", "ǅ", "ǆ", "\u212a", "k", `"`, `\`, `\"`, `it's`, "NULL", "null", "{}", "{", "a,b", ",", "\t", "a\nb", "\r", "\x01", "\x7f", "\u00a0", "\ufeffa", "\uffff", "\U00010400", "\U00010428",
		"true", "5", "5.00", "-0", strings.Repeat("long ", 60),
	},
	famUUIDs: {
		"00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12",
		"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "123e4567-e89b-12d3-a456-426614174000", "00000000-0000-0000-0000-000000000001", "80000000-0000-0000-0000-000000000000",
	},
	famMoods:    {"sad", "ok", `it's "so so"`, "é", "OK"},
	famStatuses: {"draft", "paid", "new order", "ok"},
	famInstants: {
		"2026-11-21 06:00:00+00", "2026-11-21 06:00:00.5+00", "2026-11-21 06:00:00.000001+00", "2026-11-21 05:59:59.999999+00", "1970-01-01 00:00:00+00", "2000-01-01 00:00:00+00", "1999-12-31 23:59:59.999999+00",
		"infinity", "-infinity", "0044-03-15 12:00:00+00 BC", "0001-12-31 23:59:59.999999+00 BC", "0001-01-01 00:00:00+00", "4714-11-24 00:00:00+00 BC", "294276-12-31 23:59:59.999999+00", "12026-01-01 00:00:00+00", "2024-02-29 00:00:00+00", "9999-12-31 23:59:59+00",
		"2026-11-21T06:00:00Z", "2026-11-21 11:30:00+05:30", "2026-11-20T22:00:00.500000-08:00", "1970-01-01 00:53:28+00:53:28",
	},
	famDays: {
		"2026-11-21", "2026-11-20", "1970-01-01", "2000-01-01", "2024-02-29", "infinity", "-infinity", "0044-03-15 BC", "0001-12-31 BC", "0001-01-01", "4714-11-24 BC", "5874897-12-31", "12026-01-01", "9999-12-31",
	},
	famFlags: {"t", "f"},
}

// diffKind is a type of column.
type diffKind struct {
	// sql is the type in DDL, with its collation.
	sql    string
	family diffFamily
	list   bool
	// loose: as filter.Column.Loose.
	loose bool
	// base is the type, below a domain, to which the oracle casts the column so that the operator is
	// that of the type.
	base string
	// padded: blanks at the end do not count, as in char(n). integer: no fractions.
	padded, integer bool
	// fits says which of the family's values the type can hold; nil: all.
	fits func(string) bool
	// values are those of famOthers; nil: the family's.
	values []string
}

// The types that have a place in a schema, which a filter's SQL must name.
const (
	moodSQL   = `public.mood`
	statusSQL = `"Odd schema"."Order status"`
)

var diffDDL = []string{
	`create schema "Odd schema"; create schema ext; create extension citext schema ext;
	 create type public.mood as enum ('sad', 'ok', 'it''s "so so"', 'é');
	 alter type public.mood add value 'OK' before 'sad'`,
	`create type "Odd schema"."Order status" as enum ('draft', 'paid', 'new order', 'ok');
	 create domain dom_big as bigint; create domain dom2_big as dom_big; create domain dom_numeric as numeric(8, 3);
	 create domain "Odd schema"."Dom text" as text collate "de-x-icu"; create domain dom_mood as public.mood; create domain dom_uuid as uuid; create domain dom_flag as boolean; create domain dom_code as char(4);
	 create domain dom_tags as text[]; create domain dom_day as date;
	 create type public.pair as (a int, b text);
	 create collation public.nd (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`,
}

var diffKinds = []diffKind{
	{sql: "bigint", family: famNumbers, base: "bigint", integer: true, fits: integerOf(64)},
	{sql: "integer", family: famNumbers, base: "integer", integer: true, fits: integerOf(32)},
	{sql: "smallint", family: famNumbers, base: "smallint", integer: true, fits: integerOf(16)},
	{sql: "dom2_big", family: famNumbers, base: "bigint", integer: true, fits: integerOf(64)},
	{sql: "numeric", family: famNumbers, base: "numeric"},
	{sql: "numeric(20, 2)", family: famNumbers, base: "numeric", fits: below(1e17)},
	{sql: "dom_numeric", family: famNumbers, base: "numeric", fits: below(1e4)},
	{sql: "bigint[]", family: famNumbers, list: true, base: "bigint[]", integer: true, fits: integerOf(64)},
	{sql: "smallint[]", family: famNumbers, list: true, base: "smallint[]", integer: true, fits: integerOf(16)},
	{sql: "numeric[]", family: famNumbers, list: true, base: "numeric[]"},
	{sql: "dom2_big[]", family: famNumbers, list: true, base: "bigint[]", integer: true, fits: integerOf(64)},

	{sql: "text", family: famTexts, base: "text"},
	{sql: `text collate "C"`, family: famTexts, base: "text"},
	{sql: `text collate "en-US-x-icu"`, family: famTexts, base: "text"},
	{sql: `varchar(400) collate "tr-x-icu"`, family: famTexts, base: "text"},
	{sql: "varchar(5)", family: famTexts, base: "text", fits: runes(5)},
	{sql: "char(5)", family: famTexts, base: "text", padded: true, fits: runes(5)},
	{sql: `char(3) collate "sv-x-icu"`, family: famTexts, base: "text", padded: true, fits: runes(3)},
	{sql: "dom_code", family: famTexts, base: "text", padded: true, fits: runes(4)},
	{sql: `"Odd schema"."Dom text"`, family: famTexts, base: "text"},
	{sql: "text collate public.nd", family: famTexts, loose: true, base: "text"},
	{sql: "ext.citext", family: famTexts, loose: true, base: "text"},
	{sql: "text[]", family: famTexts, list: true, base: "text[]"},
	{sql: `varchar(400)[] collate "en-US-x-icu"`, family: famTexts, list: true, base: "text[]"},
	{sql: "char(5)[]", family: famTexts, list: true, base: "text[]", padded: true, fits: runes(5)},
	{sql: "dom_tags", family: famTexts, list: true, base: "text[]"},
	{sql: `"Odd schema"."Dom text"[]`, family: famTexts, list: true, base: "text[]"},
	{sql: "ext.citext[]", family: famTexts, list: true, loose: true, base: "text[]"},
	{sql: "text[] collate public.nd", family: famTexts, list: true, loose: true, base: "text[]"},

	{sql: "uuid", family: famUUIDs, base: "uuid"},
	{sql: "dom_uuid", family: famUUIDs, base: "uuid"},
	{sql: "uuid[]", family: famUUIDs, list: true, base: "uuid[]"},
	{sql: moodSQL, family: famMoods, base: moodSQL},
	{sql: "dom_mood", family: famMoods, base: moodSQL},
	{sql: moodSQL + "[]", family: famMoods, list: true, base: moodSQL + "[]"},
	{sql: "dom_mood[]", family: famMoods, list: true, base: moodSQL + "[]"},
	{sql: statusSQL, family: famStatuses, base: statusSQL},
	{sql: statusSQL + "[]", family: famStatuses, list: true, base: statusSQL + "[]"},
	{sql: "timestamptz", family: famInstants, base: "timestamptz"},
	{sql: "timestamptz(0)", family: famInstants, base: "timestamptz", fits: func(s string) bool { return !strings.Contains(s, ".9999") }},
	{sql: "timestamptz[]", family: famInstants, list: true, base: "timestamptz[]"},
	{sql: "date", family: famDays, base: "date"},
	{sql: "dom_day", family: famDays, base: "date"},
	{sql: "date[]", family: famDays, list: true, base: "date[]"},
	{sql: "boolean", family: famFlags, base: "boolean"},
	{sql: "dom_flag", family: famFlags, base: "boolean"},
	{sql: "boolean[]", family: famFlags, list: true, base: "boolean[]"},
	{sql: "jsonb", family: famDocuments, base: "jsonb"},

	{sql: "double precision", family: famOthers, values: []string{"0", "NaN", "1e300"}},
	{sql: "json", family: famOthers, values: []string{"null", `{"a": 1}`}},
	{sql: "interval", family: famOthers, values: []string{"1 day", "-1 mon"}},
	{sql: "timestamp", family: famOthers, values: []string{"infinity", "2026-01-01"}},
	{sql: "bytea", family: famOthers, values: []string{"", `\x00`}},
	{sql: "float8[]", family: famOthers, values: []string{"{}", "{NULL}", "{1,NaN}"}},
	{sql: "int4range", family: famOthers, values: []string{"empty", "[1,5)"}},
	{sql: "public.pair", family: famOthers, values: []string{"(,)", "(1,)", "(1,x)"}},
}

func integerOf(bits int) func(string) bool {
	return func(s string) bool {
		_, err := strconv.ParseInt(s, 10, bits)
		return err == nil
	}
}

// below are numbers for a numeric with few digits; the server rounds what has more of them behind the
// point.
func below(limit float64) func(string) bool {
	return func(s string) bool {
		f, err := strconv.ParseFloat(s, 64)
		return s == "NaN" || err == nil && -limit < f && f < limit
	}
}

func runes(n int) func(string) bool {
	return func(s string) bool { return utf8.RuneCountInString(s) <= n }
}

// diffColumn is a column of a random table.
type diffColumn struct {
	name    string
	kind    diffKind
	notNull bool
}

func (c *diffColumn) ddl() string {
	if c.notNull {
		return fmt.Sprintf("%s %s not null", quoteIdentifier(c.name), c.kind.sql)
	}
	return fmt.Sprintf("%s %s", quoteIdentifier(c.name), c.kind.sql)
}

func quoteIdentifier(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// diffTable is a random table.
type diffTable struct {
	*generator
	name string
	// columns without the first, id bigint primary key, which no filter reads.
	columns []diffColumn
	// hot are the values that most rows, users and literals of this table have, so that
	// comparisons hit.
	hot [famCount][]string
}

// dealTables makes random tables. Every kind of column is in one of them, and numbers, text and char(n), which
// have the most rules, in all.
func dealTables(g *generator, n int) []*diffTable {
	deck := slices.Clone(diffKinds)
	g.Shuffle(len(deck), func(i, k int) { deck[i], deck[k] = deck[k], deck[i] })
	var tables []*diffTable
	for i := range n {
		kinds := []diffKind{
			diffKinds[0],
			g.kind(func(k diffKind) bool { return k.family == famNumbers && !k.list }),
			g.kind(func(k diffKind) bool { return k.family == famTexts && !k.list }),
			g.kind(func(k diffKind) bool { return k.family == famTexts && k.padded }),
			g.kind(func(k diffKind) bool { return k.family == famTexts }),
		}
		for k := i; k < len(deck); k += n {
			kinds = append(kinds, deck[k])
		}
		tables = append(tables, newDiffTable(g, fmt.Sprintf("d%d", i), kinds))
	}
	return tables
}

// kind is a random one of those.
func (g *generator) kind(those func(diffKind) bool) diffKind {
	for {
		if k := diffKinds[g.IntN(len(diffKinds))]; those(k) {
			return k
		}
	}
}

func newDiffTable(g *generator, name string, kinds []diffKind) *diffTable {
	t := &diffTable{generator: g, name: name}
	names := []string{"Order Date", "in", "größe", `it"s`, "null", "user", "Größe", "lower", "ctid2", "$1", "a b.c"}
	g.Shuffle(len(names), func(i, k int) { names[i], names[k] = names[k], names[i] })
	for i, kind := range kinds {
		name := fmt.Sprintf("c%d", i)
		if g.IntN(4) == 0 && i < len(names) {
			name = names[i]
		}
		t.columns = append(t.columns, diffColumn{name, kind, g.IntN(5) == 0})
	}
	for f, values := range familyValues {
		if len(values) == 0 {
			continue
		}
		for range 6 {
			t.hot[f] = append(t.hot[f], values[g.IntN(len(values))])
		}
	}
	t.hot[famNumbers] = append(t.hot[famNumbers], "5", "5.00", "7", "0")
	t.hot[famTexts] = append(t.hot[famTexts], "abc", "abc ", " ")
	return t
}

func (t *diffTable) ddl() string {
	columns := []string{"id bigint primary key"}
	for _, c := range t.columns {
		columns = append(columns, c.ddl())
	}
	return "create table " + t.name + " (" + strings.Join(columns, ", ") + ")"
}

// copyText is rows for COPY.
func (t *diffTable) copyText(rows int) string {
	var b strings.Builder
	for id := range rows {
		b.WriteString(strconv.Itoa(id))
		for _, c := range t.columns {
			b.WriteByte('\t')
			b.WriteString(copyField(t.columnValue(c)))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (t *diffTable) columnValue(c diffColumn) *string {
	if !c.notNull && t.IntN(6) == 0 {
		return nil
	}
	var s string
	switch {
	case c.kind.list:
		s = t.array(',', func() *string { return t.orNull(func() string { return t.scalar(c.kind.family, c.kind.fits) }) })
	case c.kind.values != nil:
		s = t.pick(c.kind.values...)
	default:
		s = t.scalar(c.kind.family, c.kind.fits)
	}
	return &s
}

// scalar is a value of a family that fits.
func (t *diffTable) scalar(f diffFamily, fits func(string) bool) string {
	if f == famDocuments {
		return t.document()
	}
	values := t.hot[f]
	if t.IntN(5) == 0 {
		values = familyValues[f]
	}
	for range 20 {
		if v := t.pick(values...); fits == nil || fits(v) {
			return v
		}
		values = familyValues[f]
	}
	return "1" // fits every type of numbers and of text, which alone are choosy
}

// documentKeys are the keys of most documents.
var documentKeys = []string{"a", "b", "x y", "é", `q"\`, "0", "id"}

// document is a jsonb value whose leaves are often values that filters ask for.
func (t *diffTable) document() string {
	switch t.IntN(8) {
	case 0:
		return t.doc(3)
	case 1:
		return t.pick("null", "[]", "{}", `"a"`, "5", "[1, {\"a\": \"b\"}]", "true")
	}
	return t.object(2)
}

func (t *diffTable) object(depth int) string {
	return "{" + t.list(",", t.IntN(6), func() string {
		return t.jsonString(t.pick(documentKeys...)) + ":" + t.leaf(depth)
	}) + "}"
}

func (t *diffTable) leaf(depth int) string {
	switch n := t.IntN(12); {
	case n < 6:
		return t.jsonString(t.scalar(famTexts, nil))
	case n == 6:
		return t.jsonNumber()
	case n == 7:
		return t.pick("true", "false", "null", "5", "5.00", "-0")
	case n == 8:
		return t.pick("[]", "{}", `["a"]`, `[5, null]`)
	case depth == 0:
		return "null"
	}
	return t.object(depth - 1)
}
