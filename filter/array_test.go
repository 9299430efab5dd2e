package filter

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/walrelay/walrelay/change"
)

// elementsOf reads an array to its end; NULL is "<null>".
func elementsOf(t *change.Type, text string) (all []string, bad bool) {
	elem := typeOf(t)
	elem.List = false
	var e elements
	e.reset(t, elem, []byte(text))
	for v, ok := e.next(); ok; v, ok = e.next() {
		if v.state == isNull {
			all = append(all, "<null>")
		} else {
			all = append(all, v.text(elem))
		}
	}
	return all, e.bad()
}

func TestElements(t *testing.T) {
	semicolons := &change.Type{Name: "text[]", Kind: change.KindArray, Elem: catText, Delim: ';'}
	for _, tt := range []struct {
		t    *change.Type
		text string
		want []string
	}{
		// As Postgres 15 prints them.
		{catArray(catText), `{a,"",NULL,"NULL","null","a\"b","a\\b","{x}","a b","a,b",é,"a` + "\t" + `b","` + "\n" + `"," "}`,
			[]string{"a", "", "<null>", "NULL", "null", `a"b`, `a\b`, "{x}", "a b", "a,b", "é", "a\tb", "\n", " "}},
		{catArray(catBigint), "[0:1]={1,2}", []string{"1", "2"}},
		{catArray(catBigint), "[2:3][-1:0]={{1,2},{3,4}}", []string{"1", "2", "3", "4"}},
		{catArray(catBigint), "{}", nil},
		{catArray(catText), "{{x,y},{NULL,z}}", []string{"x", "y", "<null>", "z"}},
		{catArray(catChar), `{"ab   ","c    "}`, []string{"ab", "c"}},
		{catArray(catBool), "{t,NULL,f}", []string{"t", "<null>", "f"}},
		{catArray(catStamp), `{"2026-01-01 00:00:00+00",infinity}`, []string{"2026-01-01 00:00:00+00", "infinity"}},
		{catArray(catNumeric), "{5.00,NaN,-Infinity}", []string{"5.00", "NaN", "-Infinity"}},
		{catDomain("public.ids", catArray(catBigint)), "{1}", []string{"1"}},
		{catArray(catBigint), "{{{{{{1}}}}}}", []string{"1"}},

		{catArray(catText), "{null,Null}", []string{"<null>", "<null>"}},
		{catArray(catText), `{"\a\\\"","b","\\"}`, []string{`a\"`, "b", `\`}},
		{catArray(catText), "{{},{}}", nil},
		{semicolons, "{a,b;c}", []string{"a,b", "c"}},
		{&change.Type{Name: "text[]", Kind: change.KindArray, Elem: catText}, "{a,b}", []string{"a", "b"}},
	} {
		got, bad := elementsOf(tt.t, tt.text)
		if diff := cmp.Diff(tt.want, got); diff != "" || bad {
			t.Errorf("%s: bad is %v (-want +got):\n%s", tt.text, bad, diff)
		}
	}
}

func TestBadElements(t *testing.T) {
	for _, tt := range []struct {
		text string
		want []string // what comes before it shows
	}{
		{"", nil}, {"{", nil}, {"}", nil}, {"1", nil}, {"{,}", nil}, {"{,1}", nil}, {"{{1},{}}x", []string{"1"}},
		{"{1", nil}, {"{1,", []string{"1"}}, {"{1,}", []string{"1"}}, {"{1,2", []string{"1"}}, {"{1}}", []string{"1"}}, {"{1} ", []string{"1"}}, {"{1}{2}", []string{"1"}},
		{"{1 2}", nil}, {`{"1}`, nil}, {`{"1\`, nil}, {`{"1"2}`, []string{"1"}}, {`{1"2"}`, nil}, {`{1\2}`, nil}, {"{1{2}}", nil},
		{"{1,{2}}", []string{"1"}}, {"{{1},2}", []string{"1"}}, {"{{{{{{{1}}}}}}}", nil}, {"{1,x,2}", []string{"1"}}, {`{1,""}`, []string{"1"}},
		{"[0:1]", nil}, {"[0:1]{1,2}", nil}, {"[a]={1}", nil}, {"[0:1]=", nil}, {"[0:1]=1", nil}, {"=", nil}, {"{}}", nil}, {"{}{}", nil},
	} {
		got, bad := elementsOf(catArray(catBigint), tt.text)
		if diff := cmp.Diff(tt.want, got); diff != "" || !bad {
			t.Errorf("%s: bad is %v (-want +got):\n%s", tt.text, bad, diff)
		}
	}
}

// Text that stands where an element is missing is no empty text.
func TestMissingElements(t *testing.T) {
	for _, text := range []string{"{,a}", "{,}", "{{,a}}"} {
		if got, bad := elementsOf(catArray(catText), text); got != nil || !bad {
			t.Errorf("%s: %q, bad is %v", text, got, bad)
		}
	}
	if got, bad := elementsOf(catArray(catText), "{a,}"); len(got) != 1 || !bad {
		t.Errorf("{a,}: %q, bad is %v", got, bad)
	}
}

// A set of elements can be used again, and what it has given stays until then.
func TestElementsAgain(t *testing.T) {
	var e elements
	if _, ok := e.next(); ok || e.bad() {
		t.Error("the zero value has elements")
	}
	typ := Type{Class: ClassText}
	for range 3 {
		e.reset(catArray(catText), Type{Class: ClassText, List: true}, []byte(`{"x`))
		if _, ok := e.next(); ok || !e.bad() {
			t.Error("a broken array is not bad")
		}
		e.reset(catArray(catText), typ, []byte(`{"\"a","\"bb",c}`))
		var all []value
		for v, ok := e.next(); ok; v, ok = e.next() {
			all = append(all, v)
		}
		if len(all) != 3 || string(all[0].s) != `"a` || string(all[1].s) != `"bb` || string(all[2].s) != "c" || e.bad() {
			t.Errorf("elements %v, bad is %v", all, e.bad())
		}
		if _, ok := e.next(); ok {
			t.Error("an element behind the end")
		}
	}
	e.reset(catArray(catBigint), Type{Class: ClassNumber, List: true}, []byte("{x}"))
	if v, ok := e.next(); ok || !e.bad() {
		t.Errorf("x as a bigint: %q, %v", v.s, ok)
	}
	e.reset(nil, typ, []byte(`{"a ",b}`))
	if v, ok := e.next(); !ok || string(v.s) != "a " {
		t.Errorf("without a type: %q, %v", v.s, ok)
	}
}

// arrayText writes an array as array_out does.
func arrayText(elems []string) string {
	for i, s := range elems {
		if s == "" || strings.EqualFold(s, "null") || strings.ContainsAny(s, "{}\",\\ \t\n\r\v\f") {
			elems[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
		}
	}
	return "{" + strings.Join(elems, ",") + "}"
}

func FuzzElements(f *testing.F) {
	f.Add(`{a,"b c",NULL}`, "x")
	f.Add(`[0:1]={"\"",2}`, `{"\`)
	f.Add(`{{1,2},{3,4}}`, "null")
	f.Add("{}", "")
	f.Fuzz(func(t *testing.T, text, elem string) {
		all, _ := elementsOf(catArray(catText), text)
		if len(all) > len(text) {
			t.Errorf("%q has %d elements", text, len(all))
		}
		elementsOf(&change.Type{Kind: change.KindArray, Elem: catBigint, Delim: ';'}, text)
		want := []string{elem, text, elem + text}
		got, bad := elementsOf(catArray(catText), arrayText([]string{elem, text, elem + text}))
		if diff := cmp.Diff(want, got); diff != "" || bad {
			t.Errorf("bad is %v (-want +got):\n%s", bad, diff)
		}
	})
}

func TestElementsRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		elems := make([]string, 1+r.IntN(4))
		for i := range elems {
			for range r.IntN(4) {
				elems[i] += string(`ab"\{}, ;nulNUL`[r.IntN(15)])
			}
		}
		want := append([]string(nil), elems...)
		text := arrayText(elems)
		got, bad := elementsOf(catArray(catText), text)
		if diff := cmp.Diff(want, got); diff != "" || bad {
			t.Fatalf("%s: bad is %v (-want +got):\n%s", text, bad, diff)
		}
	}
}

func BenchmarkElements(b *testing.B) {
	for _, text := range []string{"{urgent,vip,eu}", `{"needs \"care\"",vip,NULL}`} {
		b.Run(text, func(b *testing.B) {
			t, array := catArray(catText), []byte(text)
			var e elements
			b.ReportAllocs()
			for b.Loop() {
				e.reset(t, Type{Class: ClassText}, array)
				for _, ok := e.next(); ok; _, ok = e.next() {
				}
			}
		})
	}
}
