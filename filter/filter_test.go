package filter

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/walrelay/walrelay/change"
)

// The table of the tests. Its columns are in the order of testColumns.
var (
	orderStatus = &change.Type{OID: 16400, Name: "public.order_status", Labels: []string{"draft", "open", "paid"}}
	testTypes   = map[string]*change.Type{
		"bigint": {OID: 20, Name: "bigint", Kind: change.KindInt}, "integer": {OID: 23, Name: "integer", Kind: change.KindInt},
		"numeric": {OID: 1700, Name: "numeric", Kind: change.KindNumeric}, "text": {OID: 25, Name: "text"},
		"char": {OID: 1042, Name: "character"}, "citext": {OID: 16500, Name: "public.citext"},
		"uuid": {OID: 2950, Name: "uuid"}, "boolean": {OID: 16, Name: "boolean", Kind: change.KindBool},
		"timestamptz": {OID: 1184, Name: "timestamp with time zone", Kind: change.KindTimestampTZ},
		"date":        {OID: 1082, Name: "date", Kind: change.KindDate}, "jsonb": {OID: 3802, Name: "jsonb", Kind: change.KindJSONB},
		"point": {OID: 600, Name: "point"}, "order_status": orderStatus,
		"pair": {OID: 16600, Name: "public.pair", Kind: change.KindComposite},
	}
)

func arrayOf(name string) *change.Type {
	elem := testTypes[name]
	return &change.Type{OID: elem.OID + 100000, Name: elem.Name + "[]", Kind: change.KindArray, Elem: elem, Delim: ','}
}

// testColumns are name and type; "!" after the name is NOT NULL.
var testColumns = strings.Fields(`
	id! bigint  customer_id bigint  team_id integer  org_id uuid  status order_status  total numeric
	email text  code char  handle citext  active boolean  archived! boolean  deleted_at timestamptz  due date
	meta jsonb  tags text[]  team_ids bigint[]  statuses order_status[]  place point  title text  pair pair  visits bigint`)

func testTable() *Table { return tableOf(testColumns) }

func tableOf(columns []string) *Table {
	t := &Table{Name: "public.orders"}
	for i := 0; i < len(columns); i += 2 {
		name, typ := columns[i], columns[i+1]
		col := Column{Name: strings.TrimSuffix(name, "!"), NotNull: strings.HasSuffix(name, "!"), Identity: true, Loose: typ == "citext"}
		if elem, ok := strings.CutSuffix(typ, "[]"); ok {
			col.Type = arrayOf(elem)
		} else {
			col.Type = testTypes[typ]
		}
		t.Columns = append(t.Columns, col)
	}
	return t
}

// relationOf is a version of the table with the same columns.
func relationOf(t *Table) *change.Relation {
	rel := &change.Relation{OID: 1, Schema: "public", Name: "orders", Identity: 'f'}
	for _, c := range t.Columns {
		rel.Columns = append(rel.Columns, change.Column{Name: c.Name, Identity: c.Identity, NotNull: c.NotNull, Type: c.Type})
	}
	return rel
}

var testClaims = declare(`id bigint  teams bigint[]  role text  roles text[]  org uuid  tag text  email text
	min_total numeric  status order_status  allowed order_status[]  admin bool  since timestamptz  day date  mood mood`)

// declare reads names and types.
func declare(fields string) []Claim {
	var claims []Claim
	for f := strings.Fields(fields); len(f) > 0; f = f[2:] {
		typ, err := ParseType(f[1])
		if err != nil {
			panic(err)
		}
		claims = append(claims, Claim{Name: f[0], Type: typ})
	}
	return claims
}

func parsed(t testing.TB, src string) Node {
	t.Helper()
	if src == "" {
		return nil
	}
	n, err := Parse(src)
	if err != nil {
		t.Fatalf("Parse(%s): %v", src, err)
	}
	return n
}

