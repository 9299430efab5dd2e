package filter

import (
	"slices"
	"strconv"
	"strings"
)

// comparison writes one comparison as SQL.
type comparison struct {
	c       *cond
	program *Program
	// values are those of the side that is not of the row, of a list its elements.
	// Invariant: at least one, unless both sides are of the row.
	values []value
}

// sqlOps are the operators of comparisons with one value.
var sqlOps = [...]string{condEq: " = ", condNe: " <> ", condLt: " < ", condLe: " <= ", condGt: " > ", condGe: " >= "}

func (x *comparison) write(w *sqlWriter) {
	c := x.c
	switch {
	case c.class == ClassBool && x.isFlag():
		x.writeFlag(w)
	case c.op == condIn || c.op == condNotIn:
		x.operand(w, &c.x)
		w.text.WriteString(map[condOp]string{condIn: " = ANY(", condNotIn: " <> ALL("}[c.op])
		x.operand(w, &c.y)
		x.collate(w)
		w.text.WriteByte(')')
	default:
		x.operand(w, &c.x)
		w.text.WriteString(sqlOps[c.op])
		x.operand(w, &c.y)
		x.collate(w)
	}
}

// isFlag reports a comparison of a column with true or false.
func (x *comparison) isFlag() bool {
	return (x.c.op == condEq || x.c.op == condNe) && (x.c.x.source == fromText || x.c.y.source == fromText)
}

func (x *comparison) writeFlag(w *sqlWriter) {
	if (x.values[0].n != 0) != (x.c.op == condEq) {
		w.text.WriteString("NOT ")
	}
	flag := &x.c.x
	if flag.source != fromRow {
		flag = &x.c.y
	}
	w.column(x.program.column(flag))
}

func (x *comparison) operand(w *sqlWriter, o *operand) {
	switch {
	case o.source == fromRow:
		w.column(x.program.column(o))
	case o.typ.List:
		w.param(x.array(o.typ.element()), x.cast()+"[]")
	default:
		w.param(x.values[0].text(o.typ), x.cast())
	}
}

// collate ends a comparison of two text columns: with different collations Postgres
// would not know which one to take.
func (x *comparison) collate(w *sqlWriter) {
	if x.c.class == ClassText && len(x.values) == 0 {
		w.text.WriteString(` COLLATE "C"`)
	}
}

// haveLabels reports whether all values are labels of the enum.
func (x *comparison) haveLabels() bool {
	labels := x.rowColumn().scalar().Labels
	return !slices.ContainsFunc(x.values, func(v value) bool {
		return v.state == isSet && !slices.Contains(labels, string(v.s))
	})
}

// rowColumn is the column of a comparison that has only one.
func (x *comparison) rowColumn() *Column {
	if x.c.x.source == fromRow {
		return x.program.column(&x.c.x)
	}
	return x.program.column(&x.c.y)
}

// cast is the type that the values are given. Numbers that fit go as bigint, so that an
// index on a column of integers can be used.
func (x *comparison) cast() string {
	switch x.c.class {
	case ClassBool:
		return "boolean"
	case ClassUUID:
		return "uuid"
	case ClassTimestamptz:
		return "timestamptz"
	case ClassDate:
		return "date"
	case ClassEnum:
		return x.rowColumn().scalar().Name
	case ClassText:
		return x.textCast()
	}
	for _, v := range x.values {
		if _, err := strconv.ParseInt(string(v.s), 10, 64); v.state == isSet && err != nil {
			return "numeric"
		}
	}
	return "bigint"
}

// textCast: a char(n) column that equals a char(n) can be found by its index, and equals
// more than one that equals a text; so it must not be asked what differs.
func (x *comparison) textCast() string {
	c := x.c
	if c.x.source == fromRow && c.op == condIn || c.op == condEq {
		if isPadded(x.rowColumn().scalar().BaseName()) {
			return "bpchar"
		}
	}
	return "text"
}

// array is the values as an array's text, every element in quotes.
func (x *comparison) array(elem Type) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, v := range x.values {
		if i > 0 {
			b.WriteByte(',')
		}
		if v.state != isSet {
			b.WriteString("NULL")
			continue
		}
		b.WriteByte('"')
		b.WriteString(escapeElement.Replace(v.text(elem)))
		b.WriteByte('"')
	}
	b.WriteByte('}')
	return b.String()
}

var escapeElement = strings.NewReplacer(`\`, `\\`, `"`, `\"`)
