package filter

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/walrelay/walrelay/change"
)

// Types as the catalog describes them.
var (
	catBool    = &change.Type{OID: 16, Name: "boolean", Kind: change.KindBool}
	catBigint  = &change.Type{OID: 20, Name: "bigint", Kind: change.KindInt}
	catNumeric = &change.Type{OID: 1700, Name: "numeric", Kind: change.KindNumeric}
	catText    = &change.Type{OID: 25, Name: "text"}
	catChar    = &change.Type{OID: 1042, Name: "character"}
	catUUID    = &change.Type{OID: 2950, Name: "uuid"}
	catStamp   = &change.Type{OID: 1184, Name: "timestamp with time zone", Kind: change.KindTimestampTZ}
	catDate    = &change.Type{OID: 1082, Name: "date", Kind: change.KindDate}
	catJSONB   = &change.Type{OID: 3802, Name: "jsonb", Kind: change.KindJSONB}
	catMood    = &change.Type{OID: 20000, Name: "public.mood", Labels: []string{"sad", "ok"}}
	catBox     = &change.Type{OID: 603, Name: "box"}
)

func catArray(elem *change.Type) *change.Type {
	return &change.Type{Name: elem.Name + "[]", Kind: change.KindArray, Elem: elem, Delim: ','}
}

// catDomain is a domain as replication.LoadTypes makes it.
func catDomain(name string, base *change.Type) *change.Type {
	t := *base
	t.Name, t.Base = name, base.BaseName()
	return &t
}

func TestTypeOf(t *testing.T) {
	opaque := func(name string) Type { return Type{Name: name} }
	for _, tt := range []struct {
		t    *change.Type
		want Type
	}{
		{catBool, Type{Class: ClassBool, Name: "boolean"}},
		{&change.Type{Name: "smallint", Kind: change.KindInt}, Type{Class: ClassNumber, Name: "smallint"}},
		{catBigint, Type{Class: ClassNumber, Name: "bigint"}},
		{catNumeric, Type{Class: ClassNumber, Name: "numeric"}},
		{catText, Type{Class: ClassText, Name: "text"}},
		{&change.Type{Name: "character varying"}, Type{Class: ClassText, Name: "character varying"}},
		{&change.Type{Name: "name"}, Type{Class: ClassText, Name: "name"}},
		{catChar, Type{Class: ClassText, Name: "character"}},
		{&change.Type{Name: "ext.citext"}, Type{Class: ClassText, Name: "ext.citext"}},
		{catUUID, Type{Class: ClassUUID, Name: "uuid"}},
		{catStamp, Type{Class: ClassTimestamptz, Name: "timestamptz"}},
		{catDate, Type{Class: ClassDate, Name: "date"}},
		{catJSONB, Type{Class: ClassJSON, Name: "jsonb"}},
		{catMood, Type{Class: ClassEnum, Name: "mood", Labels: []string{"sad", "ok"}}},
		{&change.Type{Name: `public."order"`, Labels: []string{"a"}}, Type{Class: ClassEnum, Name: "order", Labels: []string{"a"}}},
		{&change.Type{Name: `shop."My ""Mood"`, Labels: []string{"a"}}, Type{Class: ClassEnum, Name: `shop."My ""Mood"`, Labels: []string{"a"}}},
		{&change.Type{Name: `public."text"`, Labels: []string{"a"}}, Type{Class: ClassEnum, Name: `public.text`, Labels: []string{"a"}}},

		{catDomain("public.id", catBigint), Type{Class: ClassNumber, Name: "bigint"}},
		{catDomain("public.citext", catBox), opaque("box")},
		{catDomain("public.code", catChar), Type{Class: ClassText, Name: "character"}},
		{catDomain("public.dmood", catMood), Type{Class: ClassEnum, Name: "mood", Labels: []string{"sad", "ok"}}},
		{catDomain("public.ids", catArray(catBigint)), Type{Class: ClassNumber, List: true, Name: "bigint[]"}},

		{catArray(catText), Type{Class: ClassText, List: true, Name: "text[]"}},
		{catArray(catMood), Type{Class: ClassEnum, List: true, Name: "mood[]", Labels: []string{"sad", "ok"}}},
		{catArray(catDomain("public.id", catBigint)), Type{Class: ClassNumber, List: true, Name: "bigint[]"}},
		{catArray(catJSONB), opaque("jsonb[]")},
		{catArray(catBox), opaque("box[]")},
		{catArray(catDomain("public.ids", catArray(catBigint))), opaque("bigint[][]")},

		{&change.Type{Name: "double precision", Kind: change.KindFloat}, opaque("double precision")},
		{&change.Type{Name: "timestamp without time zone", Kind: change.KindTimestamp}, opaque("timestamp without time zone")},
		{&change.Type{Name: "json", Kind: change.KindJSON}, opaque("json")},
		{&change.Type{Name: "interval"}, opaque("interval")},
		{&change.Type{Name: "bytea"}, opaque("bytea")},
		{&change.Type{Name: `"char"`}, opaque(`"char"`)},
		{&change.Type{Name: "oid"}, opaque("oid")},
		{&change.Type{Name: "public.text"}, opaque("public.text")},
		{&change.Type{Name: "public.mycitext"}, opaque("public.mycitext")},
		{&change.Type{Name: "public.citext", Kind: change.KindComposite}, opaque("public.citext")},
		{&change.Type{Name: "int2vector", Kind: change.KindVector, Elem: catBigint}, opaque("int2vector")},
		{&change.Type{Name: "x", Kind: change.KindArray}, opaque("x")},
		{&change.Type{Name: "x", Kind: 200}, opaque("x")},
		{nil, opaque("unknown")},
	} {
		if diff := cmp.Diff(tt.want, typeOf(tt.t)); diff != "" {
			t.Errorf("typeOf(%v) (-want +got):\n%s", tt.t, diff)
		}
	}
}