// ruleOf is a rule on the test table; params are the names of parameters to infer.
func ruleOf(t testing.TB, where, allow string, params ...string) Source {
	t.Helper()
	s := Source{Where: parsed(t, where), Allow: parsed(t, allow), Table: testTable(), Claims: testClaims}
	for _, p := range params {
		name, typ, declared := strings.Cut(p, " ")
		parameter := Parameter{Name: name}
		if declared {
			var err error
			if parameter.Type, err = ParseType(typ); err != nil {
				t.Fatal(err)
			}
		}
		s.Params = append(s.Params, parameter)
	}
	return s
}

// compiled is the program of a rule, which must have no errors.
func compiled(t testing.TB, where, allow string, params ...string) *Program {
	t.Helper()
	p, problems := Compile(ruleOf(t, where, allow, params...))
	if p == nil {
		t.Fatalf("Compile(%s; %s): %s", where, allow, shown(problems))
	}
	return p
}

// shown has a line for each problem.
func shown(problems []Problem) string {
	var b strings.Builder
	for _, p := range problems {
		kind := map[bool]string{true: "warning ", false: ""}[p.Warning]
		fmt.Fprintf(&b, "%s%s %d: %s\n", kind, map[Part]string{Where: "where", Allow: "allow"}[p.Part], p.Pos, p.Msg)
	}
	return b.String()
}

func claimsOf(t testing.TB, json string) *Claims {
	t.Helper()
	c, err := ParseClaims(testClaims, []byte(json))
	if err != nil {
		t.Fatalf("ParseClaims(%s): %v", json, err)
	}
	return c
}

// rowOf makes a row of the test table from name=text pairs separated by "; ". Others are NULL. The texts
// NULL, <missing>, <unchanged> and <omitted> are those states.
func rowOf(t testing.TB, fields string) []change.Value {
	t.Helper()
	row := make([]change.Value, len(testColumns)/2)
	for i := range row {
		row[i].Kind = change.Null
	}
	if fields == "" {
		return row
	}
	for _, f := range strings.Split(fields, "; ") {
		name, text, _ := strings.Cut(f, "=")
		i := relationOf(testTable()).Column(name)
		if i < 0 {
			t.Fatalf("no column %q", name)
		}
		switch text {
		case "NULL":
		case "<missing>":
			row[i].Kind = change.Missing
		case "<unchanged>":
			row[i].Kind = change.Unchanged
		case "<omitted>":
			row[i].Kind = change.Omitted
		default:
			row[i] = change.Value{Kind: change.Text, Text: []byte(text)}
		}
	}
	return row
}

// indexed is what an index that has only this binding says of the image: whether some key of the row is
// among the postings of a disjunct and its residual is TRUE.
func indexed(t testing.TB, p *Program, b *Binding, im *Image) bool {
	t.Helper()
	if im.Once() != True {
		return false
	}
	hit := false
	for d := range p.Disjuncts() {
		found := 0
		for i := range im.Probe(d) {
			if slices.Contains(b.Postings(d), string(im.Key(i))) {
				found++
			}
		}
		if found > 1 && len(b.Postings(d)) == 1 {
			t.Errorf("disjunct %d: the row has one key %d times", d, found)
		}
		hit = hit || found > 0 && b.Residual(d, im) == True
	}
	return hit
}

// boundTo binds a user, who is let in, and parameters.
func boundTo(t testing.TB, p *Program, claims string, params map[string]string) *Binding {
	t.Helper()
	b, err := p.Bind(claimsOf(t, claims), params)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// layoutOf prepares p for rows of a relation.
func layoutOf(t testing.TB, p *Program, rel *change.Relation) *Layout {
	t.Helper()
	l, err := p.For(rel)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// judge binds and evaluates; a refused binding is FALSE for every row.
func judge(t testing.TB, p *Program, claims, row string, params map[string]string) Truth {
	t.Helper()
	b, err := p.Bind(claimsOf(t, claims), params)
	var refused *RefusedError
	if errors.As(err, &refused) {
		return False
	}
	if err != nil {
		t.Fatal(err)
	}
	l := layoutOf(t, p, relationOf(testTable()))
	im := p.NewImage()
	im.Load(l, rowOf(t, row))
	verdict := b.Eval(im)
	if hit := indexed(t, p, b, im); hit != (verdict == True) {
		t.Errorf("the index says %v, the evaluation %d", hit, verdict)
	}
	return verdict
}
