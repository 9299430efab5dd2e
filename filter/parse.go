package filter

import (
	"fmt"

	"github.com/walrelay/walrelay/nearest"
)

// The bounds of an expression.
const (
	// MaxBytes is the longest text.
	MaxBytes = 4096
	// MaxNodes is the largest number of nodes in a tree.
	MaxNodes = 256
	// MaxDepth is the largest depth of a tree; a tree of one node has depth 1.
	MaxDepth = 32

	// maxNesting bounds the parser's stack. The canonical form of a tree within
	// MaxDepth has at most one parenthesis per level, so it never meets this.
	maxNesting = 2 * MaxDepth
)

// Parse reads an expression. The error is an *Error: the first place where the
// text stops making sense, or where it passes one of the bounds.
func Parse(src string) (Node, error) {
	if len(src) > MaxBytes {
		return nil, errorf(MaxBytes, "the expression is longer than %d bytes", MaxBytes)
	}
	p := &parser{lex: lexer{src: src}}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if p.tok.kind == kindEnd {
		return nil, errorf(p.tok.From, "the expression is empty")
	}
	n, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.tok.kind != kindEnd {
		return nil, p.trailing()
	}
	if err := checkBounds(n); err != nil {
		return nil, err
	}
	return n, nil
}

// parser is a recursive descent over the grammar of the package comment, one
// method per rule, with one token of look-ahead.
type parser struct {
	lex lexer
	tok token
	// end is where the token before tok ends.
	end Pos
	// nesting counts the open parentheses, calls and "!" above the token.
	nesting int
}

func (p *parser) advance() error {
	p.end = p.tok.To
	tok, err := p.lex.next()
	p.tok = tok
	return err
}

// is reports whether the next token is the operator or the word.
func (p *parser) is(op kind, word string) bool {
	return p.tok.kind == op || p.tok.kind == kindName && p.tok.text == word
}

// expect takes the next token, which must be the operator.
func (p *parser) expect(op kind, after string) error {
	if p.tok.kind != op {
		return p.unexpected(fmt.Sprintf("expected %q after %s", op, after))
	}
	return p.advance()
}

// unexpected is the error for a token that cannot stand here; want says what can.
func (p *parser) unexpected(want string) error {
	if p.tok.kind == kindEnd {
		return errorf(p.tok.From, "unexpected end of the expression; %s", want)
	}
	return errorf(p.tok.From, "unexpected %s; %s", p.shown(), want)
}

// shown is the next token as an error quotes it.
func (p *parser) shown() string {
	if p.tok.kind == kindString {
		return quote(p.tok.text)
	}
	return fmt.Sprintf("%q", p.tok.text)
}

// Words that people write between two values from habit.
var wordHabits = map[string]string{
	"AND": "use &&", "OR": "use ||", "NOT": "use !", "IN": "use in",
	"not": "write !(x in list)", "is": "use == null or != null", "IS": "use == null or != null",
	"like": "there is no pattern matching", "LIKE": "there is no pattern matching",
	"ilike": "there is no pattern matching", "between": "use >= and <=", "eq": "use ==", "ne": "use !=",
}

// trailing is the error for a token after a complete expression.
func (p *parser) trailing() error {
	switch p.tok.kind {
	case "==", "!=", "<", "<=", ">", ">=":
		return errorf(p.tok.From, "unexpected %s (comparisons do not chain: join them with &&)", p.shown())
	case kindInt, kindDecimal:
		if p.tok.text[0] == '-' {
			return errorf(p.tok.From, "unexpected %s (there is no arithmetic)", p.shown())
		}
	case kindName:
		if hint := wordHabits[p.tok.text]; hint != "" {
			return errorf(p.tok.From, "unexpected %s (%s)", p.shown(), hint)
		}
		if p.tok.text == "in" {
			return errorf(p.tok.From, "unexpected %s (comparisons do not chain: join them with &&)", p.shown())
		}
	case ")", "]":
		return errorf(p.tok.From, "unexpected %s that closes nothing", p.shown())
	}
	return p.unexpected("expected an operator such as == or &&, or the end")
}

