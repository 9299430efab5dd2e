package config

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Pos is a place in the file: line and column in characters, both from 1. Column
// is 0 when only the line is known, Line is 0 when nothing is.
type Pos struct{ Line, Column int }

// String is line:column, or as much of it as is known.
func (p Pos) String() string {
	switch {
	case p.Line == 0:
		return ""
	case p.Column == 0:
		return strconv.Itoa(p.Line)
	}
	return fmt.Sprintf("%d:%d", p.Line, p.Column)
}

// Problem is one thing wrong with the file.
type Problem struct {
	File string
	Pos  Pos
	// Key is the full name of the key, such as channels.orders.allow; empty when
	// the problem belongs to none.
	Key string
	// Text says what is wrong and what to write instead. It is one line.
	Text string
}

// Error is file:line:column: key: text.
func (p *Problem) Error() string {
	s := p.File
	if pos := p.Pos.String(); pos != "" {
		s += ":" + pos
	}
	if p.Key != "" {
		s += ": " + p.Key
	}
	return s + ": " + p.Text
}

// Errors are all problems of a file. The zero value has none.
type Errors struct{ Problems []*Problem }

// Add notes more problems.
func (e *Errors) Add(p ...*Problem) { e.Problems = append(e.Problems, p...) }

// Err is e, or nil when there are no problems.
func (e *Errors) Err() error {
	if len(e.Problems) == 0 {
		return nil
	}
	return e
}

// Error has one problem on each line, in the order of the file.
func (e *Errors) Error() string {
	sorted := slices.Clone(e.Problems)
	slices.SortStableFunc(sorted, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
	lines := make([]string, len(sorted))
	for i, p := range sorted {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// plain is text that newProblem need not mask: our own words, which may show what
// a connection string looks like.
type plain string

// newProblem makes a problem. The key, and arguments that are strings or errors,
// are masked; whatever comes from the file must be one of them.
func newProblem(file string, pos Pos, key, format string, args ...any) *Problem {
	masked := make([]any, len(args))
	for i, a := range args {
		switch a := a.(type) {
		case string:
			masked[i] = mask(a)
		case error:
			masked[i] = mask(a.Error())
		default:
			masked[i] = a
		}
	}
	text := fmt.Sprintf(format, masked...)
	return &Problem{File: file, Pos: pos, Key: oneLine(mask(key)), Text: oneLine(text)}
}

var secrets = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`(?is)(postgres(?:ql)?)://.*`), "$1://..."},
	{regexp.MustCompile(`(?is)(password\s*=)\s*[^=\s].*`), "$1..."},
	{regexp.MustCompile(`(?s)://.*@`), "://...@"},
}

// mask cuts what may be a password out of a text: everything after a Postgres
// scheme or password=, and the user part of other URLs. It rather cuts too much.
func mask(s string) string {
	for _, m := range secrets {
		s = m.pattern.ReplaceAllString(s, m.instead)
	}
	return s
}

// oneLine keeps a problem on its line, and out of a terminal's controls, whatever
// it quotes.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
}
