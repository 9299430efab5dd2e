package config

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/walrelay/walrelay/auth"
	"github.com/walrelay/walrelay/nearest"
)

// wantEntry says what an entry of `auth:` can be.
const wantEntry = "an entry is one of preset: NAME, cookie: NAME with decode, bearer: true with decode, forward: {url, cookies}, anonymous: {}"

// auth reads who says who the user is.
func (r *reader) auth(top *section) []auth.Entry {
	n := top.value("auth")
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		r.problem(nodePos(n), "auth", `must be a list of entries, each behind a "-", got %s`, kindName(n))
		return nil
	}
	var entries []auth.Entry
	for i, item := range n.Content {
		key := join("auth", itoa(i))
		item = r.follow(item)
		r.positions[key] = nodePos(item)
		switch {
		case r.rejected[item]:
		case isNull(item):
			r.problem(nodePos(item), key, "empty; %s", plain(wantEntry))
		default:
			if s := r.section(item, key, "auth.*", nodePos(item)); s != nil {
				entries = append(entries, r.authEntry(s))
			}
		}
	}
	r.checkOrder(entries)
	return entries
}

// follow is what an alias stands for.
func (r *reader) follow(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil && !r.rejected[n] {
		return n.Alias
	}
	return n
}

// authEntry reads one entry.
func (r *reader) authEntry(s *section) auth.Entry {
	e := auth.Entry{Key: s.key}
	switch {
	case s.has("forward"):
		s.only("forward")
		e.Forward = r.forward(s.section("forward"))
	case s.has("anonymous"):
		s.only("anonymous")
		e.Anonymous = r.anonymous(s.section("anonymous"))
	default:
		e.Session = r.session(s)
	}
	return e
}

// only takes a key that must stand alone in its entry.
func (s *section) only(name string) {
	for _, e := range s.entries {
		if e.name != name {
			e.used = true
			s.r.problem(nodePos(e.key), join(s.key, e.name), "has no place beside %s; put it into %s, or into an entry of its own", name, name)
		}
	}
}

// anonymous reads an entry for requests without a session.
func (r *reader) anonymous(s *section) *auth.AnonymousEntry {
	e := &auth.AnonymousEntry{}
	if n := s.value("claims"); n != nil {
		var claims map[string]any
		if err := n.Decode(&claims); err != nil || n.Kind != yaml.MappingNode {
			r.problem(nodePos(n), join(s.key, "claims"), "must hold claims by name, as in {role: anon}")
		} else if e.Claims, err = json.Marshal(claims); err != nil {
			r.problem(nodePos(n), join(s.key, "claims"), "cannot be written as JSON: use texts, numbers, true, false and lists")
		}
	}
	s.done()
	return e
}

// checkOrder notes entries that are never asked.
func (r *reader) checkOrder(entries []auth.Entry) {
	taken := map[string]string{}
	claim := func(e auth.Entry, key, what string) {
		if first, ok := taken[what]; ok {
			r.problem(r.place(key), key, "%s is that of %s already: the first entry whose cookie or header is there decides, so that this one would never be asked", what, first)
			return
		}
		taken[what] = e.Key
	}
	for i, e := range entries {
		switch {
		case e.Anonymous != nil && i < len(entries)-1:
			r.problem(r.place(e.Key), e.Key, "anonymous must be the last entry: it takes every request, so that those after it would never be asked")
		case e.Session != nil && e.Session.Bearer:
			claim(e, join(e.Key, "bearer"), "the Authorization header")
		case e.Session != nil:
			for _, name := range e.Session.Cookies {
				claim(e, join(e.Key, "cookie"), "the cookie "+name)
			}
		}
	}
}

// place is where a key, or the nearest section around it, stands in the file.
func (r *reader) place(key string) Pos { return placeOf(r.positions, key) }

// faulty reports whether a problem of the key, or of something in it, is noted.
func (r *reader) faulty(key string) bool {
	return slices.ContainsFunc(r.errs.Problems, func(p *Problem) bool { return p.Key == key || strings.HasPrefix(p.Key, key+".") })
}

