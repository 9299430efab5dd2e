package filter

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/walrelay/walrelay/change"
)

// generator makes random rules, rows and claims on the test table, with so few values
// that they often meet.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator { return generator{rand.New(rand.NewPCG(seed, 4))} }

func (g generator) of(words ...string) string { return words[g.IntN(len(words))] }

func (g generator) chance(percent int) bool { return g.IntN(100) < percent }

// vocabulary is what expressions are made of, by class. Values are texts as Postgres
// prints them; literals are written from them.
type vocabulary struct {
	columns, bound, values []string
	arrays, lists          []string
	ordered, quoted        bool
}

var vocabularies = []vocabulary{
	{
		columns: []string{"row.id", "row.customer_id", "row.team_id", "row.total", "row.visits"}, bound: []string{"user.id", "user.min_total", "params.n"},
		values: []string{"1", "2", "3", "2.50", "-1"}, arrays: []string{"row.team_ids"}, lists: []string{"user.teams"}, ordered: true,
	},
	{
		columns: []string{"row.email", "row.code", "row.title", "lower(row.email)", "text(row.meta.k)", "lower(text(row.meta.k))", "row.handle"},
		bound:   []string{"user.role", "user.tag", "user.email", "lower(user.email)", "params.s"},
		values:  []string{"a", "A", "b", "é", "É", `a"\{`, "a ", ""}, arrays: []string{"row.tags"}, lists: []string{"user.roles"}, quoted: true,
	},
	{
		columns: []string{"row.org_id"}, bound: []string{"user.org"}, ordered: true, quoted: true,
		values: []string{"0d7b2f3c-9f3b-4c43-8f0e-3f1f0c5f9a11", "1d7b2f3c-9f3b-4c43-8f0e-3f1f0c5f9a11"},
	},
	{
		columns: []string{"row.status"}, bound: []string{"user.status"}, values: []string{"draft", "open", "paid"},
		arrays: []string{"row.statuses"}, lists: []string{"user.allowed"}, quoted: true,
	},
	{columns: []string{"row.active", "row.archived"}, bound: []string{"user.admin"}, values: []string{"true", "false"}},
	{
		columns: []string{"row.deleted_at"}, bound: []string{"user.since"}, ordered: true, quoted: true,
		values: []string{"2026-01-31 12:00:00+00", "2026-02-01 00:00:00+00", "infinity"},
	},
	{columns: []string{"row.due"}, bound: []string{"user.day"}, values: []string{"2026-01-31", "-infinity"}, ordered: true, quoted: true},
}

func (g generator) words() *vocabulary {
	return &vocabularies[min(g.IntN(len(vocabularies)+6), 9)%len(vocabularies)] // more numbers and texts
}

// expression is a random condition of at most the depth.
func (g generator) expression(depth int) string {
	if depth == 0 || g.chance(15) {
		return g.atom()
	}
	switch g.IntN(7) {
	case 0:
		return "!(" + g.expression(depth-1) + ")"
	case 1, 2, 3:
		return g.terms(" && ", depth)
	}
	return g.terms(" || ", depth)
}

func (g generator) terms(op string, depth int) string {
	terms := make([]string, 2+g.IntN(2))
	for i := range terms {
		terms[i] = "(" + g.expression(depth-1) + ")"
	}
	return strings.Join(terms, op)
}

func (g generator) atom() string {
	v := g.words()
	row, bound := g.of(v.columns...), g.of(v.bound...)
	switch n := g.IntN(20); {
	case n < 5:
		return g.swapped(row, "==", bound)
	case n < 8 && v.lists != nil:
		return g.member(v, row, bound)
	case n < 10:
		return g.swapped(g.of(row, bound), g.comparison(v), g.literal(v))
	case n < 12:
		return g.swapped(g.of(row, row, bound), g.of("==", "!="), "null")
	case n < 14:
		return row + " " + g.comparison(v) + " " + g.of(append(v.bound, v.columns...)...)
	case n < 15:
		return bound + " " + g.comparison(v) + " " + g.of(v.bound...)
	case n < 16:
		return g.of("row.active", "row.archived", "user.admin")
	case n < 17:
		return g.of("row.place", "row.pair", "row.tags", "row.meta", "user.teams") + g.of(" == null", " != null")
	}
	return g.of(row, bound) + " in [" + g.literal(v) + ", " + g.of("null", g.literal(v), g.literal(v)) + "]"
}

// member is an `in` in all its directions.
func (g generator) member(v *vocabulary, row, bound string) string {
	set := g.of(v.lists[0], v.lists[0], v.arrays[0], v.arrays[0])
	return g.of(row, bound, bound, g.literal(v)) + " in " + set
}

func (g generator) swapped(x, op, y string) string {
	if (op == "==" || op == "!=") && g.chance(30) {
		x, y = y, x
	}
	return x + " " + op + " " + y
}

func (g generator) comparison(v *vocabulary) string {
	if v.ordered {
		return g.of("==", "!=", "<", "<=", ">", ">=")
	}
	return g.of("==", "==", "!=")
}

