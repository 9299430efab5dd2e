package filter

import (
	"bytes"
	"slices"
	"unicode"
	"unicode/utf8"

	"github.com/walrelay/walrelay/change"
)

// Image is one row image under evaluation. A column is decoded at most once, and only
// when something reads it. Its memory is reused: a program evaluates any number of rows
// without allocating. Not safe for concurrent use.
type Image struct {
	program *Program
	layout  *Layout
	row     []change.Value
	// turn counts the rows loaded; a cell with another turn is of an earlier row.
	turn      uint64
	cells     []cell
	undecoded bool

	// keys has the bytes of what Probe found, spans says where each key is.
	keys  []byte
	spans []span
}

// span is a key in Image.keys.
type span struct{ from, to int }

// cell is the value of a slot.
type cell struct {
	datum
	turn uint64
	// scratch holds what had to be written anew, elems the elements of an array.
	scratch []byte
	elems   *elements
}

// NewImage makes an image for rows of a program.
func (p *Program) NewImage() *Image {
	im := &Image{program: p, cells: make([]cell, len(p.slots))}
	for i := range im.cells {
		if p.slots[i].typ.List {
			im.cells[i].elems = &elements{}
		}
	}
	return im
}

// Load begins with another row, which must stay as it is until the next Load.
func (im *Image) Load(l *Layout, row []change.Value) {
	im.layout, im.row = l, row
	im.turn++
	im.undecoded = false
	im.keys, im.spans = im.keys[:0], im.spans[:0]
}

// What an image keeps without need: bytes of a buffer, elements of a list.
const (
	maxSpare     = 64 << 10
	maxSpareList = 1 << 10
)

// Release lets go of the row, and of the memory that a large one has left behind. Load comes next.
func (im *Image) Release() {
	im.layout, im.row = nil, nil
	if cap(im.keys) > maxSpare {
		im.keys, im.spans = nil, nil
	}
	for i := range im.cells {
		im.cells[i].release()
	}
}

func (c *cell) release() {
	list := c.list[:cap(c.list)]
	clear(list)
	*c = cell{datum: datum{list: list[:0]}, scratch: c.scratch, elems: c.elems}
	if cap(list) > maxSpareList {
		c.list = nil
	}
	if cap(c.scratch) > maxSpare {
		c.scratch = nil
	}
	if c.elems != nil {
		c.elems.release()
	}
}

// Undecoded reports that a value of the row could not be read: the server sent what its
// type does not have. Only values that have been asked for count.
func (im *Image) Undecoded() bool { return im.undecoded }

// get is the value of a slot, valid until the next Load.
func (im *Image) get(i int) *datum {
	c := &im.cells[i]
	if c.turn != im.turn {
		c.turn = im.turn
		im.fill(c, i)
	}
	return &c.datum
}

// fill evaluates a slot. Whatever is not known is open and never NULL.
func (im *Image) fill(c *cell, i int) {
	at := &im.layout.places[i]
	switch at.how {
	case howPath:
		base := im.get(at.index).v
		if c.v = base; base.state == isSet {
			c.v, c.scratch = jsonPath(base.s, im.program.slots[i].path, c.scratch[:0])
			im.undecoded = im.undecoded || c.v.state == isOpen
		}
		return
	case howLower:
		if c.v = im.get(at.index).v; c.v.state == isSet {
			c.v.s, c.scratch = lower(c.v.s, c.scratch[:0])
		}
		return
	}
	c.v.state = isOpen
	if at.index >= len(im.row) {
		return
	}
	switch v := &im.row[at.index]; v.Kind {
	case change.Null:
		c.v.state = isNull
	case change.Text:
		if !c.decode(at, v.Text) {
			c.v.state, im.undecoded = isOpen, true
		}
	}
}

// decode reads a column's text.
func (c *cell) decode(at *place, text []byte) (ok bool) {
	switch at.how {
	case howArray:
		return c.array(at, text)
	case howDecode:
		c.v, ok = decodeAs(at.class, false, at.typ, text)
		return ok
	case howNumber:
		if !isNumber(text) {
			return false
		}
	}
	c.v.state, c.v.s = isSet, text
	return true
}

// array reads all elements: the end of the text can make the whole unreadable.
func (c *cell) array(at *place, text []byte) bool {
	c.list = c.list[:0]
	c.elems.reset(at.typ, Type{Class: at.class}, text)
	for {
		v, ok := c.elems.next()
		if !ok {
			break
		}
		c.list = append(c.list, v)
	}
	c.v.state = isSet
	return !c.elems.bad()
}

// lower is text in lower case by Unicode's rules; the result is text itself where
// nothing changes, else in scratch.
func lower(text, scratch []byte) (out, used []byte) {
	for i, c := range text {
		if 'A' <= c && c <= 'Z' || c >= utf8.RuneSelf {
			scratch = append(scratch, text[:i]...)
			scratch = appendLower(scratch, text[i:])
			return scratch, scratch
		}
	}
	return text, scratch
}

func appendLower(dst, text []byte) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if r == utf8.RuneError && n == 1 {
			dst = append(dst, text[0])
		} else {
			dst = utf8.AppendRune(dst, unicode.ToLower(r))
		}
		text = text[n:]
	}
	return dst
}

// Once evaluates what reads only the row.
func (im *Image) Once() Truth { return least(im.program.once, im, nil) }

// Probe finds the row's keys for a disjunct, which Key then gives: one, or for
// `user.x in row.array` one per distinct element; none where the disjunct cannot be TRUE for
// any binding. For a disjunct without key it is 1 or 0 and Key is empty.
func (im *Image) Probe(disjunct int) (keys int) {
	d := &im.program.disjuncts[disjunct]
	im.keys, im.spans = im.keys[:0], im.spans[:0]
	if least(d.row, im, nil) != True {
		return 0
	}
	for i := range d.keys {
		k := &d.keys[i]
		v := im.get(int(k.row.index))
		if v.v.state != isSet {
			return 0
		}
		if k.kind == keyEach {
			return im.probeEach(k.class, v.list)
		}
		im.keys = appendKey(im.keys, k.class, v.v)
	}
	im.spans = append(im.spans, span{0, len(im.keys)})
	return 1
}

// probeEach makes a key of the parts so far and each element.
func (im *Image) probeEach(c Class, list []value) int {
	prefix := len(im.keys)
	for i := range list {
		if list[i].state != isSet {
			continue
		}
		from := len(im.keys)
		im.keys = appendKey(append(im.keys, im.keys[:prefix]...), c, list[i])
		im.spans = append(im.spans, span{from, len(im.keys)})
	}
	im.dropDuplicates()
	return len(im.spans)
}

// dropDuplicates sorts the keys where that is needed to find the equal ones.
func (im *Image) dropDuplicates() {
	if len(im.spans) < 2 {
		return
	}
	slices.SortFunc(im.spans, func(a, b span) int { return bytes.Compare(im.keys[a.from:a.to], im.keys[b.from:b.to]) })
	im.spans = slices.CompactFunc(im.spans, func(a, b span) bool {
		return bytes.Equal(im.keys[a.from:a.to], im.keys[b.from:b.to])
	})
}

// Key is a key that Probe has found, valid until the next Probe.
func (im *Image) Key(i int) []byte {
	s := im.spans[i]
	return im.keys[s.from:s.to:s.to]
}
