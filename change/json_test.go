package change

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// Types that the tables below share.
var (
	boolType    = &Type{OID: 16, Name: "boolean", Kind: KindBool}
	intType     = &Type{OID: 23, Name: "integer", Kind: KindInt}
	bigintType  = &Type{OID: 20, Name: "bigint", Kind: KindInt}
	floatType   = &Type{OID: 701, Name: "double precision", Kind: KindFloat}
	numericType = &Type{OID: 1700, Name: "numeric", Kind: KindNumeric}
	dateType    = &Type{OID: 1082, Name: "date", Kind: KindDate}
	stampType   = &Type{OID: 1114, Name: "timestamp without time zone", Kind: KindTimestamp}
	stampTZType = &Type{OID: 1184, Name: "timestamp with time zone", Kind: KindTimestampTZ}
	jsonType    = &Type{OID: 114, Name: "json", Kind: KindJSON}
	jsonbType   = &Type{OID: 3802, Name: "jsonb", Kind: KindJSONB}
	hstoreType  = &Type{OID: 50000, Name: "public.hstore", Kind: KindHstore}
	strType     = &Type{OID: 25, Name: "text", Kind: KindText}
	boxType     = &Type{OID: 603, Name: "box", Kind: KindText}
	vectorType  = &Type{OID: 22, Name: "int2vector", Kind: KindVector, Elem: intType}
	oidsType    = &Type{OID: 30, Name: "oidvector", Kind: KindVector, Elem: strType}
	pairType    = &Type{OID: 50001, Name: "public.pair", Kind: KindComposite, Fields: []Field{{"n", bigintType}, {`s"`, strType}}}
	treeType    = &Type{OID: 50002, Name: "public.tree", Kind: KindComposite, Fields: []Field{{"pairs", arrayOf(pairType)}, {"doc", jsonType}}}
	emptyType   = &Type{OID: 50003, Name: "public.empty", Kind: KindComposite}
)

func arrayOf(elem *Type) *Type {
	delim := byte(',')
	if elem == boxType {
		delim = ';'
	}
	return &Type{Name: elem.Name + "[]", Kind: KindArray, Elem: elem, Delim: delim}
}

