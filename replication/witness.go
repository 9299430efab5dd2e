package replication

import (
	"fmt"
	"sync/atomic"

	"github.com/walrelay/walrelay/change"
)

// witness is the transaction of the log's last change, which Postgres is made to send
// once more: a server that sends another one in its place, or none, has another past
// than the log. Neither timeline nor WAL end tell, when an older state of the cluster
// was restored and written to beyond the log's end, or when two standbys were promoted
// from the same place.
//
// It can only be asked for while the slot is confirmed before it, as it is in an older
// state: nobody has confirmed more there than the server had when it was copied.
type witness struct {
	tx change.Tx
	// confirmed is what the slot was confirmed up to when the stream began: nothing more
	// is confirmed while the transaction is due.
	confirmed change.LSN
	// due: it has not been sent yet. WAL ends below it that come meanwhile prove nothing.
	due atomic.Bool
}

// begin looks at the transaction that the server sends. Empty transactions before the
// one that is due pass.
func (w *witness) begin(tx change.Tx) error {
	if !w.due.Load() || tx.Commit < w.tx.Commit {
		return nil
	}
	if tx != w.tx {
		return &contradictionError{log: w.tx, server: tx}
	}
	w.due.Store(false)
	return nil
}

// passed looks at the WAL end of a keepalive: the server has sent all that was committed
// before it. Servers since 15 send nothing of transactions that are empty for the
// publication, so no begin may ever follow.
func (w *witness) passed(end change.LSN) error {
	if !w.due.Load() || end <= w.tx.Commit {
		return nil
	}
	return &contradictionError{log: w.tx, passed: end}
}

// allows is how much of what the log has on disk may be confirmed.
func (w *witness) allows(durable change.LSN) change.LSN {
	if w.due.Load() {
		return min(w.confirmed, durable)
	}
	return durable
}

// contradictionError: the server has another past than the log.
type contradictionError struct {
	log    change.Tx
	server change.Tx  // sent where log was due; zero: none was
	passed change.LSN // what the server had sent everything up to, where none was
}

func (e *contradictionError) Error() string {
	sends := fmt.Sprintf("it sends %s", described(e.server))
	if e.server == (change.Tx{}) {
		sends = fmt.Sprintf("it has sent all up to %s", e.passed)
	}
	return fmt.Sprintf("the event log ends in %s, which the server does not have: %s: an older state of the cluster was restored, or another standby promoted",
		described(e.log), sends)
}

func described(tx change.Tx) string {
	return fmt.Sprintf("transaction %d, committed at %s, %s", tx.XID, tx.Commit, tx.At().Format("2006-01-02 15:04:05.000000Z07"))
}
