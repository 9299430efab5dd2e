package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// seenRow is a row as a client has it: the JSON of its columns. Those that no event has told
// are not in it.
type seenRow map[string]string

// String is the same for equal rows.
func (r seenRow) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(r)) {
		fmt.Fprintf(&b, "%s=%s ", name, r[name])
	}
	return b.String()
}

// rowOf reads a row's JSON.
func rowOf(t testing.TB, text []byte) seenRow {
	t.Helper()
	if len(text) == 0 || string(text) == "null" {
		return nil
	}
	var columns map[string]json.RawMessage
	if err := json.Unmarshal(text, &columns); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	out := seenRow{}
	for name, value := range columns {
		var b bytes.Buffer
		if err := json.Compact(&b, value); err != nil {
			t.Fatal(err)
		}
		out[name] = b.String()
	}
	return out
}

// only is the row with these columns; nil: all.
func (r seenRow) only(columns ...string) seenRow {
	if r == nil || columns == nil {
		return r
	}
	out := seenRow{}
	for _, c := range columns {
		if v, ok := r[c]; ok {
			out[c] = v
		}
	}
	return out
}

// rowView is what a client makes of the events of a channel: the rows by their keys.
type rowView map[string]seenRow

// rowEvent is an event of a channel.
type rowEvent struct {
	Op                 string
	XID                uint32
	Key, Row           seenRow
	Unchanged, Missing []string
}

// channelEvent is the data of what is sent for a channel.
type channelEvent struct {
	Channel            string
	Reason             string
	Key, Row           json.RawMessage
	Rows               []json.RawMessage
	Unchanged, Missing []string
	First, Last        bool
	Resumed            bool
	Tx                 struct{ XID uint32 }
}

func (e *channelEvent) row(t testing.TB, op string) rowEvent {
	t.Helper()
	return rowEvent{Op: op, XID: e.Tx.XID, Key: rowOf(t, e.Key), Row: rowOf(t, e.Row), Unchanged: e.Unchanged, Missing: e.Missing}
}

// apply does what docs/http.md asks of clients.
func (v rowView) apply(e rowEvent) {
	key := e.Key.String()
	switch e.Op {
	case "delete":
		delete(v, key)
	case "insert":
		v[key] = e.Row
	case "update":
		row := maps.Clone(e.Row)
		for _, name := range e.Unchanged {
			if old, ok := v[key][name]; ok {
				row[name] = old
			}
		}
		v[key] = row
	}
}

// differ compares with the rows that there should be. Columns that no event has told do not
// count: those of a row that came into view while its identity does not carry them.
func (v rowView) differ(want rowView, mayMiss string) []string {
	var out []string
	for key, row := range want {
		got, ok := v[key]
		if !ok {
			out = append(out, "lost: "+key)
			continue
		}
		if _, told := got[mayMiss]; !told && mayMiss != "" {
			row = maps.Clone(row)
			delete(row, mayMiss)
		}
		if !maps.Equal(got, row) {
			out = append(out, fmt.Sprintf("other: %s\n  has  %.300s\n  want %.300s", key, got, row))
		}
	}
	for key := range v {
		if _, ok := want[key]; !ok {
			out = append(out, "stale: "+key)
		}
	}
	slices.Sort(out)
	return out
}
