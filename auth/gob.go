package auth

import (
	"encoding/json"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"time"
)

// Ids of the types that gob knows from the start (encoding/gob, type.go).
const (
	gobBool      = 1
	gobInt       = 2
	gobUint      = 3
	gobFloat     = 4
	gobBytes     = 5
	gobString    = 6
	gobComplex   = 7
	gobInterface = 8
	gobFirstFree = 64
)

// Shapes of types that a stream defines; the number of the field of gob's wireType.
const (
	gobArray   = 0
	gobSlice   = 1
	gobStruct  = 2
	gobMap     = 3
	gobOpaque  = 4 // GobEncoder
	gobBinary  = 5 // BinaryMarshaler
	gobText    = 6 // TextMarshaler
	maxGobType = 256
)

type gobType struct {
	shape     int
	name      string
	key, elem int64
	fields    []gobField
}

type gobField struct {
	name string
	id   int64
}

// gobReader reads a gob stream by the types that it describes itself, without
// encoding/gob: that is not made for hostile input (it allocates maps of the size that
// is announced, at every level), and it fails on every type that this program has not
// registered. Numbers become json.Number, maps and structures map[string]any, times
// time.Time, values of types with their own encoding nil.
//
// The first failure stays in err and all further reads give zero.
type gobReader struct {
	data   []byte
	err    error
	values int
	types  map[int64]gobType
}

// parseGob reads the first value of a stream.
func parseGob(data []byte) (any, error) {
	if len(data) > maxInflated {
		return nil, refuse(TooLarge, "the payload is longer than 256 KiB")
	}
	r := gobReader{data: data, types: map[int64]gobType{}}
	v := r.message()
	if r.err == nil && len(r.data) > 0 {
		r.fail()
	}
	return v, r.err
}

func (r *gobReader) fail() {
	if r.err == nil {
		r.err = refuse(Malformed, "the payload is not a gob of plain values")
		r.data = nil
	}
}

func (r *gobReader) failLarge() {
	r.fail()
	r.err = refuse(TooLarge, "the payload is nested too deeply or has too many values")
}

// message reads definitions of types up to the value. The lengths of messages say
// nothing that the types do not.
func (r *gobReader) message() any {
	for r.err == nil {
		r.uint()
		id := r.int()
		if id >= 0 {
			return r.single(id, 0)
		}
		r.define(-id)
	}
	return nil
}

func (r *gobReader) take(n uint64) []byte {
	if n > uint64(len(r.data)) {
		r.fail()
		return nil
	}
	out := r.data[:n]
	r.data = r.data[n:]
	return out
}

// uint is one byte below 128, else the negated count of bytes and these.
func (r *gobReader) uint() uint64 {
	first := r.take(1)
	if len(first) == 0 {
		return 0
	}
	if first[0] < 128 {
		return uint64(first[0])
	}
	size := -int(int8(first[0]))
	if size > 8 {
		r.fail()
		return 0
	}
	var n uint64
	for _, b := range r.take(uint64(size)) {
		n = n<<8 | uint64(b)
	}
	return n
}

func (r *gobReader) int() int64 {
	n := r.uint()
	if n&1 != 0 {
		return ^int64(n >> 1)
	}
	return int64(n >> 1)
}

// count reads how many elements follow; each has at least one byte.
func (r *gobReader) count() int {
	n := r.uint()
	if n > uint64(len(r.data)) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *gobReader) text() string { return string(r.take(r.uint())) }

// fields reads a structure: differences of field numbers, zero at the end.
func (r *gobReader) fields(read func(field int)) {
	for field := -1; r.err == nil; {
		delta := r.uint()
		if delta == 0 {
			return
		}
		if delta > maxValues || field+int(delta) > maxValues {
			r.fail()
			return
		}
		field += int(delta)
		read(field)
	}
}

// define reads the definition of a type.
func (r *gobReader) define(id int64) {
	if _, twice := r.types[id]; twice || id < gobFirstFree || len(r.types) >= maxGobType {
		r.fail()
		return
	}
	t := gobType{shape: -1}
	r.fields(func(field int) {
		if t.shape >= 0 || field > gobText {
			r.fail()
			return
		}
		t.shape = field
		r.shape(&t)
	})
	if t.shape < 0 {
		r.fail()
	}
	r.types[id] = t
}

