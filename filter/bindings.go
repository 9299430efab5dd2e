package filter

import "unicode/utf8"

// OldBinding says that a column must equal a parameter of the channel's name.
type OldBinding struct {
	Column, Param string
	// Pos is where row.<column> stands, ParamPos where params.<name> does.
	Pos, ParamPos Pos
}

// Bindings reads a `where` that only binds parameters: row.<column> ==
// params.<name>, in either order, joined by &&. They are in the order of the
// text; one parameter may be bound to several columns, a column only once. A nil
// expression has no bindings.
//
// Everything else gives an *Error at the first part that is not a binding: row
// filters are not evaluated in this version, and the caller must not start with
// one.
func Bindings(expr Node) ([]OldBinding, error) {
	if expr == nil {
		return nil, nil
	}
	terms := []Node{expr}
	if and, ok := expr.(*And); ok {
		terms = and.Terms
	}
	bindings := make([]OldBinding, 0, len(terms))
	for _, t := range terms {
		b, ok := binds(t)
		if !ok {
			return nil, errorf(t.Pos(), "%s: row filters are not in this version yet (only row.<column> == params.<name>); "+
				"refusing to start, because a filter that is not evaluated would leak", shorten(t.String()))
		}
		for _, other := range bindings {
			if other.Column == b.Column {
				return nil, errorf(b.Pos, "%s is bound twice, to %s and %s",
					&Row{Column: b.Column}, &Param{Name: other.Param}, &Param{Name: b.Param})
			}
		}
		bindings = append(bindings, b)
	}
	return bindings, nil
}

// binds reads one row.<column> == params.<name>.
func binds(n Node) (OldBinding, bool) {
	c, ok := n.(*Compare)
	if !ok || c.Op != Eq {
		return OldBinding{}, false
	}
	row, param := c.X, c.Y
	if _, swapped := row.(*Param); swapped {
		row, param = param, row
	}
	r, isRow := row.(*Row)
	p, isParam := param.(*Param)
	if !isRow || !isParam || len(r.Path) > 0 {
		return OldBinding{}, false
	}
	return OldBinding{Column: r.Column, Param: p.Name, Pos: r.From, ParamPos: p.From}, true
}

// shorten cuts what an error quotes to a readable length.
func shorten(s string) string {
	const most = 120
	if len(s) <= most {
		return s
	}
	cut := most
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}
