package demo

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/term"
)

// style is an ANSI colour.
type style string

const (
	plain  style = ""
	dim    style = "\x1b[2m"
	bold   style = "\x1b[1m"
	good   style = "\x1b[32m"
	warn   style = "\x1b[33m"
	blue   style = "\x1b[34m"
	bad    style = "\x1b[31m"
	normal       = "\x1b[0m"
)

// part is a piece of a line.
type part struct {
	style style
	text  string
}

// screen writes whole lines. Safe for concurrent use.
type screen struct {
	mu    sync.Mutex
	out   io.Writer
	color bool
}

// say writes a line of little importance.
func (s *screen) say(format string, args ...any) {
	s.line(part{dim, fmt.Sprintf(format, args...)})
}

// note writes a line between the events.
func (s *screen) note(as style, format string, args ...any) {
	s.line(part{as, "── " + fmt.Sprintf(format, args...)})
}

// line writes the parts as one line. Output that cannot be written is lost: there is
// nobody left to be told.
func (s *screen) line(parts ...part) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, p := range parts {
		if s.color && p.style != plain && p.text != "" {
			b.WriteString(string(p.style) + p.text + normal)
		} else {
			b.WriteString(p.text)
		}
	}
	b.WriteByte('\n')
	_, _ = io.WriteString(s.out, b.String())
}

// cut shortens text so that it ends before the terminal's last column when it begins
// at column used.
func (s *screen) cut(text string, used int) string {
	room := s.columns() - used
	if utf8.RuneCountInString(text) <= room {
		return text
	}
	if room < 1 {
		return ""
	}
	return string([]rune(text)[:room-1]) + "…"
}

// columns is the width of the terminal; very wide when there is none.
func (s *screen) columns() int {
	if f, ok := s.out.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return 1 << 16
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
