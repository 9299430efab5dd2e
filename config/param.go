package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

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

// checkParams notes parameters that no column binds, and bindings to parameters
// that the name does not have.
func (b *builder) checkParams() {
	if b.c.Pattern == nil {
		return
	}
	names := paramNames(b.c.Pattern)
	bound := map[string]bool{}
	for _, bind := range b.c.Bindings {
		bound[bind.Param] = true
		if !slices.Contains(names, bind.Param) {
			b.r.problem(b.c.Where.Pos(bind.ParamPos), b.c.Key("where"),
				"the channel's name has no {%s}%s", bind.Param, plain(nearest.Suggest(bind.Param, names)))
		}
	}
	for _, name := range names {
		if !bound[name] && !b.unbound {
			at := b.r.src.within(b.key, strings.Index(b.name, "{"+name+"}"))
			b.r.problem(at, b.c.Key(), "nothing binds {%s}; add where: row.<column> == params.%s", name, name)
		}
	}
}
