package filter

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/walrelay/walrelay/change"
)

// Layout places the columns that a program reads in one version of its relation.
// Immutable.
type Layout struct {
	// places by slot of the program.
	places []place
	// read are the indices in the relation of all columns that the program reads.
	read []int
}

// place is where a slot's value comes from in one version of the relation.
type place struct {
	how how
	// class is that of the slot, of an array that of its elements.
	class Class
	// index is that of the column in the relation, for a path or a lower() the slot it is
	// made from.
	index int
	typ   *change.Type
}

// how says how a slot is filled.
type how uint8

const (
	howDecode how = iota + 1 // decode the column
	howNumber                // the column's text, if it is a number
	howText                  // the column's text as it is
	howArray
	howPath
	howLower
)

// For finds the columns in a version of the relation. The error says in words why rows
// of that version cannot be judged: a column is gone or of another class.
func (p *Program) For(rel *change.Relation) (*Layout, error) {
	l := &Layout{places: make([]place, len(p.slots))}
	for i := range p.slots {
		switch s := &p.slots[i]; s.kind {
		case slotPath:
			l.places[i] = place{how: howPath, index: s.base}
		case slotLower:
			l.places[i] = place{how: howLower, index: s.base}
		default:
			at, err := p.place(rel, s)
			if err != nil {
				return nil, err
			}
			l.places[i] = at
			l.read = append(l.read, at.index)
		}
	}
	return l, nil
}

func (p *Program) place(rel *change.Relation, s *slot) (place, error) {
	want := &p.table.Columns[s.column]
	i := rel.Column(want.Name)
	if i < 0 {
		return place{}, fmt.Errorf("%s has no column %q any more", rel.FullName(), want.Name)
	}
	is := rel.Columns[i].Type
	typ := typeOf(is)
	switch {
	case typ.Class != s.typ.Class || typ.List != s.typ.List:
		return place{}, fmt.Errorf("column %q of %s was %s and is %s now, which compares in another way",
			want.Name, rel.FullName(), s.typ.Name, typ.Name)
	case isCitext(is) && !want.Loose && p.strict[s.column]:
		return place{}, fmt.Errorf("column %q of %s is %s now, which cannot be judged under ! or !=", want.Name, rel.FullName(), typ.Name)
	}
	if label, gone := p.labelGone(s, &typ); gone {
		return place{}, fmt.Errorf("column %q of %s is %s, which has no label %q but others that are new", want.Name, rel.FullName(), typ.Name, label)
	}
	switch {
	case typ.List:
		return place{how: howArray, class: typ.Class, index: i, typ: is}, nil
	case typ.Class == ClassNumber:
		return place{how: howNumber, index: i}, nil
	case typ.Class == ClassOpaque, typ.Class == ClassJSON, typ.Class == ClassEnum, typ.Class == ClassText && !isPadded(is.BaseName()):
		return place{how: howText, index: i}, nil
	}
	return place{how: howDecode, class: typ.Class, index: i, typ: is}, nil
}

// labelGone finds a label of the rule that the enum does not have while it has one that
// it had not when the rule was checked: that is how a rename looks, and a rule that says != would show
// those rows. A label that was only added is no reason to doubt.
func (p *Program) labelGone(s *slot, typ *Type) (label string, gone bool) {
	added := slices.ContainsFunc(typ.Labels, func(label string) bool { return !slices.Contains(s.typ.Labels, label) })
	for _, label := range p.labels[s.column] {
		if added && !slices.Contains(typ.Labels, label) {
			return label, true
		}
	}
	return "", false
}

// isCitext: upper and lower case are equal in the type.
func isCitext(t *change.Type) bool {
	if t.Kind == change.KindArray && t.Elem != nil {
		t = t.Elem
	}
	name := t.BaseName()
	return name[strings.LastIndexByte(name, '.')+1:] == "citext"
}

// Differ reports whether a column that the program reads differs between two images of
// a row, or is not known in one of them. When it is false both have the same verdict.
func (l *Layout) Differ(a, b []change.Value) bool {
	for _, i := range l.read {
		if i >= len(a) || i >= len(b) || !same(&a[i], &b[i]) {
			return true
		}
	}
	return false
}

func same(a, b *change.Value) bool {
	switch {
	case a.Kind != b.Kind:
		return false
	case a.Kind == change.Text:
		return bytes.Equal(a.Text, b.Text)
	}
	return a.Kind == change.Null
}

// Blind reports whether a column that the program reads was left out of the image because
// the row was too large.
func (l *Layout) Blind(row []change.Value) bool {
	for _, i := range l.read {
		if i < len(row) && row[i].Kind == change.Omitted {
			return true
		}
	}
	return false
}

// Columns are the indices in the relation of the columns that the program reads.
func (l *Layout) Columns() []int { return slices.Clone(l.read) }
