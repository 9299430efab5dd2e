package integration

import (
	"slices"
	"strings"
	"sync"
	"unicode"
)

// This is what filters mean, told to Postgres. Nothing here looks at package filter. Where the language
// means on purpose something else than the same operator does in Postgres, the SQL says so:
//
//   - Text is compared byte by byte and char(n) without the blanks at its end, whatever the
//     column's collation: (x::text collate "C"). A literal beside a char(n) is one too, as in
//     Postgres; a claim and a parameter are text. For deterministic collations = and <> are that anyway.
//     For citext and nondeterministic collations a filter has == and in only, and is
//     stricter than Postgres.
//   - lower() follows Unicode as Go has it, character by character, see lowered.
//   - text(path) of an object and an array compares with nothing, where ->> gives their text; it is not null, as
//     there. A key of digits is no index into an array.
//   - null is the NULL that the stream sends. IS NULL says so too of a composite value whose fields
//     are all NULL, "is not distinct from null" does not.

func (c *diffCondition) sql(u *diffUser) string {
	switch c.op {
	case "||", "&&":
		parts := make([]string, len(c.terms))
		for i, t := range c.terms {
			parts[i] = t.sql(u)
		}
		return "(" + strings.Join(parts, map[string]string{"||": " or ", "&&": " and "}[c.op]) + ")"
	case "!":
		return "(not " + c.terms[0].sql(u) + ")"
	case "":
		return c.x.sql(u)
	case "in":
		return "(" + c.x.sql(u) + " = any(" + c.y.sql(u) + "))"
	}
	return c.comparisonSQL(u)
}

func (c *diffCondition) comparisonSQL(u *diffUser) string {
	x, y := c.x, c.y
	if x.source == fromNull {
		x, y = y, x
	}
	op := c.op
	switch {
	case y.source == fromNull && op == "==":
		return "(" + x.presenceSQL(u) + " is not distinct from null)"
	case y.source == fromNull:
		return "(" + x.presenceSQL(u) + " is distinct from null)"
	case op == "==":
		op = "="
	case op == "!=":
		op = "<>"
	}
	return "(" + x.sql(u) + " " + op + " " + y.sql(u) + ")"
}

// presenceSQL is null when the operand is: an object below a path is none.
func (o *diffOperand) presenceSQL(u *diffUser) string {
	switch {
	case o.source == fromLower:
		return o.of.presenceSQL(u)
	case o.source == fromRow && len(o.path) > 0:
		return "(" + o.pathSQL() + " #>> '{}')"
	}
	return o.sql(u)
}

// sql is a value of the operand's type, cast to it.
func (o *diffOperand) sql(u *diffUser) string {
	switch o.source {
	case fromRow:
		return o.rowSQL()
	case fromUser:
		v := u.claims[o.claim.name]
		switch {
		case v.null:
			return sqlValue(o.claim.sql, o.family, nil)
		case o.list:
			return sqlArray(o.claim.sql, o.family, v.list)
		}
		return sqlValue(o.claim.sql, o.family, &v.text)
	case fromParams:
		v := u.params[o.claim.name]
		return sqlValue(o.claim.sql, o.family, &v)
	case fromTruth:
		return sqlValue("boolean", famFlags, o.values[0])
	case fromLower:
		return "(translate(" + o.of.sql(u) + ", " + lowered() + ") collate \"C\")"
	}
	return o.literalSQL()
}

func (o *diffOperand) rowSQL() string {
	sql := quoteIdentifier(o.column.name)
	switch {
	case len(o.path) > 0:
		sql = o.pathSQL()
		return "(case when jsonb_typeof(" + sql + ") not in ('object', 'array') then " + "(" + sql + ") #>> '{}' end collate \"C\")"
	case o.column.kind.base == "":
		return sql
	}
	return collated(o.family, sql+"::"+o.column.kind.base)
}

// pathSQL is what stands at the end of the path.
func (o *diffOperand) pathSQL() string {
	sql := quoteIdentifier(o.column.name)
	for _, key := range o.path {
		sql += " -> " + sqlString(key) + "::text"
	}
	return "(" + sql + ")"
}

// The type of an enum is the same for literals of a filter as for the column beside them.
var literalTypes = [famCount]string{
	famNumbers: "numeric", famTexts: "text", famUUIDs: "uuid", famMoods: moodSQL, famStatuses: statusSQL, famInstants: "timestamptz", famDays: "date", famFlags: "boolean",
}

func (o *diffOperand) literalSQL() string {
	typ := literalTypes[o.family]
	elems := slices.Clone(o.values)
	for i, v := range elems {
		if o.trims && v != nil {
			trimmed := strings.TrimRight(*v, " ")
			elems[i] = &trimmed
		}
	}
	if o.list {
		return sqlArray(typ+"[]", o.family, elems)
	}
	return sqlValue(typ, o.family, elems[0])
}

func sqlValue(typ string, f diffFamily, v *string) string {
	if v == nil {
		return collated(f, "null::"+typ)
	}
	return collated(f, sqlString(*v)+"::"+typ)
}

func sqlArray(typ string, f diffFamily, list []*string) string {
	parts := make([]string, len(list))
	for i, v := range list {
		parts[i] = "null"
		if v != nil {
			parts[i] = sqlString(*v)
		}
	}
	return collated(f, "array["+strings.Join(parts, ", ")+"]::"+typ)
}

func collated(f diffFamily, sql string) string {
	if f == famTexts {
		return "(" + sql + ` collate "C")`
	}
	return "(" + sql + ")"
}

func sqlString(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// lowered are the arguments of translate() that make it Go's strings.ToLower for every text that
// the generator makes.
var lowered = sync.OnceValue(func() string {
	var from, to strings.Builder
	seen := map[rune]bool{}
	for _, s := range slices.Concat(familyValues[famTexts], oddities, documentKeys, []string{"ABCDEFGHIJKLMNOPQRSTUVWXYZ"}) {
		for _, r := range s {
			if l := unicode.ToLower(r); l != r && !seen[r] {
				seen[r] = true
				from.WriteRune(r)
				to.WriteRune(l)
			}
		}
	}
	return sqlString(from.String()) + ", " + sqlString(to.String())
})
