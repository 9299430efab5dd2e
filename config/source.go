package config

import (
	"slices"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// source is the text of a file and where its lines begin.
//
// YAML's nodes say where a value starts. Where a character within the value
// stands is found by counting: every style of scalar keeps the characters that
// are not blank, in their order, and only adds, drops or folds blanks.
type source struct {
	text string
	// lines are the offsets of the lines' first bytes.
	lines []int
}

func newSource(text string) *source {
	s := &source{text: text, lines: []int{0}}
	for i := 0; i < len(text); {
		n := breakLen(text[i:])
		if n == 0 {
			i++
			continue
		}
		i += n
		s.lines = append(s.lines, i)
	}
	return s
}

// breakLen is the length of the line break at the start of s, 0 for none. YAML
// knows more of them than most editors.
func breakLen(s string) int {
	if strings.HasPrefix(s, "\r\n") {
		return 2
	}
	for _, b := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} {
		if strings.HasPrefix(s, b) {
			return len(b)
		}
	}
	return 0
}

// line is the text of a line from 1, without its break.
func (s *source) line(n int) string {
	if n < 1 || n > len(s.lines) {
		return ""
	}
	text := s.text[s.lines[n-1]:]
	if n < len(s.lines) {
		text = s.text[s.lines[n-1]:s.lines[n]]
	}
	return strings.TrimRight(text, "\n\r\u0085\u2028\u2029")
}

// offset is the byte at a position, or the end of its line.
func (s *source) offset(p Pos) int {
	if p.Line < 1 || p.Line > len(s.lines) {
		return len(s.text)
	}
	at := s.lines[p.Line-1]
	for range p.Column - 1 {
		if at >= len(s.text) || breakLen(s.text[at:]) > 0 {
			break
		}
		_, n := utf8.DecodeRuneInString(s.text[at:])
		at += n
	}
	return at
}

// pos is the position of a byte.
func (s *source) pos(offset int) Pos {
	offset = min(offset, len(s.text))
	line, found := slices.BinarySearch(s.lines, offset)
	if !found {
		line--
	}
	return Pos{Line: line + 1, Column: 1 + utf8.RuneCountInString(s.text[s.lines[line]:offset])}
}

// nodePos is where a node begins.
func nodePos(n *yaml.Node) Pos { return Pos{Line: n.Line, Column: n.Column} }

// startsWith reports whether the text at a node begins with one of the bytes.
func (s *source) startsWith(n *yaml.Node, bytes string) bool {
	at := s.offset(nodePos(n))
	return at < len(s.text) && strings.IndexByte(bytes, s.text[at]) >= 0
}

// within is the position of byte at of a scalar's value. A position between two
// words, or at the end, is the one after the word before it. Scalars with an
// anchor give the place of the anchor.
func (s *source) within(n *yaml.Node, at int) Pos {
	i, ok := s.content(n)
	if !ok {
		return nodePos(n)
	}
	unit := plainUnit
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0:
		unit = doubleUnit
	case n.Style&yaml.SingleQuotedStyle != 0:
		unit = singleUnit
	}
	at = min(at, len(n.Value))
	skip := countInk(n.Value[:at])
	r, _ := utf8.DecodeRuneInString(n.Value[at:])
	onInk := at < len(n.Value) && !isBlank(r)
	for i < len(s.text) && (skip > 0 || onInk) {
		size, ink := unit(s.text[i:])
		if skip == 0 && ink {
			break
		}
		if ink {
			skip--
		}
		i += size
	}
	return s.pos(i)
}

// content is the offset of the first byte of a scalar's text.
func (s *source) content(n *yaml.Node) (int, bool) {
	at := s.offset(nodePos(n))
	quoted := n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0
	block := n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0
	switch {
	case s.startsWith(n, "&!*"):
		return 0, false
	case quoted:
		return at + 1, s.startsWith(n, `"'`)
	case block && n.Line < len(s.lines):
		return s.lines[n.Line], s.startsWith(n, "|>")
	}
	return at, !block
}

// countInk counts the characters that are not blank.
func countInk(s string) int {
	n := 0
	for _, r := range s {
		if !isBlank(r) {
			n++
		}
	}
	return n
}

func isBlank(r rune) bool {
	switch r {
	case ' ', '\t', '\n', '\r', '\u0085', '\u2028', '\u2029':
		return true
	}
	return false
}

// The unit functions read one character of a scalar's source: its length in the
// source and whether it gives a character that is not blank.

func plainUnit(s string) (size int, ink bool) {
	r, n := utf8.DecodeRuneInString(s)
	return n, !isBlank(r)
}

func singleUnit(s string) (size int, ink bool) {
	if strings.HasPrefix(s, "''") {
		return 2, true
	}
	return plainUnit(s)
}

func doubleUnit(s string) (size int, ink bool) {
	if len(s) < 2 || s[0] != '\\' {
		return plainUnit(s)
	}
	switch s[1] {
	case 't', '\t', 'n', 'r', ' ', 'N', 'L', 'P':
		return 2, false
	case 'x':
		return hexUnit(s, 4)
	case 'u':
		return hexUnit(s, 6)
	case 'U':
		return hexUnit(s, 10)
	}
	if n := breakLen(s[1:]); n > 0 {
		return 1 + n, false
	}
	_, n := utf8.DecodeRuneInString(s[1:])
	return 1 + n, true
}

// hexUnit is a \xXX, \uXXXX or \UXXXXXXXX of the given length.
func hexUnit(s string, size int) (int, bool) {
	size = min(size, len(s))
	var r rune
	for _, c := range []byte(s[2:size]) {
		r = r<<4 | rune(hexDigit(c))
	}
	return size, !isBlank(r)
}

func hexDigit(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 10
	case c >= 'A':
		return c - 'A' + 10
	}
	return c - '0'
}
