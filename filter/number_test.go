package filter

import (
	"bytes"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// orderedNumbers are groups of numbers that are equal, in the order of Postgres.
var orderedNumbers = [][]string{
	{"-Infinity"},
	{"-" + strings.Repeat("9", 131072)},
	{"-9223372036854775809"},
	{"-9223372036854775808", "-9223372036854775808.000"},
	{"-100"},
	{"-99.99"},
	{"-5.01", "-05.010"},
	{"-5", "-5.0", "-5.00", "-0005"},
	{"-0.5"},
	{"-0.05"},
	{"-0." + strings.Repeat("0", 16382) + "1"},
	{"0", "-0", "0.0", "-0.00", "000", "00.000"},
	{"0." + strings.Repeat("0", 16382) + "1"},
	{"0.05", "0.0500"},
	{"0.1"},
	{"0.11"},
	{"0.5", "00.5"},
	{"5", "5.0", "5.00", "05"},
	{"5.000001"},
	{"9.9999999999999999999"},
	{"10"},
	{"9007199254740992"},
	{"9007199254740993"},
	{"9223372036854775807"},
	{"9223372036854775807.5"},
	{"9223372036854775808"},
	{strings.Repeat("9", 131072), strings.Repeat("9", 131072) + ".0"},
	{"Infinity"},
	{"NaN"},
}

func TestNumberOrder(t *testing.T) {
	for i, as := range orderedNumbers {
		for j, bs := range orderedNumbers {
			for _, a := range as {
				for _, b := range bs {
					va, vb := number(t, a), number(t, b)
					if got, want := compare(ClassNumber, va, vb), sign(i-j); got != want {
						t.Errorf("compare(%.30s, %.30s) = %d, want %d", a, b, got, want)
					}
					if got, want := equal(ClassNumber, va, vb), i == j; got != want {
						t.Errorf("equal(%.30s, %.30s) = %v", a, b, got)
					}
					sameKey := bytes.Equal(appendKey(nil, ClassNumber, va), appendKey(nil, ClassNumber, vb))
					if sameKey != (i == j) {
						t.Errorf("%.30s and %.30s: same key is %v", a, b, sameKey)
					}
				}
			}
		}
	}
}

func number(tb testing.TB, s string) value {
	tb.Helper()
	v, ok := decode(nil, Type{Class: ClassNumber}, []byte(s))
	if !ok || v.state != isSet {
		tb.Fatalf("decode(%.30q) = %v, %v", s, v, ok)
	}
	return v
}

func TestNumberKey(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"0.00", "\x00"},
		{"-0", "\x00"},
		{"7", "\x017"},
		{"-007.50", "\x04-7.5"},
		{"0.5", "\x02.5"},
		{"NaN", "\x03NaN"},
		{"-Infinity", "\x09-Infinity"},
		{strings.Repeat("1", 200), "\xc8\x01" + strings.Repeat("1", 200)},
		{"x", "\x03NaN"},
	} {
		if got := string(appendKey([]byte("before"), ClassNumber, value{state: isSet, s: []byte(tt.text)})); got != "before"+tt.want {
			t.Errorf("key of %.20s: %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestNotNumbers(t *testing.T) {
	for _, s := range []string{"", "-", "+1", "--1", ".", "1.", ".5", "-.5", "1.2.3", "1e5", "0x10", " 1", "1 ", "1,5", "1-", "nan", "-NaN", "infinity", "Inf", "-", "\x00", "1\x00", "٣"} {
		if v, ok := decode(nil, Type{Class: ClassNumber}, []byte(s)); ok || v.state != isOpen {
			t.Errorf("decode(%q) = %v, %v, want open", s, v, ok)
		}
		// Should one get here all the same, it is equal to no number.
		if compareNumbers([]byte(s), []byte("1")) != 1 || compareNumbers([]byte("Infinity"), []byte(s)) != -1 {
			t.Errorf("%q compares like a number", s)
		}
	}
}

func TestExpandNumber(t *testing.T) {
	tests := []struct{ number, want string }{
		{"1", "1"},
		{"-1.50", "-1.50"},
		{"1e0", "1"},
		{"1E+3", "1000"},
		{"1.5e3", "1500"},
		{"1.2345e2", "123.45"},
		{"-1.5e-3", "-0.0015"},
		{"15e-1", "1.5"},
		{"12e-2", "0.12"},
		{"0e400", "0" + strings.Repeat("0", 400)},
		{"1e-400", "0." + strings.Repeat("0", 399) + "1"},
	}
	for _, tt := range tests {
		if got, ok := expand(tt.number); !ok || got != tt.want {
			t.Errorf("expand(%s) = %s, %v, want %s", tt.number, got, ok, tt.want)
		}
	}
	for _, number := range []string{"1e401", "1e-401", "1e99999999999999999999", "0e401", "1e", "1e+", "1ee1", strings.Repeat("1", 401) + "e1"} {
		if got, ok := expand(number); ok {
			t.Errorf("expand(%s) = %s, want it refused", number, got)
		}
	}
}

// randomNumber makes numbers that are often equal or nearly so.
func randomNumber(r *rand.Rand) string {
	digits := func(most int) string {
		b := make([]byte, 1+r.IntN(most))
		for i := range b {
			b[i] = "0001259"[r.IntN(7)]
		}
		return string(b)
	}
	s := []string{"", "", "-"}[r.IntN(3)] + digits(4)
	if r.IntN(2) == 0 {
		s += "." + digits(4)
	}
	return s
}

func TestNumbersLikeBig(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	equals := 0
	for range 40_000 {
		a, b := randomNumber(r), randomNumber(r)
		checkLikeBig(t, a, b)
		if compareNumbers([]byte(a), []byte(b)) == 0 {
			equals++
		}
	}
	if equals < 500 {
		t.Errorf("only %d pairs were equal: the test says nothing", equals)
	}
}

// checkLikeBig compares two finite numbers and checks everything that follows.
func checkLikeBig(t *testing.T, a, b string) {
	t.Helper()
	x, ok1 := new(big.Rat).SetString(a)
	y, ok2 := new(big.Rat).SetString(b)
	if !ok1 || !ok2 {
		t.Fatalf("math/big does not read %q or %q", a, b)
	}
	want := x.Cmp(y)
	va, vb := number(t, a), number(t, b)
	if got := compare(ClassNumber, va, vb); got != want {
		t.Errorf("compare(%s, %s) = %d, want %d", a, b, got, want)
	}
	if got := equal(ClassNumber, va, vb); got != (want == 0) {
		t.Errorf("equal(%s, %s) = %v", a, b, got)
	}
	if same := bytes.Equal(appendKey(nil, ClassNumber, va), appendKey(nil, ClassNumber, vb)); same != (want == 0) {
		t.Errorf("%s and %s: same key is %v", a, b, same)
	}
	canonical, ok := canonicalNumber(a)
	again, _ := canonicalNumber(canonical)
	if !ok || again != canonical || !equal(ClassNumber, va, number(t, canonical)) {
		t.Errorf("canonicalNumber(%s) = %s, %v, again %s", a, canonical, ok, again)
	}
	other, _ := canonicalNumber(b)
	if (canonical == other) != (want == 0) {
		t.Errorf("%s and %s become %s and %s", a, b, canonical, other)
	}
}

func TestNumberSort(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var all []string
	for _, group := range orderedNumbers {
		all = append(all, group[0])
	}
	sorted := slices.Clone(all)
	r.Shuffle(len(sorted), func(i, j int) { sorted[i], sorted[j] = sorted[j], sorted[i] })
	slices.SortFunc(sorted, func(a, b string) int { return compareNumbers([]byte(a), []byte(b)) })
	if !slices.Equal(sorted, all) {
		t.Error("sorting does not give the order back")
	}
}

func FuzzNumber(f *testing.F) {
	for _, group := range orderedNumbers {
		for _, s := range group {
			if len(s) < 100 {
				f.Add(s, group[0])
			}
		}
	}
	f.Add("1.", "x")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, okA := parseDecimal([]byte(a))
		y, okB := parseDecimal([]byte(b))
		if okA && okB && x.rank == 0 && y.rank == 0 {
			checkLikeBig(t, a, b)
			return
		}
		// Whatever it is, comparing is total and keys agree with it.
		c, d := compareNumbers([]byte(a), []byte(b)), compareNumbers([]byte(b), []byte(a))
		same := bytes.Equal(appendNumberKey(nil, []byte(a)), appendNumberKey(nil, []byte(b)))
		if c != -d || same != (c == 0) {
			t.Errorf("%q and %q: %d, %d, same key is %v", a, b, c, d, same)
		}
		if out, ok := expand(a); ok && len(out) > len(a)+maxExpanded+3 {
			t.Errorf("expand(%q) has %d bytes", a, len(out))
		}
	})
}

func BenchmarkNumber(b *testing.B) {
	for _, bb := range []struct{ name, x, y string }{
		{"bigint/equal", "1234567890", "1234567890"},
		{"bigint/other", "1234567890", "1234567891"},
		{"numeric", "1234567.89", "1234567.890"},
	} {
		x, y := number(b, bb.x), number(b, bb.y)
		b.Run("decode/"+bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				decode(nil, Type{Class: ClassNumber}, x.s)
			}
		})
		b.Run("equal/"+bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				equal(ClassNumber, x, y)
			}
		})
		b.Run("compare/"+bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				compare(ClassNumber, x, y)
			}
		})
		b.Run("key/"+bb.name, func(b *testing.B) {
			b.ReportAllocs()
			var key []byte
			for b.Loop() {
				key = appendKey(key[:0], ClassNumber, x)
			}
		})
	}
}
