package filter

import (
	"encoding/binary"
	"slices"
)

// makeGroup: parameters by their keys, then per disjunct the postings, and the values of
// all operands that its residual reads. Every piece has its length in front, so that no
// two lists of pieces give the same text.
func (b *Binding) makeGroup() string {
	var dst []byte
	for i := range b.program.bound {
		if o := &b.program.bound[i]; o.kind == boundParam {
			dst = b.appendOperand(dst, i)
		}
	}
	for i := range b.program.disjuncts {
		if !b.isLive(i) {
			dst = append(dst, 0)
			continue
		}
		dst = binary.AppendUvarint(dst, uint64(len(b.postings[i])))
		for _, key := range b.postings[i] {
			dst = appendPiece(dst, []byte(key))
		}
		for _, o := range b.program.disjuncts[i].reads {
			dst = b.appendOperand(dst, o)
		}
	}
	return string(dst)
}

func appendPiece(dst, piece []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(piece))), piece...)
}

// appendOperand appends the value of a bound operand; of a list the set of its elements.
func (b *Binding) appendOperand(dst []byte, i int) []byte {
	t, d := &b.program.bound[i].typ, &b.values[i]
	dst = append(dst, byte(d.v.state))
	switch {
	case d.v.state != isSet:
		return dst
	case !t.List:
		return appendPiece(dst, appendKey(nil, t.Class, d.v))
	}
	keys := make([]string, 0, len(d.list))
	for _, e := range d.list {
		key := []byte{byte(e.state)}
		if e.state == isSet {
			key = appendKey(key, t.Class, e)
		}
		keys = append(keys, string(key))
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	dst = binary.AppendUvarint(dst, uint64(len(keys)))
	for _, key := range keys {
		dst = appendPiece(dst, []byte(key))
	}
	return dst
}
