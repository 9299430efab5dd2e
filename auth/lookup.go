package auth

import (
	"context"
	"time"

	"github.com/walrelay/walrelay/change"
)

// question is what one look-up asks Postgres.
type question struct {
	// cookie is the name of the cookie.
	cookie string
	// key is the store key after its hash; nil of sources without store.
	key []byte
	// payload is that of cookies that hold an object; nil of those that are a key.
	payload map[string]any
	now     time.Time
}

// found is a session as one snapshot shows it. Immutable.
type found struct {
	// row is what the store's row says; nil of sources without store.
	row *row
	// user is the value of `user:` as text. Invariant: not empty.
	user string
	// session is what claims read as :session, a JSON object.
	session []byte
	// claims is a JSON object.
	claims []byte
	// dependUsers is user in the spelling of the key column of each of Depends.
	dependUsers []string
	// snapshot is what the transaction saw that read all this. Invariant: zero iff Postgres was not asked.
	snapshot change.Snapshot
	// gap is Sessions.gaps before it was asked, asked is when.
	gap   uint64
	asked time.Time
}

// row is what matters of a row of the store. The same row gives an equal one, whether it
// comes from a query or from the WAL.
type row struct {
	// identity are the values of the table's identity columns, joined without ambiguity.
	identity string
	// key is the SHA-256 of the key column's text.
	key [32]byte
	// fits: the conditions of `where:` are true.
	fits bool
	// expires is when the session ends; zero: not by time.
	expires time.Time
	// user is the value of `user:` as text; empty: nobody is signed in. Where the cookie says
	// who it is, not the row, it is inCookie, always the same.
	user string
	// watched is :session, a JSON object of user and watch, with its keys in order.
	watched string
	// partial: an unchanged TOAST value kept key, user or some of watched from being known;
	// watched is without what is not.
	partial bool
	// hidden: it kept the user from being known.
	hidden bool
}

// lookups reads sessions from Postgres. Safe for concurrent use.
type lookups interface {
	// lookup reads session and claims in one REPEATABLE READ READ ONLY transaction. Errors:
	// a refusal (the session is none; found has its row and snapshot if they were read),
	// *NotReadyError (the tables are not known yet, or do not fit any more), any other:
	// Postgres cannot be asked now. None has a value of the session in it.
	lookup(ctx context.Context, s *source, q question) (found, error)
	// snapshot is what is visible now.
	snapshot(ctx context.Context) (change.Snapshot, error)
	// reset has what is asked from now on ask the server that the URL leads to now. It does not
	// block.
	reset()
}
