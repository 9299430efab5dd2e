package channel

import (
	"slices"

	"github.com/walrelay/walrelay/change"
)

// What a lane keeps of memory without need.
const (
	// minSpare is the number of elements that a list has room for at least.
	minSpare = 512
	// maxSpareList is the number of elements of a list that is cleared.
	maxSpareList = 1 << 10
	// maxSpareText is the size of a buffer for the text of one event.
	maxSpareText = 64 << 10
)

// shortened is a list that elements were taken from, in memory that is not much larger.
func shortened[T any](list []T) []T {
	if cap(list) < minSpare || len(list) > cap(list)/4 {
		return list
	}
	return slices.Clone(list)
}

// emptied is an empty list in the memory of another one, whose elements are forgotten. A large one is
// left to the collector.
func emptied[T any](list []T) []T {
	if cap(list) > maxSpareList {
		return nil
	}
	clear(list[:cap(list)])
	return list[:0]
}

// spared is a buffer, empty, unless it has become large.
func spared(b []byte) []byte {
	if cap(b) > maxSpareText {
		return nil
	}
	return b[:0]
}

// release lets go of the batch that was matched last, of which a change or a value keeps all, and of what
// a burst has left behind. It is called when there is nothing to do.
func (l *lane) release() {
	l.reader, l.change = change.Reader{}, change.Change{}
	l.match.release()
	x := l.index
	if cap(x.touched) > maxSpareWakes { // what it had is cleared already
		x.touched = nil
	}
	x.large, x.cuts = emptied(x.large), emptied(x.cuts)
	x.single.buf = spared(x.single.buf)
}

// release forgets the row that was matched last.
func (m *matcher) release() {
	m.change, m.tx, m.txTail = nil, change.Tx{}, m.txTail[:0]
	m.after, m.before = emptied(m.after), emptied(m.before)
	m.data = spared(m.data)
	for i := range m.body {
		m.body[i] = spared(m.body[i])
	}
	for i, r := range m.loaded {
		r.loaded, m.loaded[i] = false, nil
		for side := range r.images {
			r.images[side].Release()
			r.found[side] = emptied(r.found[side])
		}
	}
	m.loaded = m.loaded[:0]
}
