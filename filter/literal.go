package filter

import "errors"

// errLiteralKind: the literal is of another type altogether, such as a string where a
// bigint is wanted. The caller knows the operator and says so better.
var errLiteralKind = errors.New("the literal is of another type")

func literal(typ Type, l *Literal) (value, error) { return value{}, nil }
func parseText(typ Type, s string) (value, error) { return value{}, nil }
