package config

import (
	"strconv"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/walrelay/walrelay/nearest"
)

// reader turns the nodes of one file into a Config and collects what is wrong.
type reader struct {
	file string
	env  Env
	src  *source
	errs Errors
	// rejected nodes have their problem noted already.
	rejected  map[*yaml.Node]bool
	positions map[string]Pos
	// known has every key that was asked for, with * for the names of channels.
	known map[string]bool
	// declared are the claims of the file, claimed those that rules read.
	declared, claimed map[string]bool
}

func newReader(file string, env Env) *reader {
	return &reader{file: file, env: env, positions: map[string]Pos{}, known: map[string]bool{}, declared: map[string]bool{}, claimed: map[string]bool{}}
}

func (r *reader) problem(pos Pos, key, format string, args ...any) {
	r.errs.Add(newProblem(r.file, pos, key, format, args...))
}

// section is a mapping of the file. Keys are asked for by name; those that
// nobody asked for are unknown, see done. A nil section stands for one whose
// problem is noted already: it has no keys and reports nothing.
type section struct {
	r *reader
	// key is the section's full name; pattern the same with * for a name that the
	// user chose.
	key, pattern string
	pos          Pos
	entries      []*entry
	asked        []string
}

// entry is one key of a section and its value.
type entry struct {
	name       string
	key, value *yaml.Node
	used       bool
}

// section makes a section of a node. A nil node is an absent section, which has
// no keys; pos is where to report what is missing in it.
func (r *reader) section(n *yaml.Node, key, pattern string, pos Pos) *section {
	s := &section{r: r, key: key, pattern: pattern, pos: pos}
	if n == nil {
		return s
	}
	if n.Kind != yaml.MappingNode {
		r.problem(nodePos(n), key, "must hold keys and values, got %s", kindName(n))
		return nil
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if r.rejected[k] {
			continue
		}
		if first, double := lines[k.Value]; double {
			r.problem(nodePos(k), join(key, k.Value), "duplicate key; the first one is in line %d", first)
			continue
		}
		lines[k.Value] = k.Line
		s.entries = append(s.entries, &entry{name: k.Value, key: k, value: v})
	}
	return s
}

// done notes the keys that nobody asked for. It comes after all others.
func (s *section) done() {
	if s == nil {
		return
	}
	for _, e := range s.entries {
		if e.used {
			continue
		}
		key := join(s.key, e.name)
		if text, ok := notYet[join(s.pattern, e.name)]; ok {
			s.r.problem(nodePos(e.key), key, "%s", plain(text))
			continue
		}
		s.r.problem(nodePos(e.key), key, "unknown key%s", plain(nearest.Suggest(e.name, s.asked)))
	}
}

// find takes the entry of a key, or nil. Aliases are followed.
func (s *section) find(name string) *entry {
	if s == nil {
		return nil
	}
	s.asked = append(s.asked, name)
	s.r.known[join(s.pattern, name)] = true
	for _, e := range s.entries {
		if e.name != name {
			continue
		}
		e.used = true
		if e.value.Kind == yaml.AliasNode && e.value.Alias != nil && !s.r.rejected[e.value] {
			e.value = e.value.Alias
		}
		s.r.positions[join(s.key, name)] = nodePos(e.value)
		return e
	}
	return nil
}

// has reports whether the file has the key, whatever its value.
func (s *section) has(name string) bool {
	if s == nil {
		return false
	}
	for _, e := range s.entries {
		if e.name == name {
			return true
		}
	}
	return false
}

