package filter

import (
	"errors"
	"slices"

	"github.com/walrelay/walrelay/nearest"
)

// checker resolves names, checks types, and turns the expressions of a rule into
// negation normal form. It collects all problems.
type checker struct {
	src      *Source
	part     Part
	problems []Problem

	slots   []slot
	bound   []bound
	slotOf  map[string]int // by expr
	boundOf map[string]int // by expr
	strict  map[int]bool
	labels  map[int][]string

	// params have the inferred types; paramState by the same index.
	params     []Parameter
	paramState []paramState
}

func newChecker(s *Source) *checker {
	return &checker{
		src: s, slotOf: map[string]int{}, boundOf: map[string]int{}, strict: map[int]bool{}, labels: map[int][]string{},
		params: slices.Clone(s.Params), paramState: make([]paramState, len(s.Params)),
	}
}

func (c *checker) problem(pos Pos, format string, args ...any) {
	c.problems = append(c.problems, Problem{Part: c.part, Error: *errorf(pos, format, args...)})
}

// expression checks where or allow; nil is TRUE and gives nil.
func (c *checker) expression(part Part, n Node) *cond {
	if n == nil {
		return nil
	}
	c.part = part
	before := len(c.problems)
	root := c.condition(n, false)
	switch {
	case root != nil && len(c.problems) == before:
		c.checkConstant(root, n)
	case root == nil && len(c.problems) == 0: // fail closed: nil would be TRUE
		c.problem(n.Pos(), "this cannot be checked")
	}
	return root
}

// checkConstant refuses an expression that is the same for every row and user. Only
// `true` itself can be meant.
func (c *checker) checkConstant(root *cond, n Node) {
	switch root.simplify().op {
	case condFalse:
		c.problem(n.Pos(), "this is never true: nobody would get a row")
	case condTrue:
		if _, literal := n.(*Literal); !literal {
			c.problem(n.Pos(), "this is always true; if that is meant, write true")
		}
	}
}

// condition checks n; negated says that it stands below an odd number of "!". The result
// is nil where there is a problem.
func (c *checker) condition(n Node, negated bool) *cond {
	switch n := n.(type) {
	case *Or:
		return c.joined(n, n.Terms, condOr, negated)
	case *And:
		return c.joined(n, n.Terms, condAnd, negated)
	case *Not:
		return c.condition(n.X, !negated)
	case *Compare:
		return c.compare(n, negated)
	case *In:
		return c.in(n, negated)
	case *Literal:
		if n.Kind == Bool {
			return c.made(&cond{op: truthOp(n.Text == "true")}, n, negated)
		}
	}
	return c.bare(n, negated)
}

func truthOp(b bool) condOp {
	if b {
		return condTrue
	}
	return condFalse
}

// made completes a comparison or constant.
func (c *checker) made(x *cond, n Node, negated bool) *cond {
	x.src, x.part, x.negated = n, c.part, negated
	if negated {
		x.op = negation[x.op]
	}
	for _, o := range x.operands() {
		if o.source == fromRow {
			x.reads |= readsRow
		} else {
			x.reads |= readsBound
		}
	}
	if x.op == condNe || x.op == condNotIn {
		c.refuseLoose(x)
	}
	if x.class == ClassEnum {
		c.noteLabels(x.x, x.y)
		c.noteLabels(x.y, x.x)
	}
	return x
}

// noteLabels remembers the labels that stand beside a column of an enum.
func (c *checker) noteLabels(o, other operand) {
	if o.source != fromRow || other.source != fromText {
		return
	}
	column := c.slots[o.index].column
	for _, v := range append([]value{other.lit.v}, other.lit.list...) {
		if v.state == isSet && v.s != nil {
			c.labels[column] = append(c.labels[column], string(v.s))
		}
	}
}

// refuseLoose refuses a negation over values that may be equal in Postgres although
// their bytes differ: the row would be shown where Postgres would not.
func (c *checker) refuseLoose(x *cond) {
	for _, o := range x.operands() {
		if o.source != fromRow {
			continue
		}
		i := c.slots[o.index].column
		c.strict[i] = true
		if col := &c.src.Table.Columns[i]; col.Loose {
			c.problem(o.node.Pos(), "values of row.%s that differ may be equal in Postgres (%s), so it cannot stand under != or !",
				printName(col.Name), looseReason(col))
		}
	}
}

func looseReason(col *Column) string {
	if isCitext(col.Type) {
		return typeOf(col.Type).Name
	}
	return "its collation is not deterministic"
}

