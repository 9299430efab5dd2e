package change

import (
	"bytes"
	"slices"
	"sync"
)

// json appends a json value the way jsonb holds it: without white space, keys
// sorted by length and then bytes, of equal keys only the last, numbers as
// numeric prints them, no more escapes than needed. What jsonb cannot hold stays
// as it is written, see [Type.AppendJSON].
func (w *writer) json(dst, text []byte) ([]byte, bool) {
	d := documents.Get().(*document)
	defer d.release()
	if !d.parse(text, true) {
		return dst, false
	}
	if d.verbatim || d.growth > w.growth {
		return appendCompact(dst, text), true
	}
	w.growth -= d.growth
	return d.appendNode(dst, 0), true
}

// appendJSONB appends jsonb's text output without its white space. It is checked
// all the same: whatever comes in, what goes out must be JSON.
func appendJSONB(dst, text []byte) ([]byte, bool) {
	d := documents.Get().(*document)
	defer d.release()
	if !d.parse(text, false) {
		return dst, false
	}
	return appendCompact(dst, text), true
}

// appendCompact appends valid JSON as it is written, without its white space.
func appendCompact(dst, text []byte) []byte {
	from := 0
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '"':
			_, _, size := quoted(text[i:])
			i += size
		case c > ' ':
			i++
		default:
			dst = append(dst, text[from:i]...)
			i = skipSpace(text, i)
			from = i
		}
	}
	return append(dst, text[from:]...)
}

// document is one json value taken apart, as a list of nodes in the order of the
// text. An object's children are key, value, key, value and so on.
type document struct {
	text  []byte
	nodes []node
	// parent is the innermost container that is still open, root if none is; depth
	// is how many are open.
	parent, depth int
	// keep says that nodes are wanted. Without it only the open containers are in
	// nodes: text is merely checked.
	keep bool
	// verbatim says that jsonb cannot hold the value.
	verbatim bool
	// growth is what writing out the exponents adds, in bytes.
	growth int
	// order is a stack of the members of the objects that are being written.
	order []uint32
	// a and b hold decoded strings.
	a, b []byte
}

// node is a value or a key. Positions are below 2^32: Postgres has no values
// above 1 GiB.
type node struct {
	// kind is the first byte of the text: { [ " t f n - or a digit.
	kind byte
	// special: a string with escapes, or a number to be rewritten.
	special bool
	// start and end are where the text is; of a string, without its quotes. Not
	// set for containers.
	start, end uint32
	// next is the index of the first node behind this one and its children; while
	// a container is open, the index of the container around it.
	next int32
}

const (
	root = -1
	// maxDepth bounds the recursion of appendNode. Postgres with its default
	// max_stack_depth gives up at a similar depth.
	maxDepth = 10_000
	// maxKept is how many nodes a document may keep for its next use.
	maxKept = 1 << 16
)

var documents = sync.Pool{New: func() any { return new(document) }}

func (d *document) release() {
	d.text = nil
	if cap(d.nodes) <= maxKept && cap(d.a)+cap(d.b) <= maxKept {
		documents.Put(d)
	}
}

// parse checks text, with keep into nodes, and reports whether it is JSON.
func (d *document) parse(text []byte, keep bool) bool {
	d.text, d.nodes, d.order = text, d.nodes[:0], d.order[:0]
	d.parent, d.depth, d.keep = root, 0, keep
	d.verbatim, d.growth = false, 0
	i, ok := skipSpace(text, 0), true
	for {
		var opened bool
		if i, opened, ok = d.parseValue(i); !ok {
			return false
		}
		if opened {
			continue
		}
		if i, ok = d.parseEnd(i); !ok || d.parent == root {
			return ok && i == len(text)
		}
	}
}

// parseValue reads the value at i. opened says that it is a container of which a
// first element begins at the returned index.
func (d *document) parseValue(i int) (next int, opened, ok bool) {
	switch c := d.at(i); c {
	case '{', '[':
		return d.open(i, c)
	case '"':
		next, ok = d.parseString(i)
	case 't':
		next, ok = d.literal(i, "true")
	case 'f':
		next, ok = d.literal(i, "false")
	case 'n':
		next, ok = d.literal(i, "null")
	default:
		next, ok = d.parseNumber(i)
	}
	return next, false, ok
}

// parseEnd reads what may follow a value that ends before i: the ends of the
// containers around it and a comma. It returns where the next value begins, or
// the end of the document once there is no parent any more.
func (d *document) parseEnd(i int) (next int, ok bool) {
	for {
		i = skipSpace(d.text, i)
		if d.parent == root {
			return i, true
		}
		kind := d.nodes[d.parent].kind
		switch c := d.at(i); {
		case c == ',' && kind == '{':
			return d.parseKey(skipSpace(d.text, i+1))
		case c == ',':
			return skipSpace(d.text, i+1), true
		case c != kind+2: // } is { + 2, ] is [ + 2
			return i, false
		}
		d.close()
		i++
	}
}

// open reads the start of a container of which the first byte is at i, and its
// end too if it is empty.
func (d *document) open(i int, kind byte) (next int, opened, ok bool) {
	d.nodes = append(d.nodes, node{kind: kind, next: int32(d.parent)})
	d.parent = len(d.nodes) - 1
	if d.depth++; d.depth > maxDepth {
		d.verbatim = true
	}
	i = skipSpace(d.text, i+1)
	if d.at(i) == kind+2 {
		d.close()
		return i + 1, false, true
	}
	if kind == '{' {
		i, ok = d.parseKey(i)
		return i, true, ok
	}
	return i, true, true
}