func (p *parser) or() (Node, error) {
	from := p.tok.From
	terms, err := p.terms("||", "or", p.and)
	if err != nil || len(terms) == 1 {
		return first(terms), err
	}
	n := &Or{Span: Span{from, p.end}}
	for _, t := range terms {
		if o, ok := t.(*Or); ok {
			n.Terms = append(n.Terms, o.Terms...)
		} else {
			n.Terms = append(n.Terms, t)
		}
	}
	return n, nil
}

func (p *parser) and() (Node, error) {
	from := p.tok.From
	terms, err := p.terms("&&", "and", p.not)
	if err != nil || len(terms) == 1 {
		return first(terms), err
	}
	n := &And{Span: Span{from, p.end}}
	for _, t := range terms {
		if a, ok := t.(*And); ok {
			n.Terms = append(n.Terms, a.Terms...)
		} else {
			n.Terms = append(n.Terms, t)
		}
	}
	return n, nil
}

// terms reads one or more terms joined by an operator.
func (p *parser) terms(op kind, word string, term func() (Node, error)) ([]Node, error) {
	var terms []Node
	for {
		t, err := term()
		if err != nil {
			return nil, err
		}
		terms = append(terms, t)
		if !p.is(op, word) {
			return terms, nil
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
}

func first(terms []Node) Node {
	if len(terms) == 0 {
		return nil
	}
	return terms[0]
}

func (p *parser) not() (Node, error) {
	if !p.is("!", "not") {
		return p.cmp()
	}
	from := p.tok.From
	x, err := p.nested(p.not)
	if err != nil {
		return nil, err
	}
	return &Not{Span{from, p.end}, x}, nil
}

// nested takes the token that opens a level and reads what is in it.
func (p *parser) nested(rule func() (Node, error)) (Node, error) {
	if p.nesting == maxNesting {
		return nil, tooDeep(p.tok.From)
	}
	p.nesting++
	defer func() { p.nesting-- }()
	if err := p.advance(); err != nil {
		return nil, err
	}
	return rule()
}

var comparisons = map[kind]Op{"==": Eq, "!=": Ne, "<": Lt, "<=": Le, ">": Gt, ">=": Ge}

func (p *parser) cmp() (Node, error) {
	from := p.tok.From
	x, err := p.prim()
	if err != nil {
		return nil, err
	}
	op, compares := comparisons[p.tok.kind]
	if !compares && !p.is("in", "in") {
		return x, nil
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	y, err := p.prim()
	if err != nil {
		return nil, err
	}
	if compares {
		return &Compare{Span{from, p.end}, op, x, y}, nil
	}
	return &In{Span{from, p.end}, x, y}, nil
}

const wantValue = "expected a value such as row.<column>, user.<claim>, params.<name> or a literal"

func (p *parser) prim() (Node, error) {
	switch p.tok.kind {
	case kindName:
		return p.named()
	case kindInt, kindDecimal, kindString:
		return p.literal()
	case "[":
		return p.list()
	case "(":
		n, err := p.nested(p.or)
		if err != nil {
			return nil, err
		}
		return n, p.expect(")", "the expression in parentheses")
	}
	return nil, p.unexpected(wantValue)
}

// roots are the names that a value can begin with.
var roots = []string{"row", "user", "params", "true", "false", "null", string(Lower), string(Text)}

// named reads a value that begins with a name.
func (p *parser) named() (Node, error) {
	tok := p.tok
	switch tok.text {
	case "row":
		return p.row()
	case "user":
		name, err := p.member("user", "a claim")
		return &User{Span{tok.From, p.end}, name}, err
	case "params":
		name, err := p.member("params", "a parameter")
		return &Param{Span{tok.From, p.end}, name}, err
	case "true", "false", "null":
		return p.literal()
	case string(Lower), string(Text):
		return p.call(Func(tok.text))
	case "and", "or", "in":
		return nil, p.unexpected(wantValue)
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	return nil, p.unknown(tok)
}

// unknown is the error for a name that is none of the roots; the next token is
// the one after it.
func (p *parser) unknown(name token) error {
	if p.tok.kind == "(" {
		return errorf(name.From, "unknown function %q; there are lower(...) and text(...)", name.text)
	}
	if s := nearest.Suggest(name.text, roots); s != "" {
		return errorf(name.From, "unknown name %q%s", name.text, s)
	}
	return errorf(name.From, "unknown name %q (a column is written row.%[2]s, a claim user.%[2]s, text in quotes)", name.text, name.text)
}

// row reads row.column{.key}.
func (p *parser) row() (Node, error) {
	from := p.tok.From
	column, err := p.member("row", "a column")
	if err != nil {
		return nil, err
	}
	n := &Row{Column: column}
	for p.tok.kind == "." {
		key, err := p.name(`"."`, "a key")
		if err != nil {
			return nil, err
		}
		n.Path = append(n.Path, key)
	}
	n.Span = Span{from, p.end}
	return n, nil
}

// member takes the root, the point and the name after it.
func (p *parser) member(root, what string) (string, error) {
	if err := p.advance(); err != nil {
		return "", err
	}
	if p.tok.kind != "." {
		return "", p.unexpected(fmt.Sprintf("expected \".\" and the name of %s after %q", what, root))
	}
	return p.name(root+".", what)
}

// name takes the point at the parser's position and the name after it. Words of
// the language are names here: row.in is the column "in".
func (p *parser) name(after, what string) (string, error) {
	if err := p.advance(); err != nil {
		return "", err
	}
	text := p.tok.text
	if p.tok.kind != kindName && p.tok.kind != kindString || text == "" {
		return "", p.unexpected(fmt.Sprintf("expected the name of %s after %s", what, after))
	}
	return text, p.advance()
}

// literal takes a number, a string, true, false or null.
func (p *parser) literal() (Node, error) {
	l, err := p.constant()
	if err != nil {
		return nil, err
	}
	return l, nil
}

func (p *parser) constant() (*Literal, error) {
	k := literalKind(p.tok)
	if k == 0 {
		return nil, p.unexpected("a list holds literals, and at least one")
	}
	l := &Literal{p.tok.Span, k, p.tok.text}
	return l, p.advance()
}

// literalKind is the kind of literal that a token is, 0 for none.
func literalKind(t token) LiteralKind {
	switch t.kind {
	case kindInt:
		return Int
	case kindDecimal:
		return Decimal
	case kindString:
		return String
	case kindName:
		switch t.text {
		case "true", "false":
			return Bool
		case "null":
			return Null
		}
	}
	return 0
}

func (p *parser) list() (Node, error) {
	n := &List{Span: Span{From: p.tok.From}}
	for {
		if err := p.advance(); err != nil { // "[" or ","
			return nil, err
		}
		l, err := p.constant()
		if err != nil {
			return nil, err
		}
		n.Elems = append(n.Elems, l)
		if p.tok.kind != "," {
			break
		}
	}
	err := p.expect("]", "the list")
	n.To = p.end
	return n, err
}

func (p *parser) call(f Func) (Node, error) {
	from := p.tok.From
	if err := p.advance(); err != nil {
		return nil, err
	}
	if p.tok.kind != "(" {
		return nil, p.unexpected(fmt.Sprintf("expected \"(\" after %s", f))
	}
	x, err := p.nested(p.prim)
	if err != nil {
		return nil, err
	}
	if r, ok := x.(*Row); f == Text && (!ok || len(r.Path) == 0) {
		return nil, errorf(x.Pos(), "text() takes a path into a jsonb column, such as text(row.meta.region)")
	}
	err = p.expect(")", fmt.Sprintf("the argument of %s", f))
	return &Call{Span{from, p.end}, f, x}, err
}

func tooDeep(pos Pos) error {
	return errorf(pos, "nested deeper than %d levels", MaxDepth)
}

// checkBounds refuses trees over MaxNodes or MaxDepth, at the first node over the
// bound in the order of the text.
func checkBounds(root Node) error {
	count := 0
	var visit func(n Node, depth int) error
	visit = func(n Node, depth int) error {
		count++
		if depth > MaxDepth {
			return tooDeep(n.Pos())
		}
		if count > MaxNodes {
			return errorf(n.Pos(), "more than %d operators and values in one expression", MaxNodes)
		}
		for _, c := range n.children(nil) {
			if err := visit(c, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	return visit(root, 1)
}

// isName reports whether s can be written without quotes after a point.
func isName(s string) bool { return s != "" && nameLen(s) == len(s) }
