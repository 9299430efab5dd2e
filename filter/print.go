package filter

import (
	"fmt"
	"strings"
	"unicode"
)

// How tightly a node binds, by the rule of the grammar that it comes from.
const (
	bindOr = iota
	bindAnd
	bindNot
	bindCompare
	bindValue
)

func binding(n Node) int {
	switch n.(type) {
	case *Or:
		return bindOr
	case *And:
		return bindAnd
	case *Not:
		return bindNot
	case *Compare, *In:
		return bindCompare
	}
	return bindValue
}

// within prints n where only nodes that bind at least as tightly as bind can
// stand without parentheses.
func within(n Node, bind int) string {
	if binding(n) < bind {
		return "(" + n.String() + ")"
	}
	return n.String()
}

func (n *Or) String() string  { return join(n.Terms, " || ", bindAnd) }
func (n *And) String() string { return join(n.Terms, " && ", bindNot) }

func join(terms []Node, op string, bind int) string {
	var b strings.Builder
	for i, t := range terms {
		if i > 0 {
			b.WriteString(op)
		}
		b.WriteString(within(t, bind))
	}
	return b.String()
}

// String puts a comparison below "!" in parentheses, although the grammar does
// not need them: in most languages !a == b means something else.
func (n *Not) String() string {
	if _, ok := n.X.(*Not); ok {
		return "!" + n.X.String()
	}
	return "!" + within(n.X, bindValue)
}

func (n *Compare) String() string {
	return within(n.X, bindValue) + " " + n.Op.String() + " " + within(n.Y, bindValue)
}

func (n *In) String() string { return within(n.X, bindValue) + " in " + within(n.Set, bindValue) }

func (n *Row) String() string {
	s := "row." + printName(n.Column)
	for _, key := range n.Path {
		s += "." + printName(key)
	}
	return s
}

func (n *User) String() string  { return "user." + printName(n.Claim) }
func (n *Param) String() string { return "params." + printName(n.Name) }
func (n *Call) String() string  { return string(n.Func) + "(" + within(n.X, bindValue) + ")" }

func (n *Literal) String() string {
	if n.Kind == String {
		return quote(n.Text)
	}
	return n.Text
}

func (n *List) String() string {
	var b strings.Builder
	for i, e := range n.Elems {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(e.String())
	}
	return "[" + b.String() + "]"
}

func printName(s string) string {
	if isName(s) {
		return s
	}
	return quote(s)
}

// quote prints a string literal. What cannot be seen is escaped, so that an
// error text cannot hide or reorder anything.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\u{%x}`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
