package filter

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// kind is the kind of a token. Operators and brackets are their own text.
type kind string

const (
	kindEnd     kind = "end of the expression"
	kindName    kind = "name"
	kindInt     kind = "int"
	kindDecimal kind = "decimal"
	kindString  kind = "string"
)

// token is one word of an expression.
type token struct {
	kind kind
	Span
	// text is the token as written; of a string its value.
	text string
}

// lexer cuts an expression into tokens. Its position only grows.
type lexer struct {
	src string
	at  int
}

// Operators by their first byte, longer ones first.
var operators = []kind{"&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "(", ")", "[", "]", ",", "."}

// habit is something that people write from other languages, and what this one
// has instead.
type habit struct{ text, hint string }

// Habits that begin like an operator, longer ones first.
var lookalikes = []habit{
	{"===", "use == to compare"},
	{"!==", "use != to compare"},
	{"<>", "use != to compare"},
}

// Habits that begin like nothing.
var habits = []habit{
	{"=", "use == to compare"},
	{"&", "use && for and"},
	{"|", "use || for or"},
	{"+", "there is no arithmetic"},
	{"-", "there is no arithmetic"},
	{"*", "there is no arithmetic"},
	{"/", "there is no arithmetic"},
	{"%", "there is no arithmetic"},
	{"`", `text is written in "double" or 'single' quotes`},
	{"“", `text is written in "double" or 'single' quotes`},
	{"”", `text is written in "double" or 'single' quotes`},
	{"‘", `text is written in "double" or 'single' quotes`},
	{"’", `text is written in "double" or 'single' quotes`},
}

// next reads the next token.
func (l *lexer) next() (token, error) {
	l.skipBlank()
	rest := l.src[l.at:]
	if rest == "" {
		return l.token(kindEnd, 0), nil
	}
	r, _ := utf8.DecodeRuneInString(rest)
	switch {
	case isLetter(r):
		return l.token(kindName, nameLen(rest)), nil
	case isDigit(rest, 0), r == '-' && isDigit(rest, 1):
		return l.number()
	case r == '"' || r == '\'':
		return l.quoted(byte(r))
	}
	if err := l.known(lookalikes); err != nil {
		return token{}, err
	}
	for _, op := range operators {
		if strings.HasPrefix(rest, string(op)) {
			return l.token(op, len(op)), nil
		}
	}
	return token{}, l.unexpected()
}

// token takes the next n bytes as a token.
func (l *lexer) token(k kind, n int) token {
	from := l.at
	l.at += n
	return token{kind: k, Span: Span{Pos(from), Pos(l.at)}, text: l.src[from:l.at]}
}

func (l *lexer) skipBlank() {
	for l.at < len(l.src) {
		switch l.src[l.at] {
		case ' ', '\t', '\n', '\r':
			l.at++
		default:
			return
		}
	}
}

// unexpected is the error for text that begins no token.
func (l *lexer) unexpected() error {
	if err := l.known(habits); err != nil {
		return err
	}
	rest := l.src[l.at:]
	r, n := utf8.DecodeRuneInString(rest)
	if r == utf8.RuneError && n <= 1 {
		return errorf(Pos(l.at), "invalid UTF-8")
	}
	return errorf(Pos(l.at), "unexpected %q", rest[:n])
}

// known is the error for one of the habits at the lexer's position, nil for none.
func (l *lexer) known(habits []habit) error {
	for _, h := range habits {
		if strings.HasPrefix(l.src[l.at:], h.text) {
			return errorf(Pos(l.at), "unexpected %q (%s)", h.text, h.hint)
		}
	}
	return nil
}

// number reads an int or a decimal. Whatever touches it belongs to it, so that
// 5abc and 1.2.3 are one mistake and not two tokens.
func (l *lexer) number() (token, error) {
	rest := l.src[l.at:]
	n, k := 1, kindInt
	digits := func() {
		for isDigit(rest, n) {
			n++
		}
	}
	digits()
	if n < len(rest) && rest[n] == '.' && isDigit(rest, n+1) {
		k = kindDecimal
		n++
		digits()
	}
	bad := n
	for bad < len(rest) {
		r, size := utf8.DecodeRuneInString(rest[bad:])
		if !isLetter(r) && !isDigit(rest, bad) && (r != '.' || k != kindDecimal) {
			break
		}
		bad += size
	}
	if bad > n {
		return token{}, errorf(Pos(l.at), "malformed number %q (write all digits, without an exponent)", rest[:bad])
	}
	return l.token(k, n), nil
}

// quoted reads a string that begins with the quote at the lexer's position.
func (l *lexer) quoted(quote byte) (token, error) {
	from := l.at
	var text strings.Builder
	for l.at++; l.at < len(l.src); {
		r, n := utf8.DecodeRuneInString(l.src[l.at:])
		switch {
		case r == rune(quote):
			l.at++
			return token{kind: kindString, Span: Span{Pos(from), Pos(l.at)}, text: text.String()}, nil
		case r == '\\':
			e, n, err := l.escape()
			if err != nil {
				return token{}, err
			}
			text.WriteRune(e)
			l.at += n
		case r == utf8.RuneError && n <= 1:
			return token{}, errorf(Pos(l.at), "invalid UTF-8")
		case r == '\n' || r == '\r':
			return token{}, errorf(Pos(from), "the string is not closed on its line (write \\n for a line break)")
		case r < ' ' && r != '\t' || r == 0x7f:
			return token{}, errorf(Pos(l.at), "control character %q in a string (write \\u%04x)", r, r)
		default:
			text.WriteRune(r)
			l.at += n
		}
	}
	return token{}, errorf(Pos(from), "the string is not closed")
}

// escape reads the escape sequence at the lexer's position and returns the
// character and the sequence's length.
func (l *lexer) escape() (rune, int, error) {
	rest := l.src[l.at:]
	if len(rest) < 2 {
		return 0, 0, errorf(Pos(l.at), "the string is not closed")
	}
	switch rest[1] {
	case '\\', '"', '\'':
		return rune(rest[1]), 2, nil
	case 'n':
		return '\n', 2, nil
	case 'r':
		return '\r', 2, nil
	case 't':
		return '\t', 2, nil
	case 'u':
		return l.unicodeEscape(rest)
	}
	_, n := utf8.DecodeRuneInString(rest[1:])
	return 0, 0, errorf(Pos(l.at), `unknown escape %q (there are \\ \" \' \n \r \t \uXXXX and \u{X})`, rest[:1+n])
}

// unicodeEscape reads \uXXXX or \u{X...} from the start of rest.
func (l *lexer) unicodeEscape(rest string) (rune, int, error) {
	hex, n := "", 0
	if strings.HasPrefix(rest, `\u{`) {
		var closed bool
		hex, _, closed = strings.Cut(rest[3:], "}")
		if !closed {
			hex = ""
		}
		n = 4 + len(hex)
	} else if len(rest) >= 6 {
		hex, n = rest[2:6], 6
	}
	v, err := strconv.ParseUint(hex, 16, 32)
	switch {
	case err != nil || len(hex) > 6:
		return 0, 0, errorf(Pos(l.at), `\u needs four hexadecimal digits, or up to six in braces`)
	case v == 0:
		return 0, 0, errorf(Pos(l.at), "text in Postgres cannot hold a NUL character")
	case !utf8.ValidRune(rune(v)):
		return 0, 0, errorf(Pos(l.at), `%s is not a character (write \u{1f600} for those above \uffff)`, rest[:n])
	}
	return rune(v), n, nil
}

func isLetter(r rune) bool { return r == '_' || unicode.IsLetter(r) }

func isDigit(s string, i int) bool { return i < len(s) && '0' <= s[i] && s[i] <= '9' }

// nameLen is the length of the name at the start of s, 0 for none.
func nameLen(s string) int {
	for i, r := range s {
		if !isLetter(r) && (i == 0 || !isDigit(s, i)) {
			return i
		}
	}
	return len(s)
}
