package change

import "bytes"

// Style says how numbers go out that a JavaScript number cannot hold. The zero
// Style is to_jsonb's: all numbers are JSON numbers, digit by digit.
type Style struct {
	// BigintString writes int8 as a JSON string.
	BigintString bool
	// NumericString writes numeric as a JSON string.
	NumericString bool
}

// AppendJSON appends the JSON of a value of type t to dst. text is the type's
// text output in a session with DateStyle ISO, IntervalStyle postgres, TimeZone
// UTC, extra_float_digits 1, bytea_output hex and client_encoding UTF8; the JSON
// is then what to_jsonb gives for the value in a session with the same settings,
// up to white space. It is one line of valid UTF-8.
//
// It never fails: text that is not of its type becomes a JSON string of itself.
// A json value that jsonb cannot hold (\u0000, half a surrogate pair, a number
// beyond numeric's range), where to_jsonb raises an error, stays as it was
// written, without its white space; so does one that is nested more than
// 10,000 levels deep or whose numbers would grow by more than 4 MiB if their
// exponents were written out.
//
// Two things only the server could know: an extension's own cast to json (that
// of hstore is known, PostGIS's is not), and a composite type that changed after
// t was loaded. Their values become strings.
//
// text is only read, must not overlap dst, and is not kept. Nothing is allocated
// but dst's growth, and the working space for json is reused.
func (t *Type) AppendJSON(dst, text []byte) []byte {
	return t.AppendJSONStyle(dst, text, Style{})
}

// AppendJSONStyle is [Type.AppendJSON] with a Style, which also holds inside arrays and
// composites, but not inside json and jsonb.
func (t *Type) AppendJSONStyle(dst, text []byte, style Style) []byte {
	w := writer{style: style, growth: maxGrowth}
	return w.value(dst, t, validUTF8(text))
}

// AppendKey appends name as the key of an object: in quotes, with the colon.
func AppendKey(dst []byte, name string) []byte {
	dst = AppendJSONString(dst, []byte(name))
	return append(dst, ':')
}

// writer is the state of one AppendJSON.
type writer struct {
	style Style
	// growth is what exponents in json may still add, in bytes. It is a bound
	// because 1e131071, 8 bytes, stands for 131,072 digits.
	growth int
}

const maxGrowth = 4 << 20

// value appends the JSON of one value, at any depth. Here and below text is valid
// UTF-8.
func (w *writer) value(dst []byte, t *Type, text []byte) []byte {
	mark := len(dst)
	dst, ok := w.typed(dst, t, text)
	if !ok {
		dst = appendString(dst[:mark], text)
	}
	return dst
}

// typed appends the JSON of text read as a t. If it reports false, dst has
// grown by something to be cut off.
func (w *writer) typed(dst []byte, t *Type, text []byte) ([]byte, bool) {
	if t == nil {
		return dst, false
	}
	switch t.Kind {
	case KindBool:
		return appendBool(dst, text)
	case KindInt:
		return appendNumberStyle(dst, text, w.style.BigintString && t.BaseName() == "bigint")
	case KindFloat:
		return appendNumber(dst, text)
	case KindNumeric:
		return appendNumberStyle(dst, text, w.style.NumericString)
	case KindTimestamp, KindTimestampTZ:
		return appendTimestamp(dst, text, t.Kind == KindTimestampTZ)
	case KindJSON:
		return w.json(dst, text)
	case KindJSONB:
		return appendJSONB(dst, text)
	case KindHstore:
		return w.hstore(dst, text)
	case KindArray:
		return w.array(dst, t, text)
	case KindVector:
		return w.vector(dst, t, text)
	case KindComposite:
		return w.composite(dst, t, text)
	}
	// KindText, KindDate (in ISO style to_jsonb prints the same), and kinds that
	// a later version has written into the log.
	return appendString(dst, text), true
}

func appendBool(dst, text []byte) ([]byte, bool) {
	switch string(text) {
	case "t":
		return append(dst, "true"...), true
	case "f":
		return append(dst, "false"...), true
	}
	return dst, false
}

// part appends the value of an array element, a field or an hstore item. raw is
// its text without quotes; with escaped it still holds escapes, of which the
// first byte is a backslash or, with quote set, a doubled quote.
func (w *writer) part(dst []byte, t *Type, raw []byte, escaped bool) []byte {
	if !escaped {
		return w.value(dst, t, raw)
	}
	// The plain text goes behind dst, its JSON behind that, then the JSON moves
	// down: no buffer of our own.
	mark := len(dst)
	dst = appendUnescaped(dst, raw)
	n := len(dst)
	dst = w.value(dst, t, dst[mark:n:n])
	return dst[:mark+copy(dst[mark:], dst[n:])]
}

// appendUnescaped undoes the escapes inside quotes of array_out, record_out and
// hstore_out: a backslash before any byte, or a doubled quote.
func appendUnescaped(dst, raw []byte) []byte {
	for {
		i := bytes.IndexAny(raw, `\"`)
		if i < 0 || i+1 >= len(raw) {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:i]...)
		dst = append(dst, raw[i+1])
		raw = raw[i+2:]
	}
}
