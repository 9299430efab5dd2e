package change

import "bytes"

// textType is any type whose JSON is a string.
var textType = &Type{Kind: KindText}

// hstore appends hstore_out's text, "a"=>"1", "b"=>NULL, as an object of strings
// and nulls. hstore keeps its keys unique and in jsonb's order.
func (w *writer) hstore(dst, text []byte) ([]byte, bool) {
	dst = append(dst, '{')
	for len(text) > 0 {
		key, escaped, size := quoted(text)
		if size == 0 {
			return dst, false
		}
		dst = append(w.part(dst, textType, key, escaped), ':')
		text, size = text[size:], 0
		if !bytes.HasPrefix(text, []byte("=>")) {
			return dst, false
		}
		if dst, size = w.hstoreValue(dst, text[2:]); size == 0 {
			return dst, false
		}
		text = text[2+size:]
		if len(text) == 0 {
			break
		}
		if text = bytes.TrimPrefix(text, []byte(", ")); len(text) == 0 || text[0] != '"' {
			return dst, false
		}
		dst = append(dst, ',')
	}
	return append(dst, '}'), true
}

// hstoreValue appends the value at the start of text and returns the length of
// its text, 0 if there is none.
func (w *writer) hstoreValue(dst, text []byte) ([]byte, int) {
	if bytes.HasPrefix(text, []byte("NULL")) {
		return append(dst, "null"...), len("NULL")
	}
	value, escaped, size := quoted(text)
	if size == 0 {
		return dst, 0
	}
	return w.part(dst, textType, value, escaped), size
}