func TestDecode(t *testing.T) {
	set := func(s string) value { return value{state: isSet, s: []byte(s)} }
	for _, tt := range []struct {
		t    *change.Type
		text string
		want value
	}{
		{catBool, "t", value{state: isSet, n: 1}},
		{catBool, "f", value{state: isSet}},
		{catBool, "true", value{state: isOpen}},
		{catBool, "", value{state: isOpen}},
		{catBigint, "-42", set("-42")},
		{catBigint, "", value{state: isOpen}},
		{catNumeric, "5.00", set("5.00")},
		{catNumeric, "NaN", set("NaN")},
		{catText, "", set("")},
		{catText, " a ", set(" a ")},
		{catChar, "a  ", set("a")},
		{catChar, "   ", set("")},
		{catChar, " a\t ", set(" a\t")},
		{catDomain("public.code", catChar), "a  ", set("a")},
		{nil, "a  ", value{state: isSet, s: []byte("a  ")}},
		{catUUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", set("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")},
		{catUUID, "A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11", value{state: isOpen}},
		{catUUID, "a0eebc999c0b4ef8bb6d6bb9bd380a11", value{state: isOpen}},
		{catUUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g", value{state: isOpen}},
		{catUUID, "a0eebc99-9c0b-4ef8-bb6d06bb9bd380a11", value{state: isOpen}},
		{catUUID, "a0eebc9--9c0b-4ef8-bb6d-6bb9bd380a11", value{state: isOpen}},
		{catMood, "sad", set("sad")},
		{catMood, "new label", set("new label")}, // ALTER TYPE may be newer than the type
		{catJSONB, `{"a": 1}`, set(`{"a": 1}`)},
		{catArray(catBigint), "{1,x}", set("{1,x}")},
		{catBox, "(1,1),(0,0)", set("(1,1),(0,0)")},
	} {
		typ := typeOf(tt.t)
		if tt.t == nil {
			typ = Type{Class: ClassText}
		}
		got, ok := decode(tt.t, typ, []byte(tt.text))
		if ok != (tt.want.state == isSet) || !cmp.Equal(got, tt.want, cmp.AllowUnexported(value{})) {
			t.Errorf("decode(%v, %q) = %v, %v, want %v", typ.Name, tt.text, got, ok, tt.want)
		}
	}
}

// samplesOf are values of each class, some of them equal, from the texts that Postgres prints.
func samplesOf(t *testing.T) map[Class][]value {
	texts := map[Class][]string{
		ClassBool:        {"t", "f"},
		ClassText:        {"", "a", "A", "a ", "aa", "\x01a", "é", "\x00", "\x00\x00"},
		ClassUUID:        {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000000"},
		ClassTimestamptz: {"infinity", "-infinity", "2000-01-01 00:00:00+00", "2000-01-01 01:00:00+01", "2000-01-01 00:00:00.000001+00", "0001-01-01 00:00:00+00 BC"},
		ClassDate:        {"infinity", "-infinity", "2000-01-01", "2000-01-02", "0001-01-01 BC", "1999-12-31"},
		ClassEnum:        {"a", "b", "ab", ""},
	}
	for _, group := range orderedNumbers {
		for _, s := range group {
			if len(s) < 1000 {
				texts[ClassNumber] = append(texts[ClassNumber], s)
			}
		}
	}
	out := map[Class][]value{}
	for c, all := range texts {
		for _, s := range all {
			v, ok := decode(nil, Type{Class: c}, []byte(s))
			if !ok {
				t.Fatalf("decode(%d, %q) fails", c, s)
			}
			out[c] = append(out[c], v)
		}
	}
	return out
}

func TestCompareIsTotal(t *testing.T) {
	for c, all := range samplesOf(t) {
		for _, x := range all {
			for _, y := range all {
				xy := compare(c, x, y)
				if compare(c, y, x) != -xy || equal(c, x, y) != (xy == 0) || equal(c, y, x) != (xy == 0) {
					t.Errorf("class %d: %v and %v: %d", c, x, y, xy)
				}
				for _, z := range all {
					if xy <= 0 && compare(c, y, z) <= 0 && compare(c, x, z) > 0 {
						t.Errorf("class %d: %v <= %v <= %v, but not the first and the last", c, x, y, z)
					}
				}
			}
		}
	}
}

// Rows of values have the same key exactly when they are equal one by one, also when what
// one value ends with could be what the next begins with.
func TestKeysAreInjective(t *testing.T) {
	samples := samplesOf(t)
	r := rand.New(rand.NewPCG(1, 2))
	equals := 0
	for range 40_000 {
		var x, y []byte
		same := true
		for range 1 + r.IntN(3) {
			c := Class(1 + r.IntN(int(ClassEnum)))
			a := samples[c][r.IntN(len(samples[c]))]
			b := samples[c][r.IntN(len(samples[c]))]
			if r.IntN(2) == 0 {
				b = a
			}
			same = same && equal(c, a, b)
			x, y = appendKey(x, c, a), appendKey(y, c, b)
		}
		if bytes.Equal(x, y) != same {
			t.Fatalf("keys %q and %q, the values are equal: %v", x, y, same)
		}
		if same {
			equals++
		}
		if !same && (bytes.HasPrefix(x, y) || bytes.HasPrefix(y, x)) {
			t.Fatalf("key %q and %q: one is the beginning of the other", x, y)
		}
	}
	if equals < 1000 {
		t.Errorf("only %d rows were equal: the test says nothing", equals)
	}
}

func TestLongTextKey(t *testing.T) {
	long := value{state: isSet, s: []byte(strings.Repeat("x", 300))}
	if got := appendKey(nil, ClassText, long); string(got[:3]) != "\xac\x02x" || len(got) != 302 {
		t.Errorf("key %q", got[:3])
	}
}

// What a person wrote, as text, is what the same text gives again.
func TestTextIsFixpoint(t *testing.T) {
	for _, tt := range []struct{ typ, in, want string }{
		{"bool", "true", "t"},
		{"bool", "f", "f"},
		{"bigint", "007", "7"},
		{"bigint", "-0", "0"},
		{"bigint", "-9223372036854775808", "-9223372036854775808"},
		{"numeric", "007.500", "7.5"},
		{"numeric", "-0.00", "0"},
		{"numeric", "0.50", "0.5"},
		{"numeric", "-Infinity", "-Infinity"},
		{"text", "07 é ", "07 é "},
		{"uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		{"timestamptz", "2026-11-20T22:00:00.123456+01:00", "2026-11-20 21:00:00.123456+00"},
		{"timestamptz", "infinity", "infinity"},
		{"date", "0001-01-01 BC", "0001-01-01 BC"},
		{"mood", "sad", "sad"},
	} {
		typ, err := ParseType(tt.typ)
		if err != nil {
			t.Fatal(err)
		}
		v, err := parseText(typ, tt.in)
		if err != nil || v.text(typ) != tt.want {
			t.Errorf("%s %s: %q, %v, want %q", tt.typ, tt.in, v.text(typ), err, tt.want)
		}
		again, err := parseText(typ, v.text(typ))
		if err != nil || !cmp.Equal(v, again, cmp.AllowUnexported(value{})) {
			t.Errorf("%s %s: again %v, %v", tt.typ, tt.in, again, err)
		}
		back, ok := decode(nil, typ, []byte(v.text(typ)))
		if !ok || !equal(typ.Class, v, back) {
			t.Errorf("%s %s: decode gives %v, %v", tt.typ, tt.in, back, ok)
		}
	}
	if got := (value{}).text(Type{Class: ClassBool}); got != "" {
		t.Errorf("text of NULL is %q", got)
	}
	if got := (value{state: isSet, s: []byte("{t}")}).text(Type{Class: ClassBool, List: true}); got != "{t}" {
		t.Errorf("text of an array is %q", got)
	}
}

// The way of a row allocates nothing once the buffers have grown.
func TestRowPathDoesNotAllocate(t *testing.T) {
	samples := samplesOf(t)
	tags, typ := catArray(catText), Type{Class: ClassText, Name: "text"}
	array, doc := []byte(`{a,"b \"c\"",NULL,"d\\e"}`), []byte(`{"x\n": 1, "a": {"b": "c\u0001\"d"}}`)
	path := []string{"a", "b"}
	key, scratch := make([]byte, 0, 1<<10), make([]byte, 0, 1<<10)
	var e elements
	for name, f := range map[string]func(){
		"values": func() {
			for c, all := range samples {
				for _, v := range all {
					decode(catText, Type{Class: c}, v.s)
					equal(c, v, all[0])
					compare(c, v, all[0])
					key = appendKey(key[:0], c, v)
				}
			}
		},
		"temporal": func() {
			decode(catStamp, Type{Class: ClassTimestamptz}, []byte("2026-11-20 21:00:00.123456+00"))
			decode(catDate, Type{Class: ClassDate}, []byte("2026-11-20"))
			decode(catBool, Type{Class: ClassBool}, []byte("t"))
		},
		"elements": func() {
			e.reset(tags, typ, array)
			for _, ok := e.next(); ok; _, ok = e.next() {
			}
		},
		"jsonPath": func() { jsonPath(doc, path, scratch) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkValue(b *testing.B) {
	for _, bb := range []struct {
		t    *change.Type
		text string
	}{
		{catBool, "t"}, {catText, "a text of some length"}, {catChar, "code      "}, {catUUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}, {catMood, "sad"},
	} {
		typ := typeOf(bb.t)
		text := []byte(bb.text)
		v, _ := decode(bb.t, typ, text)
		b.Run("decode/"+typ.Name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				decode(bb.t, typ, text)
			}
		})
		b.Run("equal/"+typ.Name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				equal(typ.Class, v, v)
			}
		})
		b.Run("key/"+typ.Name, func(b *testing.B) {
			b.ReportAllocs()
			var key []byte
			for b.Loop() {
				key = appendKey(key[:0], typ.Class, v)
			}
		})
	}
}
