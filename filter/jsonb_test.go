package filter

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

const jsonDoc = `{"": "empty", "a": {"b": [1], "c": {"d": "deep"}, "n": null}, "e": 1000, "f": false, "t": true, "u": "é\u0001\"\\/` + "\x7f" + `", ` +
	`"x": 1.50, "\"q\\": "quoted", "neg": -0.5, "esc": "\b\f\n\r\t\ud83d\ude00\u00e9", "fake": "\"a\": 7, {[", "tab\t": "tabbed", "nul": "", "é": "accent", "last": {}}`

func TestJSONPath(t *testing.T) {
	for _, tt := range []struct{ path, want string }{ // "-" is NULL, "{}" an object or an array
		{"a/c/d", "deep"},
		{"a/b", "{}"}, {"a/c", "{}"}, {"last", "{}"}, {"a", "{}"},
		{"a/n", "-"}, {"a/n/x", "-"}, {"a/b/0", "-"}, {"a/z", "-"}, {"z", "-"}, {"last/z", "-"}, {"e/z", "-"}, {"u/z", "-"}, {"A", "-"}, {"as", "-"},
		{"d", "-"}, {"b", "-"}, // deeper ones are others
		{"e", "1000"}, {"x", "1.50"}, {"neg", "-0.5"}, {"t", "true"}, {"f", "false"},
		{"", "empty"}, {"nul", ""},
		{"u", "é\x01\"\\/\x7f"}, {"esc", "\b\f\n\r\t😀é"}, {`"q\`, "quoted"}, {"tab\t", "tabbed"}, {`tab\t`, "-"}, {"é", "accent"},
		{"fake", `"a": 7, {[`},
	} {
		v, out := jsonPath([]byte(jsonDoc), strings.Split(tt.path, "/"), []byte("before"))
		got := string(v.s)
		switch v.state {
		case isNull:
			got = "-"
		case isMute:
			got = "{}"
		}
		if got != tt.want || v.state == isOpen || !bytes.HasPrefix(out, []byte("before")) {
			t.Errorf("%s = %q (state %d), want %q; scratch %q", tt.path, got, v.state, tt.want, out)
		}
	}
	for _, doc := range []string{"[1, 2]", `"a"`, "1", "null", "true", "{}", "[]", `[{"a": 1}]`} {
		for _, path := range [][]string{{"a"}, {"0"}, {"a", "b"}} {
			if v, _ := jsonPath([]byte(doc), path, nil); v.state != isNull {
				t.Errorf("%s of %s: %v, want NULL", path, doc, v)
			}
		}
	}
}

func TestJSONPathOpen(t *testing.T) {
	for _, doc := range []string{
		"", " ", "{", `{"a`, `{"a"`, `{"a":`, `{"a": `, `{"a" 1}`, `{a: 1}`, `{"b": 1 "a": 2}`, `{"b": 1, a}`, `{"b": [1, "a": 2`, `{"b": }`, `{"b": ,"a": 1}`, `{"b": ]}`,
		`{"a": tru}`, `{"a": nul}`, `{"a": 1e3}`, `{"a": NaN}`, `{"a": x}`, `{"a": }`, `{"a": "`, `{"a": "\"}`, `{"a": "\x"}`, `{"a": "\u12"}`, `{"a": "\u12g4"}`,
		`{"a": "\ud800"}`, `{"a": "\ud800\u0041"}`, `{"a": "\udc00\ud800"}`, `{"a": "\ud800\ud800"}`, `{"a": "\u0000"}`, `{"a": "\ud800x\udc00"}`,
		`{"\u12": 1, "a": 2}`, `{"a": [`, `]`, `,`, `{"b": "x`, `{"b": [}`,
	} {
		v, _ := jsonPath([]byte(doc), []string{"a"}, nil)
		if v.state != isOpen || v.s != nil {
			t.Errorf("a of %s: %v, want open", doc, v)
		}
	}
}

// Values of several paths share a buffer.
func TestJSONPathScratch(t *testing.T) {
	doc := []byte(`{"a": "\"1\"", "b": "\"22\"", "\n": "\"333\""}`)
	var values []value
	var scratch []byte
	for _, key := range []string{"a", "b", "\n", "a"} {
		var v value
		v, scratch = jsonPath(doc, []string{key}, scratch)
		values = append(values, v)
	}
	if string(scratch) != `"1""22""333""1"` {
		t.Errorf("the buffer has more than the values: %s", scratch)
	}
	for i, want := range []string{`"1"`, `"22"`, `"333"`, `"1"`} {
		if string(values[i].s) != want {
			t.Errorf("value %d is %s, want %s", i, values[i].s, want)
		}
	}
}

// pathOf is jsonPath by encoding/json; the first of two equal keys counts.
func pathOf(doc json.RawMessage, path []string) (s string, null bool) {
	doc = bytes.TrimSpace(doc)
	for _, key := range path {
		dec := json.NewDecoder(bytes.NewReader(doc))
		if t, err := dec.Token(); err != nil || t != json.Delim('{') {
			return "", true
		}
		doc = nil
		for dec.More() && doc == nil {
			name, _ := dec.Token()
			var value json.RawMessage
			if dec.Decode(&value) == nil && name == key {
				doc = value
			}
		}
		if doc == nil {
			return "", true
		}
	}
	switch doc[0] {
	case '{', '[', 'n':
		return "", true
	case '"':
		if json.Unmarshal(doc, &s) != nil {
			return "", true
		}
		return s, false
	}
	return string(doc), false
}

func FuzzJSONPath(f *testing.F) {
	for _, path := range []string{"a/c/d", "esc/", "tab\t/x", "u/", "last/q", "fake/a"} {
		a, b, _ := strings.Cut(path, "/")
		f.Add([]byte(jsonDoc), a, b)
	}
	f.Add([]byte(` { "a" : [ ] , "b" : { "a\u0062" : "\/" } } `), "b", "ab")
	f.Fuzz(func(t *testing.T, doc []byte, a, b string) {
		for _, path := range [][]string{{a}, {a, b}} {
			before := bytes.Clone(doc)
			v, _ := jsonPath(doc, path, nil)
			if !bytes.Equal(doc, before) {
				t.Fatal("the document changed")
			}
			if !json.Valid(doc) || !utf8.Valid(doc) {
				continue
			}
			if v.state == isOpen {
				// Postgres prints neither exponents nor these escapes.
				if !bytes.ContainsAny(doc, "eE") && !bytes.Contains(doc, []byte(`\u`)) {
					t.Errorf("%q of %s is open", path, doc)
				}
				continue
			}
			want, null := pathOf(doc, path)
			if null != (v.state == isNull || v.state == isMute) || want != string(v.s) {
				t.Errorf("%q of %s: %q (state %d), want %q, NULL is %v", path, doc, v.s, v.state, want, null)
			}
		}
	})
}

func BenchmarkJSONPath(b *testing.B) {
	doc := []byte(jsonDoc)
	for _, path := range []string{"a/c/d", "fake", "esc", "last/z"} {
		keys := strings.Split(path, "/")
		b.Run(path, func(b *testing.B) {
			b.ReportAllocs()
			var scratch []byte
			for b.Loop() {
				_, scratch = jsonPath(doc, keys, scratch[:0])
			}
		})
	}
}
