package auth

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func num(text string) json.Number { return json.Number(text) }

func TestTerms(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		term []byte
		want any
	}{
		"small integer": {[]byte{97, 255}, num("255")},
		"integer":       {[]byte{98, 255, 255, 255, 254}, num("-2")},
		"big":           {[]byte{110, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1}, num("-18446744073709551616")},
		"large big":     {[]byte{111, 0, 0, 0, 1, 0, 5}, num("5")},
		"float":         {[]byte{70, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0}, num("1.5")},
		"binary":        {[]byte{109, 0, 0, 0, 2, 'h', 'i'}, "hi"},
		"raw binary":    {[]byte{109, 0, 0, 0, 2, 0xff, 0}, []byte{0xff, 0}},
		"true":          {[]byte{100, 0, 4, 't', 'r', 'u', 'e'}, true},
		"false":         {[]byte{119, 5, 'f', 'a', 'l', 's', 'e'}, false},
		"nil":           {[]byte{115, 3, 'n', 'i', 'l'}, nil},
		"atom":          {[]byte{118, 0, 2, 0xc3, 0xa9}, "é"},
		"empty list":    {[]byte{106}, []any{}},
		"list":          {[]byte{108, 0, 0, 0, 1, 97, 1, 106}, []any{num("1")}},
		"bytes":         {[]byte{107, 0, 2, 1, 200}, []any{num("1"), num("200")}},
		"tuple":         {[]byte{104, 2, 97, 1, 104, 0}, []any{num("1"), []any{}}},
		"large tuple":   {[]byte{105, 0, 0, 0, 1, 106}, []any{[]any{}}},
		"map":           {[]byte{116, 0, 0, 0, 2, 97, 1, 106, 119, 1, 'a', 97, 2}, map[string]any{"1": []any{}, "a": num("2")}},
	} {
		got, err := parseTerm(append([]byte{131}, c.term...))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func packedTerm(term []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{131, 80}, uint32(len(term))), pack(term)...)
}

func TestTermsRefused(t *testing.T) {
	t.Parallel()
	deep := []byte{131}
	for range maxDepth + 1 {
		deep = append(deep, 104, 1)
	}
	many := append([]byte{131, 107, 0x40, 0}, make([]byte, 0x4000)...)
	longBig := append([]byte{131, 111, 0, 0, 0, maxBig + 1, 0}, make([]byte, maxBig+1)...)
	for name, c := range map[string]struct {
		term []byte
		want Reason
	}{
		"nothing":               {nil, Malformed},
		"no version":            {[]byte{97, 1}, Malformed},
		"cut":                   {[]byte{131, 98, 0, 0}, Malformed},
		"something after":       {[]byte{131, 97, 1, 0}, Malformed},
		"pid":                   {[]byte{131, 88, 119, 1, 'n', 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}, Malformed},
		"function":              {[]byte{131, 113, 119, 1, 'm', 119, 1, 'f', 97, 0}, Malformed},
		"bit string":            {[]byte{131, 77, 0, 0, 0, 1, 4, 0xf0}, Malformed},
		"old float":             {append([]byte{131, 99}, make([]byte, 31)...), Malformed},
		"not a number":          {[]byte{131, 70, 0x7f, 0xf8, 0, 0, 0, 0, 0, 1}, Malformed},
		"announced binary":      {[]byte{131, 109, 0xff, 0xff, 0xff, 0xff, 0}, Malformed},
		"announced map":         {[]byte{131, 116, 0xff, 0xff, 0xff, 0xff, 106, 106}, Malformed},
		"announced tuple":       {[]byte{131, 105, 0x7f, 0xff, 0xff, 0xff}, Malformed},
		"improper list":         {[]byte{131, 108, 0, 0, 0, 1, 97, 1, 97, 2}, Malformed},
		"key twice":             {[]byte{131, 116, 0, 0, 0, 2, 97, 1, 106, 109, 0, 0, 0, 1, '1', 106}, Malformed},
		"key without text":      {[]byte{131, 116, 0, 0, 0, 1, 106, 106}, Malformed},
		"atom that is no UTF-8": {[]byte{131, 119, 1, 0xff}, Malformed},
		"too deep":              {append(deep, 106), TooLarge},
		"too many":              {many, TooLarge},
		"too many packed":       {packedTerm(append([]byte{108, 0, 0, 0x50, 0}, bytes.Repeat([]byte{106}, 0x5001)...)), TooLarge},
		"long number":           {longBig, TooLarge},
		"announced size":        {[]byte{131, 80, 0xff, 0xff, 0xff, 0xff}, TooLarge},
		"no packed size":        {[]byte{131, 80, 0, 0}, Malformed},
		"packed size too small": {append([]byte{131, 80, 0, 0, 0, 1}, pack([]byte{97, 1})...), TooLarge},
		"packed size too large": {append([]byte{131, 80, 0, 0, 0, 3}, pack([]byte{97, 1})...), Malformed},
		"not packed":            {[]byte{131, 80, 0, 0, 0, 2, 97, 1}, Malformed},
	} {
		if got, err := parseTerm(c.term); !refusedAs(err, c.want) {
			t.Errorf("%s: %v, %v; want %s", name, got, err, c.want)
		}
	}
}
