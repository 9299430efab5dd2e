package demo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
)

// row is a row as JSON: compact texts by column, and the columns in their order.
type row struct {
	columns []string
	values  map[string]string
}

func (r *row) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("%.40q is not a row", text)
	}
	r.columns, r.values = nil, map[string]string{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return err
		}
		var value bytes.Buffer
		if err := json.Compact(&value, raw); err != nil {
			return err
		}
		column := fmt.Sprint(name)
		r.columns = append(r.columns, column)
		r.values[column] = value.String()
	}
	return nil
}

func (r *row) equal(o *row) bool { return maps.Equal(r.values, o.values) }

// changes tells what a change did to a row, for people: "status packed → delivered".
// Either row may be nil.
func changes(old, now *row) string {
	if now == nil {
		return ""
	}
	var out []string
	for _, c := range now.columns {
		value := now.values[c]
		switch {
		case c == "id" || strings.HasSuffix(c, "_at"):
		case old == nil && value != "null":
			out = append(out, c+" "+readable(value))
		case old != nil && old.values[c] != value:
			out = append(out, c+" "+readable(old.values[c])+" → "+readable(value))
		}
	}
	return strings.Join(out, " · ")
}

// readable is a value without the marks of JSON.
func readable(value string) string {
	var v any
	if json.Unmarshal([]byte(value), &v) != nil {
		return value
	}
	switch v := v.(type) {
	case nil:
		return "–"
	case string:
		return v
	case []any:
		var parts []string
		for _, part := range v {
			parts = append(parts, fmt.Sprint(part))
		}
		return strings.Join(parts, ", ")
	}
	return value
}

// channels are those that page and terminal subscribe to, and the shop's tables.
var channels = []string{"orders", "customers", "couriers"}

// tables are rows by channel and id.
type tables map[string]map[string]*row

func newTables() tables {
	t := tables{}
	for _, c := range channels {
		t[c] = map[string]*row{}
	}
	return t
}

func (t tables) equal(o tables) bool {
	return maps.EqualFunc(t, o, func(a, b map[string]*row) bool { return maps.EqualFunc(a, b, (*row).equal) })
}

// String counts the rows: "12 orders, 14 customers, 3 couriers".
func (t tables) String() string {
	var out []string
	for _, c := range channels {
		out = append(out, plural(len(t[c]), strings.TrimSuffix(c, "s")))
	}
	return strings.Join(out, ", ")
}

// put makes t hold the rows of one channel.
func (t tables) put(channel string, rows []*row) {
	t[channel] = make(map[string]*row, len(rows))
	for _, r := range rows {
		t[channel][r.values["id"]] = r
	}
}
