package config

import (
	"errors"
	"slices"

	"github.com/walrelay/walrelay/filter"
	"github.com/walrelay/walrelay/nearest"
)

// params reads the types of the parameters.
func (b *builder) params(s *section) {
	names := paramNames(b.c.Pattern)
	for _, name := range names {
		b.c.Params = append(b.c.Params, filter.Parameter{Name: name})
	}
	if s == nil {
		return
	}
	for _, e := range s.entries {
		e.used = true
		v, ok := s.scalar(e.name)
		at := slices.Index(names, e.name)
		switch {
		case !ok:
		case at >= 0:
			b.param(at, v)
		case b.c.Pattern != nil:
			b.r.problem(nodePos(e.key), v.key, "the channel's name has no {%s}%s", e.name, plain(nearest.Suggest(e.name, names)))
		}
	}
}

// param reads the type of a parameter.
func (b *builder) param(at int, v scalar) {
	t, err := filter.ParseType(v.text)
	if err == nil && t.List {
		err = errors.New("a parameter is one value and no list")
	}
	if err != nil {
		v.problem(err)
		return
	}
	b.c.Params[at].Type = t
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
