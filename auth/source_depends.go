package auth

import (
	"errors"
	"fmt"

	"github.com/walrelay/walrelay/change"
)

// dependTable is a table of Depends with its key found. Immutable.
type dependTable struct {
	rel *change.Relation
	key int // -1: there is no such column
	err error
}

// learnDepend binds to the table of Depends[i].
func (s *source) learnDepend(b, was *binding, i int, tables map[string]*change.Relation, r *rebound) error {
	d := s.entry.Depends[i]
	var before *change.Relation
	if was.depends[i] != nil {
		before = was.depends[i].rel
	}
	rel, renamed := find(tables, d.Schema, d.Table, before)
	key := fmt.Sprintf("%s.depends.%d", s.key, i)
	if rel == nil {
		if was.depends[i] == nil {
			return nil
		}
		t := *was.depends[i]
		if err := unfollowed(tables, d.Schema, d.Table, key+".table"); err != nil {
			t.err = err
		}
		b.depends[i] = &t
		return t.err
	}
	t := &dependTable{rel: rel, key: rel.Column(d.Key)}
	if t.key < 0 {
		t.err = noColumn(rel, d.Key, key+".key")
	}
	if renamed {
		t.err = errors.Join(t.err, renamedTable(rel, d.Schema, d.Table, key+".table"))
	}
	if o := was.depends[i]; o != nil && (o.rel.OID != rel.OID || o.key < 0 || t.key < 0 || !sameColumn(o.rel, o.key, rel, t.key)) {
		r.depends = true
	}
	b.depends[i] = t
	return t.err
}

// touched are the users whose claims a change of a table of Depends may alter: as many as
// Depends names the table, by its index there. all: it cannot be said whose.
func (s *source) touched(c *change.Change, after, before []change.Value) (users []touch, all bool) {
	b := s.bound.Load()
	if c.Op == change.Truncate {
		for _, rel := range c.Truncated {
			for i := range b.depends {
				all = all || s.isDepend(b, i, rel)
			}
		}
		return nil, all
	}
	if c.Relation == nil {
		return nil, false
	}
	for i := range b.depends {
		if !s.isDepend(b, i, c.Relation) {
			continue
		}
		t := b.depends[i]
		if t == nil || t.key < 0 || t.rel.ID != c.Relation.ID {
			return nil, true
		}
		var lost bool
		if users, lost = t.touch(users, i, c.Op, after, before); lost {
			all = true
		}
	}
	return users, all
}

// isDepend reports whether a relation is the table of Depends[i].
func (s *source) isDepend(b *binding, i int, rel *change.Relation) bool {
	if t := b.depends[i]; t != nil && t.rel.OID == rel.OID {
		return true
	}
	d := s.entry.Depends[i]
	return d.Schema == rel.Schema && d.Table == rel.Name
}

// touch adds the users that the images of a row name, each once. lost: there may be one that
// they do not name.
func (t *dependTable) touch(users []touch, depend int, op change.Op, after, before []change.Value) (out []touch, lost bool) {
	if op == change.Insert || op == change.Update {
		users, lost = t.add(users, depend, after)
	}
	if op == change.Update || op == change.Delete {
		n := len(users)
		var unnamed bool
		users, unnamed = t.add(users, depend, before)
		lost = lost || unnamed
		if op == change.Update && len(users) == n+1 && n > 0 && users[n-1] == users[n] {
			users = users[:n]
		}
	}
	return users, lost
}

// add adds the user of one image.
func (t *dependTable) add(users []touch, depend int, image []change.Value) (out []touch, lost bool) {
	if t.key >= len(image) {
		return users, true
	}
	switch v := image[t.key]; v.Kind {
	case change.Text:
		return append(users, touch{depend: depend, user: spelling(t.rel.Columns[t.key].Type, string(v.Text))}), false
	case change.Null:
		return users, false
	}
	return users, true
}

// touch is a user as Depends[depend] spells it.
type touch struct {
	depend int
	user   string
}
