package config

import (
	"errors"
	"strings"
	"unicode"

	"gopkg.in/yaml.v3"

	"github.com/walrelay/walrelay/filter"
)

// claims reads what rules may know of a user: name: type, or name: {type, required}.
func (r *reader) claims(s *section) []filter.Claim {
	if s == nil {
		return nil
	}
	var claims []filter.Claim
	for _, e := range s.entries {
		if strings.TrimSpace(e.name) == "" || strings.ContainsFunc(e.name, unicode.IsControl) {
			r.problem(nodePos(e.key), s.key, "a claim needs a name that can be written, got %q", e.name)
			e.used = true
			continue
		}
		r.declared[e.name] = true
		claims = append(claims, r.claim(s, e))
	}
	return claims
}

func (r *reader) claim(s *section, e *entry) filter.Claim {
	c := filter.Claim{Name: e.name}
	n := s.value(e.name)
	if n == nil {
		return c
	}
	if n.Kind != yaml.MappingNode {
		read(s, e.name, &c.Type, claimType)
		return c
	}
	key := join(s.key, e.name)
	claim := r.section(n, key, "claims.*", nodePos(e.key))
	claim.require("type", "a claim has one, as in "+e.name+": {type: bigint, required: true}")
	read(claim, "type", &c.Type, claimType)
	read(claim, "required", &c.Required, boolean)
	claim.done()
	return c
}

// claimType is the type of a claim, which may be a list.
func claimType(v scalar) (filter.Type, error) {
	if strings.TrimSpace(v.text) == "" {
		return filter.Type{}, errors.New("empty; give it a type such as bigint or text[]")
	}
	return filter.ParseType(v.text)
}