func TestAppendJSON(t *testing.T) {
	zeros := func(n int) string { return strings.Repeat("0", n) }
	tests := []struct {
		typ        *Type
		text, want string
	}{
		{boolType, "t", "true"},
		{boolType, "f", "false"},
		{boolType, "true", `"true"`},
		{boolType, "", `""`},

		{intType, "0", "0"},
		{intType, "-2147483648", "-2147483648"},
		{intType, "007", `"007"`},
		{intType, "", `""`},
		{intType, "-", `"-"`},
		{intType, "1 ", `"1 "`},
		{bigintType, "9223372036854775807", "9223372036854775807"},
		{bigintType, "-9223372036854775808", "-9223372036854775808"},

		{floatType, "1.5", "1.5"},
		{floatType, "-0", "0"},
		{floatType, "0", "0"},
		{floatType, "1e+300", "1" + zeros(300)},
		{floatType, "1.7976931348623157e+308", "17976931348623157" + zeros(292)},
		{floatType, "-1.5e+15", "-1500000000000000"},
		{floatType, "1e-07", "0.0000001"},
		{floatType, "-1.25e-05", "-0.0000125"},
		{floatType, "5e-324", "0." + zeros(323) + "5"},
		{floatType, "NaN", `"NaN"`},
		{floatType, "Infinity", `"Infinity"`},
		{floatType, "-Infinity", `"-Infinity"`},
		{floatType, "1e", `"1e"`},
		{floatType, "1.", `"1."`},
		{floatType, ".5", `".5"`},

		{numericType, "12.500", "12.500"},
		{numericType, "0.00", "0.00"},
		{numericType, "-0.00", "0.00"},
		{numericType, "-0.01", "-0.01"},
		{numericType, strings.Repeat("9", 1000) + "." + strings.Repeat("3", 1000), strings.Repeat("9", 1000) + "." + strings.Repeat("3", 1000)},
		{numericType, "NaN", `"NaN"`},
		{numericType, "-Infinity", `"-Infinity"`},

		{dateType, "2024-02-29", `"2024-02-29"`},
		{dateType, "4713-01-01 BC", `"4713-01-01 BC"`},
		{dateType, "infinity", `"infinity"`},
		{stampType, "2024-02-29 01:02:03.000004", `"2024-02-29T01:02:03.000004"`},
		{stampType, "294276-12-31 23:59:59.999999", `"294276-12-31T23:59:59.999999"`},
		{stampType, "0044-03-15 00:00:00 BC", `"0044-03-15T00:00:00 BC"`},
		{stampType, "-infinity", `"-infinity"`},
		{stampTZType, "2024-02-29 01:02:03+00", `"2024-02-29T01:02:03+00:00"`},
		{stampTZType, "0044-03-15 00:00:00.5+00 BC", `"0044-03-15T00:00:00.5+00:00 BC"`},
		{stampTZType, "2024-02-29 01:02:03-07", `"2024-02-29T01:02:03-07:00"`},
		{stampTZType, "2024-02-29 01:02:03+05:30", `"2024-02-29T01:02:03+05:30"`},
		{stampTZType, "1800-01-01 00:53:28+00:53:28", `"1800-01-01T00:53:28+00:53:28"`},
		{stampTZType, "infinity", `"infinity"`},
		{stampTZType, " 1", `" 1"`},
		{stampTZType, "2024-02-29 x\n", `"2024-02-29 x\n"`},

		{strType, "", `""`},
		{strType, "plain", `"plain"`},
		{strType, "a\"b\\c\x00\x01\x1f\b\t\n\f\r\x7f/", `"a\"b\\c\u0000\u0001\u001f\b\t\n\f\r` + "\x7f/\""},
		{strType, "e\u0301 \u2028 \U0001F600", "\"e\u0301 \u2028 \U0001F600\""},
		{strType, "\xff ok \xc3\x28 \xed\xa0\x80", "\"\ufffd ok \ufffd( \ufffd\""},

		{jsonbType, `{"a": 1, "b": [1.50, "x, y: z\\"]}`, `{"a":1,"b":[1.50,"x, y: z\\"]}`},
		{jsonbType, `"\u0001\""`, `"\u0001\""`},
		{jsonbType, `{"a": }`, `"{\"a\": }"`},
		{jsonbType, `{"a": 1e400, "a": 1}`, `{"a":1e400,"a":1}`},

		{hstoreType, ``, `{}`},
		{hstoreType, `"a"=>"1", "b\"\\"=>NULL, "NULL"=>"NULL"`, `{"a":"1","b\"\\":null,"NULL":"NULL"}`},
		{hstoreType, `"a"=>"1", `, `"\"a\"=>\"1\", "`},
		{hstoreType, `"a"=>`, `"\"a\"=>"`},
		{hstoreType, `"a=>"`, `"\"a=>\""`},
		{hstoreType, `"a"=>"1","b"=>"2"`, `"\"a\"=>\"1\",\"b\"=>\"2\""`},

		{arrayOf(intType), "{}", "[]"},
		{arrayOf(intType), "{1,NULL,-3}", "[1,null,-3]"},
		{arrayOf(intType), "{{1,2},{3,4}}", "[[1,2],[3,4]]"},
		{arrayOf(intType), "{{{{{{1}}}}}}", "[[[[[[1]]]]]]"},
		{arrayOf(intType), "{{{{{{{1}}}}}}}", `"{{{{{{{1}}}}}}}"`},
		{arrayOf(intType), "[0:1]={1,2}", "[1,2]"},
		{arrayOf(intType), "[-2:-1][5:5]={{1},{2}}", "[[1],[2]]"},
		{arrayOf(intType), "[0:1]", `"[0:1]"`},
		{arrayOf(intType), "{1,2", `"{1,2"`},
		{arrayOf(intType), "{1,}", `"{1,}"`},
		{arrayOf(intType), "{1}}", `"{1}}"`},
		{arrayOf(intType), "1,2", `"1,2"`},
		{arrayOf(intType), "", `""`},
		{arrayOf(intType), `{1,x}`, `[1,"x"]`},
		{arrayOf(strType), `{a,"b c","",NULL,"NULL","\"\\","{x}"}`, `["a","b c","",null,"NULL","\"\\","{x}"]`},
		{arrayOf(strType), `{"a`, `"{\"a"`},
		{arrayOf(strType), `{a"b"}`, `"{a\"b\"}"`},
		{arrayOf(boxType), "{(1,1),(0,0);(2,2),(1,1)}", `["(1,1),(0,0)","(2,2),(1,1)"]`},
		{arrayOf(stampTZType), `{"2024-02-29 01:02:03+00",infinity}`, `["2024-02-29T01:02:03+00:00","infinity"]`},
		{arrayOf(jsonType), `{"{\"b\": \"\\\\\", \"a\": 1e2}",null}`, `[{"a":100,"b":"\\"},null]`},
		{arrayOf(arrayOf(intType)), `{"{1,2}","[0:0]={3}"}`, `[[1,2],[3]]`},
		{arrayOf(vectorType), `{"1 2",3}`, `[[1,2],[3]]`},

		{vectorType, "", "[]"},
		{vectorType, "1 -2 3", "[1,-2,3]"},
		{vectorType, "1  2", `"1  2"`},
		{vectorType, "1 ", `"1 "`},
		{oidsType, "1 4294967295", `["1","4294967295"]`},

		{pairType, `(1,a)`, `{"n":1,"s\"":"a"}`},
		{pairType, `(,)`, `{"n":null,"s\"":null}`},
		{pairType, `(1,"")`, `{"n":1,"s\"":""}`},
		{pairType, `(1,"a ""b"" \\ (c),")`, `{"n":1,"s\"":"a \"b\" \\ (c),"}`},
		{pairType, `(1)`, `"(1)"`},
		{pairType, `(1,2,3)`, `"(1,2,3)"`},
		{pairType, `(1,"a)`, `"(1,\"a)"`},
		{pairType, `(1,a`, `"(1,a"`},
		{pairType, `(1,`, `"(1,"`},
		{pairType, `(`, `"("`},
		{pairType, ``, `""`},
		{emptyType, `()`, `{}`},
		{emptyType, `(1)`, `"(1)"`},
		{treeType, `("{""(1,\\""a \\""\\""\\"")"",NULL}","{""x"":1}")`, `{"pairs":[{"n":1,"s\"":"a \""},null],"doc":{"x":1}}`},

		{nil, "x", `"x"`},
		{&Type{Kind: KindArray}, "{x}", `["x"]`},
		{&Type{Kind: 200}, "x", `"x"`},
	}
	for _, tt := range tests {
		got := string(tt.typ.AppendJSON([]byte("prefix"), []byte(tt.text)))
		if got != "prefix"+tt.want {
			t.Errorf("%s %q:\n got %s\nwant prefix%s", typeName(tt.typ), tt.text, got, tt.want)
		}
	}
}

