package change

import "bytes"

// composite appends record_out's text, (1,"a b",), as an object. An empty field
// is NULL. Text with another number of fields than the type has is refused: what
// its fields are called is not known.
func (w *writer) composite(dst []byte, t *Type, text []byte) ([]byte, bool) {
	if len(text) < 2 || text[0] != '(' {
		return dst, false
	}
	dst = append(dst, '{')
	i := 1
	for n := range t.Fields {
		if n > 0 {
			if i >= len(text) || text[i] != ',' {
				return dst, false
			}
			i++
			dst = append(dst, ',')
		}
		dst = AppendKey(dst, t.Fields[n].Name)
		size := 0
		if dst, size = w.field(dst, t.Fields[n].Type, text[i:]); size < 0 {
			return dst, false
		}
		i += size
	}
	return append(dst, '}'), i == len(text)-1 && text[i] == ')'
}

// field appends the field at the start of text and returns the length of its
// text, -1 if it has no end.
func (w *writer) field(dst []byte, t *Type, text []byte) ([]byte, int) {
	if len(text) == 0 {
		return dst, -1
	}
	if text[0] == '"' {
		raw, escaped, size := doubled(text)
		if size < 0 {
			return dst, -1
		}
		return w.part(dst, t, raw, escaped), size
	}
	size := bytes.IndexAny(text, `,)`)
	switch {
	case size < 0:
		return dst, -1
	case size == 0:
		return append(dst, "null"...), 0
	}
	return w.value(dst, t, text[:size]), size
}

// doubled is quoted for composites, where a quote inside quotes is doubled.
func doubled(text []byte) (raw []byte, escaped bool, size int) {
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\', text[i] == '"' && i+1 < len(text) && text[i+1] == '"':
			escaped = true
			i++
		case text[i] == '"':
			return text[1:i], escaped, i + 1
		}
	}
	return nil, false, -1
}
