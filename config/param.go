package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/walrelay/walrelay/filter"
	"github.com/walrelay/walrelay/nearest"
)

// params reads the types of the parameters.
func (b *builder) params(s *section) {
	names := paramNames(b.c.Pattern)
	types := map[string]string{}
	if s != nil {
		for _, e := range s.entries {
			e.used = true
			v, ok := s.scalar(e.name)
			switch {
			case !ok:
			case b.c.Pattern != nil && !slices.Contains(names, e.name):
				b.r.problem(nodePos(e.key), v.key, "the channel's name has no {%s}%s", e.name, plain(nearest.Suggest(e.name, names)))
			default:
				t, err := paramType(v)
				if err != nil {
					v.problem(err)
				}
				types[e.name] = t
			}
		}
	}
	for _, name := range names {
		b.c.Params = append(b.c.Params, Param{Name: name, Type: types[name]})
		p := filter.Parameter{Name: name}
		if text := types[name]; text != "" {
			var err error
			if p.Type, err = filter.ParseType(text); err != nil {
				b.r.problem(b.r.positions[b.c.Key("params", name)], b.c.Key("params", name), "%s", err)
			}
		}
		b.c.Parameters = append(b.c.Parameters, p)
	}
}

func paramNames(pattern []Segment) []string {
	var names []string
	for _, s := range pattern {
		if s.Param != "" {
			names = append(names, s.Param)
		}
	}
	return names
}

// Names that Postgres has for a type and this file does not, or what to say
// about types that no parameter can have.
var paramTypes = map[string]string{
	"bool": "", "bigint": "", "numeric": "", "text": "", "uuid": "",
	"boolean": "bool", "smallint": "bigint", "int": "bigint", "integer": "bigint", "int2": "bigint", "int4": "bigint", "int8": "bigint",
	"decimal": "numeric", "varchar": "text", "char": "text", "string": "text",
}

var noParamTypes = []string{
	"float", "float4", "float8", "double", "real", "timestamp", "timestamptz", "date", "time", "timetz",
	"interval", "json", "jsonb", "bytea",
}

// paramType reads the type of a parameter.
func paramType(v scalar) (string, error) {
	const kinds = "bool, bigint, numeric, text, uuid or the name of an enum"
	instead, known := paramTypes[v.text]
	switch {
	case known && instead == "":
		return v.text, nil
	case known:
		return "", fmt.Errorf("write %s", instead)
	case slices.Contains(noParamTypes, v.text) || strings.HasSuffix(v.text, "[]"):
		return "", errors.New("a parameter cannot have this type: its text in a URL would not be unique; there are " + kinds)
	}
	schema, name, err := splitName(v.text)
	if err != nil {
		return "", fmt.Errorf("must be %s: %w", kinds, err)
	}
	return schema + "." + name, nil
}
