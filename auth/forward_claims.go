package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/walrelay/walrelay/filter"
)

// forwardClaim is a claim that is read from an answer.
type forwardClaim struct {
	name string
	// from is a path of the body, or the canonical name of a header.
	from   string
	header bool
	// user: the entry names no claims, this is the user's id.
	user bool
	typ  filter.Type
}

func indexClaim(declared []filter.Claim, name string) int {
	return slices.IndexFunc(declared, func(c filter.Claim) bool { return c.Name == name })
}

// forwardClaims are those of an entry, by name.
func forwardClaims(e *ForwardEntry, declared []filter.Claim) ([]forwardClaim, error) {
	sources, header := e.Claims.Paths, false
	if len(sources) == 0 {
		sources, header = e.Claims.Headers, true
	}
	switch {
	case e.Claims.SQL != "" || len(e.Claims.Paths) > 0 && len(e.Claims.Headers) > 0:
		return nil, errors.New("claims: must be paths of the answer's JSON, or headers")
	case e.User == "" && len(sources) == 0:
		return nil, errors.New("user: is missing; name the path of the user's id in the answer")
	case len(sources) == 0:
		id := forwardClaim{name: "id", from: e.User, user: true}
		if i := indexClaim(declared, "id"); i >= 0 {
			id.typ = declared[i].Type
		}
		return []forwardClaim{id}, nil
	}
	var errs []error
	var out []forwardClaim
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		i := indexClaim(declared, name)
		if i < 0 {
			errs = append(errs, fmt.Errorf("claims.%s: is not declared; add it to claims: with its type", name))
			continue
		}
		c := forwardClaim{name: name, from: sources[name], header: header, typ: declared[i].Type}
		if header {
			c.from = http.CanonicalHeaderKey(c.from)
		}
		out = append(out, c)
	}
	return out, errors.Join(errs...)
}

// claimsOf reads the claims. What the answer does not have is missing, and so null for the
// rules. Numbers keep their digits.
func (f *forward) claimsOf(payload any, h http.Header) (map[string]any, error) {
	list := *f.claims.Load()
	claims := make(map[string]any, len(list))
	for _, c := range list {
		v, err := c.read(payload, h)
		if err != nil {
			return nil, err
		}
		if v != nil {
			claims[c.name] = v
		}
	}
	if len(claims) == 0 && f.entry.User == "" {
		f.suggest("an answer had nothing of what claims name, which is taken for not signed in. If users are signed in, look for a setting that makes the answer say who it is (oauth2-proxy: --set-xauthrequest)")
		return nil, ErrNoSession
	}
	return claims, nil
}

func (c forwardClaim) read(payload any, h http.Header) (any, error) {
	if !c.header {
		v, _ := at(payload, c.from)
		return c.spell(v), nil
	}
	values := h[c.from]
	if slices.ContainsFunc(values, func(v string) bool { return !utf8.ValidString(v) }) {
		return nil, errAnswerHeader
	}
	switch {
	case len(values) == 0:
		return nil, nil
	case c.typ.List:
		return c.list(values), nil
	case len(values) > 1:
		return nil, errAnswerHeader
	case values[0] == "":
		return nil, nil
	}
	return c.scalar(values[0]), nil
}

// maxExact is the largest integer that JavaScript does not round.
const maxExact = 1<<53 - 1

// spell makes an id that is a number a string where one is declared, unless the application
// may have rounded it: that is left to be refused.
func (c forwardClaim) spell(v any) any {
	number, ok := v.(json.Number)
	if !ok || !c.user || c.typ.Class == filter.ClassNumber {
		return v
	}
	if n, err := strconv.ParseInt(number.String(), 10, 64); err != nil || n > maxExact || n < -maxExact {
		return v
	}
	return number.String()
}

// list splits Remote-Groups: admins, staff. A header without elements is an empty list.
func (c forwardClaim) list(values []string) []any {
	out := []any{}
	for _, value := range values {
		for one := range strings.SplitSeq(value, ",") {
			if one = strings.Trim(one, " \t"); one != "" {
				out = append(out, c.scalar(one))
			}
		}
	}
	return out
}

// scalar is a text as claims spell its type: all but booleans may be strings.
func (c forwardClaim) scalar(text string) any {
	if c.typ.Class == filter.ClassBool && (text == "true" || text == "false") {
		return text == "true"
	}
	return text
}
