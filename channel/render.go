package channel

import (
	"bytes"
	"fmt"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/filter"
)

// plan is a rule applied to one version of its relation: which columns to send
// and to compare, with everything prepared that does not depend on the row.
type plan struct {
	rule    *Rule
	columns []planColumn
	key     []planColumn
	layout  *filter.Layout
	// broken says why nothing can be delivered: fail closed. Empty when all is well.
	broken string
}

type planColumn struct {
	index int
	name  []byte // `"name":`, JSON-quoted
	typ   *change.Type
}

func newPlan(r *Rule, rel *change.Relation) *plan {
	p := &plan{rule: r}
	wanted := map[string]bool{}
	for _, c := range r.Columns {
		wanted[c] = true
	}
	inKey := map[int]bool{}
	for _, i := range rel.Key {
		inKey[i] = true
		p.key = append(p.key, newPlanColumn(rel, i))
	}
	for i := range rel.Columns {
		if r.Columns == nil || wanted[rel.Columns[i].Name] || inKey[i] {
			p.columns = append(p.columns, newPlanColumn(rel, i))
		}
	}
	if len(p.key) == 0 { // no primary key: the row is its own key, see docs/guarantees.md
		p.key = p.columns
	}
	p.layout, p.broken = layout(r, rel)
	return p
}

func newPlanColumn(rel *change.Relation, i int) planColumn {
	c := &rel.Columns[i]
	return planColumn{index: i, name: append(change.AppendJSONString(nil, []byte(c.Name)), ':'), typ: c.Type}
}

// layout places the columns that the rule reads, or says why the rule cannot judge rows
// of this version of the relation.
func layout(r *Rule, rel *change.Relation) (l *filter.Layout, broken string) {
	l, err := r.Program.For(rel)
	if err != nil {
		return nil, err.Error()
	}
	for _, i := range rel.Key {
		if c := &rel.Columns[i]; !c.Identity {
			return nil, fmt.Sprintf("the replica identity of %s does not carry column %q of the primary key any more, so it cannot be told which row was deleted", rel.FullName(), c.Name)
		}
	}
	if r.Loose {
		return l, ""
	}
	for _, i := range l.Columns() {
		if c := &rel.Columns[i]; !c.Identity {
			return nil, fmt.Sprintf("the replica identity of %s does not carry column %q any more, so a row that leaves the channel cannot be told", rel.FullName(), c.Name)
		}
	}
	return l, ""
}

// sameKey reports whether both images name the same row.
func (p *plan) sameKey(a, b []change.Value) bool {
	for i := range p.key {
		k := p.key[i].index
		if a[k].Kind == change.Text && b[k].Kind == change.Text && !bytes.Equal(a[k].Text, b[k].Text) {
			return false
		}
		if (a[k].Kind == change.Null) != (b[k].Kind == change.Null) && known(a[k]) && known(b[k]) {
			return false
		}
	}
	return true
}

func known(v change.Value) bool { return v.Kind == change.Text || v.Kind == change.Null }

// appendKey appends ,"key":{…}.
func (p *plan) appendKey(dst []byte, row []change.Value) []byte {
	dst = append(dst, `,"key":`...)
	dst, _ = p.appendObject(dst, p.key, row)
	return dst
}

// appendRow appends ,"row":{…} and names what the WAL did not carry under absent
// ("unchanged" when the client has it, "missing" when it may not).
func (p *plan) appendRow(dst []byte, row []change.Value, absent string) []byte {
	dst = append(dst, `,"row":`...)
	dst, gaps := p.appendObject(dst, p.columns, row)
	if !gaps {
		return dst
	}
	dst = append(dst, `,"`...)
	dst = append(dst, absent...)
	dst = append(dst, `":[`...)
	sep := false
	for i := range p.columns {
		c := &p.columns[i]
		if known(row[c.index]) {
			continue
		}
		if sep {
			dst = append(dst, ',')
		}
		sep = true
		dst = append(dst, c.name[:len(c.name)-1]...)
	}
	return append(dst, ']')
}

// appendObject appends the columns that are known; gaps tells that some were not.
func (p *plan) appendObject(dst []byte, columns []planColumn, row []change.Value) (out []byte, gaps bool) {
	dst = append(dst, '{')
	sep := false
	for i := range columns {
		c := &columns[i]
		v := row[c.index]
		if !known(v) {
			gaps = true
			continue
		}
		if sep {
			dst = append(dst, ',')
		}
		sep = true
		dst = append(dst, c.name...)
		if v.Kind == change.Null {
			dst = append(dst, "null"...)
		} else {
			dst = c.typ.AppendJSONStyle(dst, v.Text, p.rule.Style)
		}
	}
	return append(dst, '}'), gaps
}
