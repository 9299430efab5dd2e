package config

import (
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/walrelay/walrelay/auth"
	"github.com/walrelay/walrelay/nearest"
)

// claimSource reads what an entry's claims are made of: SQL, or a path for each claim. It
// returns what is known of the SQL; nil when there is none.
func (r *reader) claimSource(s *section, e *auth.SessionEntry) *query {
	ent := s.find("claims")
	if ent == nil || r.rejected[ent.value] {
		return nil
	}
	if ent.value.Kind == yaml.MappingNode {
		if e.Claims.Paths = r.claimMap(s.section("claims"), text); len(e.Claims.Paths) == 0 {
			r.complain(join(s.key, "claims"), "empty; write SQL, or claims by name as in {id: user.id}")
		}
		return nil
	}
	key := join(s.key, "claims")
	if isNull(ent.value) {
		r.problem(nodePos(ent.value), key, "empty; give it a value or remove the key")
		return nil
	}
	v, ok := r.verbatim(ent.value, key)
	if !ok {
		return nil
	}
	q := parseQuery(v.text)
	e.Claims.SQL = q.text
	if r.checkQuery(v, q); r.faulty(key) {
		return nil
	}
	return q
}

// checkQuery notes why a text cannot be the claims SQL.
func (r *reader) checkQuery(v scalar, q *query) {
	bad := func(at int, format string, args ...any) { r.problem(v.at(at), v.key, format, args...) }
	switch {
	case strings.TrimSpace(v.text) == "":
		bad(0, "empty; write SQL, or claims by name as in {id: user.id}")
		return
	case q.unclosed != "":
		bad(q.end, "%s is not closed", plain(q.unclosed))
		return
	case q.second > 0:
		bad(q.second, "a second statement begins here; the claims are those of one query")
		return
	case !slices.Contains([]string{"select", "with", "values", "table"}, q.first):
		bad(0, "must be a query that begins with select or with")
		return
	}
	user := false
	for _, p := range q.params {
		switch p.name {
		case "user":
			user = true
		case "session":
		default:
			bad(p.at, "there is no :%s; the parameters are :user and :session%s", p.name, plain(nearest.Suggest(p.name, []string{"user", "session"})))
		}
	}
	if q.numbered > 0 {
		bad(q.numbered-1, "parameters have names here: write :user or :session")
	}
	if !user {
		bad(0, "does not read :user, so that everybody would have the same claims; add a condition such as where id = :user")
	}
}

// claimMap reads where each claim comes from.
func (r *reader) claimMap(s *section, parse func(scalar) (string, error)) map[string]string {
	if s == nil || len(s.entries) == 0 {
		return nil
	}
	out := map[string]string{}
	for _, e := range s.entries {
		e.used = true
		key := join(s.key, e.name)
		n := r.follow(e.value)
		r.positions[key] = nodePos(n)
		if !r.declared[e.name] {
			hint := nearest.Suggest(e.name, slices.Sorted(maps.Keys(r.declared)))
			if hint == "" {
				hint = "; add it there with its type"
			}
			r.problem(nodePos(e.key), key, "is not declared under claims%s", plain(hint))
		}
		switch {
		case r.rejected[n]:
			continue
		case isNull(n):
			r.problem(nodePos(n), key, "empty; give it a value or remove the key")
			continue
		}
		v, ok := r.scalarOf(n, key)
		if !ok {
			continue
		}
		path, err := parse(v)
		if err != nil {
			v.problem(err)
			continue
		}
		out[e.name] = path
	}
	return out
}
