package filter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// The bounds of claims.
const (
	// MaxClaimsBytes is the length of the JSON of one user's claims.
	MaxClaimsBytes = 16 << 10
	// MaxListClaim is the number of elements of a list.
	MaxListClaim = 1000
)

// Claims are the claims of one user, checked against their declaration. Immutable. A nil
// *Claims stands for nobody, of whom every claim is null.
type Claims struct {
	// declared and values have the same order. Invariant: equal lengths.
	declared []Claim
	values   []value
	// lists are the elements of the claims that are lists, in the same order; nil where none is a list
	// with elements: there may be very many users.
	lists [][]value
}

// claimValue is the value of one claim.
type claimValue struct {
	// v is the value; of a list only its state counts.
	v value
	// list are the elements, each NULL or set.
	list   []value
	isList bool
}

// get is the claim with the index i in the declaration.
func (c *Claims) get(i int) claimValue {
	if c == nil || i < 0 || i >= len(c.values) {
		return claimValue{}
	}
	out := claimValue{v: c.values[i], isList: c.declared[i].Type.List}
	if c.lists != nil {
		out.list = c.lists[i]
	}
	return out
}

// ClaimError is a claim that is missing or not of its type, or claims that cannot be read at
// all. It never has a value in it.
type ClaimError struct {
	// Claim is the name, empty where the whole text is meant.
	Claim, Reason string
}

func (e *ClaimError) Error() string {
	if e.Claim == "" {
		return "claims: " + e.Reason
	}
	return "claim " + e.Claim + ": " + e.Reason
}

// ParseClaims reads claims from JSON, {"id": 42, "teams": [7, 8]}, an object without
// duplicate names and of at most [MaxClaimsBytes]. A missing claim is null, like one that is
// null; names that are not declared are ignored.
//
// Numbers are JSON numbers or strings. What a float8, the number of JavaScript and of many
// issuers, may have rounded is taken only as a string: integers beyond ±(2^53 - 1), and
// fractions of more than 15 digits. bool is true or false, every other type a string, a list
// an array of at most [MaxListClaim] elements, which may be null. Nothing else converts.
//
// The error is a *ClaimError.
func ParseClaims(declared []Claim, text []byte) (*Claims, error) {
	fields, err := claimFields(text)
	if err != nil {
		return nil, &ClaimError{Reason: err.Error()}
	}
	c := &Claims{declared: declared, values: make([]value, len(declared))}
	for i, d := range declared {
		v, err := parseClaim(d.Type, fields[d.Name])
		if err == nil && d.Required && v.v.state == isNull {
			err = errors.New("is required and missing")
		}
		if err != nil {
			return nil, &ClaimError{Claim: d.Name, Reason: err.Error()}
		}
		c.values[i] = v.v
		if len(v.list) > 0 {
			if c.lists == nil {
				c.lists = make([][]value, len(declared))
			}
			c.lists[i] = v.list
		}
	}
	return c, nil
}

var errNotObject = errors.New(`not a JSON object, such as {"id": 42}`)

// claimFields are the members of the object. encoding/json lets duplicates and wrong UTF-8
// pass; who sends those is not understood.
func claimFields(text []byte) (map[string]json.RawMessage, error) {
	switch {
	case len(text) > MaxClaimsBytes:
		return nil, fmt.Errorf("%d bytes, the most is %d", len(text), MaxClaimsBytes)
	case !utf8.Valid(text):
		return nil, errors.New("not UTF-8")
	case !json.Valid(text):
		return nil, errNotObject
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errNotObject
	}
	fields := map[string]json.RawMessage{}
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, errNotObject
		}
		if _, again := fields[name]; again {
			return nil, errors.New("a name stands twice in the object")
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, errNotObject
		}
		fields[name] = raw
	}
	return fields, nil
}

// parseClaim reads one claim; raw is JSON without blanks around it, or empty.
func parseClaim(typ Type, raw []byte) (claimValue, error) {
	if isJSONNull(raw) {
		return claimValue{isList: typ.List}, nil
	}
	if !typ.List {
		v, err := parseClaimValue(typ, raw)
		return claimValue{v: v}, err
	}
	var elems []json.RawMessage
	if raw[0] != '[' || json.Unmarshal(raw, &elems) != nil {
		return claimValue{}, fmt.Errorf("must be an array of %s", typ.element().Name)
	}
	if len(elems) > MaxListClaim {
		return claimValue{}, fmt.Errorf("has %d elements, the most is %d", len(elems), MaxListClaim)
	}
	elem := typ.element()
	c := claimValue{v: value{state: isSet}, list: make([]value, len(elems)), isList: true}
	for i, e := range elems {
		v, err := parseClaimValue(elem, e)
		if err != nil {
			return claimValue{}, fmt.Errorf("element %d %w", i+1, err)
		}
		c.list[i] = v
	}
	return c, nil
}

func isJSONNull(raw []byte) bool { return len(raw) == 0 || string(raw) == "null" }

// parseClaimValue reads a value that is no list.
func parseClaimValue(typ Type, raw []byte) (value, error) {
	if isJSONNull(raw) {
		return value{}, nil
	}
	c := raw[0]
	switch {
	case typ.Class == ClassBool && (c == 't' || c == 'f'):
		return parseText(typ, string(raw))
	case typ.Class == ClassNumber && (c == '-' || c-'0' <= 9):
		return parseJSONNumber(typ, string(raw))
	case typ.Class != ClassBool && c == '"':
		s, ok := appendUnescaped(nil, raw[1:len(raw)-1])
		if !ok {
			return value{}, errors.New("has half a surrogate pair or a NUL, which Postgres cannot hold")
		}
		v, err := parseText(typ, string(s))
		if err != nil {
			return value{}, fmt.Errorf("is %w", err)
		}
		return v, nil
	}
	return value{}, errors.New("must be " + jsonWanted(typ))
}

// jsonWanted says which JSON a type has.
func jsonWanted(typ Type) string {
	switch typ.Class {
	case ClassBool:
		return "true or false"
	case ClassNumber:
		return "a number or a string with a number (" + typ.Name + ")"
	case ClassText:
		return "a string"
	}
	return "a string with " + wanted(typ)
}

// The numbers that pass through a float8 unharmed.
const (
	maxExactDigits  = 15
	maxExactInteger = "9007199254740991" // 2^53 - 1
)

// parseJSONNumber reads a JSON number.
func parseJSONNumber(typ Type, number string) (value, error) {
	plain, ok := expand(number)
	if !ok {
		return value{}, errors.New("has too large an exponent; write the number as a string")
	}
	d, ok := parseDecimal([]byte(plain))
	if !ok {
		return value{}, errors.New("must be " + jsonWanted(typ))
	}
	if !d.exact() {
		return value{}, errors.New("may have been rounded: integers beyond ±(2^53 - 1) and fractions of more than 15 digits must be strings")
	}
	v, err := parseText(typ, d.String())
	if err != nil {
		return value{}, fmt.Errorf("is %w", err)
	}
	return v, nil
}

// exact reports whether a float8 has kept all digits of the number.
func (d *decimal) exact() bool {
	if len(d.frac) == 0 {
		largest := decimal{whole: []byte(maxExactInteger)}
		return d.compareDigits(&largest) <= 0
	}
	digits := len(d.whole) + len(d.frac)
	if len(d.whole) == 0 {
		digits = len(bytes.TrimLeft(d.frac, "0"))
	}
	return digits <= maxExactDigits
}
