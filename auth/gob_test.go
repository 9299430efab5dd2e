package auth

import (
	"bytes"
	"encoding/gob"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What applications keep in sessions.
type gobInner struct {
	ID   int64
	Tags []string
	Next *gobInner
}

type gobSession struct {
	Deadline time.Time
	Values   map[string]any
}

type gobColor uint8

func (c gobColor) GobEncode() ([]byte, error) { return []byte{byte(c)}, nil }
func (c *gobColor) GobDecode(b []byte) error  { *c = gobColor(b[0]); return nil }

func init() {
	gob.Register(gobInner{})
	gob.Register(map[string]any{})
	gob.Register([]any{})
	gob.Register(gobColor(0))
	gob.Register(time.Time{})
	gob.Register([2]int{})
	gob.Register(map[int]gobInner{})
}

// TestGobAgrees encodes with encoding/gob and reads with our reader.
func TestGobAgrees(t *testing.T) {
	t.Parallel()
	when := time.Date(2026, 11, 21, 8, 0, 0, 5, time.UTC)
	for name, c := range map[string]struct{ value, want any }{
		"string": {"x", "x"},
		"int":    {-3, num("-3")},
		"uint":   {uint64(math.MaxUint64), num("18446744073709551615")},
		"min":    {int64(math.MinInt64), num("-9223372036854775808")},
		"bool":   {true, true},
		"float":  {-1.5, num("-1.5")},
		"NaN":    {math.NaN(), nil},
		"bytes":  {[]byte{1, 255}, []byte{1, 255}},
		"time":   {when, when},
		"map": {map[any]any{"a": 1, 2: "b", "t": when, "nil": true, "f": 2.5},
			map[string]any{"a": num("1"), "2": "b", "t": when, "nil": true, "f": num("2.5")}},
		"structures": {map[string]any{"in": gobInner{ID: 7, Tags: []string{"x", "y"}, Next: &gobInner{ID: 8}}, "c": gobColor(3)},
			map[string]any{"in": map[string]any{"ID": num("7"), "Tags": []any{"x", "y"}, "Next": map[string]any{"ID": num("8")}}, "c": nil}},
		"nested interfaces": {map[string]any{"l": []any{1, "two", map[string]any{"three": gobInner{ID: 3}}, nil, map[int]gobInner{4: {ID: 4}}, [2]int{5, 6}}},
			map[string]any{"l": []any{num("1"), "two", map[string]any{"three": map[string]any{"ID": num("3")}}, nil, map[string]any{"4": map[string]any{"ID": num("4")}}, []any{num("5"), num("6")}}}},
		"scs": {gobSession{Deadline: when, Values: map[string]any{"userID": 42}},
			map[string]any{"Deadline": when, "Values": map[string]any{"userID": num("42")}}},
		"empty map":    {map[string]any{}, map[string]any{}},
		"empty string": {"", ""},
		"complex":      {complex(1, 2), nil},
	} {
		var out bytes.Buffer
		if err := gob.NewEncoder(&out).Encode(c.value); err != nil {
			t.Fatal(err)
		}
		got, err := parseGob(out.Bytes())
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		checkCut(t, name, out.Bytes())
	}
}

// checkCut: no beginning of a gob is a gob.
func checkCut(t *testing.T, name string, data []byte) {
	t.Helper()
	for n := range data {
		if got, err := parseGob(data[:n]); err == nil {
			t.Errorf("%s cut to %d bytes of %d gives %v", name, n, len(data), got)
		}
	}
}

func TestGobRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		data []byte
		want Reason
	}{
		"nothing":             {nil, Malformed},
		"type without a form": {[]byte{3, 0x7f, 0, 0, 0}, Malformed},
		"reserved id defined": {[]byte{3, 5, 0, 0}, Malformed},
		"unknown type":        {[]byte{3, 0xff, 0x82, 0, 0}, Malformed},
		"unknown basic type":  {[]byte{3, 0x28, 0, 0}, Malformed},
		"something after":     {append(bytes.Clone(mustGob("x")), 0), Malformed},
		"length of 9 bytes":   {[]byte{0xf7, 1, 1, 1, 1, 1, 1, 1, 1, 1}, Malformed},
		"announced string":    {[]byte{9, 12, 0, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, Malformed},
		"too long":            {make([]byte, maxInflated+1), TooLarge},
		"endless recursion":   {gobRecursion(), TooLarge},
		"too many values":     {mustGob(make([]int, maxValues+1)), TooLarge},
		"too many fields":     {gobFields(maxValues + 1), TooLarge},
		"type twice":          {append(gobDefine(64), append(gobDefine(64), gobEmptyList...)...), Malformed},
		"too many types":      {gobTypes(maxGobType + 1), Malformed},
	} {
		if got, err := parseGob(c.data); !refusedAs(err, c.want) {
			t.Errorf("%s: %v, %v; want %s", name, got, err, c.want)
		}
	}
}

// gobEmptyList is an empty value of type 64.
var gobEmptyList = []byte{4, 0xff, 128, 0, 0}

// gobDefine defines a type: `type T []string`.
func gobDefine(id int) []byte {
	n := 2*id - 1
	return []byte{8, 0xfe, byte(n >> 8), byte(n), 2, 2, 12, 0, 0}
}

func gobTypes(n int) []byte {
	var out []byte
	for i := range n {
		out = append(out, gobDefine(64+i)...)
	}
	return append(out, gobEmptyList...)
}

// gobFields is an empty value of a structure with n fields.
func gobFields(n int) []byte {
	out := []byte{0, 0xff, 127, 3, 2, 0xfe, byte(n >> 8), byte(n)}
	out = append(append(out, make([]byte, n)...), 0, 0)
	return append(out, 3, 0xff, 128, 0)
}

func TestGobAtItsLimits(t *testing.T) {
	t.Parallel()
	for name, data := range map[string][]byte{
		"types": gobTypes(maxGobType), "fields": gobFields(maxValues - 1), "values": mustGob(make([]int, maxValues-1)),
	} {
		if _, err := parseGob(data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// gobRecursion is a value of the type `type T []T`, far too deep.
func gobRecursion() []byte {
	const id = 65
	// -id, sliceType {CommonType {id}, elem}, end of wireType
	data := []byte{10, 0xff, 2*id - 1, 2, 1, 2, 0xff, 2 * id, 0, 1, 0xff, 2 * id, 0, 0, 0xff, 3, 0xff, 2 * id, 0}
	return append(data, bytes.Repeat([]byte{1}, 1000)...)
}
