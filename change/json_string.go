package change

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// AppendJSONString appends s as a JSON string. It escapes only what JSON
// demands: the quote, the backslash and the bytes below 0x20. Runs of bytes that
// are no UTF-8 become U+FFFD.
func AppendJSONString(dst, s []byte) []byte { return appendString(dst, validUTF8(s)) }

// validUTF8 is s, or a copy with U+FFFD in place of what is no UTF-8.
func validUTF8(s []byte) []byte {
	if utf8.Valid(s) {
		return s
	}
	return bytes.ToValidUTF8(s, []byte("\ufffd"))
}

// appendString is AppendJSONString of valid UTF-8.
func appendString(dst, s []byte) []byte {
	dst = append(dst, '"')
	for {
		n := stringEnd(s, 0)
		dst = append(dst, s[:n]...)
		if n == len(s) {
			return append(dst, '"')
		}
		dst = appendEscaped(dst, s[n])
		s = s[n+1:]
	}
}

// appendEscaped appends a byte that cannot stand for itself in a JSON string.
func appendEscaped(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, `\b`...)
	case '\t':
		return append(dst, `\t`...)
	case '\n':
		return append(dst, `\n`...)
	case '\f':
		return append(dst, `\f`...)
	case '\r':
		return append(dst, `\r`...)
	}
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

// special says which bytes cannot stand for themselves in a JSON string.
var special = func() (t [256]bool) {
	for c := range t {
		t[c] = c < 0x20 || c == '"' || c == '\\'
	}
	return t
}()

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
)

// stringEnd is the index of the first special byte of s at or after i, or len(s).
// In JSON text that is the end of a string, a backslash or an error. It looks at
// eight bytes at a time.
func stringEnd(s []byte, i int) int {
	for ; i+8 <= len(s); i += 8 {
		x := binary.LittleEndian.Uint64(s[i:])
		if m := specialMask(x) & highBits; m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	for i < len(s) && !special[s[i]] {
		i++
	}
	return i
}

// specialMask sets the high bit of the bytes of x that are special. Only
// the lowest high bit set is sure, and other bits mean nothing.
func specialMask(x uint64) uint64 {
	quote := x ^ lowBits*'"'
	slash := x ^ lowBits*'\\'
	return (x-lowBits*0x20)&^x | (quote-lowBits)&^quote | (slash-lowBits)&^slash
}
