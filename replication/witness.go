package replication

import (
	"fmt"
	"sync/atomic"

	"github.com/walrelay/walrelay/change"
)

// witness makes a server show that it has the log's past, as far as its slot was not
// confirmed: that the log's last transaction comes once more, and that no change comes
// which the log would have if it had been committed when the log passed its place.
// Neither timeline nor WAL end tell, when an older state of the cluster was restored and
// written to beyond the log's end, or when two standbys were promoted from the same place.
type witness struct {
	// tx is the transaction of the log's last change; zero where that is not known.
	tx change.Tx
	// complete: the log has every commit below it.
	complete change.LSN
	// confirmed is what the slot was confirmed up to when the stream began: nothing more
	// is confirmed while the witness is due.
	confirmed change.LSN
	// due: the server has not sent everything below complete yet.
	due atomic.Bool
	// seen: tx has been sent, or cannot be asked for. Of the receiver's goroutine.
	seen bool
}

// newWitness is that of a log that ends in tx (if known) and wal, for a slot that was
// confirmed up to a place.
func newWitness(tx change.Tx, known bool, wal, confirmed change.LSN) *witness {
	w := &witness{tx: tx, complete: wal, confirmed: confirmed, seen: !known || confirmed > tx.Commit}
	w.due.Store(!w.seen || confirmed < wal)
	return w
}

// begin looks at the transaction that the server sends. Empty transactions before the
// one that is due pass.
func (w *witness) begin(tx change.Tx) error {
	switch {
	case !w.due.Load() || !w.seen && tx.Commit < w.tx.Commit:
		return nil
	case !w.seen && tx != w.tx:
		return &contradictionError{log: w.tx, server: tx}
	}
	w.seen = true
	w.reached(tx.Commit)
	return nil
}

// behind reports that the log was complete behind the transaction before the stream began.
func (w *witness) behind(tx change.Tx) bool { return w.due.Load() && tx.Commit < w.complete }

// change looks at a change that the log does not have, of a table that it is complete of.
func (w *witness) change(tx change.Tx) error {
	if w.behind(tx) {
		return &contradictionError{log: w.tx, server: tx, complete: w.complete}
	}
	return nil
}

// reached: the server has sent all that was committed before end.
func (w *witness) reached(end change.LSN) {
	if w.seen && end >= w.complete {
		w.due.Store(false)
	}
}

// passed looks at the WAL end of a keepalive: the server has sent all that was committed
// before it. Servers since 15 send nothing of transactions that are empty for the
// publication, so no begin may ever follow.
func (w *witness) passed(end change.LSN) error {
	if w.due.Load() && !w.seen && end > w.tx.Commit {
		return &contradictionError{log: w.tx, passed: end}
	}
	w.reached(end)
	return nil
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
	// complete: the log has every commit below it, but not server.
	complete change.LSN
}

func (e *contradictionError) Error() string {
	if e.complete != 0 {
		return fmt.Sprintf("the event log has every transaction committed before %s, but not what the server sends, %s: an older state of the cluster was restored, or another standby promoted",
			e.complete, described(e.server))
	}
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
