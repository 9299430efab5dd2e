package filter

import "slices"

// maxDisjuncts bounds the index entries of a subscription.
const maxDisjuncts = 16

// disjunct is a conjunction: TRUE iff all of its parts are.
type disjunct struct {
	// row reads only the row, evaluated once per image; user only user and parameters,
	// evaluated once per binding.
	row, user []*cond
	// keys are equalities between row and binding that are looked up instead of
	// evaluated. Invariant: at most one is not keyEq, and that is the last.
	keys []keyPart
	// rest is evaluated per row and binding; reads are the bound operands of it.
	rest  []*cond
	reads []int
}

// keyKind is how a part of a key is looked up.
type keyKind uint8

const (
	keyEq     keyKind = iota + 1 // row value == bound value
	keyMember                    // row value in bound list: a posting per element
	keyEach                      // bound value in array column: a probe per element
)

type keyPart struct {
	kind       keyKind
	class      Class
	row, bound *operand
}

// plan splits the filter into once, gate and disjuncts.
func (p *Program) plan() {
	var mixed []*cond
	for _, root := range p.roots {
		for _, c := range conjuncts(nil, root.simplify()) {
			switch c.reads {
			case readsRow:
				p.once = append(p.once, c)
			case readsBound:
				p.gate = append(p.gate, c)
			default:
				mixed = append(mixed, c)
			}
		}
	}
	for _, terms := range product(mixed) {
		p.disjuncts = append(p.disjuncts, newDisjunct(terms))
	}
}

// conjuncts appends the terms of && at the top of c, or c itself; nothing for TRUE.
func conjuncts(dst []*cond, c *cond) []*cond {
	switch c.op {
	case condTrue:
		return dst
	case condAnd:
		for _, t := range c.terms {
			dst = conjuncts(dst, t)
		}
		return dst
	}
	return append(dst, c)
}

// disjunction is c as a disjunction of conjunctions, at most maxDisjuncts: what would
// become more stays whole. Parts that read only the row, or nothing of it, stay whole too.
func disjunction(c *cond) [][]*cond {
	if c.reads != readsRow|readsBound {
		return [][]*cond{{c}}
	}
	switch c.op {
	case condAnd:
		return product(c.terms)
	case condOr:
		var all [][]*cond
		for _, t := range c.terms {
			all = append(all, disjunction(t)...)
		}
		if len(all) <= maxDisjuncts {
			return all
		}
	}
	return [][]*cond{{c}}
}

// product is the conjunction of terms as a disjunction. A term that would make it too
// large stays whole, and the keys of the others are kept.
func product(terms []*cond) [][]*cond {
	all := [][]*cond{nil}
	for _, t := range terms {
		ds := disjunction(t)
		if len(all)*len(ds) > maxDisjuncts {
			ds = [][]*cond{{t}}
		}
		var next [][]*cond
		for _, a := range all {
			for _, d := range ds {
				next = append(next, append(a[:len(a):len(a)], d...))
			}
		}
		all = next
	}
	return all
}

func newDisjunct(terms []*cond) disjunct {
	var d disjunct
	var in *keyPart
	for _, c := range terms {
		k, ok := asKey(c)
		switch {
		case c.reads == readsRow:
			d.row = append(d.row, c)
		case c.reads != readsRow|readsBound:
			d.user = append(d.user, c)
		case ok && k.kind == keyEq:
			d.keys = append(d.keys, k)
		case ok && in == nil:
			in = &k
		default:
			d.rest = append(d.rest, c)
			d.reads = boundOperands(d.reads, c)
		}
	}
	if in != nil {
		d.keys = append(d.keys, *in)
	}
	slices.Sort(d.reads)
	d.reads = slices.Compact(d.reads)
	return d
}

// boundOperands appends the bound operands of a condition.
func boundOperands(dst []int, c *cond) []int {
	c.walk(func(c *cond) {
		for _, o := range c.operands() {
			if o.source == fromBinding {
				dst = append(dst, int(o.index))
			}
		}
	})
	return dst
}

// asKey reads a condition as a part of a key.
func asKey(c *cond) (k keyPart, ok bool) {
	if c.op != condEq && c.op != condIn {
		return k, false
	}
	k = keyPart{kind: keyEq, class: c.class, row: &c.x, bound: &c.y}
	fromLeft := c.x.source == fromRow
	if !fromLeft {
		k.row, k.bound = k.bound, k.row
	}
	if c.op == condIn {
		k.kind = keyMember
		if !fromLeft {
			k.kind = keyEach
		}
	}
	return k, k.row.source == fromRow && k.bound.source == fromBinding
}