// joined checks the terms of && or ||.
func (c *checker) joined(n Node, terms []Node, op condOp, negated bool) *cond {
	if negated {
		op = condAnd + condOr - op
	}
	x := &cond{op: op, src: n, negated: negated, part: c.part}
	ok := true
	for _, t := range terms {
		term := c.condition(t, negated)
		if term == nil {
			ok = false
			continue
		}
		x.terms = append(x.terms, term)
		x.reads |= term.reads
	}
	if !ok {
		return nil
	}
	return x
}

// bare checks a value that stands as a condition: x is x == true.
func (c *checker) bare(n Node, negated bool) *cond {
	if l, ok := n.(*Literal); ok {
		c.problem(n.Pos(), "%s is not a condition", l)
		return nil
	}
	if _, ok := n.(*List); ok {
		c.problem(n.Pos(), "a list is not a condition")
		return nil
	}
	x, ok := c.operand(n)
	if !ok {
		return nil
	}
	if x.typ.Class != ClassBool || x.typ.List {
		c.problem(n.Pos(), "%s is %s and not a condition; compare it, for example %[1]s == ...", n, x.typ.Name)
		return nil
	}
	yes := &datum{v: value{state: isSet, n: 1}}
	return c.made(&cond{op: condEq, class: ClassBool, x: x, y: operand{source: fromText, lit: yes, written: &written{x.typ, n}}}, n, negated)
}

// compareOps by the operator of the text.
var compareOps = [...]condOp{Eq: condEq, Ne: condNe, Lt: condLt, Le: condLe, Gt: condGt, Ge: condGe}

func (c *checker) compare(n *Compare, negated bool) *cond {
	if isNullLiteral(n.X) || isNullLiteral(n.Y) {
		return c.nullTest(n, negated)
	}
	if isConstant(n.X) && isConstant(n.Y) {
		c.problem(n.Pos(), "both sides of %s are literals: nothing is compared", n.Op)
		return nil
	}
	x, y, ok := c.pair(n.X, n.Y, n.Op.String())
	if !ok {
		return nil
	}
	if hint, refused := refusal(n.Op, &x.typ, &y.typ); refused {
		c.problem(n.Pos(), "cannot apply %s to %s and %s%s", n.Op, x.typ.Name, y.typ.Name, hint)
		return nil
	}
	return c.made(&cond{op: compareOps[n.Op], class: x.typ.Class, x: x, y: y}, n, negated)
}

// nullTest checks x == null and x != null.
func (c *checker) nullTest(n *Compare, negated bool) *cond {
	x := n.X
	if isNullLiteral(x) {
		x = n.Y
	}
	if n.Op != Eq && n.Op != Ne {
		c.problem(n.Pos(), "cannot apply %s to null; there are == null and != null", n.Op)
		return nil
	}
	if isConstant(x) {
		c.problem(n.Pos(), "both sides of %s are literals: nothing is compared", n.Op)
		return nil
	}
	o, ok := c.operand(x)
	if !ok {
		return nil
	}
	op := condNull
	if n.Op == Ne {
		op = condNotNull
	}
	return c.made(&cond{op: op, x: o}, n, negated)
}

func isNullLiteral(n Node) bool {
	l, ok := n.(*Literal)
	return ok && l.Kind == Null
}

// isConstant reports whether n is a literal or a list of them.
func isConstant(n Node) bool {
	switch n := n.(type) {
	case *Literal, *List:
		return true
	case *Call:
		return isConstant(n.X)
	}
	return false
}

// pair resolves two operands of which at most one is a literal, which takes the type
// of the other one.
func (c *checker) pair(a, b Node, op string) (x, y operand, ok bool) {
	var okX, okY bool
	switch {
	case isConstant(a):
		if y, okY = c.operand(b); okY {
			x, okX = c.literal(a, y.typ, func(is string) {
				c.problem(a.Pos(), "cannot apply %s to %s and %s%s", op, is, y.typ.Name, typeHint(&y.typ))
			})
		}
	case isConstant(b):
		if x, okX = c.operand(a); okX {
			y, okY = c.literal(b, x.typ, func(is string) {
				c.problem(b.Pos(), "cannot apply %s to %s and %s%s", op, x.typ.Name, is, typeHint(&x.typ))
			})
		}
	default:
		x, okX = c.operand(a)
		y, okY = c.operand(b)
	}
	return x, y, okX && okY
}

// literal resolves a literal that stands beside a value of a type; mismatch reports that
// it is of another one.
func (c *checker) literal(n Node, typ Type, mismatch func(is string)) (operand, bool) {
	l, ok := n.(*Literal)
	if !ok {
		mismatch(literalType(n))
		return operand{}, false
	}
	v, err := literal(typ, l)
	if errors.Is(err, errLiteralKind) {
		mismatch(literalType(n))
		return operand{}, false
	}
	if err != nil {
		c.problem(l.Pos(), "%s", err)
		return operand{}, false
	}
	return operand{source: fromText, lit: &datum{v: v}, written: &written{typ, n}}, true
}

