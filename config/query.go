package config

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// query is what can be said of an SQL text without a database: its words and parameters,
// apart from what strings and comments hold.
type query struct {
	// text is the first statement, without its semicolon.
	text string
	// first is its first word, in lower case.
	first string
	// words are names and keywords: those without quotes in lower case.
	words map[string]bool
	// params are :name, in their order.
	params []param
	// numbered is 1 and the byte of the first $1; 0 for none.
	numbered int
	// second is the byte at which another statement begins; 0 for none.
	second int
	// unclosed names what does not end, end where it begins.
	unclosed string
	end      int
}

// param is a parameter of a query and its byte.
type param struct {
	name string
	at   int
}

func (q *query) has(word string) bool { return q != nil && q.words[word] }

// reads reports whether the query has the parameter.
func (q *query) reads(name string) bool {
	if q == nil {
		return false
	}
	for _, p := range q.params {
		if p.name == name {
			return true
		}
	}
	return false
}

// parseQuery reads a text as Postgres' lexer would with standard_conforming_strings.
func parseQuery(text string) *query {
	l := &sqlLexer{s: text, q: &query{words: map[string]bool{}}, semicolon: -1}
	for l.i < len(l.s) {
		l.next()
	}
	l.q.text = strings.TrimSpace(text)
	if l.semicolon >= 0 {
		l.q.text = strings.TrimSpace(text[:l.semicolon])
	}
	return l.q
}

type sqlLexer struct {
	s string
	i int
	q *query
	// semicolon is that of the first statement, -1 before it.
	semicolon int
	// brackets are open: a colon in them can be a slice's.
	brackets int
}

var dollarQuote = regexp.MustCompile(`^\$([A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$`)

// next takes one token.
func (l *sqlLexer) next() {
	rest := l.s[l.i:]
	r, size := utf8.DecodeRuneInString(rest)
	switch {
	case unicode.IsSpace(r):
		l.i += size
	case strings.HasPrefix(rest, "--"):
		l.until(l.i+2, "\n", "")
	case strings.HasPrefix(rest, "/*"):
		l.comment()
	case r == ';':
		if l.semicolon < 0 {
			l.semicolon = l.i
		}
		l.i++
	default:
		if l.semicolon >= 0 && l.q.second == 0 {
			l.q.second = l.i
		}
		l.token(rest, r)
	}
}

func (l *sqlLexer) token(rest string, r rune) {
	switch {
	case (r == 'e' || r == 'E') && strings.HasPrefix(rest[1:], "'"):
		l.i++
		l.escaped()
	case r == '\'':
		l.until(l.i+1, "'", "a string")
	case r == '"':
		at := l.i + 1
		if l.until(at, `"`, "a name in double quotes") {
			l.word(l.s[at : l.i-1])
		}
	case r == '$':
		l.dollar(rest)
	case r == ':':
		l.colon(rest)
	case r == '_' || unicode.IsLetter(r):
		n := wordLen(rest)
		l.word(strings.ToLower(rest[:n]))
		l.i += n
	case unicode.IsDigit(r):
		l.i += wordLen(rest)
	default:
		switch r {
		case '[':
			l.brackets++
		case ']':
			l.brackets--
		case '*':
			l.q.words["*"] = true // all columns, or a product
		}
		_, size := utf8.DecodeRuneInString(rest)
		l.i += size
	}
}

// until goes behind the next end; what it is that must end is an error's subject.
func (l *sqlLexer) until(from int, end, subject string) bool {
	n := strings.Index(l.s[from:], end)
	if n < 0 {
		if subject != "" {
			l.q.unclosed, l.q.end = subject, l.i
		}
		l.i = len(l.s)
		return false
	}
	l.i = from + n + len(end)
	return true
}

// comment skips a comment, which may hold others.
func (l *sqlLexer) comment() {
	start, depth := l.i, 0
	for l.i < len(l.s) {
		switch rest := l.s[l.i:]; {
		case strings.HasPrefix(rest, "/*"):
			depth++
			l.i += 2
		case strings.HasPrefix(rest, "*/"):
			depth--
			l.i += 2
			if depth == 0 {
				return
			}
		default:
			l.i++
		}
	}
	l.q.unclosed, l.q.end = "a comment", start
}

// escaped skips a string with backslashes.
func (l *sqlLexer) escaped() {
	start := l.i
	for l.i++; l.i < len(l.s); l.i++ {
		switch l.s[l.i] {
		case '\\':
			l.i++
		case '\'':
			l.i++
			return
		}
	}
	l.i = len(l.s)
	l.q.unclosed, l.q.end = "a string", start
}

func (l *sqlLexer) dollar(rest string) {
	if tag := dollarQuote.FindString(rest); tag != "" {
		l.until(l.i+len(tag), tag, "a string")
		return
	}
	if l.q.numbered == 0 && len(rest) > 1 && rest[1] >= '0' && rest[1] <= '9' {
		l.q.numbered = l.i + 1
	}
	l.i++
}

// colon takes :name; :: is a cast.
func (l *sqlLexer) colon(rest string) {
	if strings.HasPrefix(rest, "::") || strings.HasPrefix(rest, ":=") {
		l.i += 2
		return
	}
	n := wordLen(rest[1:])
	name := rest[1 : 1+n]
	l.i += 1 + n
	if n == 0 || unicode.IsDigit(rune(name[0])) || l.brackets > 0 && name != "user" && name != "session" {
		return
	}
	l.q.params = append(l.q.params, param{name: name, at: l.i - n - 1})
}

func (l *sqlLexer) word(w string) {
	if l.q.first == "" {
		l.q.first = w
	}
	l.q.words[w] = true
}

// wordLen is the length of the name that s begins with.
func wordLen(s string) int {
	n := strings.IndexFunc(s, func(r rune) bool {
		return r != '_' && r != '$' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
	if n < 0 {
		return len(s)
	}
	return n
}
