package filter

// ParamError is a parameter that is not of its type.
type ParamError struct{ Param, Reason string }

func (e *ParamError) Error() string { return "parameter " + e.Param + ": " + e.Reason }

// RefusedError: a part of the rule that reads only the user and the parameters is not
// TRUE.
type RefusedError struct {
	// Expr is that part, without values.
	Expr string
}

func (e *RefusedError) Error() string { return "not allowed: " + e.Expr + " is not true" }

// Binding is a program with claims and parameters bound. Immutable; safe for
// concurrent use.
type Binding struct{}

// Bind binds the parameters, as a URL has them, and the claims; nil stands for nobody and
// is only possible where ReadsUser is false. Errors: *ParamError, *RefusedError.
func (p *Program) Bind(user *Claims, params map[string]string) (*Binding, error) {
	return &Binding{}, nil
}

// Group is the same for bindings of one program that no row can tell apart. It is made
// of all parameters and of the claims that the program still reads once the parts that
// are not live are gone. The text is not for people.
func (b *Binding) Group() string { return "" }

// ParamValue is a bound parameter in the form that Postgres prints: 7 for 07.
type ParamValue struct {
	Name string
	Type Type
	Text string
}

// Params are the bound parameters in the order of Program.Params.
func (b *Binding) Params() []ParamValue { return nil }

// Postings are the keys under which a row must be found for the disjunct to be TRUE, see
// [Image.Probe]: none where it is not live. A disjunct without key that is live has
// the one key "", and Scan is true: every row must be tried.
func (b *Binding) Postings(disjunct int) []string { return nil }

// Scan reports that a disjunct that is live has no key but a residual, so that every row costs an
// evaluation for this binding.
func (b *Binding) Scan() bool { return false }

// Residual evaluates what is left of a disjunct for a row that has Once and one of
// the postings.
func (b *Binding) Residual(disjunct int, im *Image) Truth { return False }

// Eval evaluates the whole filter, without the index.
func (b *Binding) Eval(im *Image) Truth { return False }

// SQL is a condition on the table's columns, quoted and unqualified, that is TRUE for every row for which Eval
// is TRUE, and the values of its parameters $1, $2, ... as text. It has no values in it, and no
// value of a row is cast, so that it cannot fail on data. "TRUE" when nothing can be said.
func (b *Binding) SQL() (condition string, args []string) { return "TRUE", nil }

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
func (b *Binding) Explain(im *Image) []Step { return nil }
