package filter

// source says where an operand's value comes from.
type source uint8

const (
	fromRow     source = iota + 1 // Image.get(index)
	fromBinding                   // Binding.values[index]
	fromText                      // lit
)

// datum is the value of an operand.
type datum struct {
	// v is the value; of a list or an array only its state.
	v value
	// list are the elements of a list or an array that is set, each NULL or set.
	list []value
}

// operand is one side of a comparison. What evaluation does not need is apart, so that
// a condition is small.
type operand struct {
	source source
	index  int32
	lit    *datum
	*written
}

// written is an operand as the rule has it.
type written struct {
	typ  Type
	node Node
}

// value is the operand's value. A nil image or binding is allowed where the operand
// does not read it.
func (o *operand) value(im *Image, b *Binding) *datum {
	switch o.source {
	case fromRow:
		return im.get(int(o.index))
	case fromBinding:
		return &b.values[o.index]
	}
	return o.lit
}

// slotKind is what a row operand is made of.
type slotKind uint8

const (
	slotColumn slotKind = iota + 1 // a column
	slotPath                       // text() of a path below a jsonb column
	slotLower                      // lower() of another slot
)

// slot is a row operand of a program, evaluated at most once per image.
type slot struct {
	kind slotKind
	// column is the index in Table.Columns; of a lower() that of its argument.
	column int
	// base is the slot that a path or a lower() is made from. Invariant: smaller than
	// the slot's own index.
	base int
	path []string
	typ  Type
	// expr is the operand as it is written.
	expr string
}

// boundKind is what a bound operand is made of.
type boundKind uint8

const (
	boundParam boundKind = iota + 1
	boundClaim
	boundLower // lower() of another one
)

// bound is a user or parameter operand of a program, evaluated once per binding.
type bound struct {
	kind boundKind
	// index in Source.Params or Source.Claims; of boundLower that of its argument among the
	// bound operands, which is smaller than its own.
	index int
	typ   Type
	expr  string
}

// element is the type of a list's elements.
func (t Type) element() Type {
	t.List = false
	if n := len(t.Name) - len("[]"); n > 0 && t.Name[n:] == "[]" {
		t.Name = t.Name[:n]
	}
	return t
}
