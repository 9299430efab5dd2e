package auth

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"math/big"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Tags of the Erlang external term format (erts, "External Term Format").
const (
	termVersion    = 131
	termCompressed = 80
	termNewFloat   = 70
	termSmallInt   = 97
	termInt        = 98
	termAtom       = 100
	termSmallTuple = 104
	termLargeTuple = 105
	termNil        = 106
	termString     = 107
	termList       = 108
	termBinary     = 109
	termSmallBig   = 110
	termLargeBig   = 111
	termSmallAtom  = 115
	termMap        = 116
	termAtomUTF8   = 118
	termShortAtom  = 119
)

// maxBig is the longest integer that is read: converting it to digits is quadratic.
const maxBig = 64

// termReader reads Erlang terms as plain values: binaries that are UTF-8 as string,
// others as []byte; true, false, nil and undefined as bool and nil; other atoms as
// string; tuples and lists as []any; maps with keys as text. Functions, pids and
// references, that do something when they are loaded, are refused as unknown tags.
type termReader struct {
	data   []byte
	values int // read so far
}

// parseTerm reads what term_to_binary wrote, packed or not.
func parseTerm(data []byte) (any, error) {
	if len(data) < 2 || data[0] != termVersion {
		return nil, errTerm()
	}
	data = data[1:]
	if data[0] == termCompressed {
		var err error
		if data, err = unpackTerm(data[1:]); err != nil {
			return nil, err
		}
	}
	r := termReader{data: data}
	v, err := r.value(0)
	if err == nil && len(r.data) > 0 {
		return nil, errTerm()
	}
	return v, err
}

func errTerm() error { return refuse(Malformed, "the payload is not an Erlang term of plain values") }

// unpackTerm unpacks: uint32 size, zlib data of just that size.
func unpackTerm(data []byte) ([]byte, error) {
	if len(data) < 4 {
		return nil, errTerm()
	}
	size := binary.BigEndian.Uint32(data)
	if size > maxInflated {
		return nil, refuse(TooLarge, "the payload unpacks to more than its limit")
	}
	out, err := inflate(data[4:], int(size))
	if err == nil && len(out) != int(size) {
		return nil, errTerm()
	}
	return out, err
}

// take returns the next n bytes.
func (r *termReader) take(n int) ([]byte, error) {
	if n < 0 || n > len(r.data) {
		return nil, errTerm()
	}
	out := r.data[:n]
	r.data = r.data[n:]
	return out, nil
}

// length reads a length of size bytes. Every element counted takes at least min bytes,
// so that nothing is allocated for elements that cannot be there.
func (r *termReader) length(size, min int) (int, error) {
	raw, err := r.take(size)
	if err != nil {
		return 0, err
	}
	var n uint64
	for _, b := range raw {
		n = n<<8 | uint64(b)
	}
	if n > uint64(len(r.data)/min) {
		return 0, errTerm()
	}
	return int(n), nil
}

// counted returns the bytes behind a length of size bytes.
func (r *termReader) counted(size int) ([]byte, error) {
	n, err := r.length(size, 1)
	if err != nil {
		return nil, err
	}
	return r.take(n)
}

func (r *termReader) value(depth int) (any, error) {
	r.values++
	if depth > maxDepth || r.values > maxValues {
		return nil, refuse(TooLarge, "the payload is nested too deeply or has too many values")
	}
	tag, err := r.take(1)
	if err != nil {
		return nil, err
	}
	switch tag[0] {
	case termNil:
		return []any{}, nil
	case termSmallTuple:
		return r.sequence(1, depth)
	case termLargeTuple:
		return r.sequence(4, depth)
	case termList:
		return r.list(depth)
	case termMap:
		return r.object(depth)
	}
	return r.scalar(tag[0])
}

func (r *termReader) scalar(tag byte) (any, error) {
	switch tag {
	case termBinary:
		return r.binary()
	case termString:
		return r.bytesAsList()
	case termSmallInt:
		return r.integer(1)
	case termInt:
		return r.integer(4)
	case termNewFloat:
		return r.float()
	case termSmallBig:
		return r.bigInt(1)
	case termLargeBig:
		return r.bigInt(4)
	case termAtom, termAtomUTF8:
		return r.atom(2)
	case termSmallAtom, termShortAtom:
		return r.atom(1)
	}
	return nil, errTerm()
}

func (r *termReader) sequence(size, depth int) (any, error) {
	n, err := r.length(size, 1)
	if err != nil {
		return nil, err
	}
	out := []any{}
	for range n {
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// list is a sequence with a tail, that of proper lists is nil.
func (r *termReader) list(depth int) (any, error) {
	out, err := r.sequence(4, depth)
	if err != nil {
		return nil, err
	}
	if tail, err := r.take(1); err != nil || tail[0] != termNil {
		return nil, errTerm()
	}
	return out, nil
}

func (r *termReader) object(depth int) (any, error) {
	n, err := r.length(4, 2)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	for range n {
		key, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		name, ok := textOf(key)
		if _, twice := out[name]; !ok || twice {
			return nil, errTerm()
		}
		if out[name], err = r.value(depth + 1); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (r *termReader) binary() (any, error) {
	raw, err := r.counted(4)
	if err != nil {
		return nil, err
	}
	return textOrBytes(raw), nil
}

// textOrBytes copies raw: as string when it is UTF-8, else as bytes.
func textOrBytes(raw []byte) any {
	if utf8.Valid(raw) {
		return string(raw)
	}
	return slices.Clone(raw)
}

// bytesAsList: Erlang writes lists of small integers in short.
func (r *termReader) bytesAsList() (any, error) {
	raw, err := r.counted(2)
	if err != nil {
		return nil, err
	}
	if r.values += len(raw); r.values > maxValues {
		return nil, refuse(TooLarge, "the payload is nested too deeply or has too many values")
	}
	out := make([]any, len(raw))
	for i, b := range raw {
		out[i] = json.Number(strconv.Itoa(int(b)))
	}
	return out, nil
}

func (r *termReader) integer(size int) (any, error) {
	raw, err := r.take(size)
	if err != nil {
		return nil, err
	}
	if size == 1 {
		return json.Number(strconv.Itoa(int(raw[0]))), nil
	}
	return json.Number(strconv.Itoa(int(int32(binary.BigEndian.Uint32(raw))))), nil
}

func (r *termReader) float() (any, error) {
	raw, err := r.take(8)
	if err != nil {
		return nil, err
	}
	f := math.Float64frombits(binary.BigEndian.Uint64(raw))
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, errTerm()
	}
	return json.Number(strconv.FormatFloat(f, 'g', -1, 64)), nil
}

// bigInt is a sign and little-endian bytes.
func (r *termReader) bigInt(size int) (any, error) {
	n, err := r.length(size, 1)
	if err != nil {
		return nil, err
	}
	raw, err := r.take(n + 1)
	if err != nil {
		return nil, err
	}
	if n > maxBig {
		return nil, refuse(TooLarge, "a number of the payload is too long")
	}
	digits := slices.Clone(raw[1:])
	slices.Reverse(digits)
	v := new(big.Int).SetBytes(digits)
	if raw[0] != 0 {
		v.Neg(v)
	}
	return json.Number(v.String()), nil
}

func (r *termReader) atom(size int) (any, error) {
	raw, err := r.counted(size)
	if err != nil {
		return nil, err
	}
	switch name := string(raw); {
	case name == "true", name == "false":
		return name == "true", nil
	case name == "nil", name == "undefined":
		return nil, nil
	case !utf8.ValidString(name):
		return nil, errTerm()
	default:
		return name, nil
	}
}
