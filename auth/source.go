package auth

import (
	"github.com/walrelay/walrelay/change"
)

// source is an entry that reads sessions, compiled. Safe for concurrent use.
type source struct {
	entry *SessionEntry
	// key is that of the Entry, for messages.
	key string
}

// newSource compiles an entry. env is os.LookupEnv but in tests. Errors name the key of
// the configuration and hold no secret.
func newSource(key string, e *SessionEntry, env func(string) (string, bool)) (*source, error) {
	return &source{entry: e, key: key}, nil
}

// learn binds the source to its tables, by schema.name, as the catalog or the stream has
// them; tables that are not in the map keep what was known of them. It reports what changed
// for sessions that are open. The error says what does not fit any more: until it does, no
// session of the source is accepted.
func (s *source) learn(tables map[string]*change.Relation) (rebound, error) { return rebound{}, nil }

// rebound says which of what sessions are indexed by has changed.
type rebound struct {
	// store: identities or watched columns of the store's table are others.
	store bool
	// depends: the spelling of users in a table of Depends may be another.
	depends bool
}

// isStore reports whether a relation is the source's store, by its OID or, before that is
// known, by its name.
func (s *source) isStore(rel *change.Relation) bool { return false }

// row projects a tuple of the store's table, see [row]. An error is a change of the table
// that learn has not heard of, or a value that cannot be read: the session must end.
func (s *source) row(rel *change.Relation, values []change.Value) (row, error) { return row{}, nil }

// identity is row.identity of a tuple, also of a key tuple; false: it does not carry it.
func (s *source) identity(rel *change.Relation, values []change.Value) (string, bool) {
	return "", false
}

// touched are the users whose claims a change of a table of Depends may alter: as many as
// Depends names the table, by its index there. all: it cannot be said whose.
func (s *source) touched(c *change.Change, after, before []change.Value) (users []touch, all bool) {
	return nil, false
}

// touch is a user as Depends[depend] spells it.
type touch struct {
	depend int
	user   string
}
