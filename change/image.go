package change

import (
	"errors"
	"fmt"
)

// Split sets Old, OldKind and New from a row's payload, "[K|O tuple] [N tuple]": what
// follows the relation's OID in the pgoutput message, and a record has. Op must be set;
// the tuples point into payload. Values are not looked at, see Images.
func (c *Change) Split(payload []byte) error {
	c.New, c.Old, c.OldKind = nil, nil, OldNone
	if len(payload) > 0 && (payload[0] == byte(OldKey) || payload[0] == byte(OldFull)) {
		n, err := tupleLen(payload[1:])
		if err != nil {
			return err
		}
		c.OldKind, c.Old = OldKind(payload[0]), Tuple(payload[1:1+n])
		payload = payload[1+n:]
	}
	if len(payload) > 0 && payload[0] == 'N' {
		c.New = Tuple(payload[1:])
		payload = nil
	}
	if len(payload) > 0 || c.Op != Delete && c.New == nil || c.Op == Delete && c.Old == nil {
		return errRow
	}
	return nil
}

var errRow = errors.New("malformed row record")

// Images decodes the row before and after a row change into after and before,
// whose memory is reused.
//
// What was not sent is never NULL: in after, an unchanged TOAST value is filled
// from the old tuple where that carries it and stays Unchanged otherwise. In
// before, columns outside the replica identity are Missing; an UPDATE without an
// old tuple left every identity column as it was, so those are taken from after.
// INSERT has no before, DELETE no after (length 0).
func (c *Change) Images(after, before []Value) (a, b []Value, err error) {
	after, before = after[:0], before[:0]
	if c.New != nil {
		if after, err = c.New.Columns(after); err != nil {
			return after, before, c.imageError("new", err)
		}
	}
	if c.Old != nil {
		if before, err = c.Old.Columns(before); err != nil {
			return after, before, c.imageError("old", err)
		}
	}
	columns := c.Relation.Columns
	if c.New != nil && len(after) != len(columns) || c.Old != nil && len(before) != len(columns) {
		return after, before, c.imageError("row", fmt.Errorf("%d and %d columns, the relation has %d", len(after), len(before), len(columns)))
	}
	if c.OldKind == OldKey {
		hideUnsent(before, columns)
	}
	if c.Op == Update {
		if c.OldKind == OldNone {
			before = identityOf(before, after, columns)
		}
		fillUnchanged(after, before)
	}
	return after, before, nil
}

func (c *Change) imageError(which string, err error) error {
	return fmt.Errorf("decode %s tuple of %s %s at %s: %w", which, c.Op, c.Relation.FullName(), c.Position, err)
}

// hideUnsent: in a key tuple 'n' outside the identity means "not sent".
func hideUnsent(row []Value, columns []Column) {
	for i := range row {
		if !columns[i].Identity {
			row[i] = Value{Kind: Missing}
		}
	}
}

func identityOf(dst, row []Value, columns []Column) []Value {
	for i := range row {
		if columns[i].Identity {
			dst = append(dst, row[i])
		} else {
			dst = append(dst, Value{Kind: Missing})
		}
	}
	return dst
}

func fillUnchanged(after, before []Value) {
	for i := range after {
		if after[i].Kind == Unchanged && (before[i].Kind == Text || before[i].Kind == Null) {
			after[i] = before[i]
		}
	}
}