// noted reports whether a problem of the key itself is noted.
func (r *reader) noted(key string) bool {
	return slices.ContainsFunc(r.errs.Problems, func(p *Problem) bool { return p.Key == key })
}

// complain notes a problem of a key that may not stand in the file; one that is noted
// already is enough.
func (r *reader) complain(key, format string, args ...any) {
	if !r.faulty(key) {
		r.problem(r.place(key), key, format, args...)
	}
}

// readMore takes a key with a single value or a list of at least one into dst.
func readMore[T any](s *section, name string, dst *[]T, parse func(scalar) (T, error)) {
	n := s.value(name)
	if n == nil {
		return
	}
	if n.Kind == yaml.ScalarNode {
		var one T
		if read(s, name, &one, parse); !s.r.faulty(join(s.key, name)) {
			*dst = []T{one}
		}
		return
	}
	readSome(s, name, dst, parse)
}

// readSome takes a key with a list of at least one into dst.
func readSome[T any](s *section, name string, dst *[]T, parse func(scalar) (T, error)) {
	if n := s.value(name); n != nil && n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		s.r.problem(nodePos(n), join(s.key, name), "the list is empty; give it a value or remove the key")
		return
	}
	readList(s, name, dst, parse)
}

var cookieForm = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

// cookieName is the full name of a cookie, with its prefix.
func cookieName(v scalar) (string, error) {
	if !cookieForm.MatchString(v.text) {
		return "", errors.New("is no name of a cookie: write it as the browser shows it, with its prefix")
	}
	return v.text, nil
}

// set is a switch that can only be on.
func set(v scalar) (bool, error) {
	if on, err := boolean(v); err != nil || !on {
		return false, errors.New("must be true; leave it out otherwise")
	}
	return true, nil
}

// oneOf is one of some words.
func oneOf(names []string) func(scalar) (string, error) {
	return func(v scalar) (string, error) {
		if slices.Contains(names, v.text) {
			return v.text, nil
		}
		return "", errors.New("must be one of " + strings.Join(names, ", ") + nearest.Suggest(v.text, names))
	}
}

// columnName is the name of a column, as the catalog has it.
func columnName(v scalar) (string, error) {
	s, err := text(v)
	if err == nil && strings.ContainsRune(s, 0) {
		err = errors.New("must not hold a NUL character")
	}
	return s, err
}

var envForm = regexp.MustCompile(`^env:[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// secretRefs takes references to secrets. What stands there instead of one may be a secret
// itself: no error quotes it.
func secretRefs(s *section, name string) []string {
	n := s.value(name)
	if n == nil {
		return nil
	}
	key := join(s.key, name)
	nodes := []*yaml.Node{n}
	switch {
	case n.Kind == yaml.SequenceNode && len(n.Content) == 0:
		s.r.problem(nodePos(n), key, "the list is empty; give it a value or remove the key")
		return nil
	case n.Kind == yaml.SequenceNode:
		nodes = n.Content
	case n.Kind != yaml.ScalarNode:
		s.r.problem(nodePos(n), key, "must be a list such as [env:NAME, file:PATH], got %s", kindName(n))
		return nil
	}
	var refs []string
	for i, node := range nodes {
		itemKey := key
		if n.Kind == yaml.SequenceNode {
			itemKey = join(key, itoa(i))
		}
		if ref, ok := s.r.secretRef(s.r.follow(node), itemKey); ok {
			refs = append(refs, ref)
		}
	}
	return refs
}

// secretRef reads one reference.
func (r *reader) secretRef(n *yaml.Node, key string) (ref string, ok bool) {
	r.positions[key] = nodePos(n)
	if r.rejected[n] {
		return "", false
	}
	v, ok := r.scalarOf(n, key)
	if !ok {
		return "", false
	}
	path, isFile := strings.CutPrefix(v.text, "file:")
	if envForm.MatchString(v.text) || isFile && path != "" {
		return v.text, true
	}
	r.problem(nodePos(n), key, "must be env:NAME or file:PATH: a secret does not stand in this file (what stands there is not shown)")
	return "", false
}
