package filter

import (
	"encoding/binary"
	"slices"
)

// appendGroup: parameters by their keys, then per disjunct the postings, and the values of
// all operands that its residual reads. Keys and counts tell where they end, so that no two
// such lists give the same text.
func (b *Binding) appendGroup(dst []byte) []byte {
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
		dst = b.appendPostings(dst, &b.program.disjuncts[i])
		for _, o := range b.program.disjuncts[i].reads {
			dst = b.appendOperand(dst, o)
		}
	}
	return dst
}

// appendPostings appends the number of postings and what tells one from the other.
func (b *Binding) appendPostings(dst []byte, d *disjunct) []byte {
	if n := len(d.keys); n > 0 && d.keys[n-1].kind == keyMember {
		keys := b.post(d)
		dst = binary.AppendUvarint(dst, uint64(len(keys)))
		for _, key := range keys {
			dst = append(dst, key...)
		}
		return dst
	}
	dst = append(dst, 1)
	for i := range d.keys {
		dst = appendKey(dst, d.keys[i].class, d.keys[i].bound.value(nil, b).v)
	}
	return dst
}

// appendOperand appends the value of a bound operand; of a list the set of its elements.
func (b *Binding) appendOperand(dst []byte, i int) []byte {
	t, d := &b.program.bound[i].typ, &b.values[i]
	dst = append(dst, byte(d.v.state))
	switch {
	case d.v.state != isSet:
		return dst
	case !t.List:
		return appendKey(dst, t.Class, d.v)
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
		dst = append(dst, key...)
	}
	return dst
}
