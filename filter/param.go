package filter

import (
	"cmp"
	"slices"

	"github.com/walrelay/walrelay/nearest"
)

// paramState is what is known of a parameter.
type paramState struct {
	// tied: a column or a claim stands on the other side of a comparison.
	tied bool
	// inferred: its type comes from there.
	inferred bool
	// broken: its type cannot be told for a reason that is reported.
	broken bool
}

func (c *checker) findParam(name string) int {
	return slices.IndexFunc(c.params, func(p Parameter) bool { return p.Name == name })
}

// inferParams finds the types of parameters that have none declared.
func (c *checker) inferParams() {
	for i := range c.params {
		t := c.labelled(c.params[i].Type)
		c.params[i].Type = t
		if t.List {
			c.part = c.anyPart()
			c.problem(0, "parameter %q is declared as %s; a parameter is one value", c.params[i].Name, t.Name)
			c.paramState[i].broken = true
		}
	}
	c.part = Where
	c.inferFrom(c.src.Where)
	c.part = Allow
	c.inferFrom(c.src.Allow)
}

// anyPart is the part for problems that have no place.
func (c *checker) anyPart() Part {
	if c.src.Where == nil {
		return Allow
	}
	return Where
}

func (c *checker) inferFrom(n Node) {
	Walk(n, func(n Node) {
		switch n := n.(type) {
		case *Compare:
			c.tie(n.X, n.Y, n.Op == Eq, false)
			c.tie(n.Y, n.X, n.Op == Eq, false)
		case *In:
			c.tie(n.X, n.Set, true, true)
		}
	})
}

// tie takes the type of other for the parameter that n is, or is the lower() of.
func (c *checker) tie(n, other Node, infers, isList bool) {
	if call, ok := n.(*Call); ok && call.Func == Lower {
		n = call.X
	}
	param, ok := n.(*Param)
	if !ok {
		return
	}
	i := c.findParam(param.Name)
	t, known := c.quietType(other)
	if i < 0 || !known {
		return
	}
	s := &c.paramState[i]
	s.tied = true
	if !infers || s.broken || c.src.Params[i].Type.Class != ClassOpaque {
		return
	}
	is := &c.params[i].Type
	elem := t.element()
	if t.List != isList || !compatible(&elem, &elem) {
		c.problem(param.Pos(), "params.%s cannot be compared with %s%s", printName(param.Name), t.Name, cmp.Or(typeHint(&t), listHint(isList)))
		s.broken = true
		return
	}
	t = paramType(elem)
	switch {
	case !s.inferred:
		*is, s.inferred = t, true
	case !compatible(is, &t):
		c.problem(param.Pos(), "params.%s is compared with %s here and with %s elsewhere; it can only have one type",
			printName(param.Name), t.Name, is.Name)
		s.broken = true
	case t.Class == ClassNumber && numberRank(t) > numberRank(*is):
		*is = t
	}
}

func listHint(wanted bool) string {
	if wanted {
		return ", which is no list"
	}
	return ""
}

// numberRank orders the types of ClassNumber by what they hold.
func numberRank(t Type) int {
	if bits := bitsOf(t); bits != 0 {
		return bits
	}
	return 1 << 10
}

// paramType is the type of a parameter that is compared with t.
func paramType(t Type) Type {
	switch {
	case t.Class == ClassText:
		t.Name = "text"
	case t.Class == ClassNumber && bitsOf(t) == 0:
		t.Name = "numeric"
	}
	return t
}

// quietType is the type of a column or claim, or what is made of one; problems with it are
// reported elsewhere.
func (c *checker) quietType(n Node) (Type, bool) {
	switch n := n.(type) {
	case *Row:
		for i := range c.src.Table.Columns {
			if col := &c.src.Table.Columns[i]; col.Name == n.Column && len(n.Path) == 0 {
				return typeOf(col.Type), true
			}
		}
	case *User:
		for i := range c.src.Claims {
			if c.src.Claims[i].Name == n.Claim {
				return c.labelled(c.src.Claims[i].Type), true
			}
		}
	case *Call:
		if n.Func == Text {
			return Type{Class: ClassText, Name: "text"}, true
		}
		if _, ok := c.quietType(n.X); ok {
			return Type{Class: ClassText, Name: "text"}, true
		}
	}
	return Type{}, false
}

// param resolves a parameter; one whose type is not known has been or will be reported.
func (c *checker) param(n *Param) (operand, bool) {
	i := c.findParam(n.Name)
	if i < 0 {
		names := make([]string, len(c.params))
		for j := range names {
			names[j] = c.params[j].Name
		}
		c.problem(n.Pos()+Pos(len("params.")), "the channel's name has no parameter {%s}%s", n.Name, nearest.Suggest(n.Name, names))
		return operand{}, false
	}
	s := &c.paramState[i]
	if t := c.params[i].Type; t.Class != ClassOpaque && !s.broken {
		return c.bind(n, bound{kind: boundParam, index: i, typ: t}), true
	}
	if !s.broken {
		s.broken = true
		c.problem(n.Pos(), "the type of params.%s is not known: compare it with a column or a claim by == or in, or declare it under params", printName(n.Name))
	}
	return operand{}, false
}

// checkParams refuses parameters that nothing ties: every value of them would be the
// same channel.
func (c *checker) checkParams() {
	for i := range c.params {
		s := &c.paramState[i]
		if s.tied || s.broken {
			continue
		}
		c.part = c.anyPart()
		c.problem(0, "no column or claim binds the parameter {%s}; compare it with one, for example row.%s == params.%[1]s",
			c.params[i].Name, printName(c.params[i].Name))
	}
}
