package auth

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/walrelay/walrelay/change"
)

// view is a session for those who read it: the columns of a row and the payload.
type view struct {
	table   *storeTable // nil of sessions without a row
	values  []change.Value
	payload map[string]any
	// unknown: the tuple does not carry the payload.
	unknown bool
}

// value is a column as text, or what a path leads to; nil when there is nothing. known is
// false where the tuple does not carry it.
func (v view) value(f field) (value any, known bool) {
	if f.column < 0 {
		if v.unknown || v.payload == nil {
			return nil, !v.unknown
		}
		value, _ = at(v.payload, f.name)
		return value, true
	}
	switch c := v.values[f.column]; c.Kind {
	case change.Text:
		return string(c.Text), true
	case change.Null:
		return nil, true
	}
	return nil, false
}

// text is a scalar; empty: there is none.
func (v view) text(f field) (text string, known bool) {
	value, known := v.value(f)
	text, _ = textOf(value)
	return text, known
}

// unsent: a watched column was not sent, for another reason than that it has not changed.
func (v view) unsent() bool {
	for _, f := range v.table.watched {
		if f.column >= 0 && (v.values[f.column].Kind == change.Missing || v.values[f.column].Kind == change.Omitted) {
			return true
		}
	}
	return false
}

// watched is the JSON of the watched fields that are known, and whether all are. A column
// stands under its name, what a path leads to at the path.
func (v view) watched() (text string, complete bool) {
	tree, complete := branch{}, true
	for _, f := range v.table.watched {
		value, known := v.value(f)
		if !known {
			complete = false
			continue
		}
		if f.column >= 0 {
			tree[f.name] = value
		} else if !tree.put(strings.Split(f.name, "."), value) {
			tree[f.name] = value
		}
	}
	return string(marshal(tree)), complete
}

// branch is an object that was made for paths; objects of a payload are map[string]any.
type branch map[string]any

// put adds a value at a path. false: something else stands there, or on the way.
func (b branch) put(path []string, value any) bool {
	for _, name := range path[:len(path)-1] {
		inner, ok := b[name]
		if !ok {
			inner = branch{}
			b[name] = inner
		}
		if b, ok = inner.(branch); !ok {
			return false
		}
	}
	last := path[len(path)-1]
	if _, ok := b[last]; ok {
		return false
	}
	b[last] = value
	return true
}

// marshal writes JSON with sorted keys. Values are those of a payload, so that it cannot fail.
func marshal(v any) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return []byte("null")
	}
	return bytes.TrimRight(out.Bytes(), "\n")
}

// pathClaims are the claims that `claims:` names by path or column.
func (s *source) pathClaims(v view) []byte {
	style := change.Style{BigintString: true, NumericString: true} // see exact
	out := make(map[string]any, len(s.entry.Claims.Paths))
	for claim, path := range s.entry.Claims.Paths {
		f := field{name: path, column: -1}
		if v.table != nil {
			if i := slices.IndexFunc(v.table.watched, func(f field) bool { return f.name == path }); i >= 0 {
				f = v.table.watched[i]
			}
		}
		value, _ := v.value(f)
		if text, ok := value.(string); ok && f.column >= 0 {
			value = json.RawMessage(v.table.rel.Columns[f.column].Type.AppendJSONStyle(nil, []byte(text), style))
		}
		out[claim] = value
	}
	return marshal(out)
}
