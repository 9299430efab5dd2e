package filter

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/walrelay/walrelay/nearest"
	"github.com/walrelay/walrelay/sqlname"
)

// declarable are the types that claims and parameters can have, with their class; a Postgres
// enum is the other possibility.
var declarable = map[string]Class{
	"bool": ClassBool, "bigint": ClassNumber, "numeric": ClassNumber, "text": ClassText, "uuid": ClassUUID,
	"timestamptz": ClassTimestamptz, "date": ClassDate,
}

// Names that Postgres or a habit has for these types.
var otherNames = map[string]string{
	"boolean": "bool", "smallint": "bigint", "int": "bigint", "integer": "bigint", "int2": "bigint", "int4": "bigint", "int8": "bigint",
	"decimal": "numeric", "number": "numeric", "varchar": "text", "character varying": "text", "char": "text", "character": "text",
	"bpchar": "text", "citext": "text", "name": "text", "string": "text",
	"timestamp with time zone": "timestamptz", "datetime": "timestamptz", "list": "text[]", "array": "text[]",
}

// Types that a rule cannot compare.
var incomparable = []string{
	"float", "float4", "float8", "double", "double precision", "real", "money", "timestamp", "timestamp without time zone", "time", "timetz",
	"interval", "json", "jsonb", "bytea", "xml", "inet", "cidr", "bit", "object", "null", "any",
}

const kinds = "bool, bigint, numeric, text, uuid, timestamptz, date or the name of an enum, and each with [] for a list"

// ParseType reads the type of a claim or a parameter as the configuration declares it: bool,
// bigint, numeric, text, uuid, timestamptz, date or the name of an enum in the way of SQL
// (order_status, shop.order_status, "Mood"), and each of these with [] for a list. Names of an
// enum without a schema are in the schema public; the type's Name leaves that out. Whether
// there is such an enum is for who knows the catalog. The error says what to write instead.
func ParseType(s string) (Type, error) {
	elem, list := strings.CutSuffix(s, "[]")
	instead, other := otherNames[elem]
	class, known := declarable[elem]
	switch {
	case list && strings.HasSuffix(elem, "[]"):
		return Type{}, fmt.Errorf("write %s[]: it is a list of any number of dimensions", strings.TrimRight(elem, "[]"))
	case other && list:
		return Type{}, fmt.Errorf("write %s[]", strings.TrimSuffix(instead, "[]"))
	case other:
		return Type{}, fmt.Errorf("write %s", instead)
	case slices.Contains(incomparable, elem):
		return Type{}, fmt.Errorf("rules cannot compare the type %s; there are %s", elem, kinds)
	case known:
		return Type{Class: class, List: list, Name: s}, nil
	}
	schema, name, err := splitName(elem)
	if err != nil {
		return Type{}, fmt.Errorf("must be %s: %w%s", kinds, err, nearest.Suggest(elem, declarableNames()))
	}
	typ := Type{Class: ClassEnum, List: list, Name: joinName(schema, name)}
	if list {
		typ.Name += "[]"
	}
	return typ, nil
}

func declarableNames() []string {
	names := make([]string, 0, len(declarable))
	for name := range declarable {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// enumName is the name of an enum from the catalog, schema.name with quotes where SQL
// needs them, in the form of joinName.
func enumName(quoted string) string {
	schema, name, err := splitName(quoted)
	if err != nil {
		return quoted
	}
	return joinName(schema, name)
}

// joinName is how an enum is called here, without the schema public. Two enums have the same
// name only if they are the same, and none has the name of a declarable type.
func joinName(schema, name string) string {
	_, taken := declarable[name]
	if schema == "public" && !taken {
		return quoteName(name)
	}
	return quoteName(schema) + "." + quoteName(name)
}

// quoteName quotes what is not an identifier of lower-case letters, digits and _.
func quoteName(s string) string {
	if checkBare(s) == nil {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

// splitName reads name or schema.name, each part possibly in double quotes.
func splitName(s string) (schema, name string, err error) {
	first, rest, more, err := sqlname.Cut(s, checkBare)
	if err != nil || !more {
		return "public", first, err
	}
	second, _, more, err := sqlname.Cut(rest, checkBare)
	if err == nil && more {
		err = errors.New("a type's name is schema.name")
	}
	return first, second, err
}

// checkBare refuses what SQL would fold or would not take without quotes.
func checkBare(part string) error {
	if part == "" {
		return errors.New("a part of the name is empty")
	}
	if part != strings.ToLower(part) {
		return errors.New(`has capital letters: write it in lower case, or in double quotes as in public."Mood"`)
	}
	for i := range len(part) {
		c := part[i]
		if c != '_' && c-'a' > 25 && c < 0x80 && (i == 0 || c-'0' > 9 && c != '$') {
			return errors.New(`has characters that need double quotes, as in public."my type"`)
		}
	}
	return nil
}
