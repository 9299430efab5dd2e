package filter

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBindings(t *testing.T) {
	tests := []struct {
		src  string
		want []OldBinding
	}{
		{`row.order_id == params.id`, []OldBinding{{"order_id", "id", 0, 16}}},
		{`params.id == row.order_id`, []OldBinding{{"order_id", "id", 13, 0}}},
		{`(row.a == params.x) && params.y == row."B c"`, []OldBinding{{"a", "x", 1, 10}, {"B c", "y", 35, 23}}},
		{`row.a == params.x and row.b == params.x`, []OldBinding{{"a", "x", 0, 9}, {"b", "x", 22, 31}}},
	}
	for _, tt := range tests {
		n, err := Parse(tt.src)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Bindings(n)
		if err != nil {
			t.Errorf("Bindings(%s): %v", tt.src, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("Bindings(%s) (-want +got):\n%s", tt.src, diff)
		}
	}
	if got, err := Bindings(nil); len(got) != 0 || err != nil {
		t.Errorf("Bindings(nil) = %v, %v", got, err)
	}
}

// Everything that is not a binding must be refused: it would not be evaluated.
func TestBindingsRefusesFilters(t *testing.T) {
	const refused = ": row filters are not in this version yet (only row.<column> == params.<name>); " +
		"refusing to start, because a filter that is not evaluated would leak"
	tests := []struct {
		src  string
		pos  Pos
		want string
	}{
		{`row.status != "draft"`, 0, `row.status != "draft"` + refused},
		{`row.a == params.x && row.b != params.y`, 21, `row.b != params.y` + refused},
		{`row.a == params.x || row.b == params.y`, 0, `row.a == params.x || row.b == params.y` + refused},
		{`!(row.a == params.x)`, 0, `!(row.a == params.x)` + refused},
		{`row.a == row.b`, 0, `row.a == row.b` + refused},
		{`params.a == params.b`, 0, `params.a == params.b` + refused},
		{`row.a == user.id`, 0, `row.a == user.id` + refused},
		{`row.a.b == params.x`, 0, `row.a.b == params.x` + refused},
		{`lower(row.a) == params.x`, 0, `lower(row.a) == params.x` + refused},
		{`params.x in row.a`, 0, `params.x in row.a` + refused},
		{`row.active`, 0, `row.active` + refused},
		{`true`, 0, `true` + refused},
		{`row.a == params.x && (row.b || row.c)`, 22, `row.b || row.c` + refused},
		{`row.a == "` + strings.Repeat("é", 200) + `"`, 0, `row.a == "` + strings.Repeat("é", 55) + "..." + refused},
		{`row.a == params.x && row.a == params.y`, 21, `row.a is bound twice, to params.x and params.y`},
	}
	for _, tt := range tests {
		n, err := Parse(tt.src)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Bindings(n)
		var e *Error
		if !errors.As(err, &e) || got != nil {
			t.Errorf("Bindings(%s) = %v, %v, want an *Error", tt.src, got, err)
			continue
		}
		if e.Pos != tt.pos || e.Msg != tt.want {
			t.Errorf("Bindings(%s)\n got %d: %s\nwant %d: %s", tt.src, e.Pos, e.Msg, tt.pos, tt.want)
		}
	}
}
