package config

import (
	"errors"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/walrelay/walrelay/filter"
	"github.com/walrelay/walrelay/nearest"
)

// where reads which rows are in the channel.
func (b *builder) where(s *section) {
	v, ok := b.expression(s, "where", "an empty filter would be every row: write an expression, or remove the key")
	if !ok {
		return
	}
	expr := b.parse(v)
	if expr == nil {
		return
	}
	if l := constant(expr.Node); l != "" {
		b.refuse(expr.Pos(expr.Node.Pos()), v.key, "%s is the same for every row; write a condition on row.<column>, or remove the key", l)
		return
	}
	b.c.Where = expr
}

const wantAllow = "write public for everybody, true for any signed-in user, or an expression such as row.customer_id == user.id"

// allow reads who may see the channel.
func (b *builder) allow(s *section) {
	s.require("allow", "say who may see the channel: "+wantAllow)
	v, ok := b.expression(s, "allow", "a rule that was forgotten must not let anybody in: "+wantAllow)
	if !ok {
		return
	}
	if strings.TrimSpace(v.text) == "public" {
		b.c.Allow.Public = true
		return
	}
	expr := b.parse(v)
	if expr == nil {
		return
	}
	if l := constant(expr.Node); l != "" && l != "true" {
		b.refuse(expr.Pos(expr.Node.Pos()), v.key, "%s lets nobody in, ever; %s, or remove the channel", l, plain(wantAllow))
		return
	}
	b.c.Allow.Expr = expr
}

// refuse notes a problem of a rule, which is then not known.
func (b *builder) refuse(pos Pos, key, format string, args ...any) {
	b.unread = true
	b.r.problem(pos, key, format, args...)
}

// expression takes the text of a rule, which is not expanded.
func (b *builder) expression(s *section, name, empty string) (v scalar, ok bool) {
	e := s.find(name)
	if e == nil {
		return v, false
	}
	key := b.c.Key(name)
	switch n := e.value; {
	case b.r.rejected[n]:
	case isNull(n), n.Kind == yaml.ScalarNode && strings.TrimSpace(n.Value) == "":
		b.r.problem(nodePos(n), key, "empty; %s", plain(empty))
	default:
		v, ok = b.r.verbatim(n, key)
	}
	b.unread = b.unread || !ok
	return v, ok
}

// constant is the text of an expression that is one literal, else empty.
func constant(n filter.Node) string {
	if l, ok := n.(*filter.Literal); ok {
		return shorten(mask(l.String()))
	}
	return ""
}

// parse reads a rule; nil when it is none, which is noted.
func (b *builder) parse(v scalar) *Expr {
	n, err := filter.Parse(v.text)
	if err != nil {
		b.syntaxError(v, err)
		return nil
	}
	expr := &Expr{Text: v.text, Node: n, scalar: v}
	if l := cutLiteral(expr); l != nil {
		b.refuse(expr.Pos(l.Pos()), v.key, "the string goes on in the next line, where YAML puts a blank for the line break; %s",
			plain(`write it on one line, with \n for a line break`))
		return nil
	}
	return expr
}

// cutLiteral finds a string of an expression that stands on several lines of the file.
func cutLiteral(e *Expr) (cut filter.Node) {
	filter.Walk(e.Node, func(n filter.Node) {
		if l, ok := n.(*filter.Literal); ok && cut == nil && e.Pos(l.Pos()).Line != e.Pos(l.End()-1).Line {
			cut = l
		}
	})
	return cut
}

// syntaxError notes what filter.Parse has against an expression, with what YAML
// may have done to it before.
func (b *builder) syntaxError(v scalar, err error) {
	var e *filter.Error
	if !errors.As(err, &e) {
		b.refuse(nodePos(v.node), v.key, "%s", err)
		return
	}
	rest := v.text[min(int(e.Pos), len(v.text)):]
	rule := nearest.Suggest(strings.TrimSpace(v.text), []string{"public"})
	hint := ""
	switch {
	case rule != "":
		b.refuse(v.at(0), v.key, "unknown rule%s", plain(rule))
		return
	case strings.HasPrefix(rest, "$"):
		hint = "; ${NAME} is not expanded in expressions"
	case strings.HasPrefix(rest, "#"):
		hint = "; an expression has no comments: put it in the line above the key"
	case v.node.Style == 0 && strings.Contains(b.r.src.line(v.node.Line), " #"):
		hint = `; " #" begins a comment in YAML: put the whole expression in quotes`
	}
	b.refuse(v.at(int(e.Pos)), v.key, "%s%s", e.Msg, plain(hint))
}
