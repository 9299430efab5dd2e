package filter

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/walrelay/walrelay/change"
)

// decimal is a number taken apart. Numbers are compared digit by digit: numeric is exact
// and has up to 131,072 digits.
type decimal struct {
	// rank orders what is not finite: -1 for -Infinity, 1 for Infinity, 2 for NaN, which
	// Postgres holds for the greatest number and for equal to itself. 0 is a number.
	rank int8
	// negative is false for zero.
	negative bool
	// whole are the digits before the point without leading zeros, frac those behind it
	// without trailing ones. Invariant: both empty for zero and unless rank is 0.
	whole, frac []byte
}

// The most digits that numeric has before and behind the point.
const (
	maxWhole = 131072
	maxFrac  = 16383
)

// parseDecimal reads [-]digits[.digits], NaN, Infinity or -Infinity.
func parseDecimal(text []byte) (decimal, bool) {
	var d decimal
	rest := text
	if len(rest) > 0 && rest[0] == '-' {
		d.negative = true
		rest = rest[1:]
	}
	n := countDigits(rest)
	if n == 0 {
		return specialNumber(text)
	}
	d.whole, rest = rest[:n], rest[n:]
	if len(rest) > 0 {
		if n = countDigits(rest[1:]); rest[0] != '.' || n == 0 || 1+n != len(rest) {
			return decimal{}, false
		}
		d.frac = rest[1:]
	}
	for len(d.whole) > 0 && d.whole[0] == '0' {
		d.whole = d.whole[1:]
	}
	for len(d.frac) > 0 && d.frac[len(d.frac)-1] == '0' {
		d.frac = d.frac[:len(d.frac)-1]
	}
	d.negative = d.negative && !d.zero()
	return d, true
}

func specialNumber(text []byte) (decimal, bool) {
	switch string(text) {
	case "NaN":
		return decimal{rank: 2}, true
	case "Infinity":
		return decimal{rank: 1}, true
	case "-Infinity":
		return decimal{rank: -1}, true
	}
	return decimal{}, false
}

// countDigits is the length of the digits at the start of text.
func countDigits(text []byte) int {
	n := 0
	for n < len(text) && text[n]-'0' <= 9 {
		n++
	}
	return n
}

// isNumber reports whether text is what parseDecimal reads.
func isNumber(text []byte) bool {
	if change.IsPlainInteger(text) {
		return true
	}
	_, ok := parseDecimal(text)
	return ok
}

// zero reports 0; it does not look at the rank.
func (d *decimal) zero() bool { return len(d.whole) == 0 && len(d.frac) == 0 }

// compareNumbers orders two numbers. Text that is none, which decode lets through
// nowhere, is like NaN.
func compareNumbers(a, b []byte) int {
	if len(a) == len(b) && change.IsPlainInteger(a) && change.IsPlainInteger(b) && a[0] != '-' && b[0] != '-' {
		return bytes.Compare(a, b)
	}
	x, okX := parseDecimal(a)
	y, okY := parseDecimal(b)
	if !okX {
		x.rank = 2
	}
	if !okY {
		y.rank = 2
	}
	return x.compare(&y)
}

func (d *decimal) compare(e *decimal) int {
	switch {
	case d.rank != e.rank:
		return sign(int(d.rank) - int(e.rank))
	case d.negative != e.negative:
		if d.negative {
			return -1
		}
		return 1
	case d.negative:
		return e.compareDigits(d)
	}
	return d.compareDigits(e)
}

// compareDigits compares without the sign. Zeros at the ends are gone, so a longer whole is
// greater, and a fraction is greater than its beginning.
func (d *decimal) compareDigits(e *decimal) int {
	if len(d.whole) != len(e.whole) {
		return sign(len(d.whole) - len(e.whole))
	}
	if c := bytes.Compare(d.whole, e.whole); c != 0 {
		return c
	}
	return bytes.Compare(d.frac, e.frac)
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

// appendNumberKey appends the key of a number: the digits that count, with their
// length in front. Zero has none.
func appendNumberKey(dst, text []byte) []byte {
	if change.IsPlainInteger(text) {
		dst = binary.AppendUvarint(dst, uint64(len(text)))
		return append(dst, text...)
	}
	d, ok := parseDecimal(text)
	if !ok {
		text = []byte("NaN")
	}
	if !ok || d.rank != 0 {
		dst = binary.AppendUvarint(dst, uint64(len(text)))
		return append(dst, text...)
	}
	size := len(d.whole)
	if d.negative {
		size++
	}
	if len(d.frac) > 0 {
		size += 1 + len(d.frac)
	}
	dst = binary.AppendUvarint(dst, uint64(size))
	if d.negative {
		dst = append(dst, '-')
	}
	dst = append(dst, d.whole...)
	if len(d.frac) > 0 {
		dst = append(dst, '.')
		dst = append(dst, d.frac...)
	}
	return dst
}

// canonicalNumber is the one spelling of a number that a person or an issuer of claims
// wrote: without zeros that do not count. It reports false for what is no number or what
// numeric cannot hold.
func canonicalNumber(s string) (string, bool) {
	d, ok := parseDecimal([]byte(s))
	switch {
	case !ok || len(d.whole) > maxWhole || len(d.frac) > maxFrac:
		return "", false
	case d.rank != 0:
		return s, true
	}
	return d.String(), true
}

// String is a finite number without zeros that do not count.
func (d *decimal) String() string {
	var b strings.Builder
	if d.negative {
		b.WriteByte('-')
	}
	if len(d.whole) == 0 {
		b.WriteByte('0')
	}
	b.Write(d.whole)
	if len(d.frac) > 0 {
		b.WriteByte('.')
		b.Write(d.frac)
	}
	return b.String()
}

// The most digits that an exponent may stand for: those of the numbers that a float8 can
// be, which is what issuers of claims compute with.
const maxExpanded = 400

// expand writes out the exponent of a JSON number: 1.5e3 is 1500. It reports false
// if that would be long.
func expand(number string) (string, bool) {
	mantissa, exponent, found := strings.Cut(strings.ToLower(number), "e")
	if !found {
		return number, true
	}
	shift, ok := smallInt(exponent)
	if !ok || len(mantissa) > maxExpanded {
		return "", false
	}
	mantissa, negative := strings.CutPrefix(mantissa, "-")
	whole, frac, _ := strings.Cut(mantissa, ".")
	digits, point := whole+frac, len(whole)+shift
	if point <= 0 {
		digits, point = strings.Repeat("0", 1-point)+digits, 1
	}
	if point > len(digits) {
		digits += strings.Repeat("0", point-len(digits))
	}
	out := digits[:point]
	if point < len(digits) {
		out += "." + digits[point:]
	}
	if negative {
		out = "-" + out
	}
	return out, true
}

// smallInt reads an exponent of at most maxExpanded.
func smallInt(s string) (int, bool) {
	s, negative := strings.CutPrefix(s, "-")
	if !negative {
		s = strings.TrimPrefix(s, "+")
	}
	n := 0
	for i := range len(s) {
		if s[i]-'0' > 9 {
			return 0, false
		}
		if n = n*10 + int(s[i]-'0'); n > maxExpanded {
			return 0, false
		}
	}
	if negative {
		n = -n
	}
	return n, s != ""
}
