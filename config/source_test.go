package config

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Every character of a value that is not blank is found again in the file, in
// every style that YAML has, with escapes, folding and any line break.
func TestWithinFindsEveryCharacter(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	alphabet := []string{"a", "b", " ", "  ", "\n", "'", `"`, `\`, "ü", "😀", "\u00a0", "\u2028", "#", ":", "&&", "\t", "\x01", "long-word"}
	styles := []yaml.Style{0, yaml.SingleQuotedStyle, yaml.DoubleQuotedStyle, yaml.LiteralStyle, yaml.FoldedStyle}
	checked := 0
	for range 1000 {
		var value strings.Builder
		for range 1 + rnd.IntN(40) {
			value.WriteString(alphabet[rnd.IntN(len(alphabet))])
		}
		node := &yaml.Node{Kind: yaml.ScalarNode, Value: value.String(), Style: styles[rnd.IntN(len(styles))]}
		data, err := yaml.Marshal(map[string]*yaml.Node{"ö": node})
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		if rnd.IntN(2) == 0 {
			text = strings.ReplaceAll(text, "\n", "\r\n")
		}
		checked += checkWithin(t, text)
	}
	if checked < 5_000 {
		t.Errorf("only %d characters were checked", checked)
	}
}

// checkWithin compares the characters of the first value of a file with those at
// their places, and returns how many there were.
func checkWithin(t *testing.T, text string) int {
	t.Helper()
	docs, err := parseYAML(text)
	if err != nil || docs[0].Content[0].Kind != yaml.MappingNode {
		return 0 // the encoder has cases that the parser does not take back
	}
	n := docs[0].Content[0].Content[1]
	src := newSource(text)
	checked := 0
	for i, r := range n.Value {
		if isBlank(r) {
			continue
		}
		checked++
		at := src.offset(src.within(n, i))
		got, _ := utf8.DecodeRuneInString(text[at:])
		escaped := got == '\\' && n.Style&yaml.DoubleQuotedStyle != 0
		if got != r && !escaped {
			t.Fatalf("%q: byte %d of %q is %q, found %q at %v", text, i, n.Value, r, got, src.within(n, i))
		}
	}
	return checked
}

func TestWithinEdges(t *testing.T) {
	tests := []struct {
		text string
		at   int
		want Pos
	}{
		{"a: bc d", 5, Pos{1, 8}},               // the end
		{"a: bc d", 2, Pos{1, 6}},               // a blank: after the word before it
		{"a: 'it''s'", 3, Pos{1, 9}},            // an escaped quote
		{"a: \"x\\ty\"", 2, Pos{1, 8}},          // an escaped blank
		{"a: \"\\u00e9\\x20b\"", 3, Pos{1, 15}}, // escapes of both kinds
		{"a: |\n  b\n\n  c\n", 3, Pos{4, 3}},
		{"a: |-  # why\n  b", 0, Pos{2, 3}},
		{"a: >\n  b\n  c\n", 2, Pos{3, 3}},
		{"a: b\n   c", 2, Pos{2, 4}},
		{"a: \"b\\\n   c\"", 1, Pos{2, 4}},
		{"a: \"\"", 0, Pos{1, 5}},
		{"a: &x b", 0, Pos{1, 4}}, // the anchor
		{"ä: öü", 2, Pos{1, 5}},   // columns are characters
		{"# x\u2028a: b", 0, Pos{2, 4}},
	}
	for _, tt := range tests {
		docs, err := parseYAML(tt.text)
		if err != nil {
			t.Fatal(err)
		}
		n := docs[0].Content[0].Content[1]
		if got := newSource(tt.text).within(n, tt.at); got != tt.want {
			t.Errorf("%q: byte %d of %q at %v, want %v", tt.text, tt.at, n.Value, got, tt.want)
		}
	}
}
