package filter

import "slices"

// checker resolves names, checks types, and turns the expressions of a rule into
// negation normal form. It collects all problems.
type checker struct {
	src      *Source
	part     Part
	problems []Problem

	slots   []slot
	bound   []bound
	slotOf  map[string]int // by expr
	boundOf map[string]int // by expr
	strict  map[int]bool
	labels  map[int][]string

	// params have the inferred types; paramState by the same index.
	params     []Parameter
	paramState []paramState
}

func newChecker(s *Source) *checker {
	return &checker{
		src: s, slotOf: map[string]int{}, boundOf: map[string]int{}, strict: map[int]bool{}, labels: map[int][]string{},
		params: slices.Clone(s.Params), paramState: make([]paramState, len(s.Params)),
	}
}

func (c *checker) problem(pos Pos, format string, args ...any) {
	c.problems = append(c.problems, Problem{Part: c.part, Error: *errorf(pos, format, args...)})
}

// expression checks where or allow; nil is TRUE and gives nil.
func (c *checker) expression(part Part, n Node) *cond {
	if n == nil {
		return nil
	}
	c.part = part
	before := len(c.problems)
	root := c.condition(n, false)
	switch {
	case root != nil && len(c.problems) == before:
		c.checkConstant(root, n)
	case root == nil && len(c.problems) == 0: // fail closed: nil would be TRUE
		c.problem(n.Pos(), "this cannot be checked")
	}
	return root
}

// checkConstant refuses an expression that is the same for every row and user. Only
// `true` itself can be meant.
func (c *checker) checkConstant(root *cond, n Node) {
	switch root.simplify().op {
	case condFalse:
		c.problem(n.Pos(), "this is never true: nobody would get a row")
	case condTrue:
		if _, literal := n.(*Literal); !literal {
			c.problem(n.Pos(), "this is always true; if that is meant, write true")
		}
	}
}

// condition checks n; negated says that it stands below an odd number of "!". The result
// is nil where there is a problem.
func (c *checker) condition(n Node, negated bool) *cond {
	switch n := n.(type) {
	case *Or:
		return c.joined(n, n.Terms, condOr, negated)
	case *And:
		return c.joined(n, n.Terms, condAnd, negated)
	case *Not:
		return c.condition(n.X, !negated)
	case *Compare:
		return c.compare(n, negated)
	case *In:
		return c.in(n, negated)
	case *Literal:
		if n.Kind == Bool {
			return c.made(&cond{op: truthOp(n.Text == "true")}, n, negated)
		}
	}
	return c.bare(n, negated)
}

func truthOp(b bool) condOp {
	if b {
		return condTrue
	}
	return condFalse
}

// made completes a comparison or constant.
func (c *checker) made(x *cond, n Node, negated bool) *cond {
	x.src, x.part, x.negated = n, c.part, negated
	if negated {
		x.op = negation[x.op]
	}
	for _, o := range x.operands() {
		if o.source == fromRow {
			x.reads |= readsRow
		} else {
			x.reads |= readsBound
		}
	}
	if x.op == condNe || x.op == condNotIn {
		c.refuseLoose(x)
	}
	if x.class == ClassEnum {
		c.noteLabels(x.x, x.y)
		c.noteLabels(x.y, x.x)
	}
	return x
}

// noteLabels remembers the labels that stand beside a column of an enum.
func (c *checker) noteLabels(o, other operand) {
	if o.source != fromRow || other.source != fromText {
		return
	}
	column := c.slots[o.index].column
	for _, v := range append([]value{other.lit.v}, other.lit.list...) {
		if v.state == isSet && v.s != nil {
			c.labels[column] = append(c.labels[column], string(v.s))
		}
	}
}

// refuseLoose refuses a negation over values that may be equal in Postgres although
// their bytes differ: the row would be shown where Postgres would not.
func (c *checker) refuseLoose(x *cond) {
	for _, o := range x.operands() {
		if o.source != fromRow {
			continue
		}
		i := c.slots[o.index].column
		c.strict[i] = true
		if col := &c.src.Table.Columns[i]; col.Loose {
			c.problem(o.node.Pos(), "values of row.%s that differ may be equal in Postgres (%s), so it cannot stand under != or !",
				printName(col.Name), looseReason(col))
		}
	}
}

func looseReason(col *Column) string {
	if isCitext(col.Type) {
		return typeOf(col.Type).Name
	}
	return "its collation is not deterministic"
}

// joined checks the terms of && or ||.
func (c *checker) joined(n Node, terms []Node, op condOp, negated bool) *cond {
	if negated {
		op = condAnd + condOr - op
	}
	x := &cond{op: op, src: n, negated: negated, part: c.part}
	ok := true
	for _, t := range terms {
		term := c.condition(t, negated)
		if term == nil {
			ok = false
			continue
		}
		x.terms = append(x.terms, term)
		x.reads |= term.reads
	}
	if !ok {
		return nil
	}
	return x
}

// bare checks a value that stands as a condition: x is x == true.
func (c *checker) bare(n Node, negated bool) *cond {
	if l, ok := n.(*Literal); ok {
		c.problem(n.Pos(), "%s is not a condition", l)
		return nil
	}
	if _, ok := n.(*List); ok {
		c.problem(n.Pos(), "a list is not a condition")
		return nil
	}
	x, ok := c.operand(n)
	if !ok {
		return nil
	}
	if x.typ.Class != ClassBool || x.typ.List {
		c.problem(n.Pos(), "%s is %s and not a condition; compare it, for example %[1]s == ...", n, x.typ.Name)
		return nil
	}
	yes := &datum{v: value{state: isSet, n: 1}}
	return c.made(&cond{op: condEq, class: ClassBool, x: x, y: operand{source: fromText, lit: yes, written: &written{x.typ, n}}}, n, negated)
}
