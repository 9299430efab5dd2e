package change

import "bytes"

// maxDims is MAXDIM of Postgres.
const maxDims = 6

// array appends array_out's text, {1,2} or [0:1]={1,2}, as nested JSON arrays.
func (w *writer) array(dst []byte, t *Type, text []byte) ([]byte, bool) {
	text = trimBounds(text)
	delim := t.Delim
	if delim == 0 {
		delim = ','
	}
	for i, dims := 0, 0; ; {
		// An element or a dimension begins at i.
		switch {
		case i >= len(text):
			return dst, false
		case text[i] == '{':
			if dims++; dims > maxDims {
				return dst, false
			}
			dst = append(dst, '[')
			if i++; i >= len(text) || text[i] != '}' {
				continue
			}
		case dims == 0:
			return dst, false
		default:
			size := 0
			if dst, size = w.element(dst, t.Elem, text[i:], delim); size == 0 {
				return dst, false
			}
			i += size
		}
		// One has ended before i.
		for ; i < len(text) && text[i] == '}'; i++ {
			dst = append(dst, ']')
			if dims--; dims == 0 {
				return dst, i+1 == len(text)
			}
		}
		if i >= len(text) || text[i] != delim {
			return dst, false
		}
		dst = append(dst, ',')
		i++
	}
}

// element appends the element at the start of text and returns the length of its
// text, 0 if there is none.
func (w *writer) element(dst []byte, t *Type, text []byte, delim byte) ([]byte, int) {
	if text[0] == '"' {
		raw, escaped, size := quoted(text)
		if size == 0 {
			return dst, 0
		}
		return w.part(dst, t, raw, escaped), size
	}
	size := 0
	for size < len(text) && text[size] != delim && text[size] != '}' {
		if c := text[size]; c == '{' || c == '"' || c == '\\' {
			return dst, 0
		}
		size++
	}
	if raw := text[:size]; !isNull(raw) {
		return w.value(dst, t, raw), size
	}
	return append(dst, "null"...), size
}

// isNull reports whether raw, which was not in quotes, is the array element NULL.
func isNull(raw []byte) bool { return len(raw) == 4 && bytes.EqualFold(raw, []byte("NULL")) }

// quoted reads what stands in quotes at the start of text. Inside, a backslash
// escapes the byte behind it. size counts the quotes too; 0 says that one of them
// is missing.
func quoted(text []byte) (raw []byte, escaped bool, size int) {
	if len(text) == 0 || text[0] != '"' {
		return nil, false, 0
	}
	for i := stringEnd(text, 1); i < len(text); i = stringEnd(text, i+1) {
		switch text[i] {
		case '\\':
			escaped = true
			i++
		case '"':
			return text[1:i], escaped, i + 1
		}
	}
	return nil, false, 0
}

// trimBounds cuts off the subscript bounds, [0:1][-3:2]=, that array_out prints
// for arrays that do not begin at 1. JSON arrays cannot say them.
func trimBounds(text []byte) []byte {
	if len(text) == 0 || text[0] != '[' {
		return text
	}
	return text[bytes.IndexByte(text, '=')+1:]
}

// vector appends int2vector and oidvector: elements separated by blanks.
func (w *writer) vector(dst []byte, t *Type, text []byte) ([]byte, bool) {
	dst = append(dst, '[')
	for len(text) > 0 {
		elem, rest, more := bytes.Cut(text, []byte{' '})
		if len(elem) == 0 || more && len(rest) == 0 {
			return dst, false
		}
		dst = w.value(dst, t.Elem, elem)
		if more {
			dst = append(dst, ',')
		}
		text = rest
	}
	return append(dst, ']'), true
}
