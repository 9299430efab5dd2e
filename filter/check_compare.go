package filter

import (
	"cmp"
	"errors"
)

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
		return cmp.Or(typeHint(x), typeHint(y)), true
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
