package filter

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Source is a channel's rule as the configuration has it.
type Source struct {
	// Where and Allow are the expressions; nil is TRUE.
	Where, Allow Node
	// Public: the channel has no users, so that a claim in it is a problem.
	Public bool
	Table  *Table
	Claims []Claim
	Params []Parameter
}

// Part says which expression of the rule a position is in.
type Part uint8

// The parts.
const (
	Where Part = iota + 1
	Allow
)

// Problem is what [Compile] has against a rule, or what a person should know of it.
type Problem struct {
	Part Part
	// Warning: the rule can be used.
	Warning bool
	Error
}

// Program is a checked rule with its plan. Immutable; safe for concurrent use.
//
// The filter is F = where && allow in negation normal form. Its top-level conjuncts
// that read only the row are evaluated once per row image ([Image.Once]); those that
// read only user and parameters once per subscription ([Program.Bind]); the rest is a
// disjunction. F is TRUE for a row and a binding iff Once is TRUE, the binding exists,
// and for some disjunct that is live in the binding one of the row's keys is among the
// binding's and the residual is TRUE.
type Program struct {
	table  *Table
	claims []Claim
	params []Parameter
	// slots and bound are the operands that are not literals, each once.
	slots []slot
	bound []bound
	// roots are where and allow as they are written, those that there are.
	roots []*cond

	// once and gate are the conjuncts that read only the row, and only user and parameters.
	once, gate []*cond
	// disjuncts are what remains. Invariant: 1 to maxDisjuncts.
	disjuncts []disjunct

	// strict are columns, by index in Table.Columns, under != or !.
	strict map[int]bool
	// labels are those that stand beside a column of an enum, by index in Table.Columns.
	labels map[int][]string
	print  string
}

// Compile checks a rule against its table and plans it. Without errors among the
// problems the program is not nil. Problems are in the order of the text, where before allow;
// warnings come only without errors.
func Compile(s Source) (*Program, []Problem) {
	c := newChecker(&s)
	c.inferParams()
	where := c.expression(Where, s.Where)
	allow := c.expression(Allow, s.Allow)
	c.checkParams()
	if len(c.problems) > 0 {
		sortProblems(c.problems)
		return nil, c.problems
	}
	p := &Program{
		table: s.Table, claims: s.Claims, params: c.params,
		slots: c.slots, bound: c.bound, strict: c.strict, labels: c.labels,
	}
	for _, root := range []*cond{where, allow} {
		if root != nil {
			p.roots = append(p.roots, root)
		}
	}
	p.plan()
	p.print = p.fingerprint(&s)
	return p, p.warnings()
}

func sortProblems(all []Problem) {
	slices.SortStableFunc(all, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Part, b.Part), cmp.Compare(a.Pos, b.Pos))
	})
}

// Params are the rule's parameters with their types, inferred where they were not
// declared.
func (p *Program) Params() []Parameter { return slices.Clone(p.params) }

// Disjuncts is their number, from 1 to 16. A rule whose filter does not depend on user and
// parameters has one, without a key: its one audience is everybody.
func (p *Program) Disjuncts() int { return len(p.disjuncts) }

// Exact reports that a disjunct has no residual: a row that has Once and one of the postings has it
// all.
func (p *Program) Exact(disjunct int) bool { return len(p.disjuncts[disjunct].rest) == 0 }

// Fingerprint changes whenever the rule would give another verdict for some row.
func (p *Program) Fingerprint() string { return p.print }

// fingerprint is made of the expressions in canonical form and of the types of all that
// they read.
func (p *Program) fingerprint(s *Source) string {
	var b strings.Builder
	for _, n := range []Node{s.Where, s.Allow} {
		if n == nil {
			n = &Literal{Kind: Bool, Text: "true"}
		}
		fmt.Fprintf(&b, "%q", n.String())
	}
	fmt.Fprintf(&b, "%t", s.Public)
	for i := range p.slots {
		fmt.Fprintf(&b, "%q:%d,%t", p.slots[i].expr, p.slots[i].typ.Class, p.slots[i].typ.List)
	}
	for i := range p.bound {
		t := &p.bound[i].typ
		fmt.Fprintf(&b, "%q:%d,%t,%q", p.bound[i].expr, t.Class, t.List, t.Name)
	}
	for i := range p.params {
		fmt.Fprintf(&b, "%q:%d,%q", p.params[i].Name, p.params[i].Type.Class, p.params[i].Type.Name)
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:])
}
