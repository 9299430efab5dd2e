package filter

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonPath is what doc -> path[0] -> path[1] ->> path[n] gives, as ClassText: NULL where a
// key is missing, where the path leads through what is no object, and for the JSON null.
// An object or an array at the end of the path is NULL too, where Postgres has its text: a rule
// that compares with the spelling of a document is a mistake. doc is the text of a jsonb that
// Postgres has printed; where it is not that, the value is open.
//
// What has to be unescaped is appended to scratch, which is returned as out. The value points
// into doc or out.
func jsonPath(doc []byte, path []string, scratch []byte) (v value, out []byte) {
	d := jsonScanner{text: doc, scratch: scratch}
	d.blank()
	for _, key := range path {
		switch d.find(key) {
		case keyMissing:
			return value{state: isNull}, d.scratch
		case keyBad:
			return value{state: isOpen}, d.scratch
		}
	}
	return d.scalar(), d.scratch
}

// jsonScanner reads JSON from at on.
type jsonScanner struct {
	text    []byte
	at      int
	scratch []byte
}

// found says what became of a key.
type found uint8

const (
	keyMissing found = iota
	keyFound
	keyBad // the text is no JSON
)

// peek is the byte at at, 0 at the end.
func (d *jsonScanner) peek() byte {
	if d.at < len(d.text) {
		return d.text[d.at]
	}
	return 0
}

func (d *jsonScanner) blank() {
	for d.at < len(d.text) {
		switch d.text[d.at] {
		case ' ', '\t', '\n', '\r':
			d.at++
		default:
			return
		}
	}
}

// find goes on to the value of a key in the object at at; what is no object has no keys.
func (d *jsonScanner) find(key string) found {
	if d.peek() != '{' {
		if !d.skip() {
			return keyBad
		}
		return keyMissing
	}
	d.at++
	d.blank()
	if d.peek() == '}' {
		return keyMissing
	}
	for {
		same, ok := d.key(key)
		switch {
		case !ok:
			return keyBad
		case same:
			return keyFound
		case !d.skip():
			return keyBad
		}
		d.blank()
		switch d.peek() {
		case '}':
			return keyMissing
		case ',':
			d.at++
			d.blank()
		default:
			return keyBad
		}
	}
}

// key reads a key and the colon behind it, and compares.
func (d *jsonScanner) key(want string) (same, ok bool) {
	raw, escaped, ok := d.str()
	if !ok {
		return false, false
	}
	if escaped {
		mark := len(d.scratch)
		d.scratch, ok = appendUnescaped(d.scratch, raw)
		same = string(d.scratch[mark:]) == want
		d.scratch = d.scratch[:mark]
	} else {
		same = string(raw) == want
	}
	d.blank()
	if !ok || d.peek() != ':' {
		return false, false
	}
	d.at++
	d.blank()
	return same, true
}

// str reads the string at at; raw still has its escapes.
func (d *jsonScanner) str() (raw []byte, escaped, ok bool) {
	if d.peek() != '"' {
		return nil, false, false
	}
	from := d.at + 1
	for i := from; ; {
		n := bytes.IndexByte(d.text[i:], '"')
		if n < 0 {
			return nil, false, false
		}
		i += n
		slashes := 0
		for d.text[i-1-slashes] == '\\' { // ends at the quote that opens
			slashes++
		}
		if slashes%2 == 0 {
			d.at = i + 1
			raw = d.text[from:i]
			return raw, bytes.IndexByte(raw, '\\') >= 0, true
		}
		i++
	}
}

// skip goes to behind the value at at. It only looks where that ends.
func (d *jsonScanner) skip() bool {
	depth := 0
	for d.at < len(d.text) {
		switch d.text[d.at] {
		case '"':
			if _, _, ok := d.str(); !ok {
				return false
			}
		case '{', '[':
			depth++
			d.at++
			continue
		case '}', ']':
			if depth--; depth < 0 {
				return false
			}
			d.at++
		default:
			if depth == 0 {
				return len(d.word()) > 0
			}
			d.at++
			continue
		}
		if depth == 0 {
			return true
		}
	}
	return false
}

// word reads up to what can stand behind a number, true, false or null.
func (d *jsonScanner) word() []byte {
	from := d.at
	for d.at < len(d.text) {
		switch d.text[d.at] {
		case ',', '}', ']', ' ', '\t', '\n', '\r', ':', '"', '{', '[':
			return d.text[from:d.at]
		}
		d.at++
	}
	return d.text[from:]
}

// scalar is the text of the value at at.
func (d *jsonScanner) scalar() value {
	switch d.peek() {
	case '"':
		return d.unquoted()
	case '{', '[':
		if !d.skip() {
			return value{state: isOpen}
		}
		return value{state: isMute}
	}
	word := d.word()
	switch {
	case string(word) == "null":
		return value{state: isNull}
	case string(word) == "true", string(word) == "false", isJSONNumber(word):
		return value{state: isSet, s: word}
	}
	return value{state: isOpen}
}

// isJSONNumber reports whether word is a number as jsonb prints it: without an exponent.
func isJSONNumber(word []byte) bool {
	d, ok := parseDecimal(word)
	return ok && d.rank == 0
}

func (d *jsonScanner) unquoted() value {
	raw, escaped, ok := d.str()
	if ok && !escaped {
		return value{state: isSet, s: raw}
	}
	mark := len(d.scratch)
	if ok {
		d.scratch, ok = appendUnescaped(d.scratch, raw)
	}
	if !ok {
		return value{state: isOpen}
	}
	return value{state: isSet, s: d.scratch[mark:len(d.scratch):len(d.scratch)]}
}

// appendUnescaped appends a JSON string without its escapes. It reports false for escapes that
// there are not, half a surrogate pair and NUL, which no text in Postgres holds.
func appendUnescaped(dst, raw []byte) ([]byte, bool) {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(dst, raw...), true
		}
		dst = append(dst, raw[:i]...)
		if raw = raw[i+1:]; len(raw) == 0 {
			return dst, false
		}
		c := raw[0]
		raw = raw[1:]
		if c == 'u' {
			r, size := unicodeEscape(raw)
			if size == 0 {
				return dst, false
			}
			dst = utf8.AppendRune(dst, r)
			raw = raw[size:]
			continue
		}
		plain := shortEscapes[c]
		if plain == 0 {
			return dst, false
		}
		dst = append(dst, plain)
	}
}

// shortEscapes are the bytes that a backslash and one character stand for.
var shortEscapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// unicodeEscape reads XXXX or, of a surrogate pair, XXXX\uXXXX. A size of 0 says that
// it is no character.
func unicodeEscape(raw []byte) (r rune, size int) {
	r, ok := hex4(raw)
	switch {
	case !ok || r == 0:
		return 0, 0
	case !utf16.IsSurrogate(r):
		return r, 4
	case len(raw) < 10 || raw[4] != '\\' || raw[5] != 'u':
		return 0, 0
	}
	low, ok := hex4(raw[6:])
	if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
		return 0, 0
	}
	return r, 10
}

func hex4(raw []byte) (r rune, ok bool) {
	if len(raw) < 4 {
		return 0, false
	}
	for _, c := range raw[:4] {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case (c|0x20)-'a' <= 5:
			c = (c | 0x20) - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
