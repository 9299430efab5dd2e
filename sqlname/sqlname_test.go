package sqlname

import (
	"errors"
	"slices"
	"testing"
)

// TestCut takes whole names apart. Parts without quotes that begin with a capital are refused here.
func TestCut(t *testing.T) {
	bare := func(part string) error {
		if part == "" || part[0] >= 'A' && part[0] <= 'Z' {
			return errors.New("refused")
		}
		return nil
	}
	for _, c := range []struct {
		name  string
		parts []string
		err   string
	}{
		{"orders", []string{"orders"}, ""},
		{"shop.orders", []string{"shop", "orders"}, ""},
		{"a.b.c", []string{"a", "b", "c"}, ""},
		{`public."Order Items"`, []string{"public", "Order Items"}, ""},
		{`"a.b"."c""d"`, []string{"a.b", `c"d`}, ""},
		{`""""`, []string{`"`}, ""},
		{`a"b`, []string{`a"b`}, ""}, // as bare likes
		{"", nil, "refused"},
		{"shop.", []string{"shop"}, "refused"},
		{"Orders.x", nil, "refused"},
		{`"a".`, []string{"a"}, "refused"},
		{`"a`, nil, "a double quote is not closed"},
		{`"a""`, nil, "a double quote is not closed"},
		{`""`, nil, "a part of the name is empty"},
		{`"a"b`, nil, "expected a point or the end after the closing quote"},
		{"\"a\x00\"", nil, "not a name that Postgres can have"},
		{"\"\xff\"", nil, "not a name that Postgres can have"},
	} {
		var parts []string
		var err error
		for rest, more := c.name, true; more && err == nil; {
			var part string
			if part, rest, more, err = Cut(rest, bare); err == nil {
				parts = append(parts, part)
			}
		}
		if err == nil {
			err = errors.New("")
		}
		if !slices.Equal(parts, c.parts) || err.Error() != c.err {
			t.Errorf("%s: %q, %v, want %q, %s", c.name, parts, err, c.parts, c.err)
		}
	}
}