func typeName(t *Type) string {
	if t == nil {
		return "nil"
	}
	return t.Name
}

// What json becomes is checked against real servers in package integration; here
// are the cases to which a server answers with an error, and the edges.
func TestAppendJSONOfJSON(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("[", n) + "1" + strings.Repeat("]", n) }
	zeros := func(n int) string { return strings.Repeat("0", n) }
	manyHuge := "[1e131071" + strings.Repeat(",1e131071", 40) + "]"
	tests := []struct{ name, text, want string }{
		{"space", " { \"a\" :\t[ 1 , true,false , null ]\r\n} ", `{"a":[1,true,false,null]}`},
		{"empty", ` [ { } , [ ] ] `, `[{},[]]`},
		{"scalar", ` "x" `, `"x"`},
		{"key order", `{"b":1,"aa":2,"a":3,"":4,"é":5,"c":{"z":1,"y":2}}`, `{"":4,"a":3,"b":1,"c":{"y":2,"z":1},"aa":2,"é":5}`},
		{"duplicate keys", `{"a":1,"b":2,"a":{"x":1},"b":3,"a":[4]}`, `{"a":[4],"b":3}`},
		{"duplicate keys, sorted", `{"a":1,"a":2,"b":3}`, `{"a":2,"b":3}`},
		{"duplicate through an escape", `{"\u0061":1,"a":2,"\u00e9":3,"é":4}`, `{"a":2,"é":4}`},
		{"key order of escapes", `{"\"":1,"!":2,"\u0023":3}`, `{"!":2,"\"":1,"#":3}`},
		{"escapes", `"\"\\\/\b\f\n\r\t\u0001\u001F\u0041\u00e9\u20AC\ud83d\ude00"`, `"\"\\/\b\f\n\r\t\u0001\u001fAé€😀"`},
		{"numbers", `[1e2,1.50,1.5e1,1.50e1,-0,-0.00,-0.5,1E-7,0e5,0e-3,12.34e1,12.34e-1,0.0123e2,0.001e1,-1e0]`,
			`[100,1.50,15,15.0,0,0.00,-0.5,0.0000001,0,0.000,123.4,1.234,1.23,0.01,-1]`},
		{"huge number", `1e400`, "1" + zeros(400)},
		{"largest number", `1e131071`, "1" + zeros(131071)},
		{"largest scale", `1e-16383`, "0." + zeros(16382) + "1"},
		{"number too large", `{"b": 1e131072, "a": 1}`, `{"b":1e131072,"a":1}`},
		{"scale too large", `[ 1e-16384 ]`, `[1e-16384]`},
		{"zero with a scale too large", `[ 0e-16384 ]`, `[0e-16384]`},
		{"exponent too large", `[ 0e99999999999999999999 ]`, `[0e99999999999999999999]`},
		{"numbers too large together", manyHuge, manyHuge},
		{"nul", `{"b": "\u0000", "a" : 1.0e1}`, `{"b":"\u0000","a":1.0e1}`},
		{"high surrogate alone", `[ "\ud800 \udc00", "a b" ]`, `["\ud800 \udc00","a b"]`},
		{"low surrogate alone", `[ "\udc00" ]`, `["\udc00"]`},
		{"two high surrogates", `[ "\ud83d\ud83d\ude00" ]`, `["\ud83d\ud83d\ude00"]`},
		{"deep", nested(maxDepth), nested(maxDepth)},
		{"too deep", ` [ {"b":1,"a":2} , ` + nested(maxDepth) + `]`, `[{"b":1,"a":2},` + nested(maxDepth) + `]`},
		{"bad UTF-8", "{\"\xff\":\"\xc3\"}", "{\"\ufffd\":\"\ufffd\"}"},
		{"bad UTF-8, verbatim", "{\"\xff\": \"\xc3\\\\\\u0000\"}", "{\"\ufffd\":\"\ufffd\\\\\\u0000\"}"},
	}
	for _, tt := range tests {
		if got := string(jsonType.AppendJSON(nil, []byte(tt.text))); got != tt.want {
			t.Errorf("%s:\n got %.300s\nwant %.300s", tt.name, got, tt.want)
		}
	}
}

