package config

import (
	"errors"
	"regexp"
	"strings"
)

// identifier is a name that SQL takes without quotes and does not fold.
var identifier = regexp.MustCompile(`^[\p{Ll}\p{Lo}_][\p{Ll}\p{Lo}0-9_$]*$`)

// splitName reads a name as SQL writes it: name or schema.name, parts in double
// quotes where they need it. Without a schema it is public.
func splitName(s string) (schema, name string, err error) {
	var parts []string
	for rest, more := s, true; more; {
		var part string
		part, rest, more, err = cutName(rest)
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

// cutName reads one part of a name; more says that a point follows it.
func cutName(s string) (part, rest string, more bool, err error) {
	if !strings.HasPrefix(s, `"`) {
		part, rest, more = strings.Cut(s, ".")
		return part, rest, more, checkBare(part)
	}
	var b strings.Builder
	for s = s[1:]; ; s = s[1:] {
		i := strings.IndexByte(s, '"')
		if i < 0 {
			return "", "", false, errors.New(`a double quote is not closed`)
		}
		b.WriteString(s[:i])
		s = s[i+1:]
		if !strings.HasPrefix(s, `"`) {
			break
		}
		b.WriteByte('"')
	}
	rest, more = strings.CutPrefix(s, ".")
	switch {
	case s != "" && !more:
		return "", "", false, errors.New(`expected a point or the end after the closing quote`)
	case b.Len() == 0:
		return "", "", false, errors.New("a part of the name is empty")
	case strings.ContainsRune(b.String(), 0):
		return "", "", false, errors.New("must not hold a NUL character")
	}
	return b.String(), rest, more, nil
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
