package filter

import (
	"strconv"
	"strings"

	"github.com/walrelay/walrelay/change"
)

// SQL is a condition on the table's columns, quoted and unqualified, that is TRUE for every row for which Eval
// is TRUE, and the values of its parameters $1, $2, ... as text. It has no values in it, and no
// value of a row is cast, so that it cannot fail on data. "TRUE" when nothing can be said, "FALSE"
// where no row can be in the set.
//
// It is made for a search_path of pg_catalog.
func (b *Binding) SQL() (condition string, args []string) {
	all := &sqlTerm{op: condAnd}
	for _, root := range b.program.roots {
		all.terms = append(all.terms, b.over(root))
	}
	var w sqlWriter
	w.term(all.fold())
	return w.text.String(), w.args
}

// sqlTerm is a condition that is TRUE wherever the one it was made from is. op is
// condTrue, condFalse, condAnd, condOr, or another one for a comparison.
type sqlTerm struct {
	op    condOp
	terms []*sqlTerm
	write func(*sqlWriter)
}

// over approximates a condition from above. Negation is only in comparisons, so && and
// || of what is too large is too large at most.
func (b *Binding) over(c *cond) *sqlTerm {
	switch {
	case c.op == condAnd || c.op == condOr:
		t := &sqlTerm{op: c.op}
		for _, term := range c.terms {
			t.terms = append(t.terms, b.over(term))
		}
		return t.fold()
	case c.reads&readsRow == 0:
		return &sqlTerm{op: truthOp(c.eval(nil, b) == True)}
	case !b.program.pushable(c):
		return &sqlTerm{op: condTrue}
	}
	return b.comparison(c)
}

// fold removes constants.
func (t *sqlTerm) fold() *sqlTerm {
	if t.op != condAnd && t.op != condOr {
		return t
	}
	absorbing, neutral := condFalse, condTrue
	if t.op == condOr {
		absorbing, neutral = neutral, absorbing
	}
	var terms []*sqlTerm
	for _, x := range t.terms {
		switch {
		case x.op == absorbing:
			return x
		case x.op == t.op:
			terms = append(terms, x.terms...)
		case x.op != neutral:
			terms = append(terms, x)
		}
	}
	switch len(terms) {
	case 0:
		return &sqlTerm{op: neutral}
	case 1:
		return terms[0]
	}
	return &sqlTerm{op: t.op, terms: terms}
}

// pushable reports whether Postgres can compare in the same way: plain columns,
// no citext, and no domains over enums, which have no operators without a cast.
func (p *Program) pushable(c *cond) bool {
	if !p.isColumn(&c.x) {
		return false
	}
	if !c.hasY() {
		return true
	}
	if !p.isColumn(&c.y) {
		return false
	}
	for _, o := range c.operands() {
		if o.source != fromRow {
			continue
		}
		if t := p.column(o).scalar(); isCitext(t) || c.class == ClassEnum && t.Base != "" {
			return false
		}
	}
	return !p.paddedDiffer(c)
}

// paddedDiffer reports a char(n) that must differ from a column of another type. Beside a
// varchar Postgres takes that for a char(n) too, so that blanks at its end make no difference.
func (p *Program) paddedDiffer(c *cond) bool {
	if c.op != condNe && c.op != condNotIn || c.x.source != fromRow || c.y.source != fromRow {
		return false
	}
	return isPadded(p.column(&c.x).scalar().BaseName()) != isPadded(p.column(&c.y).scalar().BaseName())
}

// isColumn reports whether an operand is a column, if it is of the row at all.
func (p *Program) isColumn(o *operand) bool {
	return o.source != fromRow || p.slots[o.index].kind == slotColumn
}

// column is the column of a row operand.
func (p *Program) column(o *operand) *Column { return &p.table.Columns[p.slots[o.index].column] }

// scalar is the type of a column or, of an array, of its elements.
func (c *Column) scalar() *change.Type {
	if c.Type.Kind == change.KindArray && c.Type.Elem != nil {
		return c.Type.Elem
	}
	return c.Type
}

// comparison is a comparison that Postgres can make. A NULL on our side decides it, and
// so does an empty list.
func (b *Binding) comparison(c *cond) *sqlTerm {
	if !c.hasY() {
		return b.sqlNullTest(c)
	}
	w := &comparison{c: c, program: b.program}
	t := &sqlTerm{op: c.op, write: w.write}
	if c.x.source == fromRow && c.y.source == fromRow {
		return t
	}
	mine := &c.y
	if c.x.source != fromRow {
		mine = &c.x
	}
	d := mine.value(nil, b)
	if w.values = d.list; !mine.typ.List {
		w.values = []value{d.v}
	}
	switch {
	case d.v.state != isSet && c.op == condNotIn && !mine.typ.List:
		return &sqlTerm{op: condTrue} // NOT (NULL = ANY(array)) is TRUE for an empty array
	case d.v.state != isSet:
		return &sqlTerm{op: condFalse}
	case len(w.values) == 0:
		return &sqlTerm{op: truthOp(c.op == condNotIn)}
	case c.class == ClassEnum && !w.haveLabels():
		return &sqlTerm{op: condTrue} // the cast would fail, and the row may have a label that is new
	}
	return t
}

// sqlNullTest: IS NULL of a composite asks for its fields, not for itself.
func (b *Binding) sqlNullTest(c *cond) *sqlTerm {
	is, not := " IS NULL", " IS NOT NULL"
	if b.program.column(&c.x).Type.Kind == change.KindComposite {
		is, not = " IS NOT DISTINCT FROM NULL", " IS DISTINCT FROM NULL"
	}
	if c.op == condNotNull {
		is = not
	}
	return &sqlTerm{op: c.op, write: func(w *sqlWriter) {
		w.column(b.program.column(&c.x))
		w.text.WriteString(is)
	}}
}

// sqlWriter writes conditions and collects their parameters.
type sqlWriter struct {
	text strings.Builder
	args []string
}

// term writes a folded term.
func (w *sqlWriter) term(t *sqlTerm) {
	switch t.op {
	case condTrue:
		w.text.WriteString("TRUE")
	case condFalse:
		w.text.WriteString("FALSE")
	case condAnd:
		w.joined(t.terms, " AND ")
	case condOr:
		w.joined(t.terms, " OR ")
	default:
		t.write(w)
	}
}

func (w *sqlWriter) joined(terms []*sqlTerm, op string) {
	w.text.WriteByte('(')
	for i, t := range terms {
		if i > 0 {
			w.text.WriteString(op)
		}
		w.term(t)
	}
	w.text.WriteByte(')')
}

func (w *sqlWriter) column(c *Column) {
	w.text.WriteString(`"` + strings.ReplaceAll(c.Name, `"`, `""`) + `"`)
}

// param adds a parameter of a type.
func (w *sqlWriter) param(text, cast string) {
	w.args = append(w.args, text)
	w.text.WriteString("$" + strconv.Itoa(len(w.args)) + "::" + cast)
}
