// Package sqlname takes names apart that are spelled as in SQL: orders, shop.orders,
// public."Order Items". It imports nothing of this module and folds nothing: which of two
// spellings is meant must not be guessed.
package sqlname

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// Cut takes the first part off a name; more says that a point follows it, and rest is what
// comes behind that. A part in double quotes may be all that Postgres takes for a name, with
// "" for a double quote. One without is judged by bare: what to allow and to advise depends on
// what the name is of. part is not to be used when there is an error.
func Cut(s string, bare func(part string) error) (part, rest string, more bool, err error) {
	if !strings.HasPrefix(s, `"`) {
		part, rest, more = strings.Cut(s, ".")
		return part, rest, more, bare(part)
	}
	var b strings.Builder
	for s = s[1:]; ; s = s[1:] {
		i := strings.IndexByte(s, '"')
		if i < 0 {
			return "", "", false, errors.New("a double quote is not closed")
		}
		b.WriteString(s[:i])
		if s = s[i+1:]; !strings.HasPrefix(s, `"`) {
			break
		}
		b.WriteByte('"')
	}
	rest, more = strings.CutPrefix(s, ".")
	switch part = b.String(); {
	case s != "" && !more:
		err = errors.New("expected a point or the end after the closing quote")
	case part == "":
		err = errors.New("a part of the name is empty")
	case !utf8.ValidString(part) || strings.ContainsRune(part, 0):
		err = errors.New("not a name that Postgres can have")
	}
	return part, rest, more, err
}
