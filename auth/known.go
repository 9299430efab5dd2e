package auth

import "github.com/walrelay/walrelay/change"

// known is what a session keeps of what was found.
type known struct {
	// row is what the store's row says; nil of sources without store.
	row *row
	// snapshot is that of the look-up.
	snapshot change.Snapshot
	// print stands for user, session and claims.
	print tag
}

// keep is what is kept of what was found.
func (s *Sessions) keep(f found) known {
	return known{row: f.row, snapshot: f.snapshot, print: s.tagOf("found", f.user, string(f.session), string(f.claims))}
}

// same reports whether another look-up has found what was known.
func (k known) same(is known) bool {
	same := k.print == is.print
	if k.row != nil {
		same = same && is.row != nil && k.row.identity == is.row.identity && k.row.key == is.row.key
	}
	return same
}
