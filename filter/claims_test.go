package filter

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// declareClaims makes a declaration of "name type" or "name type required".
func declareClaims(tb testing.TB, claims ...string) []Claim {
	tb.Helper()
	var out []Claim
	for _, c := range claims {
		f := strings.Fields(c)
		typ, err := ParseType(f[1])
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, Claim{Name: f[0], Type: typ, Required: len(f) > 2})
	}
	return out
}

// show is a claim's value as text.
func (c claimValue) show(typ Type) string {
	one := func(v value) string {
		if v.state == isNull {
			return "NULL"
		}
		return v.text(typ.element())
	}
	switch {
	case c.v.state == isNull:
		return "NULL"
	case !c.isList:
		return one(c.v)
	}
	var elems []string
	for _, v := range c.list {
		elems = append(elems, one(v))
	}
	return "[" + strings.Join(elems, " ") + "]"
}

func TestParseClaims(t *testing.T) {
	for _, tt := range []struct{ typ, json, want string }{
		{"bigint", `42`, "42"},
		{"bigint", `"42"`, "42"},
		{"bigint", `"007"`, "7"},
		{"bigint", `-1`, "-1"},
		{"bigint", `-0`, "0"},
		{"bigint", `5.0`, "5"},
		{"bigint", `1.5e3`, "1500"},
		{"bigint", `9007199254740991`, "9007199254740991"},
		{"bigint", `-9007199254740991`, "-9007199254740991"},
		{"bigint", `"9223372036854775807"`, "9223372036854775807"},
		{"bigint", ` null `, "NULL"},
		{"numeric", `100.50`, "100.5"},
		{"numeric", `123456789.123456`, "123456789.123456"},
		{"numeric", `0.000000123456789012345`, "0.000000123456789012345"},
		{"numeric", `1e15`, "1000000000000000"},
		{"numeric", `1e-7`, "0.0000001"},
		{"numeric", `"0.30000000000000004"`, "0.30000000000000004"},
		{"numeric", `"NaN"`, "NaN"},
		{"text", `""`, ""},
		{"text", `"a\u0001\"\\\/\ud83d\ude00é"`, "a\x01\"\\/😀é"},
		{"text", `"null"`, "null"},
		{"uuid", `"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"`, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		{"bool", `true`, "t"},
		{"bool", `false`, "f"},
		{"timestamptz", `"2026-01-31T12:00:00+01:00"`, "2026-01-31 11:00:00+00"},
		{"date", `"2026-01-31"`, "2026-01-31"},
		{"mood", `"sad"`, "sad"},
		{"bigint[]", `[]`, "[]"},
		{"bigint[]", `[ 7 , "8" , null ]`, "[7 8 NULL]"},
		{"bigint[]", `null`, "NULL"},
		{"text[]", `["a","b c"]`, "[a b c]"},
		{"bool[]", `[true,false,null]`, "[t f NULL]"},
		{"bigint[]", `[` + strings.Repeat("1,", 999) + `1]`, "[" + strings.Repeat("1 ", 999) + "1]"},
	} {
		declared := declareClaims(t, "other text", "x "+tt.typ)
		c, err := ParseClaims(declared, []byte(` { "iat" : 1e999, "x" : `+tt.json+`, "deep": {"x": [{"x": 1}]} } `))
		if err != nil {
			t.Errorf("%s %.60s: %v", tt.typ, tt.json, err)
			continue
		}
		if got := c.get(1).show(declared[1].Type); got != tt.want || c.get(1).isList != declared[1].Type.List {
			t.Errorf("%s %.60s: %.60s, want %.60s", tt.typ, tt.json, got, tt.want)
		}
		if c.get(0).v.state != isNull {
			t.Errorf("a claim that is not there is %v", c.get(0))
		}
	}
}

func TestParseClaimsRefuses(t *testing.T) {
	const rounded = "may have been rounded: integers beyond ±(2^53 - 1) and fractions of more than 15 digits must be strings"
	const number = "must be a number or a string with a number "
	for _, tt := range []struct{ typ, json, want string }{
		{"bigint", `9007199254740992`, rounded},
		{"bigint", `-9007199254740992`, rounded},
		{"bigint", `1e16`, rounded},
		{"numeric", `0.30000000000000004`, rounded},
		{"numeric", `123456789012345.6`, rounded},
		{"numeric", `1e400`, rounded},
		{"numeric", `1e401`, "has too large an exponent; write the number as a string"},
		{"bigint", `5.5`, "is not a bigint"},
		{"bigint", `"5.0"`, "is not a bigint"},
		{"bigint", `"+5"`, "is not a bigint"},
		{"bigint", `""`, "is not a bigint"},
		{"bigint", `"9223372036854775808"`, "is not a bigint"},
		{"bigint", `true`, number + "(bigint)"},
		{"bigint", `[1]`, number + "(bigint)"},
		{"bigint", `{"a":1}`, number + "(bigint)"},
		{"numeric", `"1e3"`, "is not a numeric"},
		{"text", `42`, "must be a string"},
		{"text", `true`, "must be a string"},
		{"text", `["a"]`, "must be a string"},
		{"text", `"\ud800"`, "has half a surrogate pair or a NUL, which Postgres cannot hold"},
		{"text", `"a\u0000"`, "has half a surrogate pair or a NUL, which Postgres cannot hold"},
		{"uuid", `"s3cret"`, "is not a uuid"},
		{"uuid", `7`, "must be a string with a uuid"},
		{"bool", `"true"`, "must be true or false"},
		{"bool", `1`, "must be true or false"},
		{"timestamptz", `1700000000`, "must be a string with a timestamp with time zone, write 2026-01-31T12:00:00Z"},
		{"timestamptz", `"2026-01-31T12:00:00"`, "is not a timestamp with time zone, write 2026-01-31T12:00:00Z"},
		{"date", `"2026-01-31T12:00:00Z"`, "is not a date, write 2026-01-31"},
		{"mood", `7`, "must be a string with a label of mood"},
		{"bigint[]", `7`, "must be an array of bigint"},
		{"bigint[]", `"{7}"`, "must be an array of bigint"},
		{"bigint[]", `{"a": 1}`, "must be an array of bigint"},
		{"bigint[]", `[7,"s3cret"]`, "element 2 is not a bigint"},
		{"bigint[]", `[[7]]`, "element 1 " + number + "(bigint)"},
		{"text[]", `[7]`, "element 1 must be a string"},
		{"bigint[]", `[` + strings.Repeat("1,", 1000) + `1]`, "has 1001 elements, the most is 1000"},
	} {
		c, err := ParseClaims(declareClaims(t, "x "+tt.typ), []byte(`{"x": `+tt.json+`}`))
		var e *ClaimError
		if !errors.As(err, &e) || c != nil || e.Claim != "x" || e.Reason != tt.want {
			t.Errorf("%s %.40s: %v, %v, want claim x: %s", tt.typ, tt.json, c, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the error has the value: %v", err)
		}
	}
}

func TestParseClaimsObject(t *testing.T) {
	const object = `claims: not a JSON object, such as {"id": 42}`
	for _, tt := range []struct{ text, want string }{
		{"", object}, {" ", object}, {"null", object}, {"[]", object}, {"7", object}, {`"{}"`, object}, {"{", object}, {"{}{}", object}, {"{} x", object},
		{`{"id": 1,}`, object}, {`{id: 1}`, object}, {`{"id": s3cret}`, object},
		{`{"id": 1, "id": 1}`, "claims: a name stands twice in the object"},
		{`{"id": 1, "i\u0064": 2}`, "claims: a name stands twice in the object"},
		{`{"other": 1, "other": 1}`, "claims: a name stands twice in the object"},
		{"{\"id\": \"\xff\"}", "claims: not UTF-8"},
		{`{"id": "` + strings.Repeat("x", MaxClaimsBytes) + `"}`, "claims: 16394 bytes, the most is 16384"},
		{`{}`, "claim id: is required and missing"},
		{`{"id": null}`, "claim id: is required and missing"},
		{`{"ID": 1}`, "claim id: is required and missing"},
		{`{"id": 1}`, "claim ids: is required and missing"},
		{`{"id": 1, "ids": null}`, "claim ids: is required and missing"},
	} {
		c, err := ParseClaims(declareClaims(t, "id bigint required", "ids bigint[] required"), []byte(tt.text))
		var e *ClaimError
		if !errors.As(err, &e) || c != nil || err.Error() != tt.want {
			t.Errorf("%.60s: %v, %v, want %s", tt.text, c, err, tt.want)
		}
	}
	if _, err := ParseClaims(declareClaims(t, "id bigint required", "ids bigint[] required"), []byte(`{"id":1,"ids":[]}`)); err != nil {
		t.Errorf("an empty list is there: %v", err)
	}
}

func TestNobody(t *testing.T) {
	var nobody *Claims
	somebody, err := ParseClaims(nil, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Claims{nobody, somebody} {
		for _, i := range []int{-1, 0, 1} {
			if got := c.get(i); got.v.state != isNull || got.list != nil {
				t.Errorf("claim %d of nobody is %v", i, got)
			}
		}
	}
}

// Claims own their values: the text may be used for something else afterwards.
func TestClaimsOwnTheirValues(t *testing.T) {
	text := []byte(`{"x": "abc", "l": ["def"]}`)
	declared := declareClaims(t, "x text", "l text[]")
	c, err := ParseClaims(declared, text)
	if err != nil {
		t.Fatal(err)
	}
	clear(text)
	if got := c.get(0).show(declared[0].Type) + c.get(1).show(declared[1].Type); got != "abc[def]" {
		t.Errorf("claims are %q", got)
	}
}

func FuzzClaims(f *testing.F) {
	f.Add(`{"bool": true, "bigint": 42, "numeric": "1.50", "text": "a\ud83d\ude00", "bigint[]": [1, "2", null]}`)
	f.Add(`{"uuid": "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "date": "2026-01-31", "timestamptz": "2026-01-31T12:00:00Z", "text[]": ["a"]}`)
	f.Add(`{"numeric": 1.5e-3, "bigint": 1e15, "x": {"y": [{}]}, "bool[]": []}`)
	f.Add(`{"text": 1, "text": 2}`)
	types := []string{"bool", "bigint", "numeric", "text", "uuid", "date", "timestamptz", "mood", "bigint[]", "text[]", "bool[]"}
	f.Fuzz(func(t *testing.T, text string) {
		for _, typ := range types {
			declared := declareClaims(t, typ+" "+typ)
			c, err := ParseClaims(declared, []byte(text))
			var e *ClaimError
			if err != nil {
				if !errors.As(err, &e) || c != nil {
					t.Fatalf("%v, %v", c, err)
				}
				continue
			}
			if !utf8.ValidString(text) || !json.Valid([]byte(text)) {
				t.Fatalf("%q is read", text)
			}
			checkClaim(t, typ, text, c.get(0), declared[0].Type)
		}
	})
}

// checkClaim checks that what was read is a value of its type, and nothing but what
// encoding/json reads.
func checkClaim(t *testing.T, name, text string, c claimValue, typ Type) {
	t.Helper()
	var fields map[string]any
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&fields); err != nil {
		t.Fatalf("%q is read, encoding/json says %v", text, err)
	}
	raw := fields[name]
	if (raw == nil) != (c.v.state == isNull) {
		t.Errorf("%q is %v", text, c)
	}
	if s, ok := raw.(string); ok && typ.Class == ClassText && string(c.v.s) != s {
		t.Errorf("%q is %q", text, c.v.s)
	}
	all := c.list
	if !c.isList {
		all = []value{c.v}
	} else if list, _ := raw.([]any); len(list) != len(all) {
		t.Errorf("%q has %d elements", text, len(all))
	}
	elem := typ.element()
	for _, v := range all {
		if v.state == isNull {
			continue
		}
		again, err := parseText(elem, v.text(elem))
		if err != nil || again.text(elem) != v.text(elem) || !equal(elem.Class, v, again) {
			t.Errorf("%q: %s again is %v, %v", text, v.text(elem), again, err)
		}
	}
}

func BenchmarkParseClaims(b *testing.B) {
	declared := declareClaims(b, "id bigint required", "teams bigint[]", "role text", "org uuid")
	text := []byte(`{"id": 42, "teams": [7, 8], "role": "admin", "org": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "iat": 1700000000}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseClaims(declared, text); err != nil {
			b.Fatal(fmt.Sprint(err))
		}
	}
}
