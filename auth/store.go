package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/nearest"
)

// storeTable is the store's table with its columns found. Immutable but for canonical.
type storeTable struct {
	rel *change.Relation
	// Indices into the columns of rel; -1: there is none.
	identity      []int
	key           int
	expires, data int
	where         []int
	expiry        *expiry // nil without expires
	binary        bool    // the data is bytea
	user          field
	// elsewhere: the user is in the cookie, which no row can change.
	elsewhere bool
	// watched are what the claims may read: user, watch and the paths of claims, sorted.
	watched []field
	// canonical are the values of where as the columns spell them; nil: Postgres has not
	// been asked yet.
	canonical *atomic.Pointer[[]string]
	// broken says which columns do not fit: then rows cannot be projected.
	broken error
	// renamed: look-ups by the configured name would not find it.
	renamed error
}

// field is a value by its name in the configuration: a column, or a path in the payload.
type field struct {
	name   string
	column int // -1: a path
}

// learnStore binds to the store's table.
func (s *source) learnStore(b, was *binding, tables map[string]*change.Relation, r *rebound) error {
	e := s.entry.Store
	if e == nil {
		return nil
	}
	var before *change.Relation
	if was.store != nil {
		before = was.store.rel
	}
	rel, renamed := find(tables, e.Schema, e.Table, before)
	if rel == nil {
		b.store = was.store
		if err := unfollowed(tables, e.Schema, e.Table, s.key+".store.table"); err != nil && was.store != nil {
			st := *was.store
			st.broken, b.store = err, &st
		}
		return b.store.problem()
	}
	st := s.bindStore(rel)
	if renamed {
		st.renamed = renamedTable(rel, e.Schema, e.Table, s.key+".store.table")
	}
	if was.store != nil {
		r.store = !was.store.same(st)
		if slices.EqualFunc(was.store.where, st.where, func(i, j int) bool { return i >= 0 && j >= 0 && sameColumn(before, i, rel, j) }) {
			st.canonical = was.store.canonical
		}
	}
	b.store = st
	return st.problem()
}

// problem is why nothing can be looked up.
func (t *storeTable) problem() error {
	if t == nil {
		return nil
	}
	return errors.Join(t.broken, t.renamed)
}

// same reports whether sessions found by the one are found by the other.
func (t *storeTable) same(o *storeTable) bool {
	column := func(i, j int) bool { return i < 0 && j < 0 || i >= 0 && j >= 0 && sameColumn(t.rel, i, o.rel, j) }
	return t.rel.OID == o.rel.OID && (t.broken == nil) == (o.broken == nil) && slices.EqualFunc(t.identity, o.identity, column) && column(t.key, o.key) &&
		column(t.expires, o.expires) && column(t.data, o.data) && slices.EqualFunc(t.where, o.where, column) &&
		slices.EqualFunc(t.watched, o.watched, func(f, g field) bool { return f.name == g.name && column(f.column, g.column) })
}

func sameColumn(a *change.Relation, i int, b *change.Relation, j int) bool {
	return a.Columns[i].Name == b.Columns[j].Name && a.Columns[i].Type.OID == b.Columns[j].Type.OID
}

// storeBinder collects what does not fit while columns are looked up.
type storeBinder struct {
	source   *source
	rel      *change.Relation
	problems []error
}

// column finds a column of which key of the configuration tells.
func (b *storeBinder) column(name, key string) int {
	i := b.rel.Column(name)
	if i < 0 {
		b.problems = append(b.problems, noColumn(b.rel, name, b.source.key+key))
	}
	return i
}

func noColumn(rel *change.Relation, name, key string) error {
	names := make([]string, len(rel.Columns))
	for i := range rel.Columns {
		names[i] = rel.Columns[i].Name
	}
	return fmt.Errorf("table %s has no column %q (%s) that is published%s", rel.FullName(), name, key, nearest.Suggest(name, names))
}

// bindStore finds the columns of the store in its table.
func (s *source) bindStore(rel *change.Relation) *storeTable {
	e := s.entry.Store
	b := &storeBinder{source: s, rel: rel}
	t := &storeTable{rel: rel, key: b.column(e.Key, ".store.key"), expires: -1, data: -1, canonical: new(atomic.Pointer[[]string])}
	for _, w := range e.Where {
		t.where = append(t.where, b.column(w.Column, ".store.where."+w.Column))
	}
	if e.Expires != nil {
		b.expires(t, e.Expires)
	}
	if e.Data != nil {
		t.data = b.column(e.Data.Column, ".store.data")
		t.binary = t.data >= 0 && rel.Columns[t.data].Type.BaseName() == "bytea"
	}
	b.fields(t)
	if t.key >= 0 {
		t.identity = identityColumns(rel, t.key)
	}
	if len(t.identity) == 0 && t.key >= 0 {
		b.problems = append(b.problems, fmt.Errorf("table %s (%s.store.table) has no replica identity, so that a logout would not be seen: ALTER TABLE %s ADD PRIMARY KEY (…); or ALTER TABLE %[3]s REPLICA IDENTITY FULL;",
			rel.FullName(), s.key, quotedTable(rel.Schema, rel.Name)))
	}
	t.broken = errors.Join(b.problems...)
	return t
}

func (b *storeBinder) expires(t *storeTable, e *Expires) {
	i := b.column(e.Column, ".store.expires")
	if i < 0 {
		return
	}
	x, err := newExpiry(e, b.rel.Columns[i].Type, b.source.location)
	if err != nil {
		b.problems = append(b.problems, fmt.Errorf("table %s column %q (%s.store.expires): %w", b.rel.FullName(), e.Column, b.source.key, err))
		return
	}
	t.expires, t.expiry = i, x
}

// fields finds user, watch and what claims are made of: a column where one has the whole
// name, else a path in the payload.
func (b *storeBinder) fields(t *storeTable) {
	e := b.source.entry
	add := func(name, key string) field {
		f := field{name: name, column: b.rel.Column(name)}
		if f.column < 0 && e.Store.Data == nil && e.From == "" {
			b.problems = append(b.problems, noColumn(b.rel, name, b.source.key+key))
		}
		if !slices.ContainsFunc(t.watched, func(o field) bool { return o.name == name }) {
			t.watched = append(t.watched, f)
		}
		return f
	}
	t.user = add(e.User, ".user")
	t.elsewhere = t.user.column < 0 && e.Store.Data == nil
	for _, name := range e.Store.Watch {
		add(name, ".store.watch")
	}
	for claim, name := range e.Claims.Paths {
		add(name, ".claims."+claim)
	}
	slices.SortFunc(t.watched, func(f, g field) int { return strings.Compare(f.name, g.name) })
}