// literalType is what messages call the type of a literal.
func literalType(n Node) string {
	l, ok := n.(*Literal)
	if !ok {
		return "a list"
	}
	switch l.Kind {
	case Int:
		return "bigint"
	case Decimal:
		return "numeric"
	case Bool:
		return "bool"
	case Null:
		return "null"
	}
	return "text"
}

// refusal reports whether op cannot be applied to the types, with what to do about it.
func refusal(op Op, x, y *Type) (hint string, refused bool) {
	if !compatible(x, y) || x.List || y.List {
		return firstOf(typeHint(x), typeHint(y)), true
	}
	if op == Eq || op == Ne {
		return "", false
	}
	switch x.Class {
	case ClassText:
		return " (the order of text depends on its collation)", true
	case ClassEnum:
		return "; list the labels with in", true
	case ClassBool:
		return "; there are == and !=", true
	}
	return "", false
}

// typeHint says what can be done with a type that does not compare; empty for one that
// does.
func typeHint(t *Type) string {
	switch {
	case t.List:
		return " (a list can only stand behind in, or be compared with null)"
	case t.Class == ClassJSON:
		return "; of jsonb write text(row.column.key)"
	case t.Class == ClassOpaque:
		return " (" + t.Name + " can only be compared with null)"
	}
	return ""
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// compatible reports whether values of two types, or their elements, can be equal.
func compatible(x, y *Type) bool {
	return x.Class == y.Class && x.Class != ClassOpaque && x.Class != ClassJSON &&
		(x.Class != ClassEnum || x.element().Name == y.element().Name)
}

func (c *checker) in(n *In, negated bool) *cond {
	if isNullLiteral(n.X) {
		c.problem(n.X.Pos(), "null is in no list; write == null")
		return nil
	}
	if isConstant(n.X) && isConstant(n.Set) {
		c.problem(n.Pos(), "both sides of in are literals: nothing is compared")
		return nil
	}
	x, y, ok := c.member(n)
	if !ok {
		return nil
	}
	elem := y.typ.element()
	switch {
	case !y.typ.List:
		c.problem(n.Set.Pos(), "%s is %s and not a list; in needs a list such as [1, 2], a claim or an array column", n.Set, y.typ.Name)
		return nil
	case x.typ.List || !compatible(&x.typ, &elem):
		c.problem(n.Pos(), "cannot apply in to %s and %s%s", x.typ.Name, y.typ.Name, typeHint(&x.typ))
		return nil
	}
	return c.made(&cond{op: condIn, class: elem.Class, x: x, y: y}, n, negated)
}

// member resolves the operands of in.
func (c *checker) member(n *In) (x, y operand, ok bool) {
	if l, is := n.Set.(*List); is {
		if x, ok = c.operand(n.X); ok {
			y, ok = c.list(l, &x.typ)
		}
		return x, y, ok
	}
	if isConstant(n.Set) {
		c.problem(n.Set.Pos(), "%s is not a list; in needs a list such as [1, 2], a claim or an array column", n.Set)
		return x, y, false
	}
	y, ok = c.operand(n.Set)
	if !isConstant(n.X) {
		var okX bool
		x, okX = c.operand(n.X)
		return x, y, ok && okX
	}
	if ok && y.typ.List {
		x, ok = c.literal(n.X, y.typ.element(), func(is string) {
			c.problem(n.X.Pos(), "cannot apply in to %s and %s", is, y.typ.Name)
		})
	}
	return x, y, ok
}

// list resolves a list of literals beside a value of a type.
func (c *checker) list(l *List, typ *Type) (operand, bool) {
	d := &datum{v: value{state: isSet}}
	ok := true
	for _, e := range l.Elems {
		o, fine := c.literal(e, *typ, func(is string) {
			c.problem(e.Pos(), "cannot apply in to %s and a list with %s", typ.Name, is)
		})
		if fine {
			d.list = append(d.list, o.lit.v)
		}
		ok = ok && fine
	}
	t := *typ
	t.List, t.Name = true, typ.Name+"[]"
	return operand{source: fromText, lit: d, written: &written{t, l}}, ok
}

// operand resolves what is no literal.
func (c *checker) operand(n Node) (operand, bool) {
	switch n := n.(type) {
	case *Row:
		return c.row(n)
	case *User:
		return c.user(n)
	case *Param:
		return c.param(n)
	case *Call:
		if n.Func == Text {
			return c.path(n)
		}
		return c.lower(n)
	case *Literal, *List:
		c.problem(n.Pos(), "%s has no type here", n)
	default:
		c.problem(n.Pos(), "a condition is no value; join conditions with && and ||")
	}
	return operand{}, false
}

// column finds a column by name.
func (c *checker) column(n *Row) (int, bool) {
	names := make([]string, len(c.src.Table.Columns))
	for i := range names {
		if names[i] = c.src.Table.Columns[i].Name; names[i] == n.Column {
			return i, true
		}
	}
	c.problem(n.Pos()+Pos(len("row.")), "table %s has no column %q%s", c.src.Table.Name, n.Column, nearest.Suggest(n.Column, names))
	return 0, false
}

func (c *checker) row(n *Row) (operand, bool) {
	i, ok := c.column(n)
	if !ok {
		return operand{}, false
	}
	typ := typeOf(c.src.Table.Columns[i].Type)
	switch {
	case len(n.Path) == 0:
		return c.slot(n, slot{kind: slotColumn, column: i, typ: typ}), true
	case typ.Class == ClassJSON:
		c.problem(n.Pos(), "write text(%s): a value below jsonb is compared as text", n)
	default:
		c.problem(n.Pos(), "row.%s is %s: only jsonb has keys below it", printName(n.Column), typ.Name)
	}
	return operand{}, false
}

// slot is the operand for n, which shares a slot with all that are written alike.
func (c *checker) slot(n Node, s slot) operand {
	s.expr = n.String()
	i, ok := c.slotOf[s.expr]
	if !ok {
		i = len(c.slots)
		c.slots = append(c.slots, s)
		c.slotOf[s.expr] = i
	}
	return operand{source: fromRow, index: int32(i), written: &written{s.typ, n}}
}

// path resolves text(row.column.key).
func (c *checker) path(n *Call) (operand, bool) {
	r, ok := n.X.(*Row)
	if !ok || len(r.Path) == 0 {
		c.problem(n.Pos(), "text() takes a path into a jsonb column")
		return operand{}, false
	}
	base, ok := c.row(&Row{Span: r.Span, Column: r.Column})
	if !ok {
		return operand{}, false
	}
	if base.typ.Class != ClassJSON {
		c.problem(r.Pos(), "row.%s is %s: only jsonb has keys below it", printName(r.Column), base.typ.Name)
		return operand{}, false
	}
	return c.slot(n, slot{
		kind: slotPath, column: c.slots[base.index].column, base: int(base.index), path: r.Path,
		typ: Type{Class: ClassText, Name: "text"},
	}), true
}

// lower resolves lower(x).
func (c *checker) lower(n *Call) (operand, bool) {
	x, ok := c.operand(n.X)
	if !ok {
		return operand{}, false
	}
	if x.typ.Class != ClassText || x.typ.List {
		c.problem(n.X.Pos(), "lower() takes text, and %s is %s", n.X, x.typ.Name)
		return operand{}, false
	}
	typ := Type{Class: ClassText, Name: "text"}
	if x.source == fromRow {
		return c.slot(n, slot{kind: slotLower, column: c.slots[x.index].column, base: int(x.index), typ: typ}), true
	}
	return c.bind(n, bound{kind: boundLower, index: int(x.index), typ: typ}), true
}

// bind is the operand for n, which shares a value with all that are written alike.
func (c *checker) bind(n Node, b bound) operand {
	b.expr = n.String()
	i, ok := c.boundOf[b.expr]
	if !ok {
		i = len(c.bound)
		c.bound = append(c.bound, b)
		c.boundOf[b.expr] = i
	}
	return operand{source: fromBinding, index: int32(i), written: &written{b.typ, n}}
}

func (c *checker) user(n *User) (operand, bool) {
	if c.src.Public {
		c.problem(n.Pos(), "the channel is public: there is no user")
		return operand{}, false
	}
	names := make([]string, len(c.src.Claims))
	for i := range names {
		if names[i] = c.src.Claims[i].Name; names[i] == n.Claim {
			return c.bind(n, bound{kind: boundClaim, index: i, typ: c.labelled(c.src.Claims[i].Type)}), true
		}
	}
	hint := nearest.Suggest(n.Claim, names)
	if hint == "" {
		hint = "; declare it under claims"
	}
	c.problem(n.Pos()+Pos(len("user.")), "there is no claim %q%s", n.Claim, hint)
	return operand{}, false
}

// labelled adds the labels of an enum that the table has a column of.
func (c *checker) labelled(t Type) Type {
	if t.Class != ClassEnum || t.Labels != nil {
		return t
	}
	for i := range c.src.Table.Columns {
		col := typeOf(c.src.Table.Columns[i].Type)
		if col.Class == ClassEnum && col.element().Name == t.element().Name {
			t.Labels = col.Labels
		}
	}
	return t
}
