package filter

import (
	"bytes"

	"github.com/walrelay/walrelay/change"
)

// maxDims is MAXDIM of Postgres.
const maxDims = 6

// elements iterates over the elements of an array of any number of dimensions, in the
// order of the text, from the text that Postgres prints: {1,NULL}, {{a,"b c"}}, [0:1]={1,2}.
// The zero value has none. Its buffer is reused by reset, so that reading arrays does not
// allocate once it has grown.
type elements struct {
	// t and elem are the type of an element; t may be nil.
	t     *change.Type
	elem  Type
	delim byte
	// text is the array without bounds; at is where reading goes on: 0 or behind an element.
	text []byte
	at   int
	// depth is the number of braces that are open, leaf that around the elements, 0 before
	// the first.
	depth, leaf int
	state       scanState
	// scratch holds the elements that had escapes.
	scratch []byte
}

// scanState is how far an iteration is.
type scanState uint8

const (
	scanEnd scanState = iota // nothing more
	scanning
	scanBad // the text is no array
)

// reset begins with another array. t is its type, elem that of its elements: typeOf(t)
// with List false. The text must stay as it is.
func (e *elements) reset(t *change.Type, elem Type, array []byte) {
	*e = elements{elem: elem, delim: ',', state: scanning, scratch: e.scratch[:0]}
	e.elem.List = false
	if t != nil && t.Elem != nil {
		e.t = t.Elem
		if t.Delim != 0 {
			e.delim = t.Delim
		}
	}
	var ok bool
	if e.text, ok = trimBounds(array); !ok {
		e.state = scanBad
	}
}

// release lets go of the text, and of a large buffer.
func (e *elements) release() {
	*e = elements{scratch: e.scratch[:0]}
	if cap(e.scratch) > maxSpare {
		e.scratch = nil
	}
}

// trimBounds cuts off the subscript bounds, [0:1][-3:2]=, of arrays that do not begin at 1.
func trimBounds(array []byte) ([]byte, bool) {
	if len(array) == 0 || array[0] != '[' {
		return array, true
	}
	for i, c := range array {
		switch {
		case c == '=':
			return array[i+1:], true
		case c-'0' > 9 && c != '[' && c != ']' && c != ':' && c != '-':
			return array, false
		}
	}
	return array, false
}

// next is the next element, NULL or set, which is valid until the next reset. It reports
// false at the end and where the text is not that of such an array, see bad.
func (e *elements) next() (v value, ok bool) {
	if e.state != scanning || !e.advance() {
		return value{}, false
	}
	raw, quoted, ok := e.element()
	if !ok {
		return e.fail()
	}
	if !quoted && len(raw) == 4 && bytes.EqualFold(raw, []byte("NULL")) {
		return value{state: isNull}, true
	}
	if v, ok = decode(e.t, e.elem, raw); !ok {
		return e.fail()
	}
	return v, true
}

// bad reports, once next has reported false, that the array could not be read to its end.
func (e *elements) bad() bool { return e.state == scanBad }

func (e *elements) fail() (value, bool) {
	e.state = scanBad
	return value{}, false
}

// advance goes on to the start of the next element.
func (e *elements) advance() bool {
	if e.at > 0 && !e.leave() {
		return false
	}
	for e.at < len(e.text) {
		switch {
		case e.text[e.at] != '{':
			if e.leaf == 0 {
				e.leaf = e.depth
			}
			if e.depth == 0 || e.depth != e.leaf {
				e.state = scanBad
				return false
			}
			return true
		case e.depth == maxDims:
			e.state = scanBad
			return false
		}
		e.depth++
		e.at++
		if e.at < len(e.text) && e.text[e.at] == '}' && !e.leave() {
			return false
		}
	}
	e.state = scanBad
	return false
}

// leave reads what stands behind an element or an empty pair of braces: the braces that
// close and, unless the array ends there, a delimiter.
func (e *elements) leave() bool {
	for e.at < len(e.text) && e.text[e.at] == '}' {
		e.at++
		if e.depth--; e.depth == 0 {
			e.state = scanEnd
			if e.at != len(e.text) {
				e.state = scanBad
			}
			return false
		}
	}
	if e.at >= len(e.text) || e.text[e.at] != e.delim {
		e.state = scanBad
		return false
	}
	e.at++
	return true
}

// element reads the element at at, without its quotes and escapes.
func (e *elements) element() (raw []byte, quoted, ok bool) {
	if e.text[e.at] == '"' {
		raw, ok = e.quoted()
		return raw, true, ok
	}
	from := e.at
	for ; e.at < len(e.text); e.at++ {
		switch c := e.text[e.at]; c {
		case '{', '"', '\\':
			return nil, false, false
		case '}', e.delim:
			return e.text[from:e.at], false, e.at > from
		}
	}
	return nil, false, false
}

// quoted reads the element in quotes at at. A backslash takes the byte behind it as
// it is.
func (e *elements) quoted() ([]byte, bool) {
	e.at++
	rest := e.text[e.at:]
	end := bytes.IndexAny(rest, `"\`)
	if end >= 0 && rest[end] == '"' {
		e.at += end + 1
		return rest[:end], true
	}
	mark := len(e.scratch)
	for i := 0; i < len(rest); i++ {
		switch rest[i] {
		case '"':
			e.at += i + 1
			return e.scratch[mark:len(e.scratch):len(e.scratch)], true
		case '\\':
			if i++; i == len(rest) {
				return nil, false
			}
		}
		e.scratch = append(e.scratch, rest[i])
	}
	return nil, false
}
