package integration

import (
	"slices"
	"strings"
)

// diffFilter is a random rule.
type diffFilter struct {
	where, allow *diffCondition // nil: none
}

func (f diffFilter) inferable(param string) bool {
	return f.where != nil && f.where.inferable(param) || f.allow != nil && f.allow.inferable(param)
}

// params are the parameters that the rule reads.
func (f diffFilter) params() []diffClaim {
	used := map[string]bool{}
	for _, c := range []*diffCondition{f.where, f.allow} {
		if c != nil {
			c.operands(func(o *diffOperand) {
				if o.source == fromParams {
					used[o.claim.name] = true
				}
			})
		}
	}
	return slices.DeleteFunc(slices.Clone(diffParams), func(p diffClaim) bool { return !used[p.name] })
}

func (t *diffTable) filter() diffFilter {
	var f diffFilter
	if t.IntN(4) > 0 {
		f.where = t.varying(func() *diffCondition { return t.condition(t.IntN(3), true) })
	}
	if f.where == nil || t.IntN(8) > 0 {
		f.allow = t.varying(t.allow)
	}
	return f
}

// varying makes a condition that is not constant, which would be refused.
func (t *diffTable) varying(condition func() *diffCondition) *diffCondition {
	for {
		if c := condition(); c.constant() == "" {
			return c
		}
	}
}

// allow is any condition or, as often, one of the shape that people write and the index is made for:
// the row belongs to the user, in one way or another.
func (t *diffTable) allow() *diffCondition {
	if t.IntN(2) == 0 {
		return t.condition(1+t.IntN(4), true)
	}
	either := func() *diffCondition {
		return t.join("||", 1+t.IntN(5), func() *diffCondition {
			return t.join("&&", 1+t.IntN(3), func() *diffCondition {
				if t.IntN(3) == 0 {
					return t.condition(t.IntN(2), true)
				}
				return t.belongs()
			})
		})
	}
	if t.IntN(3) > 0 {
		return either()
	}
	// Also more disjuncts than the index has.
	return t.join("&&", 2+t.IntN(2), either)
}

func (t *diffTable) join(op string, n int, term func() *diffCondition) *diffCondition {
	if n == 1 {
		return term()
	}
	c := &diffCondition{op: op, words: t.IntN(4) == 0, bare: t.IntN(2) == 0}
	for range n {
		c.terms = append(c.terms, term())
	}
	return c
}

// condition is positive where an even number of negations is above it.
func (t *diffTable) condition(depth int, positive bool) *diffCondition {
	if depth == 0 || t.IntN(6) == 0 {
		return t.atom(positive)
	}
	switch n := t.IntN(10); {
	case n < 2:
		return &diffCondition{op: "!", terms: []*diffCondition{t.condition(depth-1, !positive)}, words: t.IntN(4) == 0, bare: t.IntN(2) == 0}
	case n < 5:
		return t.join("&&", 2+t.IntN(2), func() *diffCondition { return t.condition(depth-1, positive) })
	}
	return t.join("||", 2+t.IntN(2), func() *diffCondition { return t.condition(depth-1, positive) })
}

// belongs compares a column with a claim or a parameter.
func (t *diffTable) belongs() *diffCondition {
	for range 20 {
		c := t.columns[t.IntN(len(t.columns))]
		if c.kind.family == famDocuments || c.kind.family == famOthers {
			continue
		}
		x := t.column(c)
		switch {
		case c.kind.list:
			return &diffCondition{op: "in", x: t.fromUserOrParams(x.family), y: x}
		case t.IntN(3) == 0:
			return &diffCondition{op: "in", x: t.maybeLower(x), y: t.userList(x.family)}
		}
		return t.swapped(&diffCondition{op: "==", x: t.maybeLower(x), y: t.fromUserOrParams(x.family)})
	}
	return t.atom(true)
}

func (t *diffTable) atom(positive bool) *diffCondition {
	if t.IntN(40) == 0 {
		truth := t.pick("t", "f")
		return &diffCondition{x: &diffOperand{source: fromTruth, values: []*string{&truth}}}
	}
	if t.IntN(10) == 0 {
		return t.aboutUser()
	}
	c := t.columns[t.IntN(len(t.columns))]
	x := t.column(c)
	switch {
	case c.kind.family == famOthers, x.loose && x.list && !positive, t.IntN(10) == 0 && c.kind.family != famDocuments:
		return t.nullTest(x)
	case c.kind.list:
		return &diffCondition{op: "in", x: t.maybeLower(t.other(x, false)), y: x}
	case c.kind.family == famDocuments:
		if t.IntN(5) == 0 {
			return t.nullTest(x)
		}
		x = t.below(c)
		if t.IntN(10) == 0 {
			return t.nullTest(x)
		}
	}
	return t.about(x, positive)
}

// about compares a scalar operand with something.
func (t *diffTable) about(x *diffOperand, positive bool) *diffCondition {
	if x.family == famFlags && t.IntN(2) == 0 {
		return &diffCondition{x: x}
	}
	x = t.maybeLower(x)
	switch n := t.IntN(10); {
	case x.loose && !positive:
	case n == 0:
		return &diffCondition{op: "in", x: x, y: t.literals(x)}
	case n < 3:
		return &diffCondition{op: "in", x: x, y: t.userList(x.family)}
	case n == 3:
		if y := t.otherColumn(x.family, true, positive); y != nil {
			return &diffCondition{op: "in", x: x, y: y}
		}
	}
	y := t.maybeLower(t.other(x, positive))
	return t.swapped(&diffCondition{op: t.comparison(x, y, positive), x: x, y: y})
}

