package demo

import (
	"encoding/json"
	"testing"
)

func parseRow(t *testing.T, text string) *row {
	t.Helper()
	if text == "" {
		return nil
	}
	r := new(row)
	if err := json.Unmarshal([]byte(text), r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestChanges(t *testing.T) {
	for name, c := range map[string]struct{ old, now, want string }{
		"insert":        {"", `{"id":7,"status":"placed","courier_id":null,"items":["2 × figs","1 × eggs"],"total":12.50,"placed_at":"2026-11-20T21:00:00+00:00"}`, "status placed · items 2 × figs, 1 × eggs · total 12.50"},
		"update":        {`{"id":7,"status":"packed","courier_id":null}`, `{"id":7,"status":"on_the_way","courier_id":2}`, "status packed → on_the_way · courier_id – → 2"},
		"order of JSON": {`{"b":1,"a":2,"id":7}`, `{"id":7,"a":3,"b":4}`, "a 2 → 3 · b 1 → 4"},
		"spaces":        {`{"id":7,"items": ["a",  "b"]}`, `{"id":7,"items":["a","b"]}`, ""},
		"delete":        {`{"id":7}`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := changes(parseRow(t, c.old), parseRow(t, c.now)); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestRowIsAnObject(t *testing.T) {
	for _, text := range []string{`[1]`, `7`, `"x"`} {
		if err := json.Unmarshal([]byte(text), new(row)); err == nil {
			t.Errorf("%s is read as a row", text)
		}
	}
}

func TestTablesEqual(t *testing.T) {
	of := func(rows ...string) tables {
		out := newTables()
		var parsed []*row
		for _, text := range rows {
			parsed = append(parsed, parseRow(t, text))
		}
		out.put("orders", parsed)
		return out
	}
	a := of(`{"id":1,"total":1.50}`, `{"id":2,"total":2}`)
	if b := of(`{"total":2,"id":2}`, `{"id":1,"total":1.50}`); !a.equal(b) {
		t.Error("the order of rows and columns makes a difference")
	}
	for _, b := range []tables{of(`{"id":1,"total":1.50}`), of(`{"id":1,"total":1.5}`, `{"id":2,"total":2}`), newTables()} {
		if a.equal(b) {
			t.Errorf("%v equals %v", a, b)
		}
	}
	if got, want := a.String(), "2 orders, 0 customers, 0 couriers"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
