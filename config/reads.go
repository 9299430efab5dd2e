package config

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/walrelay/walrelay/filter"
	"github.com/walrelay/walrelay/nearest"
)

// exprs are the channel's expressions with the names of their keys.
func (c *Channel) exprs(visit func(key string, e *Expr)) {
	if c.Where != nil {
		visit(c.Key("where"), c.Where)
	}
	if c.Allow.Expr != nil {
		visit(c.Key("allow"), c.Allow.Expr)
	}
}

// checkUsers notes claims that are not declared, and rules over users in a channel
// that has none.
func (b *builder) checkUsers() {
	b.c.exprs(func(key string, e *Expr) {
		filter.Walk(e.Node, func(n filter.Node) {
			u, ok := n.(*filter.User)
			switch {
			case !ok:
			case b.c.Allow.Public:
				b.r.problem(e.Pos(u.Pos()), key, "%s: the channel is public, so nobody is signed in; write the rule under allow, instead of public", u.String())
			default:
				b.claim(key, e, u)
			}
		})
	})
}

func (b *builder) claim(key string, e *Expr, u *filter.User) {
	b.r.claimed[u.Claim] = true
	if b.r.declared[u.Claim] {
		return
	}
	hint := nearest.Suggest(u.Claim, slices.Sorted(maps.Keys(b.r.declared)))
	b.r.problem(e.Pos(u.Pos()), key, "%s is not declared under claims%s", u.String(), plain(cmp.Or(hint, "; add it there with its type")))
}

// checkParams notes parameters that the channel's name does not have, and those that
// do not narrow the channel: everybody would get everything.
func (b *builder) checkParams() {
	if b.c.Pattern == nil {
		return
	}
	names := paramNames(b.c.Pattern)
	known := map[string]bool{}
	for _, name := range names {
		known[name] = true
	}
	bound := map[string]bool{}
	b.c.exprs(func(key string, e *Expr) {
		filter.Walk(e.Node, func(n filter.Node) {
			if p, ok := n.(*filter.Param); ok && !known[p.Name] {
				b.r.problem(e.Pos(p.Pos()), key, "the channel's name has no {%s}%s", p.Name, plain(nearest.Suggest(p.Name, names)))
			}
			for _, name := range binds(n) {
				bound[name] = true
			}
		})
	})
	for _, name := range names {
		if !bound[name] && !b.unread {
			at := b.r.src.within(b.key, strings.Index(b.name, "{"+name+"}"))
			b.r.problem(at, b.c.Key(), "nothing binds {%s}; add where: row.<column> == params.%s", name, name)
		}
	}
}

// binds are the parameters that a comparison ties to a column or a claim.
func binds(n filter.Node) []string {
	switch n.(type) {
	case *filter.Compare, *filter.In:
	default:
		return nil
	}
	var params []string
	ties := false
	filter.Walk(n, func(n filter.Node) {
		switch n := n.(type) {
		case *filter.Param:
			params = append(params, n.Name)
		case *filter.Row, *filter.User:
			ties = true
		}
	})
	if !ties {
		return nil
	}
	return params
}

// Read is a column that a rule of the channel reads, and where.
type Read struct {
	Column string
	// Key is that of the rule, Pos the place of row.<column> in it.
	Key string
	Pos Pos
}

// Reads are the columns that the channel's rules read, those of Where first, each at the
// first place that reads it.
func (c *Channel) Reads() []Read {
	var reads []Read
	c.exprs(func(key string, e *Expr) {
		filter.Walk(e.Node, func(n filter.Node) {
			r, ok := n.(*filter.Row)
			if ok && !slices.ContainsFunc(reads, func(known Read) bool { return known.Column == r.Column }) {
				reads = append(reads, Read{Column: r.Column, Key: key, Pos: e.Pos(r.Pos())})
			}
		})
	})
	return reads
}