func (d *document) close() {
	n := &d.nodes[d.parent]
	at := d.parent
	d.parent, n.next = int(n.next), int32(len(d.nodes))
	d.depth--
	if !d.keep {
		d.nodes = d.nodes[:at]
	}
}

// parseKey reads a key at i and the colon, and returns where the value begins.
func (d *document) parseKey(i int) (next int, ok bool) {
	if d.at(i) != '"' {
		return i, false
	}
	if i, ok = d.parseString(i); !ok {
		return i, false
	}
	if i = skipSpace(d.text, i); d.at(i) != ':' {
		return i, false
	}
	return skipSpace(d.text, i+1), true
}

// parseString reads the string of which the first quote is at i.
func (d *document) parseString(i int) (next int, ok bool) {
	start, special := i+1, false
	for i = start; ; {
		i = stringEnd(d.text, i)
		switch d.at(i) {
		case '"':
			d.leaf('"', special, start, i)
			return i + 1, true
		case '\\':
			_, size, fits := decodeEscape(d.text[i:])
			if size == 0 {
				return i, false
			}
			special = true
			d.verbatim = d.verbatim || !fits
			i += size
		default:
			return i, false
		}
	}
}

func (d *document) parseNumber(i int) (next int, ok bool) {
	n, ok := scanNumber(d.text[min(i, len(d.text)):])
	if !ok {
		return i, false
	}
	if n.rewrite && n.fits() {
		d.growth += max(0, n.plainSize()-n.size)
	} else if !n.fits() {
		d.verbatim = true
	}
	d.leaf(d.text[i], n.rewrite, i, i+n.size)
	return i + n.size, true
}

func (d *document) literal(i int, word string) (next int, ok bool) {
	if !bytes.HasPrefix(d.text[i:], []byte(word)) {
		return i, false
	}
	d.leaf(word[0], false, i, i+len(word))
	return i + len(word), true
}

func (d *document) leaf(kind byte, special bool, start, end int) {
	if d.keep {
		d.nodes = append(d.nodes, node{kind, special, uint32(start), uint32(end), int32(len(d.nodes) + 1)})
	}
}

// at is the byte at i, 0 behind the end. JSON has no 0 bytes.
func (d *document) at(i int) byte {
	if i < len(d.text) {
		return d.text[i]
	}
	return 0
}

func skipSpace(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\n' || text[i] == '\t' || text[i] == '\r') {
		i++
	}
	return i
}

// appendNode appends the node with index i and its children.
func (d *document) appendNode(dst []byte, i int) []byte {
	n := d.nodes[i]
	text := d.text[n.start:n.end]
	switch {
	case n.kind == '{':
		return d.appendObject(dst, i)
	case n.kind == '[':
		return d.appendArray(dst, i)
	case n.kind == '"' && n.special:
		d.a = appendDecoded(d.a[:0], text)
		return appendString(dst, d.a)
	case n.kind == '"':
		return append(dst, d.text[n.start-1:n.end+1]...) // with its quotes
	case n.special:
		number, _ := scanNumber(text)
		return number.appendPlain(dst)
	}
	return append(dst, text...)
}

func (d *document) appendArray(dst []byte, i int) []byte {
	dst = append(dst, '[')
	first, end := i+1, int(d.nodes[i].next)
	for k := first; k < end; k = int(d.nodes[k].next) {
		if k > first {
			dst = append(dst, ',')
		}
		dst = d.appendNode(dst, k)
	}
	return append(dst, ']')
}

func (d *document) appendObject(dst []byte, i int) []byte {
	base := len(d.order)
	dst = append(dst, '{')
	for n, k := range d.members(i) {
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = d.appendNode(dst, int(k))
		dst = append(dst, ':')
		dst = d.appendNode(dst, int(k)+1)
	}
	d.order = d.order[:base]
	return append(dst, '}')
}

// members pushes the keys of the object at i onto order, sorted, of equal ones
// only the last.
func (d *document) members(i int) []uint32 {
	base, sorted, end := len(d.order), true, int(d.nodes[i].next)
	for k := i + 1; k < end; k = int(d.nodes[k+1].next) {
		if n := len(d.order); sorted && n > base {
			sorted = d.compareKeys(d.order[n-1], uint32(k)) < 0
		}
		d.order = append(d.order, uint32(k))
	}
	keys := d.order[base:]
	if sorted {
		return keys
	}
	slices.SortFunc(keys, func(x, y uint32) int {
		if c := d.compareKeys(x, y); c != 0 {
			return c
		}
		return int(y) - int(x) // the last of equal ones comes first
	})
	return slices.CompactFunc(keys, func(x, y uint32) bool { return d.compareKeys(x, y) == 0 })
}

// compareKeys orders keys as jsonb does (lengthCompareJsonbString).
func (d *document) compareKeys(x, y uint32) int {
	var a, b []byte
	a, d.a = d.key(x, d.a)
	b, d.b = d.key(y, d.b)
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return bytes.Compare(a, b)
}

// key is the decoded key with index i. buf is room for it and returned.
func (d *document) key(i uint32, buf []byte) (key, room []byte) {
	n := &d.nodes[i]
	text := d.text[n.start:n.end]
	if !n.special {
		return text, buf
	}
	buf = appendDecoded(buf[:0], text)
	return buf, buf
}
