package replication

import (
	"encoding/binary"
	"fmt"

	"github.com/walrelay/walrelay/change"
)

// Watcher sees changes before everybody else.
type Watcher interface {
	// Observe is called for every INSERT, UPDATE, DELETE and TRUNCATE of the tables that are
	// Watched, in commit order, by one goroutine at a time, before the change itself or any
	// later one is given to Log.Append. Nothing of a transaction that takes less than 128 KiB
	// there is, before Observe was called for all of it. After a reconnect it is called again
	// for changes that Postgres sends again, whether the log has them or not.
	//
	// c is as received: values of any size, Truncated without the tables that are not
	// watched. It dies when Observe returns. The receiver waits for that, so it must not
	// block.
	Observe(c *change.Change)
}

// nobody watches.
type nobody struct{}

func (nobody) Observe(*change.Change) {}

// follow tells that changes may have been missed, if so, when the stream is about to begin.
func (s *Source) follow(tables []TableSpec) {
	following := map[string]bool{}
	for _, spec := range tables {
		if spec.Watched {
			following[spec.fullName()] = true
			s.missed = s.missed || !s.following[spec.fullName()]
		}
	}
	s.following = following
	if s.missed {
		s.o.OnMissed()
	}
	s.missed = false
}

// observe tells the watcher of a row.
func (r *receiver) observe(op change.Op, rel *change.Relation, payload []byte, at change.Position) error {
	c := &r.watched
	*c = change.Change{Tx: r.tx, Position: at, Op: op, Relation: rel, Truncated: c.Truncated[:0]}
	if err := c.Split(payload); err != nil {
		return fmt.Errorf("%s of %s at %s: %w", op, rel.FullName(), at, err)
	}
	r.watcher.Observe(c)
	return nil
}

// observeTruncate tells the watcher of a TRUNCATE. oids are the relations of the message,
// all of which are known.
func (r *receiver) observeTruncate(oids []byte, cascade, restart bool, at change.Position) {
	c := &r.watched
	*c = change.Change{Tx: r.tx, Position: at, Op: change.Truncate, Truncated: c.Truncated[:0], Cascade: cascade, RestartIdentity: restart}
	for ; len(oids) >= 4; oids = oids[4:] {
		if rel := r.relations.byOID[binary.BigEndian.Uint32(oids)]; rel.watched {
			c.Truncated = append(c.Truncated, rel.Relation)
		}
	}
	if len(c.Truncated) > 0 {
		r.watcher.Observe(c)
	}
}
