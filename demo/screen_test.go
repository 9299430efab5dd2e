package demo

import (
	"bytes"
	"testing"
)

func TestScreen(t *testing.T) {
	for _, c := range []struct {
		color bool
		want  string
	}{
		{false, "── it is back after 2 s\nplain good\n"},
		{true, "\x1b[32m── it is back after 2 s\x1b[0m\nplain \x1b[32mgood\x1b[0m\n"},
	} {
		var out bytes.Buffer
		s := &screen{out: &out, color: c.color}
		s.note(good, "it is back after %d s", 2)
		s.line(part{plain, "plain "}, part{good, "good"}, part{bad, ""})
		if out.String() != c.want {
			t.Errorf("color %t: %q, want %q", c.color, out.String(), c.want)
		}
		if got := s.cut("as long as it is", 1000); got != "as long as it is" {
			t.Errorf("cut where there is no terminal: %q", got)
		}
	}
}
