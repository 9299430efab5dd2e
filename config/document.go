package config

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// document parses data into the mapping at its top. Problems are noted; nil
// means that there is nothing to go on with.
func (r *reader) document(data []byte) *yaml.Node {
	text := strings.TrimPrefix(string(data), "\ufeff")
	r.src = newSource(text)
	if i := invalidUTF8(text); i >= 0 {
		r.problem(r.src.pos(i), "", "the file is not UTF-8 text")
		return nil
	}
	docs, err := parseYAML(text)
	if err != nil {
		r.syntax(text, err)
		return nil
	}
	switch {
	case len(docs) == 0:
		r.problem(Pos{Line: 1, Column: 1}, "", "the file is empty; config.example.yaml shows what it can hold")
		return nil
	case len(docs) > 1:
		r.problem(nodePos(docs[1]), "", `a second YAML document begins here ("---"); the file must be one`)
	}
	root := docs[0].Content[0]
	if root.Kind != yaml.MappingNode {
		r.problem(nodePos(root), "", "the file must hold keys and values, got %s", kindName(root))
		return nil
	}
	return root
}

// parseYAML gives the documents of a text.
func parseYAML(text string) ([]*yaml.Node, error) {
	var docs []*yaml.Node
	d := yaml.NewDecoder(bytes.NewReader([]byte(text)))
	for {
		var n yaml.Node
		err := d.Decode(&n)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, err
		}
		if n.Kind == yaml.DocumentNode && len(n.Content) == 1 {
			docs = append(docs, &n)
		}
	}
}

func invalidUTF8(s string) int {
	if utf8.ValidString(s) {
		return -1
	}
	for i, r := range s {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return i
			}
		}
	}
	return -1
}

// syntax notes a YAML error. The parser's own line is that of the construct it
// was in, often the top of the file; what a person looks for is the first line
// with which the error appears.
func (r *reader) syntax(text string, err error) {
	message := syntaxMessage(err)
	line := 1 + sort.Search(len(r.src.lines)-1, func(i int) bool {
		_, err := parseYAML(text[:r.src.lines[i+1]])
		return err != nil && syntaxMessage(err) == message
	})
	r.problem(Pos{Line: line}, "", "YAML: %s%s", message, syntaxHint(message, r.src.line(line)))
}

var (
	syntaxPrefix  = regexp.MustCompile(`^yaml: (line \d+: )?`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor .*`)
)

// syntaxMessage is what yaml.v3 says, without its line and without the one thing
// that it quotes from the file.
func syntaxMessage(err error) string {
	s := syntaxPrefix.ReplaceAllString(err.Error(), "")
	return unknownAnchor.ReplaceAllString(s, "an alias (*name) to an anchor that the file does not have")
}

// syntaxHint says what most often causes an error, judging by its line.
func syntaxHint(message, line string) string {
	_, value, _ := strings.Cut(strings.TrimSpace(line), ":")
	value = strings.TrimSpace(value)
	switch {
	case strings.HasPrefix(line, "\t"):
		return "; indent with blanks, not with tabs"
	case strings.Contains(line, "where:") || strings.Contains(line, "allow:"):
		return "; put the whole expression in quotes, or below a |"
	case strings.HasPrefix(value, "*"):
		return `; write "*" in quotes`
	case strings.HasPrefix(value, "@"), strings.HasPrefix(value, "`"), strings.HasPrefix(value, "%"),
		strings.HasPrefix(value, "["), strings.HasPrefix(value, "{"):
		return "; put the value in quotes if it is meant as text"
	case strings.Contains(message, "mapping values are not allowed"):
		return "; check the indentation, and put a value that has \": \" in it in quotes"
	}
	return ""
}

// kindName is what an error calls a node.
func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys and values"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.Tag {
	case "!!null":
		return "nothing"
	case "!!bool":
		return n.Value
	case "!!int", "!!float":
		return "a number"
	}
	return "a text"
}

// lint notes what YAML offers and this file must not use: tags anywhere, because
// `where: !row.archived` is a tag and an empty value; merge keys anywhere; under
// channels also anchors and aliases. The nodes concerned are left out of
// everything that follows.
func (r *reader) lint(n *yaml.Node, key string) {
	inChannels := key == "channels" || strings.HasPrefix(key, "channels.")
	switch {
	case (n.Style&yaml.TaggedStyle != 0 || r.src.startsWith(n, "!")) && ofSecrets(key):
		r.reject(n, key, "begins with a YAML tag and is no reference to a secret; write env:NAME or file:PATH (what stands there is not shown)")
		return
	case n.Style&yaml.TaggedStyle != 0 || r.src.startsWith(n, "!"):
		r.reject(n, key, "%s is read as a YAML tag and not as a value; put the whole value in quotes", r.rest(n))
		return
	case inChannels && n.Kind == yaml.AliasNode:
		r.reject(n, key, "YAML aliases (*%s) are not allowed under channels; write the value out, or put it in quotes", n.Value)
		return
	case inChannels && n.Anchor != "":
		r.reject(n, key, "YAML anchors (&%s) are not allowed under channels; write the value out, or put it in quotes", n.Anchor)
		return
	}
	switch n.Kind {
	case yaml.MappingNode:
		r.lintMapping(n, key)
	case yaml.SequenceNode:
		for i, item := range n.Content {
			r.lint(item, join(key, itoa(i)))
		}
	}
}

// ofSecrets reports whether a key is one of the references to secrets: somebody may have
// written the secret itself there.
func ofSecrets(key string) bool {
	return slices.ContainsFunc(strings.Split(key, "."), func(part string) bool { return part == "secrets" || part == "encryption" })
}

func (r *reader) lintMapping(n *yaml.Node, key string) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		switch {
		case k.Kind != yaml.ScalarNode:
			r.reject(k, key, "a key must be a name, got %s", kindName(k))
		case k.Tag == "!!merge":
			r.reject(k, key, "YAML merge keys (<<) are not supported; write the keys out")
		case k.Style&yaml.TaggedStyle != 0 || r.src.startsWith(k, "!&"):
			r.reject(k, key, "%s: a key cannot have a YAML tag or anchor; put it in quotes", r.rest(k))
		default:
			r.lint(v, join(key, k.Value))
		}
	}
}

// reject notes a problem of a node and leaves the node out.
func (r *reader) reject(n *yaml.Node, key, format string, args ...any) {
	if r.rejected == nil {
		r.rejected = map[*yaml.Node]bool{}
	}
	r.rejected[n] = true
	r.problem(nodePos(n), key, format, args...)
}

// rest is the line from where a node begins, for errors.
func (r *reader) rest(n *yaml.Node) string {
	at := r.src.offset(nodePos(n))
	line := r.src.line(n.Line)
	return shorten(mask(strings.TrimSpace(r.src.text[at:min(len(r.src.text), r.src.lines[n.Line-1]+len(line))])))
}
