package integration

import (
	"encoding/json"
	"maps"
	"strings"
)

// diffClaim is a declared claim or a parameter.
type diffClaim struct {
	name string
	// config is the type as the configuration names it, sql as Postgres does.
	config, sql string
	family      diffFamily
	list        bool
	fits        func(string) bool
}

// integer reports a type without fractions.
func (c *diffClaim) integer() bool { return strings.HasPrefix(c.config, "bigint") }

var diffClaims = []diffClaim{
	{"id", "bigint", "bigint", famNumbers, false, integerOf(64)},
	{"limit", "numeric", "numeric", famNumbers, false, noExponent},
	{"tag", "text", "text", famTexts, false, nil},
	{"role", "text", "text", famTexts, false, nil},
	{"org", "uuid", "uuid", famUUIDs, false, nil},
	{"mood", "mood", moodSQL, famMoods, false, nil},
	{"state", `"Odd schema"."Order status"`, statusSQL, famStatuses, false, nil},
	{"since", "timestamptz", "timestamptz", famInstants, false, nil},
	{"day", "date", "date", famDays, false, nil},
	{"admin", "bool", "boolean", famFlags, false, nil},
	{"teams", "bigint[]", "bigint[]", famNumbers, true, integerOf(64)},
	{"amounts", "numeric[]", "numeric[]", famNumbers, true, noExponent},
	{"tags", "text[]", "text[]", famTexts, true, nil},
	{"orgs", "uuid[]", "uuid[]", famUUIDs, true, nil},
	{"moods", "mood[]", moodSQL + "[]", famMoods, true, nil},
	{"states", `"Odd schema"."Order status"[]`, statusSQL + "[]", famStatuses, true, nil},
	{"times", "timestamptz[]", "timestamptz[]", famInstants, true, nil},
	{"days", "date[]", "date[]", famDays, true, nil},
	{"flags", "bool[]", "boolean[]", famFlags, true, nil},
}

var diffParams = []diffClaim{
	{"number", "bigint", "bigint", famNumbers, false, integerOf(64)},
	{"amount", "numeric", "numeric", famNumbers, false, noExponent},
	{"word", "text", "text", famTexts, false, nil},
	{"key", "uuid", "uuid", famUUIDs, false, nil},
	{"mood", "mood", moodSQL, famMoods, false, nil},
	{"state", `"Odd schema"."Order status"`, statusSQL, famStatuses, false, nil},
	{"at", "timestamptz", "timestamptz", famInstants, false, nil},
	{"date", "date", "date", famDays, false, nil},
	{"flag", "bool", "boolean", famFlags, false, nil},
}

// plainNumber are numbers that the language can write: no exponent, no NaN.
func plainNumber(s string) bool { return strings.Trim(s, "-0123456789.") == "" }

// noExponent are numbers that a claim and a parameter can be.
func noExponent(s string) bool { return !strings.Contains(s, "e") }

// jsonNumber are those that JSON can write and that readers keep exact.
func jsonNumber(s string) bool {
	digits := strings.TrimPrefix(s, "-")
	return plainNumber(s) && len(digits) < 15 && (digits[0] != '0' || len(digits) == 1 || digits[1] == '.')
}

// diffUser is somebody with claims, and the parameters of a subscription.
type diffUser struct {
	claims map[string]diffValue
	params map[string]string
}

// diffValue is the value of a claim.
type diffValue struct {
	null bool
	text string
	list []*string
}

// user draws everything; inferred parameters may be of a small type.
func (t *diffTable) user(inferred map[string]bool) *diffUser {
	u := &diffUser{map[string]diffValue{}, map[string]string{}}
	for _, c := range diffClaims {
		u.claims[c.name] = t.claimValue(c)
	}
	for _, p := range diffParams {
		u.params[p.name] = t.paramValue(p, inferred[p.name])
	}
	return u
}

// another differs from u in one claim or one parameter.
func (t *diffTable) another(u *diffUser, inferred map[string]bool) *diffUser {
	u = &diffUser{maps.Clone(u.claims), maps.Clone(u.params)}
	if t.IntN(4) == 0 {
		p := diffParams[t.IntN(len(diffParams))]
		u.params[p.name] = t.paramValue(p, inferred[p.name])
	} else {
		c := diffClaims[t.IntN(len(diffClaims))]
		u.claims[c.name] = t.claimValue(c)
	}
	return u
}

func (t *diffTable) paramValue(p diffClaim, inferred bool) string {
	if inferred && p.family == famNumbers {
		return t.scalar(famNumbers, integerOf(16))
	}
	return t.scalar(p.family, p.fits)
}

func (t *diffTable) claimValue(c diffClaim) diffValue {
	switch {
	case t.IntN(8) == 0:
		return diffValue{null: true}
	case !c.list:
		return diffValue{text: t.scalar(c.family, c.fits)}
	}
	v := diffValue{list: []*string{}}
	for range t.IntN(5) {
		v.list = append(v.list, t.orNull(func() string { return t.scalar(c.family, c.fits) }))
	}
	return v
}

// json are the claims as an authority would write them: numbers as numbers where JSON's
// readers keep them exact, else as strings; null or nothing at all.
func (t *diffTable) json(u *diffUser) string {
	members := []string{`"undeclared": [{}]`}
	for _, c := range diffClaims {
		v := u.claims[c.name]
		var text string
		switch {
		case v.null && t.IntN(2) == 0:
			continue
		case v.null:
			text = "null"
		case c.list:
			text = "[" + t.elements(c, v.list) + "]"
		default:
			text = t.jsonClaim(c, v.text)
		}
		members = append(members, t.jsonString(c.name)+": "+text)
	}
	t.Shuffle(len(members), func(i, k int) { members[i], members[k] = members[k], members[i] })
	return "{" + strings.Join(members, ", ") + "}"
}

func (t *diffTable) elements(c diffClaim, list []*string) string {
	parts := make([]string, len(list))
	for i, v := range list {
		parts[i] = "null"
		if v != nil {
			parts[i] = t.jsonClaim(c, *v)
		}
	}
	return strings.Join(parts, ", ")
}

func (t *diffTable) jsonClaim(c diffClaim, v string) string {
	switch {
	case c.family == famFlags:
		return literalText(famFlags, v)
	case c.family == famNumbers && v == "5" && t.IntN(4) == 0:
		return t.pick("5.0", "50e-1", "0.5E+1", "5e0")
	case c.family == famNumbers && jsonNumber(v) && t.IntN(2) == 0:
		return v
	}
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // a string
	}
	return string(text)
}