// comparison is an operator that x and y have.
func (t *diffTable) comparison(x, y *diffOperand, positive bool) string {
	loose := x.loose || y.loose
	ops := []string{"==", "==", "!="}
	switch {
	case loose && positive:
		ops = []string{"=="}
	case loose:
		ops = []string{"!="}
	case x.family == famNumbers || x.family == famInstants || x.family == famDays || x.family == famUUIDs:
		ops = append(ops, "<", "<=", ">", ">=")
	}
	return t.pick(ops...)
}

// aboutUser reads no column.
func (t *diffTable) aboutUser() *diffCondition {
	c := diffClaims[t.IntN(len(diffClaims))]
	x := &diffOperand{source: fromUser, family: c.family, list: c.list, claim: c}
	switch {
	case t.IntN(8) == 0:
		return t.nullTest(x)
	case x.list:
		y := t.literal(x)
		if t.IntN(2) == 0 {
			y = t.fromUserOrParams(x.family)
		}
		return &diffCondition{op: "in", x: t.maybeLower(y), y: x}
	case x.family == famFlags && t.IntN(2) == 0:
		return &diffCondition{x: x}
	case t.IntN(4) == 0:
		return &diffCondition{op: "in", x: t.maybeLower(x), y: t.literals(x)}
	}
	y := t.literal(x)
	if t.IntN(3) == 0 {
		y = t.fromUserOrParams(x.family)
	}
	return t.swapped(&diffCondition{op: t.comparison(x, y, true), x: x, y: y})
}

func (t *diffTable) nullTest(x *diffOperand) *diffCondition {
	return t.swapped(&diffCondition{op: t.pick("==", "==", "!="), x: x, y: &diffOperand{source: fromNull}})
}

// swapped exchanges the sides of a comparison, sometimes.
func (t *diffTable) swapped(c *diffCondition) *diffCondition {
	if t.IntN(3) > 0 {
		return c
	}
	c.x, c.y = c.y, c.x
	if turned := map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<="}[c.op]; turned != "" {
		c.op = turned
	}
	return c
}

func (t *diffTable) maybeLower(x *diffOperand) *diffOperand {
	if x.family != famTexts || x.list || x.source == fromText || t.IntN(8) > 0 {
		return x
	}
	return &diffOperand{source: fromLower, family: famTexts, loose: x.loose, of: x}
}

func (t *diffTable) column(c diffColumn) *diffOperand {
	return &diffOperand{source: fromRow, family: c.kind.family, list: c.kind.list, loose: c.kind.loose, column: c}
}

// below is a path into a jsonb column.
func (t *diffTable) below(c diffColumn) *diffOperand {
	o := &diffOperand{source: fromRow, family: famTexts, column: c}
	for range 1 + t.IntN(2) {
		o.path = append(o.path, t.pick(documentKeys...))
	}
	return o
}

// other is a scalar to compare with x or with its elements, from anywhere.
func (t *diffTable) other(x *diffOperand, positive bool) *diffOperand {
	switch n := t.IntN(10); {
	case n < 4:
		return t.fromUserOrParams(x.family)
	case n < 6:
		if o := t.otherColumn(x.family, false, positive); o != nil {
			return o
		}
	}
	return t.literal(x)
}

// otherColumn is a column of the family; nil if there is none.
func (t *diffTable) otherColumn(f diffFamily, list, positive bool) *diffOperand {
	for range 8 {
		c := t.columns[t.IntN(len(t.columns))]
		switch {
		case c.kind.loose && !positive:
		case c.kind.family == f && c.kind.list == list:
			return t.column(c)
		case f == famTexts && !list && c.kind.family == famDocuments:
			return t.below(c)
		}
	}
	return nil
}

func (t *diffTable) fromUserOrParams(f diffFamily) *diffOperand {
	from, declared := fromUser, diffClaims
	if t.IntN(5) == 0 {
		from, declared = fromParams, diffParams
	}
	for {
		if c := declared[t.IntN(len(declared))]; c.family == f && !c.list {
			return &diffOperand{source: from, family: f, claim: c}
		}
	}
}

func (t *diffTable) userList(f diffFamily) *diffOperand {
	for {
		if c := diffClaims[t.IntN(len(diffClaims))]; c.family == f && c.list {
			return &diffOperand{source: fromUser, family: f, list: true, claim: c}
		}
	}
}

// literal is one that can stand beside x.
func (t *diffTable) literal(x *diffOperand) *diffOperand {
	v := t.scalar(x.family, x.writable())
	return &diffOperand{source: fromText, family: x.family, trims: x.padded(), values: []*string{&v}}
}

func (t *diffTable) literals(x *diffOperand) *diffOperand {
	o := &diffOperand{source: fromText, family: x.family, list: true, trims: x.padded()}
	for range 1 + t.IntN(3) {
		o.values = append(o.values, t.orNull(func() string { return t.scalar(x.family, x.writable()) }))
	}
	return o
}

func (o *diffOperand) padded() bool { return o.source == fromRow && o.column.kind.padded }

// writable says which values of its family a literal beside o can be. Beside an integer a literal without a
// point must be a bigint.
func (o *diffOperand) writable() func(string) bool {
	switch {
	case o.family != famNumbers:
		return nil
	case o.source == fromRow && o.column.kind.integer, (o.source == fromUser || o.source == fromParams) && o.claim.integer():
		return func(s string) bool { return plainNumber(s) && (strings.Contains(s, ".") || integerOf(64)(s)) }
	}
	return plainNumber
}
