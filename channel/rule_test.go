package channel

import (
	"testing"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/filter"
)

// ruled is a rule on a relation with its program. An empty where is none; allow may also be public.
func ruled(t testing.TB, rel *change.Relation, r Rule, where, allow string, claims ...filter.Claim) *Rule {
	t.Helper()
	src := filter.Source{Table: &filter.Table{Name: rel.FullName()}, Claims: claims}
	for _, c := range rel.Columns {
		src.Table.Columns = append(src.Table.Columns, filter.Column{Name: c.Name, Type: c.Type, NotNull: c.NotNull, Identity: c.Identity})
	}
	for _, segment := range paramsOf(r.Name) {
		src.Params = append(src.Params, filter.Parameter{Name: segment})
	}
	src.Where, src.Public = parsed(t, where), allow == "public"
	if !src.Public {
		src.Allow = parsed(t, allow)
	}
	program, problems := filter.Compile(src)
	for _, p := range problems {
		if !p.Warning {
			t.Fatalf("%s: %s && %s: %s", r.Name, where, allow, p.Msg)
		}
	}
	r.Schema, r.Table, r.Program, r.Public, r.Relation = rel.Schema, rel.Name, program, src.Public, rel
	return &r
}

func parsed(t testing.TB, expr string) filter.Node {
	t.Helper()
	if expr == "" {
		return nil
	}
	n, err := filter.Parse(expr)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// paramsOf are the names of a pattern's parameters.
func paramsOf(pattern string) (names []string) {
	for i := 0; i < len(pattern); i++ {
		if pattern[i] != '{' {
			continue
		}
		from := i + 1
		for pattern[i] != '}' {
			i++
		}
		names = append(names, pattern[from:i])
	}
	return names
}