func (g generator) literal(v *vocabulary) string {
	value := g.of(v.values...)
	if v.quoted {
		return quote(value)
	}
	return value
}

// rule is a random rule that compiles; ok is false when this one does not.
func (g generator) rule(t testing.TB, depth int) (p *Program, s Source, ok bool) {
	t.Helper()
	where, allow := "", g.expression(depth)
	if g.chance(30) {
		where = g.expression(depth - 1)
	}
	var params []string
	for _, param := range []string{"n bigint", "s text"} {
		if strings.Contains(where+allow, "params."+param[:1]) {
			params = append(params, param)
		}
	}
	s = ruleOf(t, where, allow, params...)
	p, _ = Compile(s)
	return p, s, p != nil
}

// row is a random row image; full ones have nothing that is not known.
func (g generator) row(full bool) []change.Value {
	row := make([]change.Value, len(testColumns)/2)
	for i := range row {
		row[i] = g.cell(testColumns[2*i+1], full)
	}
	return row
}

func (g generator) cell(typ string, full bool) change.Value {
	switch n := g.IntN(100); {
	case n < 20:
		return change.Value{Kind: change.Null}
	case n < 30 && !full:
		return change.Value{Kind: []change.ValueKind{change.Missing, change.Unchanged, change.Omitted}[g.IntN(3)]}
	case n < 31 && !full && canBeBad(typ):
		return change.Value{Kind: change.Text, Text: []byte("{not a value")}
	}
	if elem, ok := strings.CutSuffix(typ, "[]"); ok {
		return change.Value{Kind: change.Text, Text: []byte(g.array(elem))}
	}
	return change.Value{Kind: change.Text, Text: []byte(g.text(typ))}
}

// canBeBad reports whether some text is no value of the type.
func canBeBad(typ string) bool {
	switch typ {
	case "text", "citext", "char", "order_status", "point", "pair":
		return false
	}
	return true
}

// text is a random value as Postgres prints it.
func (g generator) text(typ string) string {
	switch typ {
	case "bigint", "integer":
		return g.of("1", "2", "3", "-1")
	case "numeric":
		return g.of("1", "1.00", "2.50", "2.5", "NaN", "-Infinity", "3")
	case "text", "citext":
		return g.of(vocabularies[1].values...)
	case "char":
		return g.of("a  ", "b  ", `a"\`)
	case "uuid":
		return g.of(vocabularies[2].values...)
	case "order_status":
		return g.of(orderStatus.Labels...)
	case "boolean":
		return g.of("t", "f")
	case "timestamptz":
		return g.of("2026-01-31 12:00:00+00", "2026-02-01 00:00:00+00", "infinity", "0044-03-15 00:00:00+00 BC")
	case "date":
		return g.of("2026-01-31", "-infinity")
	case "jsonb":
		return g.of(`{"k": "a"}`, `{"k": "É"}`, `{"k": null}`, `{}`, `{"k": {"k": "a"}}`, `[1]`)
	}
	return "(1,2)"
}

func (g generator) array(elem string) string {
	elems := make([]string, g.IntN(4))
	for i := range elems {
		if elems[i] = "NULL"; g.chance(85) {
			elems[i] = `"` + escapeElement.Replace(g.text(elem)) + `"`
		}
	}
	return "{" + strings.Join(elems, ",") + "}"
}

// claims are random claims as JSON.
func (g generator) claims() string {
	var fields []string
	for _, c := range testClaims {
		if g.chance(15) || c.Name == "mood" {
			continue
		}
		value := ""
		if c.Type.List {
			elems := make([]string, g.IntN(4))
			for i := range elems {
				if elems[i] = "null"; g.chance(85) {
					elems[i] = g.claim(c.Type.Class)
				}
			}
			value = "[" + strings.Join(elems, ",") + "]"
		} else {
			value = g.claim(c.Type.Class)
		}
		fields = append(fields, fmt.Sprintf("%q:%s", c.Name, value))
	}
	return "{" + strings.Join(fields, ",") + "}"
}

func (g generator) claim(c Class) string {
	switch c {
	case ClassNumber:
		return g.of("1", "2", "3")
	case ClassText:
		return g.of(`"a"`, `"A"`, `"b"`, `"é"`, `"É"`, `"a\"\\{"`, `""`)
	case ClassUUID:
		return `"` + g.of(vocabularies[2].values...) + `"`
	case ClassEnum:
		return `"` + g.of(orderStatus.Labels...) + `"`
	case ClassBool:
		return g.of("true", "false")
	case ClassTimestamptz:
		return g.of(`"2026-01-31T12:00:00Z"`, `"infinity"`)
	}
	return g.of(`"2026-01-31"`, `"-infinity"`)
}

func (g generator) params(p *Program) map[string]string {
	params := map[string]string{}
	for _, param := range p.Params() {
		params[param.Name] = map[Class]string{ClassNumber: g.of("1", "2"), ClassText: g.of("a", "é")}[param.Type.Class]
	}
	return params
}
