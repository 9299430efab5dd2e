package change

import (
	"encoding/binary"
	"errors"
)

// ValueKind is the state of one column in a tuple.
type ValueKind byte

// The first three are the bytes that pgoutput uses (protocol "TupleData"); the
// last two are ours.
const (
	// Null is SQL NULL.
	Null ValueKind = 'n'
	// Text is a value in text format.
	Text ValueKind = 't'
	// Unchanged is a TOASTed value that the UPDATE did not touch and the WAL does
	// not carry. It is not NULL.
	Unchanged ValueKind = 'u'
	// Missing is a column that was not sent: outside the replica identity of a key
	// tuple. It is not NULL.
	Missing ValueKind = 'm'
	// Omitted is a value that walrelay left out because the row was larger than
	// max_event_bytes.
	Omitted ValueKind = 'x'
)

// Value is one column of a tuple. Text points into the batch and must not be
// changed.
type Value struct {
	Kind ValueKind
	Text []byte
}

// errTuple reports bytes that are no tuple; the callers name the relation.
var errTuple = errors.New("malformed tuple")

// Tuple is the TupleData of a pgoutput message: a column count (2 bytes) and per
// column a kind, and for 't' a length (4 bytes) and the text.
type Tuple []byte

// Columns appends the tuple's columns to dst and returns it, without copying
// values.
//
// Columns of a key tuple that are not part of the replica identity arrive as
// 'n'; the caller, who knows the relation, must read them as Missing.
func (t Tuple) Columns(dst []Value) ([]Value, error) {
	if len(t) < 2 {
		return dst, errTuple
	}
	n := int(binary.BigEndian.Uint16(t))
	t = t[2:]
	for range n {
		if len(t) == 0 {
			return dst, errTuple
		}
		kind := ValueKind(t[0])
		t = t[1:]
		if kind != Text {
			dst = append(dst, Value{Kind: kind})
			continue
		}
		if len(t) < 4 {
			return dst, errTuple
		}
		size := int(binary.BigEndian.Uint32(t))
		if size < 0 || size > len(t)-4 {
			return dst, errTuple
		}
		dst = append(dst, Value{Kind: Text, Text: t[4 : 4+size : 4+size]})
		t = t[4+size:]
	}
	return dst, nil
}

// tupleLen is the length of the tuple at the start of b.
func tupleLen(b []byte) (int, error) {
	if len(b) < 2 {
		return 0, errTuple
	}
	n := int(binary.BigEndian.Uint16(b))
	at := 2
	for range n {
		if at >= len(b) {
			return 0, errTuple
		}
		kind := b[at]
		at++
		if kind != byte(Text) {
			continue
		}
		if at+4 > len(b) {
			return 0, errTuple
		}
		at += 4 + int(binary.BigEndian.Uint32(b[at:]))
		if at > len(b) {
			return 0, errTuple
		}
	}
	return at, nil
}
