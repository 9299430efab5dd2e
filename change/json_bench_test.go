package change

import (
	"strings"
	"testing"
)

// samples are ordinary values, one or more per kind.
var samples = []struct {
	name string
	typ  *Type
	text string
}{
	{"bool", boolType, "t"},
	{"int", intType, "1234567"},
	{"bigint", bigintType, "9223372036854775807"},
	{"float", floatType, "3.141592653589793"},
	{"float-exponent", floatType, "6.62607015e-34"},
	{"numeric", numericType, "1234567.8900"},
	{"date", dateType, "2026-11-20"},
	{"timestamp", stampType, "2026-11-20 21:00:00.123456"},
	{"timestamptz", stampTZType, "2026-11-20 21:00:00.123456+00"},
	{"text-10", strType, "hello text"},
	{"text-1000", strType, strings.Repeat("The quick brown fox jumps over the lazy dog, twice. ", 20)[:1000]},
	{"text-1000-escapes", strType, strings.Repeat("line \"one\"\nC:\\x\t", 63)[:1000]},
	{"text-1000-cyrillic", strType, strings.Repeat("Съешь же ещё ", 44)[:1000]},
	{"uuid", strType, "018c8f3e-7d7a-7cc0-98c4-dc0c0c07398f"},
	{"json", jsonType, benchDoc},
	{"jsonb", jsonbType, benchDoc},
	{"jsonb-large", jsonbType, "[" + strings.Repeat(benchDoc+", ", 199) + benchDoc + "]"},
	{"json-large", jsonType, "[" + strings.Repeat(benchDoc+", ", 199) + benchDoc + "]"},
	{"hstore", hstoreType, `"a"=>"1", "color"=>"dark \"blue\"", "size"=>NULL`},
	{"int-array", arrayOf(intType), "{1,2,3,4,5,6,7,8,9,10}"},
	{"text-array", arrayOf(strType), `{alpha,"beta gamma","say \"hi\"",NULL}`},
	{"int2vector", vectorType, "1 2 3"},
	{"composite", pairType, `(42,"a ""quoted"" text")`},
	{"composite-nested", treeType, `("{""(1,\\""a b\\"")"",""(2,b)"",""(3,)""}","{""x"":1}")`},
}

const benchDoc = `{"id": 4711, "name": "A. N. Other", "tags": ["new", "paid", "vip"], "total": 129.90, "address": {"zip": "10115", "city": "Berlin", "lines": ["Invalidenstr. 1", "c/o \"X\""]}, "active": true}`

func BenchmarkAppendJSON(b *testing.B) {
	for _, c := range samples {
		b.Run(c.name, func(b *testing.B) {
			dst := make([]byte, 0, 1<<20)
			text := []byte(c.text)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				c.typ.AppendJSON(dst, text)
			}
		})
	}
}

func BenchmarkAppendKey(b *testing.B) {
	dst := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		AppendKey(dst, "customer_id")
	}
}
