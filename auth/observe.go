package auth

import (
	"errors"
	"time"

	"github.com/walrelay/walrelay/change"
)

// Learn takes in what the tables of the entries are, by schema.name, before the stream
// begins or goes on; nil for one that replication does not follow, which nobody would hear of.
// An error says which does not fit; its sessions are refused. The stream may be another
// server's than before, so look-ups ask anew where that is.
func (s *Sessions) Learn(tables map[string]*change.Relation) error {
	s.lookups.reset()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gaps++
	for _, rel := range tables {
		if rel != nil {
			s.relations[rel.OID] = rel
		}
	}
	var problems []error
	for i, src := range s.sources {
		if err := s.learnLocked(i, src, tables); err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// learnLocked rebinds one source and ends the sessions that are indexed by what is no more.
func (s *Sessions) learnLocked(i int, src *source, tables map[string]*change.Relation) error {
	changed, err := src.learn(tables)
	if err != nil || changed.store || changed.depends {
		s.gaps++ // what is being looked up would be indexed by what is no more
		s.endAll(i, endClaims, "table_changed")
	}
	return err
}

// endAll ends every session of a source. mu is held.
func (s *Sessions) endAll(i int, reason, cause string) {
	for one := range s.index.refs[ref{i, ofAll, tag{}}].all() {
		s.end(one, reason, cause)
	}
}

// Observe takes in a change of a table that an entry names, in commit order, before any
// reader of the event log can see that change or a later one. c dies when it returns. It
// never blocks on anything but memory.
func (s *Sessions) Observe(c *change.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Op == change.Truncate {
		for _, rel := range c.Truncated {
			s.truncated(c, rel)
		}
		return
	}
	s.relearn(c.Relation)
	var err error
	if s.after, s.before, err = c.Images(s.after, s.before); err != nil {
		s.unreadable(c, err)
		return
	}
	for i, src := range s.sources {
		if src.isStore(c.Relation) {
			s.storeChanged(i, src, c)
		}
		s.dependChanged(i, src, c)
	}
}

// relearn takes in a new version of a relation.
func (s *Sessions) relearn(rel *change.Relation) {
	if was := s.relations[rel.OID]; was == rel || was != nil && was.ID == rel.ID {
		return
	}
	s.relations[rel.OID] = rel
	for i, src := range s.sources {
		err := s.learnLocked(i, src, map[string]*change.Relation{rel.FullName(): rel})
		if err != nil {
			s.log.Error("a table of auth was altered: its sessions are refused until it fits again", "entry", src.key, "table", rel.FullName(), "cause", err)
		}
	}
}

// unreadable ends whatever a change may concern that cannot be read.
func (s *Sessions) unreadable(c *change.Change, err error) {
	s.log.Error("a change of a table of auth cannot be read: all sessions that it may concern end", "table", c.Relation.FullName(), "cause", err)
	for i, src := range s.sources {
		if src.names(c.Relation) {
			s.recent.note(ref{i, ofAll, tag{}}, c.Tx)
			s.endAll(i, endClaims, "unreadable")
		}
	}
}

func (s *Sessions) truncated(c *change.Change, rel *change.Relation) {
	for i, src := range s.sources {
		everybody := ref{i, ofAll, tag{}}
		if src.isStore(rel) {
			s.recent.note(everybody, c.Tx)
			for one := range s.index.refs[everybody].all() {
				s.revoke(one, c.Tx, "truncated")
			}
		} else if src.names(rel) {
			s.doubt(everybody, c.Tx)
		}
	}
}

// storeChanged applies a change of the store to the sessions of its row, see the table in
// docs/architecture.md. Only a row that has open sessions is read.
func (s *Sessions) storeChanged(i int, src *source, c *change.Change) {
	if c.Op == change.Insert {
		return // nobody can have been told of it
	}
	was, ok := src.identity(c.Relation, s.before)
	if !ok {
		s.recent.note(ref{i, ofAll, tag{}}, c.Tx)
		s.endAll(i, endClaims, "unreadable")
		return
	}
	at := ref{i, ofRow, s.tagOf("row", was)}
	s.recent.note(at, c.Tx)
	if c.Op == change.Delete {
		s.revokeRow(at, c.Tx, "deleted")
		return
	}
	if is, ok := src.identity(c.Relation, s.after); !ok || is != was {
		s.revokeRow(at, c.Tx, "moved")
		s.recent.note(ref{i, ofRow, s.tagOf("row", is)}, c.Tx)
		return
	}
	if sessions := s.index.refs[at]; sessions.len() > 0 {
		now, err := src.row(c.Relation, s.after)
		for one := range sessions.all() {
			s.rowChanged(one, c.Tx, now, err)
		}
	}
}

func (s *Sessions) revokeRow(at ref, tx change.Tx, cause string) {
	for one := range s.index.refs[at].all() {
		s.revoke(one, tx, cause)
	}
}

// revoke ends a session unless it was found later than that.
func (s *Sessions) revoke(one *Session, tx change.Tx, cause string) {
	if one.sees(tx.XID) {
		return
	}
	s.end(one, endSignedOut, cause)
	s.metrics.revoked(s.now().Sub(tx.At()))
}

// rowChanged compares a session with its row after an UPDATE.
func (s *Sessions) rowChanged(one *Session, tx change.Tx, now row, err error) {
	was := one.found.row
	switch {
	case one.sees(tx.XID):
	case err != nil:
		s.revoke(one, tx, "unreadable")
	case now.key == [32]byte{}: // not in the stream
		s.doubtOne(one, tx.XID)
	case !now.fits || now.key != was.key:
		s.revoke(one, tx, "moved")
	default:
		s.judge(one, tx, was.after(now), now)
	}
}

// judge carries out what an UPDATE means.
func (s *Sessions) judge(one *Session, tx change.Tx, v verdict, now row) {
	switch v {
	case departed:
		s.revoke(one, tx, "signed_out")
	case altered:
		s.doubtOne(one, tx.XID)
	default:
		s.postpone(one, tx, now.expires)
	}
}

// postpone takes in when a row's session ends now.
func (s *Sessions) postpone(one *Session, tx change.Tx, expires time.Time) {
	one.moved = moved{tx.XID, expires}
	one.rowExpires(expires)
	if one.late(s.now()) { // a way of signing out
		s.checkLate(one)
		return
	}
	s.wind(one)
}

// dependChanged puts the sessions in doubt whose claims a change may alter.
func (s *Sessions) dependChanged(i int, src *source, c *change.Change) {
	users, all := src.touched(c, s.after, s.before)
	for _, u := range users {
		s.doubt(ref{i, u.depend, s.tagOf("user", u.user)}, c.Tx)
	}
	if all {
		s.doubt(ref{i, ofAll, tag{}}, c.Tx)
	}
}

// doubt notes a change and has the sessions looked up again that it concerns.
func (s *Sessions) doubt(what ref, tx change.Tx) {
	s.recent.note(what, tx)
	for one := range s.index.refs[what].all() {
		if !one.sees(tx.XID) {
			s.doubtOne(one, tx.XID)
		}
	}
}
