package integration

import (
	"fmt"
	"strings"
)

// diffOperand is one side of a comparison.
type diffOperand struct {
	source diffSource
	family diffFamily
	list   bool
	loose  bool

	column diffColumn   // fromRow
	path   []string     // fromRow, below a jsonb column
	claim  diffClaim    // fromUser, fromParams
	values []*string    // fromText: one, or the elements of a list; nil is null, which only a list has
	of     *diffOperand // fromLower
	trims  bool         // fromText: it stands beside a char(n), whose blanks at the end do not count
}

type diffSource int

const (
	fromRow diffSource = iota
	fromUser
	fromParams
	fromText
	fromLower
	fromNull
	fromTruth // true or false as a condition
)

// diffCondition is a node of a random filter. It knows nothing of package filter: its text is
// written here, its SQL in filter_oracle_test.go.
type diffCondition struct {
	// op is && || ! or a comparison, "" for a boolean operand by itself.
	op    string
	terms []*diffCondition
	x, y  *diffOperand
	// words: and, or, not are written so. bare: no parentheses where the grammar needs none.
	words, bare bool
}

// Binding strength in the grammar.
func (c *diffCondition) level() int {
	switch c.op {
	case "||":
		return 0
	case "&&":
		return 1
	case "!":
		return 2
	case "":
		return 4
	}
	return 3
}

func (c *diffCondition) String() string {
	switch c.op {
	case "||", "&&":
		op := " " + c.op + " "
		if c.words {
			op = map[string]string{"||": " or ", "&&": " and "}[c.op]
		}
		parts := make([]string, len(c.terms))
		for i, t := range c.terms {
			parts[i] = t.within(c.level(), c.bare)
		}
		return strings.Join(parts, op)
	case "!":
		if c.words {
			return "not " + c.terms[0].within(2, c.bare)
		}
		return "!" + c.terms[0].within(2, c.bare)
	case "":
		return c.x.String()
	}
	return c.x.String() + " " + c.op + " " + c.y.String()
}

func (c *diffCondition) within(level int, bare bool) string {
	if c.level() < level || !bare && c.level() < 4 {
		return "(" + c.String() + ")"
	}
	return c.String()
}

// subconditions are c and what is below it, smallest last.
func (c *diffCondition) subconditions() []*diffCondition {
	out := []*diffCondition{c}
	for _, t := range c.terms {
		out = append(out, t.subconditions()...)
	}
	return out
}

// constant is t or f where the condition is that for every row and every user, because of a literal true or
// false in it.
func (c *diffCondition) constant() string {
	switch c.op {
	case "":
		if c.x.source == fromTruth {
			return *c.x.values[0]
		}
	case "!":
		return map[string]string{"t": "f", "f": "t"}[c.terms[0].constant()]
	case "&&", "||":
		decides, result := map[string]string{"&&": "f", "||": "t"}[c.op], map[string]string{"&&": "t", "||": "f"}[c.op]
		for _, t := range c.terms {
			switch t.constant() {
			case decides:
				return decides
			case "":
				result = ""
			}
		}
		return result
	}
	return ""
}

// operands calls each for every operand.
func (c *diffCondition) operands(each func(*diffOperand)) {
	for _, t := range c.terms {
		t.operands(each)
	}
	for _, o := range []*diffOperand{c.x, c.y} {
		for ; o != nil; o = o.of {
			each(o)
		}
	}
}

func (o *diffOperand) String() string {
	switch o.source {
	case fromRow:
		name := "row." + filterName(o.column.name)
		if len(o.path) == 0 {
			return name
		}
		for _, key := range o.path {
			name += "." + filterName(key)
		}
		return "text(" + name + ")"
	case fromUser:
		return "user." + filterName(o.claim.name)
	case fromParams:
		return "params." + filterName(o.claim.name)
	case fromLower:
		return "lower(" + o.of.String() + ")"
	case fromNull:
		return "null"
	case fromTruth:
		return literalText(famFlags, *o.values[0])
	}
	parts := make([]string, len(o.values))
	for i, v := range o.values {
		parts[i] = "null"
		if v != nil {
			parts[i] = literalText(o.family, *v)
		}
	}
	if o.list {
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return parts[0]
}

// filterName writes names of ASCII letters and digits bare, others in quotes.
func filterName(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") == "" && (s[0] < '0' || s[0] > '9') {
		return s
	}
	return filterQuoted(s)
}

func filterQuoted(s string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for _, r := range s {
		switch {
		case r == '\'' || r == '\\':
			b.WriteString(`\` + string(r))
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\u{%x}`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String() + "'"
}

func literalText(f diffFamily, v string) string {
	switch f {
	case famNumbers:
		return v
	case famFlags:
		return map[string]string{"t": "true", "f": "false"}[v]
	}
	return filterQuoted(v)
}

// inferable reports whether a comparison of the condition gives the parameter the type of a
// column or claim, if it has none declared.
func (c *diffCondition) inferable(param string) bool {
	for _, t := range c.terms {
		if t.inferable(param) {
			return true
		}
	}
	gives := func(p, other *diffOperand) bool {
		p, other = p.innermost(), other.innermost()
		return p.source == fromParams && p.claim.name == param && (other.source == fromRow || other.source == fromUser)
	}
	switch c.op {
	case "in":
		return gives(c.x, c.y)
	case "==":
		return gives(c.x, c.y) || gives(c.y, c.x)
	}
	return false
}

// innermost is the operand without lower().
func (o *diffOperand) innermost() *diffOperand {
	for o.of != nil {
		o = o.of
	}
	return o
}
