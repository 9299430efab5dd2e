package filter

import (
	"strconv"
	"strings"

	"github.com/walrelay/walrelay/change"
)

// Step is one part of the filter with what it was for a row.
type Step struct {
	Part Part
	// Depth of the part in the filter: a term of a && or || is one deeper.
	Depth int
	// Expr is the part as it is written; Values are its operands that are not
	// literals, such as row.status = "paid", in the order of the text. Empty for && and ||.
	Expr   string
	Values []string
	// Truth with the reason in words where it is Unknown or Open.
	Truth  Truth
	Reason string
}

// Explain evaluates every part, for walrelay explain. The claims may be shown to who
// asks.
func (b *Binding) Explain(im *Image) []Step {
	var steps []Step
	for _, root := range b.program.roots {
		steps = b.explain(steps, root, im, 0)
	}
	return steps
}

// explain appends the steps of c and all below it.
func (b *Binding) explain(steps []Step, c *cond, im *Image, depth int) []Step {
	at := len(steps)
	steps = append(steps, Step{Part: c.part, Depth: depth, Expr: c.text(), Truth: c.eval(im, b)})
	for _, t := range c.terms {
		term := len(steps)
		steps = b.explain(steps, t, im, depth+1)
		if s := &steps[at]; s.Reason == "" && s.Truth == steps[term].Truth {
			s.Reason = steps[term].Reason
		}
	}
	s := &steps[at]
	for _, o := range c.operands() {
		s.Values = append(s.Values, o.node.String()+" = "+showDatum(&o.typ, o.value(im, b)))
	}
	if c.isAtom() && (s.Truth == Unknown || s.Truth == Open) {
		s.Reason = b.reason(c, im, s.Truth)
	}
	return steps
}

// reason says which operand leaves the truth of a comparison open.
func (b *Binding) reason(c *cond, im *Image, t Truth) string {
	for _, o := range c.operands() {
		d := o.value(im, b)
		switch {
		case t == Open && d.v.state == isOpen:
			return im.absence(o)
		case t == Unknown && d.v.state == isNull:
			return o.node.String() + " is NULL"
		case t == Unknown && d.v.state == isMute:
			return o.node.String() + " is an object or an array"
		}
	}
	return c.y.node.String() + " has a NULL in it"
}

// absence says why a row operand is not known.
func (im *Image) absence(o *operand) string {
	i, name := int(o.index), o.node.String()
	for im.program.slots[i].kind != slotColumn {
		i = im.program.slots[i].base
	}
	if at := im.layout.places[i].index; at < len(im.row) {
		switch im.row[at].Kind {
		case change.Text:
			return name + " cannot be read: the server sent what is no " + im.program.slots[i].typ.Name
		case change.Unchanged:
			return name + " was not sent: an UPDATE did not touch it and it is stored apart (TOAST)"
		case change.Omitted:
			return name + " was left out: the row is larger than max_event_bytes"
		}
	}
	return name + " was not sent: it is not in the table's replica identity"
}

// maxShownElems bounds what a step shows of a list.
const maxShownElems = 10

// showDatum is a value as a person reads it.
func showDatum(t *Type, d *datum) string {
	switch {
	case d.v.state == isNull:
		return "NULL"
	case d.v.state == isMute:
		return "an object or an array"
	case d.v.state == isOpen:
		return "?"
	case !t.List:
		return showValue(t, d.v)
	}
	var shown []string
	elem := t.element()
	for i, v := range d.list {
		if i == maxShownElems {
			shown = append(shown, "... ("+strconv.Itoa(len(d.list))+" elements)")
			break
		}
		shown = append(shown, showValue(&elem, v))
	}
	return "[" + strings.Join(shown, ", ") + "]"
}

func showValue(t *Type, v value) string {
	if v.state != isSet {
		return "NULL"
	}
	switch t.Class {
	case ClassBool:
		return strconv.FormatBool(v.n != 0)
	case ClassNumber:
		return shorten(v.text(*t))
	case ClassOpaque, ClassJSON:
		return quote(shorten(string(v.s)))
	}
	return quote(shorten(v.text(*t)))
}
