package config

import (
	"errors"
	"strings"

	"github.com/walrelay/walrelay/filter"
	"github.com/walrelay/walrelay/nearest"
)

// where reads the channel's filter, which in this version can only bind
// parameters.
func (b *builder) where(s *section) {
	b.unbound = s.has("where")
	v, ok := s.expression("where")
	if !ok {
		return
	}
	expr := &Expr{Text: v.text, scalar: v}
	var err error
	if expr.Node, err = filter.Parse(v.text); err != nil {
		b.r.syntaxError(v, err)
		return
	}
	if b.c.Bindings, err = filter.Bindings(expr.Node); err != nil {
		b.r.expressionError(v, err, "")
		return
	}
	b.c.Where, b.unbound = expr, false
}

// allow reads who may subscribe.
func (b *builder) allow(s *section) {
	s.require("allow", "say who may see the channel: allow: public lets everybody in")
	v, ok := s.expression("allow")
	if !ok {
		return
	}
	rule := strings.TrimSpace(v.text)
	if rule == "public" {
		b.c.Allow = AllowPublic
		return
	}
	n, err := filter.Parse(v.text)
	if err != nil {
		if hint := nearest.Suggest(rule, []string{"public"}); hint != "" {
			b.r.problem(v.at(0), v.key, "unknown rule%s", plain(hint))
			return
		}
		b.r.syntaxError(v, err)
		return
	}
	b.refused = true
	shown := shorten(mask(n.String()))
	if shown == "true" {
		shown = "true (any signed-in user)"
	}
	b.r.problem(v.at(int(n.Pos())), v.key, notYetAllow, shown)
}

// syntaxError notes what filter.Parse has against an expression, with what YAML
// may have done to it before.
func (r *reader) syntaxError(v scalar, err error) {
	var e *filter.Error
	hint := ""
	switch {
	case !errors.As(err, &e):
	case strings.HasPrefix(v.text[min(int(e.Pos), len(v.text)):], "$"):
		hint = "; ${NAME} is not expanded in expressions"
	case v.node.Style == 0 && strings.Contains(r.src.line(v.node.Line), " #"):
		hint = `; " #" begins a comment in YAML: put the whole expression in quotes`
	}
	r.expressionError(v, err, hint)
}

func (r *reader) expressionError(v scalar, err error, hint string) {
	var e *filter.Error
	if !errors.As(err, &e) {
		r.problem(nodePos(v.node), v.key, "%s", err)
		return
	}
	r.problem(v.at(int(e.Pos)), v.key, "%s%s", e.Msg, plain(hint))
}
