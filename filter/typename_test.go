package filter

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/walrelay/walrelay/change"
)

func TestParseType(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want Type
	}{
		{"bool", Type{Class: ClassBool, Name: "bool"}},
		{"bigint", Type{Class: ClassNumber, Name: "bigint"}},
		{"numeric", Type{Class: ClassNumber, Name: "numeric"}},
		{"text", Type{Class: ClassText, Name: "text"}},
		{"uuid", Type{Class: ClassUUID, Name: "uuid"}},
		{"timestamptz", Type{Class: ClassTimestamptz, Name: "timestamptz"}},
		{"date", Type{Class: ClassDate, Name: "date"}},
		{"bigint[]", Type{Class: ClassNumber, List: true, Name: "bigint[]"}},
		{"date[]", Type{Class: ClassDate, List: true, Name: "date[]"}},

		{"order_status", Type{Class: ClassEnum, Name: "order_status"}},
		{"public.order_status", Type{Class: ClassEnum, Name: "order_status"}},
		{"shop.order_status", Type{Class: ClassEnum, Name: "shop.order_status"}},
		{"order_status[]", Type{Class: ClassEnum, List: true, Name: "order_status[]"}},
		{`"Mood"`, Type{Class: ClassEnum, Name: `"Mood"`}},
		{`public."Mood"[]`, Type{Class: ClassEnum, List: true, Name: `"Mood"[]`}},
		{`"s.x"."a""b"`, Type{Class: ClassEnum, Name: `"s.x"."a""b"`}},
		{`"mood"`, Type{Class: ClassEnum, Name: "mood"}},
		{"stimmung_größe", Type{Class: ClassEnum, Name: "stimmung_größe"}},
		{"public.text", Type{Class: ClassEnum, Name: "public.text"}},
		{`"text"`, Type{Class: ClassEnum, Name: "public.text"}},
		{"m$1", Type{Class: ClassEnum, Name: "m$1"}},
	} {
		got, err := ParseType(tt.in)
		if err != nil {
			t.Errorf("ParseType(%s): %v", tt.in, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("ParseType(%s) (-want +got):\n%s", tt.in, diff)
		}
	}
}

func TestParseTypeRefuses(t *testing.T) {
	const must = "must be bool, bigint, numeric, text, uuid, timestamptz, date or the name of an enum, and each with [] for a list: "
	for _, tt := range []struct{ in, want string }{
		{"boolean", "write bool"},
		{"int", "write bigint"},
		{"integer[]", "write bigint[]"},
		{"varchar", "write text"},
		{"string[]", "write text[]"},
		{"list", "write text[]"},
		{"list[]", "write text[]"},
		{"timestamp with time zone", "write timestamptz"},
		{"bigint[][]", "write bigint[]: it is a list of any number of dimensions"},
		{"float8", "rules cannot compare the type float8; there are bool, bigint, numeric, text, uuid, timestamptz, date or the name of an enum, and each with [] for a list"},
		{"jsonb[]", "rules cannot compare the type jsonb; there are"},
		{"timestamp", "rules cannot compare the type timestamp;"},
		{"", must + "a part of the name is empty"},
		{"[]", must + "a part of the name is empty"},
		{"BIGINT", must + `has capital letters: write it in lower case, or in double quotes as in public."Mood"; did you mean "bigint"?`},
		{"my type", must + `has characters that need double quotes, as in public."my type"`},
		{"1st", must + "has characters"},
		{"$a", must + "has characters"},
		{"varchar(20)", must + "has characters"},
		{"a.b.c", must + "a type's name is schema.name"},
		{"a.", must + "a part of the name is empty"},
		{".a", must + "a part of the name is empty"},
		{`"a`, must + "a double quote is not closed"},
		{`"a"b`, must + "expected a point or the end after the closing quote"},
		{`""`, must + "a part of the name is empty"},
		{"\"a\x00\"", must + "not a name that Postgres can have"},
		{"\"\xff\"", must + "not a name that Postgres can have"},
	} {
		if got, err := ParseType(tt.in); err == nil || !strings.HasPrefix(err.Error(), tt.want) || got.Class != ClassOpaque {
			t.Errorf("ParseType(%q) = %v, %v, want %q", tt.in, got, err, tt.want)
		}
	}
}

// A declared enum and the catalog's have one name exactly when they are the same.
func TestEnumNames(t *testing.T) {
	for _, tt := range []struct {
		catalog, declared string
		same              bool
	}{
		{"public.mood", "mood", true},
		{"public.mood", "public.mood", true},
		{"shop.mood", "mood", false},
		{"shop.mood", "shop.mood", true},
		{`public."Mood"`, `"Mood"`, true},
		{`public."order"`, "order", true},
		{`public."order"`, `public."order"`, true},
		{`public."shop.mood"`, "shop.mood", false},
		{`public."shop.mood"`, `"shop.mood"`, true},
		{`public."mood[]"`, "mood[]", false},
		{`"public.x".mood`, "public.x", false},
	} {
		column := typeOf(&change.Type{Name: tt.catalog, Labels: []string{"a"}})
		declared, err := ParseType(tt.declared)
		if err != nil {
			t.Fatal(err)
		}
		if (column.Name == declared.Name) != tt.same || column.Class != ClassEnum || declared.Class != ClassEnum {
			t.Errorf("%s is called %s, %s %s", tt.catalog, column.Name, tt.declared, declared.Name)
		}
	}
}

func FuzzParseType(f *testing.F) {
	for _, s := range []string{"bigint[]", `public."a""b"[]`, "a.b", `"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		typ, err := ParseType(s)
		if err != nil {
			return
		}
		again, err := ParseType(typ.Name)
		if diff := cmp.Diff(typ, again); diff != "" || err != nil {
			t.Errorf("%q is called %q, which is (-want +got): %v\n%s", s, typ.Name, err, diff)
		}
	})
}
