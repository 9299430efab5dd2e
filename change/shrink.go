package change

import (
	"encoding/binary"
	"errors"
)

// Shrink copies a row's tuples ("[K|O tuple] [N tuple]", as in a pgoutput message)
// to dst without the large values, which become Omitted: an event larger than
// limit bytes is told, never cut. Columns of the primary key stay whatever their
// size.
func Shrink(dst, payload []byte, rel *Relation, limit int) ([]byte, error) {
	keep := max(limit/(4*max(len(rel.Columns), 1)), 64)
	for len(payload) > 0 {
		dst = append(dst, payload[0])
		n, err := tupleLen(payload[1:])
		if err != nil {
			return dst, err
		}
		if dst, err = shrinkTuple(dst, Tuple(payload[1:1+n]), rel, keep); err != nil {
			return dst, err
		}
		payload = payload[1+n:]
	}
	return dst, nil
}

func shrinkTuple(dst []byte, t Tuple, rel *Relation, keep int) ([]byte, error) {
	values, err := t.Columns(make([]Value, 0, len(rel.Columns)))
	if err != nil {
		return dst, err
	}
	if len(values) != len(rel.Columns) {
		return dst, errors.New("column count differs from the relation")
	}
	isKey := make([]bool, len(values))
	for _, i := range rel.Key {
		isKey[i] = true
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(values)))
	for i, v := range values {
		if v.Kind != Text {
			dst = append(dst, byte(v.Kind))
			continue
		}
		if len(v.Text) > keep && !isKey[i] {
			dst = append(dst, byte(Omitted))
			continue
		}
		dst = append(dst, byte(Text))
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(v.Text)))
		dst = append(dst, v.Text...)
	}
	return dst, nil
}
