package change

// number is a JSON number taken apart.
type number struct {
	negative bool
	whole    []byte // digits before the point, at least one, no leading zero but "0"
	frac     []byte // digits behind the point
	// exp is the exponent, cut off at ±maxExponent.
	exp int
	// size is the length of the number's text.
	size int
	// rewrite says that numeric prints the number in another way than it is
	// written: it has an exponent or may be -0.
	rewrite bool
}

// The limits of numeric (src/backend/utils/adt/numeric.c): the weight is an
// int16 of four digits each, the scale has 14 bits, numeric_in refuses exponents
// of INT_MAX/2.
const (
	maxWeight   = 4*(1<<15) - 1
	maxScale    = 1<<14 - 1
	maxExponent = 1<<30 - 1
)

// scanNumber reads the JSON number at the start of text.
func scanNumber(text []byte) (n number, ok bool) {
	i := 0
	if i < len(text) && text[i] == '-' {
		n.negative = true
		i++
	}
	n.whole = digits(text[i:])
	i += len(n.whole)
	if len(n.whole) == 0 || len(n.whole) > 1 && n.whole[0] == '0' {
		return n, false
	}
	if i < len(text) && text[i] == '.' {
		n.frac = digits(text[i+1:])
		i += 1 + len(n.frac)
		if len(n.frac) == 0 {
			return n, false
		}
	}
	n.rewrite = n.negative && n.whole[0] == '0'
	n.size = i
	if i < len(text) && text[i]|0x20 == 'e' {
		return n, n.scanExponent(text[i+1:])
	}
	return n, true
}

// scanExponent reads what follows the e.
func (n *number) scanExponent(text []byte) bool {
	sign, i := 1, 0
	if i < len(text) && (text[i] == '-' || text[i] == '+') {
		if text[i] == '-' {
			sign = -1
		}
		i++
	}
	d := digits(text[i:])
	for _, c := range d {
		n.exp = min(n.exp*10+int(c-'0'), maxExponent)
	}
	n.exp *= sign
	n.size += 1 + i + len(d)
	n.rewrite = true
	return len(d) > 0
}

// digits is the prefix of text that consists of decimal digits.
func digits(text []byte) []byte {
	i := 0
	for i < len(text) && text[i]-'0' < 10 {
		i++
	}
	return text[:i]
}

// point is the number of digits before the point once the exponent is written
// out; not positive if the point comes before all of them.
func (n *number) point() int { return len(n.whole) + n.exp }

// scale is the number of digits behind the point, as numeric_in chooses it.
func (n *number) scale() int { return max(0, len(n.frac)-n.exp) }

// leading is the number of zeros at the front of the digits.
func (n *number) leading() int {
	if n.whole[0] != '0' {
		return 0
	}
	i := 0
	for i < len(n.frac) && n.frac[i] == '0' {
		i++
	}
	return 1 + i
}

func (n *number) zero() bool { return n.leading() == len(n.whole)+len(n.frac) }

// fits reports whether numeric can hold the number.
func (n *number) fits() bool {
	if n.scale() > maxScale || n.exp >= maxExponent || n.exp <= -maxExponent {
		return false
	}
	return n.zero() || n.point()-n.leading()-1 <= maxWeight
}

// plainSize is at least the length of what appendPlain appends, for a number that fits.
func (n *number) plainSize() int {
	size := 3 + n.scale()
	if !n.zero() {
		size += max(0, n.point())
	}
	return size
}

// appendPlain appends the number as numeric prints it: no exponent, no -0, the
// scale kept. The number must fit.
func (n *number) appendPlain(dst []byte) []byte {
	from, point := n.leading(), n.point()
	zero := n.zero()
	if n.negative && !zero {
		dst = append(dst, '-')
	}
	if zero || from >= point {
		dst = append(dst, '0')
	} else {
		dst = n.appendDigits(dst, from, point)
	}
	if scale := n.scale(); scale > 0 {
		dst = append(dst, '.')
		dst = n.appendDigits(dst, point, point+scale)
	}
	return dst
}

// appendDigits appends the digits with the indices from..to-1, counted from the
// first one as written; outside of what is written they are zeros.
func (n *number) appendDigits(dst []byte, from, to int) []byte {
	for ; from < to && from < 0; from++ {
		dst = append(dst, '0')
	}
	if w := len(n.whole); from < to && from < w {
		end := min(to, w)
		dst = append(dst, n.whole[from:end]...)
		from = end
	}
	if w, all := len(n.whole), len(n.whole)+len(n.frac); from < to && from < all {
		end := min(to, all)
		dst = append(dst, n.frac[from-w:end-w]...)
		from = end
	}
	for ; from < to; from++ {
		dst = append(dst, '0')
	}
	return dst
}

// appendNumber appends the text output of an integer, float or numeric the way
// jsonb prints it. It refuses what is no number, so that NaN and Infinity become
// strings.
func appendNumber(dst, text []byte) ([]byte, bool) {
	if IsPlainInteger(text) {
		return append(dst, text...), true
	}
	n, ok := scanNumber(text)
	if !ok || n.size != len(text) {
		return dst, false
	}
	if !n.rewrite {
		return append(dst, text...), true
	}
	if !n.fits() {
		return dst, false
	}
	return n.appendPlain(dst), true
}

// IsPlainInteger reports whether text is an integer as Postgres prints all but 0: a
// minus sign where there is one, and digits, the first not 0. It is the common case of a
// number, which needs no taking apart.
func IsPlainInteger(text []byte) bool {
	if len(text) > 0 && text[0] == '-' {
		text = text[1:]
	}
	if len(text) == 0 || text[0] == '0' {
		return false
	}
	for _, c := range text {
		if c-'0' > 9 {
			return false
		}
	}
	return true
}

// appendNumberStyle is appendNumber, in quotes if asString is set.
func appendNumberStyle(dst, text []byte, asString bool) ([]byte, bool) {
	if !asString {
		return appendNumber(dst, text)
	}
	dst, ok := appendNumber(append(dst, '"'), text)
	return append(dst, '"'), ok
}
