package change

import (
	"math"
	"testing"
)

func TestLSN(t *testing.T) {
	for _, s := range []string{"0/0", "0/16B3748", "FFFFFFFF/FFFFFFFF", "1/10000000"} {
		l, err := ParseLSN(s)
		if err != nil || l.String() != s {
			t.Errorf("%s: %s %v", s, l, err)
		}
	}
	for _, s := range []string{"", "0", "/", "0/", "/1", "g/1", "0/123456789", "+1/1", "0/1 ", "0x1/1", "0/-1"} {
		if l, err := ParseLSN(s); err == nil {
			t.Errorf("%q accepted as %s", s, l)
		}
	}
}

// TestBefore: a bare LSN knows nothing of a commit that begins exactly there.
func TestBefore(t *testing.T) {
	for _, l := range []LSN{0x16B3748, 0x16B3749, 1, 8} {
		p := Before(l)
		if !p.Less(Position{l, 0}) || l > 1 && p.Less(Position{l - 2, 1 << 40}) {
			t.Errorf("Before(%s) = %s", l, p)
		}
	}
}

func TestPrev(t *testing.T) {
	const max = math.MaxUint64
	for _, c := range []struct{ p, want Position }{
		{Position{}, Position{}},
		{Position{0, 1}, Position{0, 0}},
		{Position{1, 0}, Position{0, max}},
		{Position{0x16B3748, 0}, Position{0x16B3747, max}},
		{Position{0x16B3748, 3}, Position{0x16B3748, 2}},
		{Position{0x16B3748, max}, Position{0x16B3748, max - 1}},
		{Position{max, max}, Position{max, max - 1}},
	} {
		if got := c.p.Prev(); got != c.want {
			t.Errorf("%s.Prev() = %s, want %s", c.p, got, c.want)
		}
	}
}
