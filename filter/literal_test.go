package filter

import (
	"errors"
	"strings"
	"testing"
)

func TestLiteral(t *testing.T) {
	uuid := "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
	status := Type{Class: ClassEnum, Name: "order_status", Labels: []string{"draft", "paid"}}
	number := func(name string) Type { return Type{Class: ClassNumber, Name: name} }
	const kind = "kind"
	for _, tt := range []struct {
		typ        Type
		kind       LiteralKind
		text, want string
		err        string
	}{
		{number("bigint"), Int, "5", "5", ""},
		{number("bigint"), Int, "-007", "-7", ""},
		{number("bigint"), Decimal, "5.50", "5.5", ""},
		{number("bigint"), Int, "9223372036854775807", "9223372036854775807", ""},
		{number("bigint"), Int, "9223372036854775808", "", "9223372036854775808 is out of the range of bigint"},
		{number("bigint"), Int, "-9223372036854775809", "", "-9223372036854775809 is out of the range of bigint"},
		{number("smallint"), Int, "100000", "100000", ""},
		{number("smallint"), Int, "99999999999999999999", "", "99999999999999999999 is out of the range of bigint"},
		{number("bigint"), Decimal, "99999999999999999999.5", "99999999999999999999.5", ""},
		{number("numeric"), Int, "99999999999999999999", "99999999999999999999", ""},
		{number("numeric"), Decimal, "-0.00", "0", ""},
		{number("numeric"), Int, strings.Repeat("9", 131073), "", strings.Repeat("9", 120) + "... is out of the range of numeric"},
		{number("numeric"), String, "5", "", kind},
		{number("bigint"), Bool, "true", "", kind},

		{Type{Class: ClassBool, Name: "bool"}, Bool, "true", "t", ""},
		{Type{Class: ClassBool, Name: "bool"}, Bool, "false", "f", ""},
		{Type{Class: ClassBool, Name: "bool"}, String, "true", "", kind},
		{Type{Class: ClassBool, Name: "bool"}, Int, "1", "", kind},

		{Type{Class: ClassText, Name: "text"}, String, " a ", " a ", ""},
		{Type{Class: ClassText, Name: "text"}, Int, "5", "", kind},
		{Type{Class: ClassText, Name: "character"}, String, " a ", " a", ""},

		{Type{Class: ClassUUID, Name: "uuid"}, String, strings.ToUpper(uuid), uuid, ""},
		{Type{Class: ClassUUID, Name: "uuid"}, String, "42", "", `"42" is not a uuid`},

		{status, String, "draft", "draft", ""},
		{status, String, "drfat", "", `"drfat" is not a label of order_status; did you mean "draft"?`},
		{status, String, "", "", `"" is not a label of order_status`},
		{status, Int, "1", "", kind},
		{Type{Class: ClassEnum, Name: "role"}, String, "anything", "anything", ""},

		{Type{Class: ClassTimestamptz, Name: "timestamptz"}, String, "2026-01-31T12:00:00Z", "2026-01-31 12:00:00+00", ""},
		{Type{Class: ClassTimestamptz, Name: "timestamptz"}, String, "2026-01-31 12:00:00", "", `"2026-01-31 12:00:00" is not a timestamp with time zone, write 2026-01-31T12:00:00Z`},
		{Type{Class: ClassDate, Name: "date"}, String, "2026-01-31", "2026-01-31", ""},
		{Type{Class: ClassDate, Name: "date"}, String, "31.1.2026", "", `"31.1.2026" is not a date, write 2026-01-31`},
		{Type{Class: ClassDate, Name: "date"}, Int, "2026", "", kind},

		{Type{Class: ClassText, List: true, Name: "text[]"}, String, "{a}", "", kind},
		{Type{Class: ClassJSON, Name: "jsonb"}, String, "{}", "", kind},
		{Type{Name: "interval"}, String, "1 day", "", kind},
	} {
		v, err := literal(tt.typ, &Literal{Kind: tt.kind, Text: tt.text})
		got := ""
		switch {
		case errors.Is(err, errLiteralKind):
			got = kind
		case err != nil:
			got = err.Error()
		}
		if got != tt.err || v.text(tt.typ) != tt.want || (v.state == isSet) != (err == nil) {
			t.Errorf("%.40s as %s: %q, %q, want %q, %q", tt.text, tt.typ.Name, v.text(tt.typ), got, tt.want, tt.err)
		}
		if v, err := literal(tt.typ, &Literal{Kind: Null, Text: "null"}); v.state != isNull || err != nil {
			t.Errorf("null as %s: %v, %v", tt.typ.Name, v, err)
		}
	}
}

func TestParseTextRefuses(t *testing.T) {
	for _, tt := range []struct {
		typ  Type
		in   []string
		want string
	}{
		{Type{Class: ClassBool}, []string{"", "TRUE", "yes", "1", "tr", "true "}, "not a boolean (true or false)"},
		{Type{Class: ClassNumber, Name: "bigint"}, []string{"", "+5", "5.0", "5e3", " 5", "1_000", "0x5", "9223372036854775808", "NaN", "٣"}, "not a bigint"},
		{Type{Class: ClassNumber, Name: "integer"}, []string{"2147483648", "-2147483649"}, "not an integer"},
		{Type{Class: ClassNumber, Name: "smallint"}, []string{"32768"}, "not a smallint"},
		{Type{Class: ClassNumber, Name: "numeric"}, []string{"", "+5", "5.", ".5", "5e3", "5,0", "nan", "inf", "1 ", strings.Repeat("1", 131073), "0." + strings.Repeat("1", 16384)}, "not a numeric"},
		{Type{Class: ClassUUID}, []string{"", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}", "a0eebc999c0b4ef8bb6d6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g"}, "not a uuid"},
		{Type{Class: ClassEnum, Name: "mood", Labels: []string{"a"}}, []string{"", "b", "A"}, "not a label of mood"},
		{Type{Class: ClassText}, []string{"a\x00"}, "not text that Postgres can hold: it has a NUL character"},
		{Type{Class: ClassText}, []string{"\xff", "\xed\xa0\x80"}, "not UTF-8"},
		{Type{Class: ClassText, List: true}, []string{"{}"}, "not a list, which cannot be written as text"},
		{Type{Class: ClassJSON, Name: "jsonb"}, []string{"{}"}, "not possible: a value of type jsonb has no text here"},
		{Type{Name: "interval"}, []string{"1 day"}, "not possible: a value of type interval has no text here"},
	} {
		for _, in := range tt.in {
			if v, err := parseText(tt.typ, in); err == nil || err.Error() != tt.want || v.state != isNull {
				t.Errorf("%.40q as %s: %v, %v, want %q", in, tt.typ.Name, v, err, tt.want)
			}
		}
	}
}

func TestParseTextBounds(t *testing.T) {
	for _, s := range []string{strings.Repeat("9", 131072), "0." + strings.Repeat("1", 16383), strings.Repeat("0", 200000) + "1", "1." + strings.Repeat("0", 20000)} {
		if _, err := parseText(Type{Class: ClassNumber, Name: "numeric"}, s); err != nil {
			t.Errorf("%.20s...: %v", s, err)
		}
	}
	for _, tt := range []struct{ typ, in string }{{"smallint", "-32768"}, {"integer", "2147483647"}, {"bigint", "-9223372036854775808"}} {
		if v, err := parseText(Type{Class: ClassNumber, Name: tt.typ}, tt.in); err != nil || string(v.s) != tt.in {
			t.Errorf("%s: %s, %v", tt.in, v.s, err)
		}
	}
}