// shape reads one of gob's arrayType, sliceType, structType, mapType, gobEncoderType.
func (r *gobReader) shape(t *gobType) {
	r.fields(func(field int) {
		switch {
		case field == 0:
			t.name = r.common()
		case field == 1 && t.shape == gobStruct:
			t.fields = r.structFields()
		case field == 1 && t.shape == gobMap:
			t.key = r.int()
		case field == 1 && (t.shape == gobArray || t.shape == gobSlice), field == 2 && t.shape == gobMap:
			t.elem = r.int()
		case field == 2 && t.shape == gobArray:
			r.int()
		default:
			r.fail()
		}
	})
}

// common reads gob's CommonType: name and id.
func (r *gobReader) common() (name string) {
	r.fields(func(field int) {
		switch field {
		case 0:
			name = r.text()
		case 1:
			r.int()
		default:
			r.fail()
		}
	})
	return name
}

func (r *gobReader) structFields() []gobField {
	var out []gobField
	for n := r.count(); n > 0 && r.err == nil; n-- {
		var f gobField
		r.fields(func(field int) {
			switch field {
			case 0:
				f.name = r.text()
			case 1:
				f.id = r.int()
			default:
				r.fail()
			}
		})
		if r.values++; r.values > maxValues {
			r.failLarge()
		}
		out = append(out, f)
	}
	return out
}

// single reads a value that stands alone: a structure as it is, others after a zero.
func (r *gobReader) single(id int64, depth int) any {
	if t, ok := r.types[id]; !ok || t.shape != gobStruct {
		if r.uint() != 0 {
			r.fail()
		}
	}
	return r.value(id, depth)
}

func (r *gobReader) value(id int64, depth int) any {
	r.values++
	if depth > maxDepth || r.values > maxValues {
		r.failLarge()
	}
	if r.err != nil {
		return nil
	}
	if id < gobFirstFree {
		return r.basic(id, depth)
	}
	t, ok := r.types[id]
	if !ok {
		r.fail()
		return nil
	}
	switch t.shape {
	case gobArray, gobSlice:
		return r.list(t, depth)
	case gobStruct:
		return r.structure(t, depth)
	case gobMap:
		return r.mapping(t, depth)
	}
	return r.opaque(t)
}

func (r *gobReader) basic(id int64, depth int) any {
	switch id {
	case gobBool:
		return r.uint() != 0
	case gobInt:
		return json.Number(strconv.FormatInt(r.int(), 10))
	case gobUint:
		return json.Number(strconv.FormatUint(r.uint(), 10))
	case gobFloat:
		return gobNumber(r.uint())
	case gobBytes:
		return slices.Clone(r.take(r.uint()))
	case gobString:
		return r.text()
	case gobComplex:
		r.uint()
		r.uint()
		return nil
	case gobInterface:
		return r.dynamic(depth)
	}
	r.fail()
	return nil
}

// gobNumber: floats are sent with their bytes reversed. What JSON cannot say is nil.
func gobNumber(raw uint64) any {
	f := math.Float64frombits(bits.ReverseBytes64(raw))
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil
	}
	return json.Number(strconv.FormatFloat(f, 'g', -1, 64))
}

// dynamic reads an interface: the name of the type (empty: nil), its id after
// definitions that were not sent before, a length and the value.
func (r *gobReader) dynamic(depth int) any {
	if r.text() == "" {
		return nil
	}
	id := r.int()
	for id < 0 && r.err == nil {
		r.define(-id)
		r.uint()
		id = r.int()
	}
	r.uint()
	return r.single(id, depth+1)
}

func (r *gobReader) list(t gobType, depth int) any {
	out := []any{}
	for n := r.count(); n > 0 && r.err == nil; n-- {
		out = append(out, r.value(t.elem, depth+1))
	}
	return out
}

func (r *gobReader) structure(t gobType, depth int) any {
	out := map[string]any{}
	r.fields(func(field int) {
		if field >= len(t.fields) {
			r.fail()
			return
		}
		f := t.fields[field]
		out[f.name] = r.value(f.id, depth+1)
	})
	return out
}

// mapping reads a map. Keys that have no text, or the text of another one, are refused.
func (r *gobReader) mapping(t gobType, depth int) any {
	out := map[string]any{}
	for n := r.count(); n > 0 && r.err == nil; n-- {
		name, ok := textOf(r.value(t.key, depth+1))
		if _, twice := out[name]; !ok || twice {
			r.fail()
			return nil
		}
		out[name] = r.value(t.elem, depth+1)
	}
	return out
}

// opaque reads a value with its own encoding, of which only time.Time is understood.
func (r *gobReader) opaque(t gobType) any {
	raw := r.take(r.uint())
	var when time.Time
	if t.name == "Time" && when.UnmarshalBinary(raw) == nil {
		return when
	}
	return nil
}
