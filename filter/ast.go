package filter

// Pos is a byte offset into the text of an expression, from 0.
type Pos int

// Span is the part of the text that a node was read from, without parentheses
// around it.
type Span struct {
	// From is the offset of the first byte, To the offset after the last.
	// Invariant: 0 <= From <= To <= length of the text.
	From, To Pos
}

// Pos is the offset of the node's first byte.
func (s Span) Pos() Pos { return s.From }

// End is the offset after the node's last byte.
func (s Span) End() Pos { return s.To }

// Node is one node of an expression's tree: [*Or], [*And], [*Not], [*Compare],
// [*In], [*Row], [*User], [*Param], [*Literal], [*List] or [*Call]. No other type
// implements it.
type Node interface {
	// Pos is the offset of the node's first byte, End the offset after its last;
	// parentheses around the node do not count.
	Pos() Pos
	End() Pos
	// String prints the node in canonical form: && || ! for and, or, not, double
	// quotes, one blank around operators, parentheses only where they are needed
	// or where "!" stands before a comparison.
	String() string

	// children appends the nodes directly below, in the order of the text.
	children(dst []Node) []Node
}

// Walk visits the nodes of a tree, each before those below it, in the order of the text. n may be
// nil.
func Walk(n Node, visit func(Node)) {
	if n == nil {
		return
	}
	visit(n)
	for _, c := range n.children(nil) {
		Walk(c, visit)
	}
}

// Or is true when one of its terms is.
type Or struct {
	Span
	// Terms are what || joins. Invariant: at least two, none is an *Or.
	Terms []Node
}

// And is true when all of its terms are.
type And struct {
	Span
	// Terms are what && joins. Invariant: at least two, none is an *And.
	Terms []Node
}

// Not is !X.
type Not struct {
	Span
	X Node
}

// Op is the operator of a [Compare].
type Op uint8

// The comparison operators.
const (
	Eq Op = iota + 1 // ==
	Ne               // !=
	Lt               // <
	Le               // <=
	Gt               // >
	Ge               // >=
)

// String is the operator as it is written.
func (o Op) String() string {
	switch o {
	case Eq:
		return "=="
	case Ne:
		return "!="
	case Lt:
		return "<"
	case Le:
		return "<="
	case Gt:
		return ">"
	case Ge:
		return ">="
	}
	return "op?"
}

// Compare is X Op Y.
type Compare struct {
	Span
	Op   Op
	X, Y Node
}

// In is X in Set.
type In struct {
	Span
	X Node
	// Set is a *List or a reference to a list or an array column.
	Set Node
}

// Row is row.column, or a path into a jsonb column.
type Row struct {
	Span
	Column string
	// Path are the keys below the column; empty for the column itself.
	Path []string
}

// User is user.claim.
type User struct {
	Span
	Claim string
}

// Param is params.name.
type Param struct {
	Span
	Name string
}

// LiteralKind is the type of a [Literal] as the text shows it.
type LiteralKind uint8

// The kinds of literal.
const (
	Int     LiteralKind = iota + 1 // digits, with or without a minus sign
	Decimal                        // digits, a point, digits
	String                         // quoted text
	Bool                           // true or false
	Null                           // null
)

// Literal is a constant.
type Literal struct {
	Span
	Kind LiteralKind
	// Text is the value: of a String without quotes and escapes, of the others as
	// written. Invariant: valid UTF-8 without a NUL.
	Text string
}

// List is [a, b].
type List struct {
	Span
	// Elems are the list's literals. Invariant: at least one.
	Elems []*Literal
}

// Func is a function of the language.
type Func string

// The functions.
const (
	// Lower is lower(x): x in lower case.
	Lower Func = "lower"
	// Text is text(row.column.key): the value below a path of a jsonb column as
	// text, as ->> gives it. Its argument is a *Row with at least one key.
	Text Func = "text"
)

// Call is Func(X).
type Call struct {
	Span
	Func Func
	X    Node
}

func (n *Or) children(dst []Node) []Node      { return append(dst, n.Terms...) }
func (n *And) children(dst []Node) []Node     { return append(dst, n.Terms...) }
func (n *Not) children(dst []Node) []Node     { return append(dst, n.X) }
func (n *Compare) children(dst []Node) []Node { return append(dst, n.X, n.Y) }
func (n *In) children(dst []Node) []Node      { return append(dst, n.X, n.Set) }
func (n *Row) children(dst []Node) []Node     { return dst }
func (n *User) children(dst []Node) []Node    { return dst }
func (n *Param) children(dst []Node) []Node   { return dst }
func (n *Literal) children(dst []Node) []Node { return dst }
func (n *Call) children(dst []Node) []Node    { return append(dst, n.X) }

func (n *List) children(dst []Node) []Node {
	for _, e := range n.Elems {
		dst = append(dst, e)
	}
	return dst
}
