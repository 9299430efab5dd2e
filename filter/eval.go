package filter

import (
	"bytes"

	"github.com/walrelay/walrelay/change"
)

// eval is the condition's truth. A nil image or binding is allowed where the
// condition does not read it.
func (c *cond) eval(im *Image, b *Binding) Truth {
	switch c.op {
	case condEq:
		x, y := c.x.value(im, b), c.y.value(im, b)
		if x.v.state == isSet && y.v.state == isSet {
			return truth(c.equal(&x.v, &y.v))
		}
		return undecided(x, y)
	case condAnd:
		return least(c.terms, im, b)
	case condOr:
		return greatest(c.terms, im, b)
	case condFalse:
		return False
	case condTrue:
		return True
	case condNull, condNotNull:
		return nullTest(c.op == condNull, c.x.value(im, b))
	case condIn, condNotIn:
		return c.evalIn(c.x.value(im, b), c.y.value(im, b))
	}
	return c.evalCompare(c.x.value(im, b), c.y.value(im, b))
}

// least is the conjunction of terms.
func least(terms []*cond, im *Image, b *Binding) Truth {
	t := True
	for _, term := range terms {
		if t = min(t, term.eval(im, b)); t == False {
			break
		}
	}
	return t
}

// greatest is the disjunction of terms.
func greatest(terms []*cond, im *Image, b *Binding) Truth {
	t := False
	for _, term := range terms {
		if t = max(t, term.eval(im, b)); t == True {
			break
		}
	}
	return t
}

func truth(b bool) Truth {
	t := False
	if b {
		t = True
	}
	return t
}

// equal is the equality of values; that of integers and texts is decided by their bytes.
func (c *cond) equal(x, y *value) bool {
	switch c.class {
	case ClassNumber:
		if bytes.Equal(x.s, y.s) {
			return true
		}
		if change.IsPlainInteger(x.s) && change.IsPlainInteger(y.s) {
			return false
		}
	case ClassText, ClassUUID, ClassEnum:
		return bytes.Equal(x.s, y.s)
	}
	return equal(c.class, *x, *y)
}

func nullTest(want bool, x *datum) Truth {
	if x.v.state == isOpen {
		return Open
	}
	return truth((x.v.state == isNull) == want)
}

// undecided is a comparison of values that are not both set.
func undecided(x, y *datum) Truth {
	if x.v.state.never() || y.v.state.never() {
		return Unknown // whatever the other one is
	}
	return Open
}

// never reports that no comparison with the value is TRUE or FALSE.
func (s valueState) never() bool { return s == isNull || s == isMute }

func (c *cond) evalCompare(x, y *datum) Truth {
	if x.v.state != isSet || y.v.state != isSet {
		return undecided(x, y)
	}
	if c.op == condNe {
		return truth(!c.equal(&x.v, &y.v))
	}
	order := compare(c.class, x.v, y.v)
	switch c.op {
	case condLt:
		return truth(order < 0)
	case condLe:
		return truth(order <= 0)
	case condGt:
		return truth(order > 0)
	}
	return truth(order >= 0)
}

// evalIn is x = ANY(list), or NOT of it: an empty list decides even for NULL, a NULL
// list never does, and a NULL element leaves open what no other element decides.
func (c *cond) evalIn(x, list *datum) Truth {
	in := c.op == condIn
	switch {
	case list.v.state == isNull:
		return Unknown
	case list.v.state == isOpen:
		if in && x.v.state.never() {
			return Unknown
		}
		return Open
	case len(list.list) == 0:
		return truth(!in)
	case x.v.state.never():
		return Unknown
	}
	return c.search(&x.v, list.list, in)
}

// search looks for x, which is set or open, in a list that is not empty.
func (c *cond) search(x *value, list []value, in bool) Truth {
	nulls := 0
	for i := range list {
		if list[i].state == isNull {
			nulls++
		} else if x.state == isSet && c.equal(x, &list[i]) {
			return truth(in)
		}
	}
	switch {
	case x.state == isOpen && nulls < len(list) && (in || nulls == 0):
		return Open
	case nulls > 0:
		return Unknown
	}
	return truth(!in)
}