func TestAppendJSONOfInvalidJSON(t *testing.T) {
	for _, text := range []string{
		"", " ", "{", "[", "]", "}", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1}", "{1}", `{"a"}`, `{"a":}`, `{"a":1`, `{"a":1,`, `{"a":1,}`,
		`{"a":1]`, `{"a" 1}`, `{a:1}`, `{"a":1 "b":2}`, "1 2", "tru", "truex", "nul", "fals", "01", "-", "1.", ".1", "1e", "1e+", "+1", "NaN",
		`"`, `"a`, `"\`, `"\x"`, `"\u12"`, `"\u12g4"`, "\"\n\"", "\"a\x00\"", "'a'", "\xef\xbb\xbf1", "[1]]", "{}{}",
	} {
		want := string(AppendJSONString(nil, []byte(text)))
		for _, typ := range []*Type{jsonType, jsonbType} {
			if got := string(typ.AppendJSON(nil, []byte(text))); got != want {
				t.Errorf("%s %q: got %s, want %s", typ.Name, text, got, want)
			}
		}
	}
}

func TestAppendJSONStyle(t *testing.T) {
	bigints, numerics := Style{BigintString: true}, Style{NumericString: true}
	mixed := &Type{Kind: KindComposite, Fields: []Field{{"i", intType}, {"b", arrayOf(bigintType)}, {"n", arrayOf(numericType)}, {"j", jsonType}, {"f", floatType}}}
	const row = `(1,"{2,NULL}","{3.50,NaN}","{""x"":4}",5)`
	tests := []struct {
		typ        *Type
		style      Style
		text, want string
	}{
		{bigintType, bigints, "9223372036854775807", `"9223372036854775807"`},
		{bigintType, bigints, "x", `"x"`},
		{&Type{Name: "public.id", Base: "bigint", Kind: KindInt}, bigints, "1", `"1"`},
		{bigintType, numerics, "1", `1`},
		{numericType, numerics, "1.50", `"1.50"`},
		{numericType, numerics, "NaN", `"NaN"`},
		{numericType, bigints, "1.50", `1.50`},
		{intType, Style{true, true}, "1", "1"},
		{mixed, Style{}, row, `{"i":1,"b":[2,null],"n":[3.50,"NaN"],"j":{"x":4},"f":5}`},
		{mixed, bigints, row, `{"i":1,"b":["2",null],"n":[3.50,"NaN"],"j":{"x":4},"f":5}`},
		{mixed, numerics, row, `{"i":1,"b":[2,null],"n":["3.50","NaN"],"j":{"x":4},"f":5}`},
	}
	for _, tt := range tests {
		if got := string(tt.typ.AppendJSONStyle(nil, []byte(tt.text), tt.style)); got != tt.want {
			t.Errorf("%s %s %+v: got %s, want %s", tt.typ.Name, tt.text, tt.style, got, tt.want)
		}
	}
}

func TestAppendKey(t *testing.T) {
	if got, want := string(AppendKey([]byte("{"), "a\"\n\u2028é")), "{\"a\\\"\\n\u2028é\":"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// The string scanner works on eight bytes at a time: every special byte at every
// offset, beside bytes that differ from it in one bit.
func TestAppendJSONStringOffsets(t *testing.T) {
	for c := range 256 {
		for at := range 20 {
			s := bytes.Repeat([]byte{'a'}, 20)
			s[at] = byte(c)
			if at > 0 {
				s[at-1] = byte(c) ^ 1
			}
			want := reference(s)
			if got := string(AppendJSONString(nil, s)); got != want {
				t.Fatalf("%q: got %s, want %s", s, got, want)
			}
		}
	}
}

// reference is what encoding/json makes of s with as few escapes as it can.
func reference(s []byte) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(string(bytes.ToValidUTF8(s, []byte("\ufffd")))); err != nil {
		return err.Error()
	}
	out := strings.TrimSuffix(b.String(), "\n")
	return strings.NewReplacer(`\\`, `\\`, `\ufffd`, "\ufffd", `\u2028`, "\u2028", `\u2029`, "\u2029").Replace(out)
}

// checkJSON fails the test unless out is one line of valid JSON and UTF-8.
func checkJSON(t *testing.T, typ *Type, text, out []byte) {
	t.Helper()
	// encoding/json gives up beyond 10,000 levels.
	deep := bytes.Count(text, []byte("[")) > 9000 || bytes.Count(text, []byte("{")) > 9000
	if !deep && !json.Valid(out) {
		t.Errorf("%s %q: not JSON: %s", typ.Name, text, out)
	}
	if bytes.ContainsAny(out, "\r\n") || !utf8.Valid(out) {
		t.Errorf("%s %q: not one line of UTF-8: %q", typ.Name, text, out)
	}
}

func FuzzAppendJSON(f *testing.F) {
	types := []*Type{boolType, intType, bigintType, floatType, numericType, dateType, stampType, stampTZType, jsonType, jsonbType,
		hstoreType, strType, vectorType, oidsType, pairType, treeType, emptyType, arrayOf(intType), arrayOf(strType), arrayOf(boxType),
		arrayOf(arrayOf(numericType)), arrayOf(pairType), arrayOf(treeType), arrayOf(jsonType), arrayOf(hstoreType), arrayOf(stampTZType)}
	for i, typ := range types {
		for _, c := range samples {
			if c.typ.Name == typ.Name && len(c.text) < 500 { // large seeds take the fuzzer minutes to minimise
				f.Add(byte(i), []byte(c.text))
			}
		}
	}
	f.Add(byte(8), []byte(`{"b":"\ud83d\ude00\u0000","a":-0.00e-5,"a":[{"":1e400}]}`))
	f.Add(byte(22), []byte(`{"(\"{\"\"(1,\\\\\"\"a\\\\\"\")\"\",NULL}\",\"{\"\"x\"\":1}\")"}`))
	f.Fuzz(func(t *testing.T, which byte, text []byte) {
		typ := types[int(which)%len(types)]
		before := bytes.Clone(text)
		for _, style := range []Style{{}, {BigintString: true, NumericString: true}} {
			out := typ.AppendJSONStyle([]byte("prefix"), text, style)
			rest, ok := bytes.CutPrefix(out, []byte("prefix"))
			if !ok || !bytes.Equal(text, before) {
				t.Fatalf("%s %q: prefix or text changed", typ.Name, before)
			}
			checkJSON(t, typ, text, rest)
		}
	})
}
