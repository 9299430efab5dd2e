package filter

// condOp is the operator of a condition in negation normal form.
type condOp uint8

const (
	condFalse condOp = iota
	condTrue
	condAnd
	condOr
	condNull
	condNotNull
	condEq
	condNe
	condLt
	condLe
	condGt
	condGe
	condIn
	condNotIn
)

// negation gives NOT x for the operators of comparisons. It holds in SQL's logic
// too: both sides are unknown for the same operands.
var negation = [...]condOp{
	condFalse: condTrue, condTrue: condFalse,
	condNull: condNotNull, condNotNull: condNull,
	condEq: condNe, condNe: condEq,
	condLt: condGe, condGe: condLt, condGt: condLe, condLe: condGt,
	condIn: condNotIn, condNotIn: condIn,
}

// reads says what a condition depends on.
type reads uint8

const (
	readsRow   reads = 1 << iota
	readsBound       // user or parameters
)

// cond is a condition in negation normal form: negation is only in the operators of
// its comparisons. That is what makes Truth a chain, see [Truth].
type cond struct {
	op condOp
	// class is how x and y compare.
	class Class
	reads reads
	part  Part
	// terms of && and ||. Invariant: at least two.
	terms []*cond
	// x is an operand of every comparison, y of those with two; of condIn and
	// condNotIn y is the list. They stand in the order of the text.
	x, y operand
	// src is what the condition was written as; negated: below an odd number of "!".
	src     Node
	negated bool
}

// node is the condition as it is written.
func (c *cond) node() Node {
	if c.negated {
		return &Not{X: c.src}
	}
	return c.src
}

// text is the condition in the words of the rule.
func (c *cond) text() string { return c.node().String() }

// isAtom reports whether the condition is a comparison.
func (c *cond) isAtom() bool { return c.op >= condNull }

// hasY reports whether the comparison has a second operand.
func (c *cond) hasY() bool { return c.op >= condEq }

// operands of the comparison that are not literals, in the order of the text.
func (c *cond) operands() []*operand {
	var all []*operand
	if c.isAtom() && c.x.source != fromText {
		all = append(all, &c.x)
	}
	if c.hasY() && c.y.source != fromText {
		all = append(all, &c.y)
	}
	return all
}

// walk visits the condition and all below it.
func (c *cond) walk(visit func(*cond)) {
	visit(c)
	for _, t := range c.terms {
		t.walk(visit)
	}
}

// simplify removes constants. The result may be a constant itself.
func (c *cond) simplify() *cond {
	if c.op != condAnd && c.op != condOr {
		return c
	}
	absorbing, neutral := condFalse, condTrue
	if c.op == condOr {
		absorbing, neutral = condTrue, condFalse
	}
	out := *c
	out.terms = nil
	for _, t := range c.terms {
		switch t = t.simplify(); t.op {
		case absorbing:
			return t
		case neutral:
		default:
			out.terms = append(out.terms, t)
		}
	}
	switch len(out.terms) {
	case 0:
		return &cond{op: neutral, part: c.part, src: c.src, negated: c.negated}
	case 1:
		return out.terms[0]
	}
	return &out
}
