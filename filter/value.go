package filter

import "github.com/walrelay/walrelay/change"

// valueState says whether an operand has a value.
type valueState uint8

const (
	// isNull: SQL NULL.
	isNull valueState = iota
	// isOpen: the row image does not carry the value, or it cannot be read.
	isOpen
	// isSet: there is a value.
	isSet
)

// value is one operand.
type value struct {
	state valueState
	n     int64
	s     []byte
}

func typeOf(t *change.Type) Type                                 { return Type{} }
func decode(t *change.Type, typ Type, text []byte) (value, bool) { return value{}, false }
func equal(c Class, a, b value) bool                             { return false }
func compare(c Class, a, b value) int                            { return 0 }
func appendKey(dst []byte, c Class, v value) []byte              { return dst }
func (v value) text(typ Type) string                             { return "" }
