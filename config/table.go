package config

import (
	"errors"
	"regexp"
	"strings"

	"github.com/walrelay/walrelay/sqlname"
)

// identifier is a name that SQL takes without quotes and does not fold.
var identifier = regexp.MustCompile(`^[\p{Ll}\p{Lo}_][\p{Ll}\p{Lo}0-9_$]*$`)

// splitName reads a name as SQL writes it: name or schema.name, parts in double
// quotes where they need it. Without a schema it is public.
func splitName(s string) (schema, name string, err error) {
	var parts []string
	for rest, more := s, true; more; {
		var part string
		part, rest, more, err = sqlname.Cut(rest, checkBare)
		if err != nil {
			return "", "", err
		}
		parts = append(parts, part)
	}
	switch len(parts) {
	case 1:
		return "public", parts[0], nil
	case 2:
		return parts[0], parts[1], nil
	}
	return "", "", errors.New("must be schema.name; a database cannot be named here")
}

// checkBare refuses what SQL would fold or would not take without quotes: which
// of two spellings is meant must not be guessed.
func checkBare(part string) error {
	switch {
	case part == "":
		return errors.New("a part of the name is empty; write schema.name")
	case part != strings.ToLower(part):
		return errors.New(`has capital letters: write it in lower case, or in double quotes as in public."Orders" if the table is spelled so`)
	case !identifier.MatchString(part):
		return errors.New(`has characters that need double quotes, as in public."Order Items"`)
	}
	return nil
}
