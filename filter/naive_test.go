package filter

import (
	"slices"
	"strings"

	"github.com/walrelay/walrelay/change"
)

// oracle evaluates expressions as SQL defines them, straight from the text's tree: no
// normal form, no slots, no sharing. Rows have no columns that are not known.
type oracle struct {
	s      Source
	types  []Parameter
	user   *Claims
	params map[string]string
	row    []change.Value
}

// naive is the verdict of where && allow.
func naive(s Source, p *Program, user *Claims, params map[string]string, row []change.Value) Truth {
	o := &oracle{s, p.Params(), user, params, row}
	t := True
	for _, n := range []Node{s.Where, s.Allow} {
		if n != nil {
			t = min(t, o.truth(n))
		}
	}
	return t
}

func not(t Truth) Truth {
	return map[Truth]Truth{True: False, False: True, Unknown: Unknown}[t]
}

func (o *oracle) truth(n Node) Truth {
	switch n := n.(type) {
	case *And:
		t := True
		for _, x := range n.Terms {
			t = min(t, o.truth(x))
		}
		return t
	case *Or:
		t := False
		for _, x := range n.Terms {
			t = max(t, o.truth(x))
		}
		return t
	case *Not:
		return not(o.truth(n.X))
	case *Compare:
		return o.compare(n)
	case *In:
		return o.in(n)
	case *Literal:
		return truth(n.Text == "true")
	}
	x, _ := o.scalar(n, Type{})
	if x.state == isNull {
		return Unknown
	}
	return truth(x.n != 0)
}

func (o *oracle) compare(n *Compare) Truth {
	if isNullLiteral(n.X) || isNullLiteral(n.Y) {
		x := n.X
		if isNullLiteral(x) {
			x = n.Y
		}
		null := o.isNull(x)
		return truth(null == (n.Op == Eq))
	}
	x, y, class := o.two(n.X, n.Y)
	if x.state != isSet || y.state != isSet {
		return Unknown
	}
	switch n.Op {
	case Eq:
		return truth(equal(class, x, y))
	case Ne:
		return truth(!equal(class, x, y))
	}
	order := compare(class, x, y)
	return truth(map[Op]bool{Lt: order < 0, Le: order <= 0, Gt: order > 0, Ge: order >= 0}[n.Op])
}

func (o *oracle) isNull(n Node) bool {
	switch n := n.(type) {
	case *Row:
		return o.row[o.column(n)].Kind == change.Null
	case *User:
		return o.claim(n).v.state == isNull
	}
	v, _ := o.scalar(n, Type{})
	return v.state == isNull
}

// two are operands of which one may be a literal.
func (o *oracle) two(a, b Node) (x, y value, c Class) {
	if isConstant(a) {
		y, t := o.scalar(b, Type{})
		x, _ := o.scalar(a, t)
		return x, y, t.Class
	}
	x, t := o.scalar(a, Type{})
	y, _ = o.scalar(b, t)
	return x, y, t.Class
}

// in is x = ANY(list).
func (o *oracle) in(n *In) Truth {
	list, elem, null := o.list(n.Set, n.X)
	if null {
		return Unknown
	}
	x, _ := o.scalar(n.X, elem)
	t := False
	for _, e := range list {
		switch {
		case e.state != isSet || x.state != isSet:
			t = max(t, Unknown)
		case equal(elem.Class, x, e):
			t = True
		}
	}
	return t
}

func (o *oracle) list(n, x Node) (list []value, elem Type, null bool) {
	switch n := n.(type) {
	case *List:
		_, elem = o.scalar(x, Type{})
		for _, e := range n.Elems {
			v, _ := literal(elem, e)
			list = append(list, v)
		}
	case *User:
		c := o.claim(n)
		return c.list, o.claimType(n).element(), c.v.state == isNull
	case *Row:
		cell, t := o.row[o.column(n)], o.s.Table.Columns[o.column(n)].Type
		elem = typeOf(t).element()
		if cell.Kind == change.Null {
			return nil, elem, true
		}
		var e elements
		e.reset(t, elem, cell.Text)
		for v, ok := e.next(); ok; v, ok = e.next() {
			v.s = []byte(string(v.s))
			list = append(list, v)
		}
	}
	return list, elem, false
}

func (o *oracle) column(n *Row) int {
	return slices.IndexFunc(o.s.Table.Columns, func(c Column) bool { return c.Name == n.Column })
}

func (o *oracle) claim(n *User) claimValue {
	for i, c := range o.s.Claims {
		if c.Name == n.Claim {
			return o.user.get(i)
		}
	}
	return claimValue{}
}

func (o *oracle) claimType(n *User) Type {
	for _, c := range o.s.Claims {
		if c.Name == n.Claim {
			return c.Type
		}
	}
	return Type{}
}

// scalar is one value; t is the type of a literal.
func (o *oracle) scalar(n Node, t Type) (value, Type) {
	text := Type{Class: ClassText, Name: "text"}
	switch n := n.(type) {
	case *Literal:
		v, _ := literal(t, n)
		return v, t
	case *User:
		return o.claim(n).v, o.claimType(n)
	case *Param:
		for _, p := range o.types {
			if p.Name == n.Name {
				v, _ := parseText(p.Type, o.params[n.Name])
				return v, p.Type
			}
		}
	case *Row:
		i := o.column(n)
		typ := typeOf(o.s.Table.Columns[i].Type)
		if o.row[i].Kind == change.Null {
			return value{}, typ
		}
		v, _ := decode(o.s.Table.Columns[i].Type, typ, o.row[i].Text)
		return v, typ
	case *Call:
		if n.Func == Text {
			r := n.X.(*Row)
			cell := o.row[o.column(r)]
			if cell.Kind == change.Null {
				return value{}, text
			}
			v, _ := jsonPath(cell.Text, r.Path, nil)
			return v, text
		}
		v, _ := o.scalar(n.X, t)
		if v.state == isSet {
			v.s = []byte(strings.ToLower(string(v.s)))
		}
		return v, text
	}
	return value{}, t
}
