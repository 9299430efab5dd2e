package replication

import (
	"github.com/walrelay/walrelay/change"
)

// role is what becomes of the changes of a table.
type role struct {
	// logged: the event log gets them. Else they only take their index.
	logged bool
	// watched: the watcher gets them.
	watched bool
	// since: the log lacks changes of transactions that committed before; 0: none.
	since change.LSN
}

// roles are those of a session's tables.
type roles struct {
	byOID  map[uint32]role
	byName map[string]role
}

// newRoles assigns them. tables are as the preflight found them, by schema.name; since is
// Log.Since.
func newRoles(specs []TableSpec, tables map[string]*Table, since func(table string) change.LSN) *roles {
	r := &roles{byOID: map[uint32]role{}, byName: map[string]role{}}
	for _, spec := range specs {
		name := spec.fullName()
		one := role{logged: !spec.Private, watched: spec.Watched}
		if one.logged {
			one.since = since(name)
		}
		if same, ok := r.byName[name]; ok { // two names are one when dots stand in them
			one.logged, one.watched = one.logged && same.logged, one.watched || same.watched
		}
		r.byName[name] = one
		if t := tables[name]; t != nil {
			r.byOID[t.OID] = one
		}
	}
	return r
}

// of is the role of a relation that the stream announces. It may be called otherwise than
// when the preflight looked: then or later it was renamed, or made anew, so both OID and name
// count, and what one of them keeps from the log is kept from it. So is what the target does
// not name at all: it may have named it before.
func (r *roles) of(rel *change.Relation) role {
	byOID, known := r.byOID[rel.OID]
	byName, named := r.byName[rel.FullName()]
	return role{
		logged:  (known || named) && (!known || byOID.logged) && (!named || byName.logged),
		watched: byOID.watched || byName.watched,
		since:   max(byOID.since, byName.since),
	}
}
