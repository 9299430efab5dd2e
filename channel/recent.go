package channel

import (
	"context"
	"slices"
	"sync"

	"github.com/walrelay/walrelay/change"
)

// stuckWindow is how far behind the log's head, in bytes of WAL, a transaction is looked
// for that is in the log and that others do not see yet.
const stuckWindow = 64 << 20

// recent knows the transactions that were logged last. It reads the log when somebody asks,
// each stretch once. Safe for concurrent use.
type recent struct {
	events Log

	mu sync.Mutex
	// at is the position up to which the log was read, in a generation.
	at         change.Position
	generation uint32
	txs        []loggedTx // in the order of the log
}

type loggedTx struct {
	commit change.LSN
	xid    uint32
}

// firstHidden is a position before the first transaction up to logged that is not visible, nil when
// there is none. A commit that waits for a synchronous standby is decoded and logged while others take it for
// one in progress, or do not know its id.
func (r *recent) firstHidden(ctx context.Context, visible *Visibility, logged change.Position) (*change.Position, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.read(ctx, logged); err != nil {
		return nil, err
	}
	for _, tx := range r.txs {
		if tx.commit <= logged.Commit && !visible.Has(tx.xid) {
			before := change.Position{Commit: tx.commit}.Prev()
			return &before, nil
		}
	}
	return nil, nil
}

// read goes on to a position, and forgets what is out of the window.
func (r *recent) read(ctx context.Context, to change.Position) error {
	bounds := r.events.Bounds()
	oldest := to.Commit - min(to.Commit, stuckWindow)
	if r.generation != bounds.Lineage.Generation {
		r.generation, r.at, r.txs = bounds.Lineage.Generation, change.Position{}, nil
	}
	r.txs = shortened(slices.Delete(r.txs, 0, firstFrom(r.txs, oldest)))
	for _, from := range []change.Position{bounds.Floor, {Commit: oldest}} {
		if r.at.Less(from) {
			r.at = from
		}
	}
	var reader change.Reader
	var c change.Change
	for r.at.Less(to) {
		if err := ctx.Err(); err != nil {
			return err
		}
		b, err := r.events.Next(r.at)
		if err != nil || b == nil {
			return err
		}
		for reader.Reset(b); reader.Next(&c); {
			if n := len(r.txs); n == 0 || r.txs[n-1].commit != c.Tx.Commit {
				r.txs = append(r.txs, loggedTx{c.Tx.Commit, c.Tx.XID})
			}
		}
		if err := reader.Err(); err != nil {
			return err
		}
		r.at = b.Last
	}
	return nil
}

// firstFrom is the number of transactions before an LSN.
func firstFrom(txs []loggedTx, lsn change.LSN) int {
	n, _ := slices.BinarySearchFunc(txs, lsn, func(tx loggedTx, lsn change.LSN) int {
		switch {
		case tx.commit < lsn:
			return -1
		case tx.commit > lsn:
			return 1
		}
		return 0
	})
	return n
}
