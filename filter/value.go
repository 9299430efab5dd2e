package filter

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"

	"github.com/walrelay/walrelay/change"
)

// valueState says whether an operand has a value.
type valueState uint8

const (
	// isNull: SQL NULL. It is the zero value, so that what nobody has set never matches.
	isNull valueState = iota
	// isMute: there is a value, with which nothing compares: an object or array within a
	// document. Only the question whether it is null has an answer.
	isMute
	// isOpen: the row image does not carry the value, or it cannot be read.
	isOpen
	// isSet: there is a value.
	isSet
)

// value is one operand. The class of the operand, which is known when a rule is
// compiled, says which fields count.
type value struct {
	state valueState
	// n is 0 or 1 of ClassBool, the microseconds since 2000-01-01 UTC of ClassTimestamptz, the
	// days since 2000-01-01 of ClassDate; the least and the greatest int64 are -infinity and
	// infinity.
	n int64
	// s is the text of every other class, as Postgres prints it: decimal digits of
	// ClassNumber, lower case of ClassUUID, the document of ClassJSON. Of a list of any class
	// it is the array's. It may point into the row or a scratch buffer and must not be
	// changed.
	s []byte
}

// notFinite reports infinity and -infinity of ClassTimestamptz and ClassDate.
func (v value) notFinite() bool { return v.n == math.MaxInt64 || v.n == math.MinInt64 }

// typeOf is the type of a column. Its name is that of the type below a domain, without the
// schema public and without quotes that only keywords need, and so equal to the name that
// [ParseType] gives to the same enum.
func typeOf(t *change.Type) Type {
	if t == nil {
		return Type{Name: "unknown"}
	}
	if t.Kind == change.KindArray && t.Elem != nil {
		typ := typeOf(t.Elem)
		typ.Name += "[]"
		// Of arrays of jsonb and of domains over arrays nothing can be asked.
		if typ.List || typ.Class == ClassOpaque || typ.Class == ClassJSON {
			return Type{Name: typ.Name}
		}
		typ.List = true
		return typ
	}
	class := classOf(t)
	return Type{Class: class, Name: shownName(class, t.BaseName()), Labels: t.Labels}
}

// classOf is the class of a type that is no array.
func classOf(t *change.Type) Class {
	switch t.Kind {
	case change.KindBool:
		return ClassBool
	case change.KindInt, change.KindNumeric:
		return ClassNumber
	case change.KindTimestampTZ:
		return ClassTimestamptz
	case change.KindDate:
		return ClassDate
	case change.KindJSONB:
		return ClassJSON
	case change.KindText:
		return textClass(t)
	}
	return ClassOpaque
}

// textClass is the class of a type whose text says it all.
func textClass(t *change.Type) Class {
	switch name := t.BaseName(); {
	case len(t.Labels) > 0:
		return ClassEnum
	case name == "uuid":
		return ClassUUID
	case name == "text" || name == "character varying" || name == "name" || isPadded(name):
		return ClassText
	case name == "citext" || strings.HasSuffix(name, ".citext"): // an extension, in whatever schema
		return ClassText
	}
	return ClassOpaque
}

// isPadded reports whether a type is char(n), which Postgres fills up with blanks that
// do not count.
func isPadded(name string) bool { return name == "character" || name == "bpchar" }

// shownName is what messages call a type.
func shownName(c Class, name string) string {
	switch c {
	case ClassTimestamptz:
		return "timestamptz"
	case ClassEnum:
		return enumName(name)
	}
	return name
}

// trimmed cuts off the blanks that char(n) is filled up with.
func trimmed(text []byte) []byte {
	for len(text) > 0 && text[len(text)-1] == ' ' {
		text = text[:len(text)-1]
	}
	return text
}

// decode reads a value as Postgres prints it. It reports false for text that a value of its
// type cannot have; then nothing is known of the value. The value keeps text.
//
// t is the type of the column or of the array's element and may be nil. typ is typeOf(t),
// computed once.
func decode(t *change.Type, typ Type, text []byte) (value, bool) {
	return decodeAs(typ.Class, typ.List, t, text) // decode is inlined, so that typ is not copied
}

func decodeAs(c Class, list bool, t *change.Type, text []byte) (value, bool) {
	v := value{state: isSet}
	if list || hasText(c) {
		v.s = text
	}
	if list {
		return v, true
	}
	ok := true
	switch c {
	case ClassText:
		if t != nil && isPadded(t.BaseName()) {
			v.s = trimmed(text)
		}
	case ClassNumber:
		ok = isNumber(text)
	case ClassUUID:
		ok = isUUID(text)
	case ClassBool:
		v.n, ok = decodeBool(text)
	case ClassTimestamptz:
		v.n, ok = parseTimestamptz(text)
	case ClassDate:
		v.n, ok = parseDate(text)
	}
	if !ok {
		return value{state: isOpen}, false
	}
	return v, true
}

func decodeBool(text []byte) (int64, bool) {
	switch string(text) {
	case "t":
		return 1, true
	case "f":
		return 0, true
	}
	return 0, false
}

// isUUID reports whether text is a uuid in lower case.
func isUUID[T []byte | string](text T) bool {
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return false
	}
	dashes := 0
	for i := range len(text) {
		dashes += int(uuidBytes[text[i]])
	}
	return dashes == 4
}

// uuidBytes is 0 for a hexadecimal digit, 1 for a dash, and so much for other bytes that they
// show in a sum.
var uuidBytes = func() (t [256]uint8) {
	for i := range t {
		t[i] = 64
	}
	t['-'] = 1
	for _, c := range []byte("0123456789abcdef") {
		t[c] = 0
	}
	return t
}()

// equal compares two values of one class as Postgres does; both are set and no lists.
func equal(c Class, a, b value) bool {
	switch c {
	case ClassBool, ClassTimestamptz, ClassDate:
		return a.n == b.n
	case ClassNumber:
		return bytes.Equal(a.s, b.s) || compareNumbers(a.s, b.s) == 0
	}
	return bytes.Equal(a.s, b.s)
}

// compare orders two values of ClassNumber, ClassTimestamptz, ClassDate or ClassUUID as
// Postgres does, and of the others by their bytes; both are set and no lists.
func compare(c Class, a, b value) int {
	switch c {
	case ClassBool, ClassTimestamptz, ClassDate:
		switch {
		case a.n < b.n:
			return -1
		case a.n > b.n:
			return 1
		}
		return 0
	case ClassNumber:
		return compareNumbers(a.s, b.s)
	}
	return bytes.Compare(a.s, b.s)
}

// appendKey appends bytes that are the same for two values of a class exactly when
// they are equal. No key is the beginning of another, so that a row of keys says where each
// ends.
func appendKey(dst []byte, c Class, v value) []byte {
	switch c {
	case ClassBool:
		return append(dst, 1, byte(v.n))
	case ClassTimestamptz, ClassDate:
		return binary.BigEndian.AppendUint64(append(dst, 8), uint64(v.n))
	case ClassNumber:
		return appendNumberKey(dst, v.s)
	}
	dst = binary.AppendUvarint(dst, uint64(len(v.s)))
	return append(dst, v.s...)
}

// text is the value as Postgres prints it; that of a value that is not set is empty.
func (v value) text(typ Type) string {
	switch {
	case v.state != isSet:
		return ""
	case typ.List:
	case typ.Class == ClassBool && v.n != 0:
		return "t"
	case typ.Class == ClassBool:
		return "f"
	case typ.Class == ClassTimestamptz:
		return string(appendTimestamptz(nil, v))
	case typ.Class == ClassDate:
		return string(appendDate(nil, v))
	}
	return string(v.s)
}