// value takes a key's node; nil when the key is absent, empty or rejected.
func (s *section) value(name string) *yaml.Node {
	e := s.find(name)
	if e == nil || s.r.rejected[e.value] {
		return nil
	}
	if isNull(e.value) {
		s.r.problem(nodePos(e.value), join(s.key, name), "empty; give it a value or remove the key")
		return nil
	}
	return e.value
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// section takes a key that holds keys. It is never nil when the key is absent.
func (s *section) section(name string) *section {
	if s == nil {
		return nil
	}
	key, pattern := join(s.key, name), join(s.pattern, name)
	n := s.value(name)
	if n == nil && s.has(name) {
		return nil
	}
	pos := s.pos
	for _, e := range s.entries {
		if e.name == name {
			pos = nodePos(e.key)
			s.r.positions[key] = pos
		}
	}
	return s.r.section(n, key, pattern, pos)
}

// require notes a key that is missing.
func (s *section) require(name, text string) {
	if s != nil && !s.has(name) {
		s.r.problem(s.pos, join(s.key, name), "missing; %s", plain(text))
	}
}

// scalar is one value of the file.
type scalar struct {
	r    *reader
	node *yaml.Node
	key  string
	// text is the value after expansion of ${NAME}. It may hold a secret and must
	// not be quoted: errors quote the source, which is the value as written.
	text, source string
}

// at is the place in the file of a byte of the source.
func (v scalar) at(i int) Pos { return v.r.src.within(v.node, i) }

// expanded reports whether the value came from a variable, at least in part.
func (v scalar) expanded() bool { return v.text != v.source }

// problem notes a problem of the value and quotes it.
func (v scalar) problem(err error) {
	v.r.problem(nodePos(v.node), v.key, "%s (got %q)", plain(err.Error()), shorten(mask(v.source)))
}

// scalarOf reads a node as a single value and expands it. ok is false when it
// is not one; the problem is noted then.
func (r *reader) scalarOf(n *yaml.Node, key string) (v scalar, ok bool) {
	v, ok = r.verbatim(n, key)
	if !ok {
		return v, false
	}
	text, faults := expand(v.source, r.env)
	for _, f := range faults {
		r.problem(v.at(f.at), key, "%s", plain(f.text))
	}
	v.text = text
	return v, len(faults) == 0
}

// verbatim reads a node as a single value without expansion.
func (r *reader) verbatim(n *yaml.Node, key string) (v scalar, ok bool) {
	if n.Kind != yaml.ScalarNode {
		r.problem(nodePos(n), key, "must be a single value, got %s", kindName(n))
		return scalar{}, false
	}
	return scalar{r: r, node: n, key: key, text: n.Value, source: n.Value}, true
}

// scalar takes a key with a single value.
func (s *section) scalar(name string) (scalar, bool) {
	n := s.value(name)
	if n == nil {
		return scalar{}, false
	}
	return s.r.scalarOf(n, join(s.key, name))
}

// list takes a key with a list of single values, which may be empty. ok is false
// when the key is absent; values with problems are left out.
func (s *section) list(name string) (values []scalar, ok bool) {
	n := s.value(name)
	if n == nil {
		return nil, false
	}
	key := join(s.key, name)
	if n.Kind != yaml.SequenceNode {
		s.r.problem(nodePos(n), key, "must be a list such as [a, b], got %s", kindName(n))
		return nil, false
	}
	return s.r.items(n, key), true
}

func (r *reader) items(n *yaml.Node, key string) []scalar {
	var values []scalar
	for i, item := range n.Content {
		itemKey := join(key, itoa(i))
		if item.Kind == yaml.AliasNode && item.Alias != nil && !r.rejected[item] {
			item = item.Alias
		}
		r.positions[itemKey] = nodePos(item)
		switch {
		case r.rejected[item]:
		case isNull(item):
			r.problem(nodePos(item), itemKey, "empty; give it a value or remove it")
		default:
			if v, ok := r.scalarOf(item, itemKey); ok {
				values = append(values, v)
			}
		}
	}
	return values
}

// read takes a key with a single value into dst. parse's error must not quote
// the value.
func read[T any](s *section, name string, dst *T, parse func(scalar) (T, error)) {
	v, ok := s.scalar(name)
	if !ok {
		return
	}
	t, err := parse(v)
	if err != nil {
		v.problem(err)
		return
	}
	*dst = t
}

// readList takes a key with a list into dst.
func readList[T any](s *section, name string, dst *[]T, parse func(scalar) (T, error)) {
	values, ok := s.list(name)
	if !ok {
		return
	}
	*dst = nil
	for _, v := range values {
		t, err := parse(v)
		if err != nil {
			v.problem(err)
			continue
		}
		*dst = append(*dst, t)
	}
}

// join makes the full name of a key.
func join(section, name string) string {
	if section == "" {
		return name
	}
	return section + "." + name
}

func itoa(i int) string { return strconv.Itoa(i) }

// shorten cuts what an error quotes to a readable length.
func shorten(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	cut := most
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}
