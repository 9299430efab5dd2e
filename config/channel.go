package config

import (
	"errors"
	"fmt"
	"slices"

	"gopkg.in/yaml.v3"
)

// channels reads the section of that name.
func (r *reader) channels(top *section) []Channel {
	top.require("channels", "a channel is what a page subscribes to; config.example.yaml has some")
	s := top.section("channels")
	if s == nil || !top.has("channels") {
		return nil
	}
	if len(s.entries) == 0 {
		r.problem(s.pos, s.key, "no channels; there would be nothing to subscribe to")
		return nil
	}
	var channels []Channel
	for _, e := range s.entries {
		e.used = true
		b := &builder{r: r, name: e.name, key: e.key}
		channels = append(channels, b.channel(e.value))
		r.noOverlap(channels, s.entries)
	}
	return channels
}

// noOverlap notes the first channel that matches a name of the last one.
func (r *reader) noOverlap(channels []Channel, entries []*entry) {
	last := len(channels) - 1
	for i := range last {
		a, b := channels[i].Pattern, channels[last].Pattern
		if a == nil || b == nil {
			continue
		}
		if example, ok := overlap(a, b); ok {
			r.problem(nodePos(entries[last].key), channels[last].Key(),
				"matches the same names as %q in line %d, for example %q; rename one of them",
				channels[i].Name, entries[i].key.Line, example)
			return
		}
	}
}

// builder reads one channel.
type builder struct {
	r    *reader
	name string
	key  *yaml.Node
	c    Channel
	// unread: a rule has a problem, so that nothing is known of what it compares.
	unread bool
}

func (b *builder) channel(n *yaml.Node) Channel {
	b.c = Channel{Name: b.name}
	key := b.c.Key()
	b.r.positions[key] = nodePos(b.key)
	b.pattern()
	switch {
	case b.r.rejected[n]:
		return b.c
	case isNull(n):
		b.r.problem(nodePos(b.key), key, "empty; a channel needs a table, columns and allow")
		return b.c
	}
	s := b.r.section(n, key, "channels.*", nodePos(b.key))
	b.table(s)
	b.columns(s)
	b.where(s)
	b.allow(s)
	b.params(s.section("params"))
	read(s, "identity", &b.c.Loose, looseness)
	b.snapshot(s)
	read(s, "compress", &b.c.Compress, boolean)
	b.json(s.section("json"))
	s.done()
	b.checkUsers()
	b.checkParams()
	return b.c
}

// pattern reads the channel's name.
func (b *builder) pattern() {
	var err error
	b.c.Pattern, err = parsePattern(b.name)
	var e *placedError
	if errors.As(err, &e) {
		b.r.problem(b.r.src.within(b.key, e.at), b.c.Key(), "%s", e)
	}
}

func (b *builder) table(s *section) {
	s.require("table", "a channel shows one table: table: schema.name")
	v, ok := s.scalar("table")
	if !ok {
		return
	}
	var err error
	if b.c.Schema, b.c.Table, err = splitName(v.text); err != nil {
		v.problem(err)
	}
}

const wantColumns = `name the columns to send, as in columns: [id, status], or write columns: "*" for all, also those added later`

func (b *builder) columns(s *section) {
	n := s.value("columns")
	if n == nil {
		b.c.AllColumns = !s.has("columns")
		return
	}
	key := b.c.Key("columns")
	switch {
	case n.Kind == yaml.ScalarNode && n.Value == "*":
		b.c.AllColumns = true
		return
	case n.Kind != yaml.SequenceNode:
		b.r.problem(nodePos(n), key, "%s, got %s", plain(wantColumns), kindName(n))
		return
	case len(n.Content) == 0:
		b.r.problem(nodePos(n), key, "the list is empty; %s", plain(wantColumns))
		return
	}
	for _, v := range b.r.items(n, key) {
		b.column(v)
	}
}

func (b *builder) column(v scalar) {
	name, err := text(v)
	switch {
	case err != nil:
		v.problem(err)
	case name == "*":
		v.problem(errors.New(`all columns are written columns: "*", without a list`))
	default:
		if slices.Contains(b.c.Columns, name) {
			v.problem(errors.New("the column is in the list already"))
			return
		}
		b.c.Columns = append(b.c.Columns, name)
	}
}

func looseness(v scalar) (loose bool, err error) {
	switch v.text {
	case "strict":
		return false, nil
	case "loose":
		return true, nil
	}
	return false, errors.New("must be strict or loose")
}

// defaultMaxRows and mostMaxRows bound what a snapshot may send.
const (
	defaultMaxRows = 10_000
	mostMaxRows    = 1_000_000
)

func (b *builder) snapshot(parent *section) {
	s := parent.section("snapshot")
	if s == nil || !parent.has("snapshot") {
		return
	}
	b.c.Snapshot = &Snapshot{MaxRows: defaultMaxRows}
	read(s, "max_rows", &b.c.Snapshot.MaxRows, rowCount)
	s.done()
}

func rowCount(v scalar) (int, error) {
	n, err := count(v)
	if err != nil {
		return 0, err
	}
	if n > mostMaxRows {
		return 0, fmt.Errorf("must be at most %d", mostMaxRows)
	}
	return n, nil
}

func (b *builder) json(s *section) {
	read(s, "bigint", &b.c.JSON.Bigint, numberStyle)
	read(s, "numeric", &b.c.JSON.Numeric, numberStyle)
	s.done()
}

func numberStyle(v scalar) (NumberStyle, error) {
	switch v.text {
	case "number":
		return AsNumber, nil
	case "string":
		return AsString, nil
	}
	return 0, errors.New("must be number or string")
}
