package change

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// appendDecoded appends a JSON string, given without quotes and known to be
// valid for jsonb, with its escapes decoded.
func appendDecoded(dst, text []byte) []byte {
	for {
		i := bytes.IndexByte(text, '\\')
		if i < 0 {
			return append(dst, text...)
		}
		r, size, _ := decodeEscape(text[i:])
		dst = append(dst, text[:i]...)
		dst = utf8.AppendRune(dst, r)
		text = text[i+size:]
	}
}

// decodeEscape reads the escape at the start of s, a surrogate pair as one. size
// is 0 if it is not JSON. fits is false if jsonb cannot hold it: \u0000 and
// halves of surrogate pairs.
func decodeEscape(s []byte) (r rune, size int, fits bool) {
	if len(s) < 2 {
		return 0, 0, false
	}
	switch c := s[1]; c {
	case '"', '\\', '/':
		return rune(c), 2, true
	case 'b':
		return '\b', 2, true
	case 'f':
		return '\f', 2, true
	case 'n':
		return '\n', 2, true
	case 'r':
		return '\r', 2, true
	case 't':
		return '\t', 2, true
	}
	r = unicodeEscape(s)
	switch {
	case r < 0:
		return 0, 0, false
	case !utf16.IsSurrogate(r):
		return r, 6, r != 0
	}
	r = utf16.DecodeRune(r, unicodeEscape(s[6:]))
	if r == utf8.RuneError {
		return r, 6, false
	}
	return r, 12, true
}

// unicodeEscape is the value of the \uXXXX at the start of s, -1 if there is none.
func unicodeEscape(s []byte) rune {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range s[2:6] {
		d := hexDigit(c)
		if d < 0 {
			return -1
		}
		r = r<<4 | d
	}
	return r
}

func hexDigit(c byte) rune {
	switch {
	case c >= '0' && c <= '9':
		return rune(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return rune(c|0x20-'a') + 10
	}
	return -1
}
