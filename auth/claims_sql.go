package auth

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// claimsSQL is the query of `claims:` with its parameters found. Immutable.
type claimsSQL struct {
	// inner is the query as it was written, with $1, $2::jsonb in place of :user, :session.
	inner string
	// user and session are the numbers of the parameters; 0: not used.
	user, session int
}

// alias is what the query is called around it: no column can have that name by chance.
const claimsAlias = "walrelay_claims"

// parseClaimsSQL finds :user and :session in text. It knows no SQL but what keeps text from
// being SQL: strings, names in quotes, comments; and it sees to it that the text is one
// query that can stand in parentheses.
func parseClaimsSQL(text string) (*claimsSQL, error) {
	s := sqlScanner{text: text}
	for s.at < len(s.text) {
		if err := s.next(); err != nil {
			return nil, err
		}
	}
	switch {
	case s.depth > 0:
		return nil, errors.New("a parenthesis is not closed")
	case strings.TrimSpace(s.out.String()) == "":
		return nil, errors.New("it is empty")
	}
	return &claimsSQL{inner: s.out.String(), user: s.user, session: s.session}, nil
}

// wrapped gives one row for one user, with all claims as a JSON object; two rows are enough
// to see that it is not one. The line end closes a comment.
func (c *claimsSQL) wrapped() string {
	return "select pg_catalog.to_jsonb(" + claimsAlias + ".*)::text from (\n" + c.inner + "\n) as " + claimsAlias + " limit 2"
}

// args are the values of the parameters.
func (c *claimsSQL) args(user, session []byte) [][]byte {
	args := make([][]byte, max(c.user, c.session))
	if c.user > 0 {
		args[c.user-1] = user
	}
	if c.session > 0 {
		args[c.session-1] = session
	}
	return args
}

// sqlScanner walks over a query and copies it.
type sqlScanner struct {
	text  string
	at    int
	out   strings.Builder
	depth int
	// ended: a semicolon has been seen, after which nothing may follow.
	ended         bool
	user, session int
}

// next copies one token, or puts a parameter in place of its name.
func (s *sqlScanner) next() error {
	rest := s.text[s.at:]
	switch c := rest[0]; {
	case strings.IndexByte(" \t\r\n\f\v", c) >= 0:
		s.copy(1)
		return nil
	case strings.HasPrefix(rest, "--"):
		s.copy(lineEnd(rest))
		return nil
	case strings.HasPrefix(rest, "/*"):
		return s.span("a comment", blockEnd(rest))
	case c == ';':
		s.ended = true
		s.at++
		return nil
	case s.ended:
		return errors.New("it is more than one statement: something follows the semicolon")
	}
	return s.token(rest)
}

func (s *sqlScanner) token(rest string) error {
	switch c := rest[0]; {
	case c == '\'':
		return s.span("a string", quoteEnd(rest, 1, '\'', false))
	case c == '"':
		return s.span("a name in quotes", quoteEnd(rest, 1, '"', false))
	case (c == 'e' || c == 'E') && strings.HasPrefix(rest[1:], "'"):
		return s.span("a string", quoteEnd(rest, 2, '\'', true))
	case c == '$':
		return s.dollar(rest)
	case nameStart(c):
		s.copy(nameLen(rest))
	case c == '(':
		s.depth++
		s.copy(1)
	case c == ')':
		if s.depth--; s.depth < 0 {
			return errors.New("a parenthesis is closed that was not opened")
		}
		s.copy(1)
	case c == ':':
		s.colon(rest)
	default:
		s.copy(1)
	}
	return nil
}

func (s *sqlScanner) copy(n int) {
	s.out.WriteString(s.text[s.at : s.at+n])
	s.at += n
}

// span copies what ends after n bytes; 0: it does not end.
func (s *sqlScanner) span(what string, n int) error {
	if n == 0 {
		return fmt.Errorf("%s is not closed", what)
	}
	s.copy(n)
	return nil
}

// dollar is a string in dollar quotes. Parameters with numbers would get in the way of ours.
func (s *sqlScanner) dollar(rest string) error {
	if len(rest) > 1 && rest[1] >= '0' && rest[1] <= '9' {
		return errors.New("write :user and :session, not $1")
	}
	tag := 1
	for tag < len(rest) && rest[tag] != '$' && (nameStart(rest[tag]) || tag > 1 && rest[tag] >= '0' && rest[tag] <= '9') {
		tag++
	}
	if tag == len(rest) || rest[tag] != '$' {
		s.copy(1)
		return nil
	}
	quote := rest[:tag+1]
	end := strings.Index(rest[len(quote):], quote)
	if end < 0 {
		return errors.New("a string in dollar quotes is not closed")
	}
	s.copy(2*len(quote) + end)
	return nil
}

// colon is a cast, or one of the two names. What else has a colon (slices of arrays, := of
// arguments) is Postgres's to understand.
func (s *sqlScanner) colon(rest string) {
	if strings.HasPrefix(rest, "::") || strings.HasPrefix(rest, ":=") {
		s.copy(2)
		return
	}
	switch name := rest[1:][:nameLen(rest[1:])]; name {
	case "user":
		s.parameter(&s.user, "", name)
	case "session":
		s.parameter(&s.session, "::jsonb", name)
	default:
		s.copy(1)
	}
}

// parameter numbers a name when it is first seen.
func (s *sqlScanner) parameter(number *int, cast, name string) {
	if *number == 0 {
		*number = max(s.user, s.session) + 1
	}
	s.out.WriteString("$" + strconv.Itoa(*number) + cast)
	s.at += 1 + len(name)
}

func nameStart(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// nameLen is the length of the name at the start of text: a dollar inside belongs to it.
func nameLen(text string) int {
	n := 0
	for n < len(text) && (nameStart(text[n]) || n > 0 && (text[n] == '$' || text[n] >= '0' && text[n] <= '9')) {
		n++
	}
	return n
}

// quoteEnd is the length of what is quoted, from its start; a doubled quote does not end it.
func quoteEnd(text string, from int, quote byte, escapes bool) int {
	for i := from; i < len(text); i++ {
		switch {
		case escapes && text[i] == '\\':
			i++
		case text[i] == quote && i+1 < len(text) && text[i+1] == quote:
			i++
		case text[i] == quote:
			return i + 1
		}
	}
	return 0
}

func lineEnd(text string) int {
	if i := strings.IndexAny(text, "\r\n"); i >= 0 {
		return i
	}
	return len(text)
}

// blockEnd is the length of a comment; comments nest.
func blockEnd(text string) int {
	depth := 0
	for i := 0; i+1 < len(text); i++ {
		switch text[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			depth--
			i++
			if depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}
