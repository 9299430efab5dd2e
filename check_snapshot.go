package main

import (
	"slices"
	"strings"

	"github.com/walrelay/walrelay/filter"
	"github.com/walrelay/walrelay/replication"
)

// access is one way in which a row can be in a subscriber's view: all of its conditions
// hold.
type access struct {
	// columns have conditions that an index of Postgres can look up, those of personal
	// conditions first.
	columns []string
	// personal: a condition compares the row with the user or a parameter, so that what is
	// read differs between subscribers.
	personal bool
}

// mostAccesses bounds the ways that are looked at, as package filter bounds disjuncts.
const mostAccesses = 16

// accesses are the ways of a rule.
func accesses(n filter.Node) []access {
	switch n := n.(type) {
	case nil:
		return []access{{}}
	case *filter.Or:
		var all []access
		for _, t := range n.Terms {
			all = append(all, accesses(t)...)
		}
		return all
	case *filter.And:
		all := []access{{}}
		for _, t := range n.Terms {
			all = bothOf(all, accesses(t))
		}
		return all
	}
	row, bound := reads(n)
	a := access{personal: row && bound}
	if column := lookup(n); column != "" {
		a.columns = []string{column}
	}
	return []access{a}
}

// bothOf are the ways of a && b. Of too many it keeps those of a, which is less than there is
// to look up.
func bothOf(a, b []access) []access {
	if len(a)*len(b) > mostAccesses {
		return a
	}
	var all []access
	for _, x := range a {
		for _, y := range b {
			first, second := x, y
			if y.personal && !x.personal {
				first, second = y, x
			}
			all = append(all, access{columns: slices.Concat(first.columns, second.columns), personal: x.personal || y.personal})
		}
	}
	return all
}

// reads reports whether a condition reads the row, and the user or a parameter.
func reads(n filter.Node) (row, bound bool) {
	switch n := n.(type) {
	case *filter.Row:
		return true, false
	case *filter.User, *filter.Param:
		return false, true
	case *filter.Not:
		return reads(n.X)
	case *filter.Call:
		return reads(n.X)
	case *filter.Compare:
		return eitherReads(n.X, n.Y)
	case *filter.In:
		return eitherReads(n.X, n.Set)
	case *filter.And:
		return eitherReads(n.Terms...)
	case *filter.Or:
		return eitherReads(n.Terms...)
	}
	return false, false
}

func eitherReads(nodes ...filter.Node) (row, bound bool) {
	for _, n := range nodes {
		r, b := reads(n)
		row, bound = row || r, bound || b
	}
	return row, bound
}

// lookup is the column that a condition looks up by equality, else empty.
func lookup(n filter.Node) string {
	var x, y filter.Node
	switch n := n.(type) {
	case *filter.Compare:
		if n.Op != filter.Eq {
			return ""
		}
		x, y = n.X, n.Y
		if _, ok := x.(*filter.Row); !ok {
			x, y = y, x
		}
	case *filter.In:
		x, y = n.X, n.Set
	default:
		return ""
	}
	r, ok := x.(*filter.Row)
	if row, _ := reads(y); !ok || row || len(r.Path) > 0 {
		return ""
	}
	return r.Column
}

// accesses are the ways of the channel's whole rule.
func (v *channelView) accesses() []access {
	var where, allow filter.Node
	if v.c.Where != nil {
		where = v.c.Where.Node
	}
	if v.c.Allow.Expr != nil {
		allow = v.c.Allow.Expr.Node
	}
	return bothOf(accesses(where), accesses(allow))
}

// scans are the ways in which the table is read whole for each subscriber, and the columns
// on which an index would help.
func (v *channelView) scans() (scans bool, wanted []string) {
	for _, a := range v.accesses() {
		if !a.personal || slices.ContainsFunc(a.columns, func(c string) bool { return slices.Contains(v.shape.Leading, c) }) {
			continue
		}
		scans = true
		if len(a.columns) > 0 && !slices.Contains(wanted, a.columns[0]) {
			wanted = append(wanted, a.columns[0])
		}
	}
	return scans, wanted
}

// lookAtSnapshot: snapshots are read by an index, or every subscriber costs a look at the
// whole table.
func (v *channelView) lookAtSnapshot() {
	if v.c.Snapshot == nil || v.program == nil {
		return
	}
	scans, wanted := v.scans()
	switch {
	case v.program.ReadsWholeTable():
		v.warn(v.c.Key("snapshot"), "what the rule says of the row cannot be said in SQL: each snapshot reads all of %s and drops the rest", v.name())
	case !scans:
	case len(wanted) == 0:
		v.warn(v.c.Key("snapshot"), "nothing of the rule can be looked up in an index: the snapshot of each subscriber reads all of %s", v.name())
	default:
		fix := ""
		for _, column := range wanted {
			fix += " CREATE INDEX CONCURRENTLY ON " + quotedTable(v.c) + " (" + replication.QuoteIdent(column) + ");"
		}
		v.warn(v.c.Key("snapshot"), "no index of %s begins with %s: the snapshot of each subscriber reads the whole table; fix:%s", v.name(), strings.Join(wanted, " or "), fix)
	}
}

func (v *channelView) snapshotText() string {
	if v.program.ReadsWholeTable() {
		return "by reading the whole table"
	}
	if scans, _ := v.scans(); scans {
		return "by reading the whole table for each subscriber"
	}
	for _, a := range v.accesses() {
		if a.personal {
			return "by index"
		}
	}
	return "the same for all subscribers"
}
