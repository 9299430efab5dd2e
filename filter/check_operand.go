package filter

import "github.com/walrelay/walrelay/nearest"

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
	return operand{source: fromRow, index: indexOf(c.slotOf, &c.slots, s.expr, s), written: &written{s.typ, n}}
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
	return operand{source: fromBinding, index: indexOf(c.boundOf, &c.bound, b.expr, b), written: &written{b.typ, n}}
}

// indexOf is the place of x in list, to which it is added when none is known that is written so.
func indexOf[T any](known map[string]int, list *[]T, expr string, x T) int32 {
	i, ok := known[expr]
	if !ok {
		i = len(*list)
		*list = append(*list, x)
		known[expr] = i
	}
	return int32(i)
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
