package filter

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/walrelay/walrelay/nearest"
)

// errLiteralKind: the literal is of another type altogether, such as a string where a
// bigint is wanted. The caller knows the operator and says so better.
var errLiteralKind = errors.New("the literal is of another type")

// literal is a literal as a value of a type that is no list. The error is errLiteralKind or
// says in words what is wrong with this literal.
func literal(typ Type, l *Literal) (value, error) {
	if l.Kind == Null {
		return value{}, nil
	}
	if typ.List || l.Kind != literalOf(typ.Class) && (typ.Class != ClassNumber || l.Kind != Int) {
		return value{}, errLiteralKind
	}
	text := l.Text
	if typ.Class == ClassNumber && (l.Kind == Decimal || !isInteger(typ)) {
		// A fraction beside a bigint is fine, it compares as numeric.
		typ = Type{Class: ClassNumber, Name: "numeric"}
	} else if isInteger(typ) {
		// Beside a smallint a literal may be as large as any bigint.
		typ.Name = "bigint"
	}
	v, err := parseText(typ, text)
	if err == nil {
		return v, nil
	}
	if typ.Class == ClassNumber {
		return value{}, fmt.Errorf("%s is out of the range of %s", shorten(text), typ.Name)
	}
	return value{}, fmt.Errorf("%s is %w%s", shorten(strconv.Quote(text)), err, labelMeant(typ, text))
}

// literalOf is the kind of the literals of a class, of which there are two of
// ClassNumber; 0 is none.
func literalOf(c Class) LiteralKind {
	switch c {
	case ClassBool:
		return Bool
	case ClassNumber:
		return Decimal
	case ClassText, ClassUUID, ClassTimestamptz, ClassDate, ClassEnum:
		return String
	}
	return 0
}

func labelMeant(typ Type, text string) string {
	if typ.Class != ClassEnum {
		return ""
	}
	return nearest.Suggest(text, typ.Labels)
}

// isInteger reports whether a type of ClassNumber has no fractions.
func isInteger(typ Type) bool { return bitsOf(typ) != 0 }

// bitsOf is the size of an integer type, 0 for numeric.
func bitsOf(typ Type) int {
	switch typ.Name {
	case "smallint", "smallint[]":
		return 16
	case "integer", "integer[]":
		return 32
	case "bigint", "bigint[]":
		return 64
	}
	return 0
}

// parseText is a value written by hand: a parameter in a URL, a claim in a JSON string,
// the text of a literal. Equal values of a type other than text have one text afterwards:
// 07 becomes 7, 7.50 becomes 7.5, a uuid lower-case. The error says what the text is not,
// such as "not a uuid", and does not quote it.
func parseText(typ Type, s string) (value, error) {
	v := value{state: isSet}
	switch {
	case strings.ContainsRune(s, 0):
		return value{}, errors.New("not text that Postgres can hold: it has a NUL character")
	case !utf8.ValidString(s):
		return value{}, errors.New("not UTF-8")
	case typ.List:
		return value{}, errors.New("not a list, which cannot be written as text")
	}
	ok := false
	switch typ.Class {
	case ClassBool:
		v.n, ok = parseBool(s)
	case ClassNumber:
		s, ok = parseNumber(typ, s)
	case ClassText:
		ok = true
		if isPadded(typ.Name) {
			s = strings.TrimRight(s, " ")
		}
	case ClassUUID:
		s = strings.ToLower(s)
		ok = isUUID(s)
	case ClassTimestamptz:
		v.n, ok = parseTimestamptz([]byte(s))
	case ClassDate:
		v.n, ok = parseDate([]byte(s))
	case ClassEnum:
		ok = typ.Labels == nil || slices.Contains(typ.Labels, s)
	}
	if !ok {
		return value{}, errors.New("not " + wanted(typ))
	}
	if hasText(typ.Class) {
		v.s = []byte(s)
	}
	return v, nil
}

// hasText reports whether values of a class are in value.s.
func hasText(c Class) bool {
	return c != ClassBool && c != ClassTimestamptz && c != ClassDate
}

// wanted says what the text of a type must be.
func wanted(typ Type) string {
	switch typ.Class {
	case ClassBool:
		return "a boolean (true or false)"
	case ClassUUID:
		return "a uuid"
	case ClassTimestamptz:
		return "a timestamp with time zone, write 2026-01-31T12:00:00Z"
	case ClassDate:
		return "a date, write 2026-01-31"
	case ClassEnum:
		return "a label of " + typ.Name
	case ClassNumber:
		if typ.Name == "integer" {
			return "an integer"
		}
		return "a " + typ.Name
	}
	return "possible: a value of type " + typ.Name + " has no text here"
}

func parseBool(s string) (int64, bool) {
	switch s {
	case "true", "t":
		return 1, true
	case "false", "f":
		return 0, true
	}
	return 0, false
}

func parseNumber(typ Type, s string) (string, bool) {
	bits := bitsOf(typ)
	if bits == 0 {
		return canonicalNumber(s)
	}
	n, err := strconv.ParseInt(s, 10, bits)
	if err != nil || strings.HasPrefix(s, "+") {
		return "", false
	}
	return strconv.FormatInt(n, 10), true
}
