package replication

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/walrelay/walrelay/change"
)

const (
	// batchCap is the size at which a batch is full and the receiver waits for the
	// log.
	batchCap = 256 << 10
	// wholeCap is the size from which a transaction may be cut, see take. The rest of the
	// batch is room for the receiver to go on while the writer comes.
	wholeCap = batchCap / 2
	// appendPace is the least time between the starts of two appends: what arrives
	// meanwhile shares one fsync. Under load it grows with the size of the last batch
	// up to maxAppendPace, which costs a few milliseconds where there are many rows to
	// wait for anyway.
	appendPace          = time.Millisecond
	appendPacePerChange = 10 * time.Microsecond
	maxAppendPace       = 4 * time.Millisecond
	// letGoAfter is how long the receiver waits for the log at most. A walsender that
	// cannot get rid of what it has to say neither heeds SIGTERM nor lets the server shut
	// down: the checkpointer that wants to invalidate the slot waits for it, and all
	// checkpoints with that.
	letGoAfter = 15 * time.Second
	// idlePace is how often a moved WAL end alone is made durable.
	idlePace = time.Second
)

// inflow stands between the receiver, which fills a batch, and the writer, which
// appends it to the log: one batch is filled while one is being written.
type inflow struct {
	ready chan struct{} // capacity 1: the writer should look
	space chan struct{} // capacity 1: the receiver may go on
	// blocked: the receiver waits for the log and reads nothing.
	blocked atomic.Bool

	mu      sync.Mutex
	builder *change.Builder // nil between connections
	urgent  bool            // the server waits for a confirmation
	sealed  change.LSN      // WAL of the last batch taken
}

func newInflow() *inflow {
	return &inflow{ready: make(chan struct{}, 1), space: make(chan struct{}, 1)}
}

// start begins after what the log holds.
func (f *inflow) start(last change.Position, wal change.LSN) {
	f.mu.Lock()
	f.builder, f.sealed, f.urgent = change.NewBuilder(last, wal), wal, false
	f.mu.Unlock()
}

// stop drops what was received and not yet taken by the writer: after a reconnect
// Postgres sends it again.
func (f *inflow) stop() {
	f.mu.Lock()
	f.builder = nil
	f.mu.Unlock()
}

// add runs fn on the batch that is being filled, once there is room.
func (f *inflow) add(ctx context.Context, fn func(*change.Builder)) error {
	f.mu.Lock()
	for f.builder.Len() >= batchCap {
		f.mu.Unlock()
		if err := f.waitSpace(ctx); err != nil {
			return err
		}
		f.mu.Lock()
	}
	none, size := f.builder.Committed() == 0, f.builder.Len()
	fn(f.builder)
	wake := none && f.builder.Committed() > 0 || size < wholeCap && f.builder.Len() >= wholeCap
	f.mu.Unlock()
	if wake {
		poke(f.ready)
	}
	return nil
}

func (f *inflow) waitSpace(ctx context.Context) error {
	f.blocked.Store(true)
	defer f.blocked.Store(false)
	patience := time.NewTimer(letGoAfter)
	defer patience.Stop()
	select {
	case <-f.space:
		return nil
	case <-patience.C:
		return errNoSpace
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// errNoSpace ends the session; the next begins when the log has taken what there is.
var errNoSpace = fmt.Errorf("the event log has taken nothing for %s: the slot is let go of until it does, so that Postgres can shut down", letGoAfter)

// hurry makes the writer record the WAL end at once: the server asked for a reply.
func (f *inflow) hurry() {
	f.mu.Lock()
	f.urgent = true
	f.mu.Unlock()
	poke(f.ready)
}

// take seals the transactions that are there from Begin to Commit. Those without changes
// count only when the WAL moved and idle (or urgency) allows it.
//
// The watcher hears in the middle of a transaction that a session has ended: rows of it that
// came first wait for that here. Only one of wholeCap or more is taken while it comes.
func (f *inflow) take(now time.Time, idle bool) (out *change.Batch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.builder
	switch {
	case b == nil:
		return nil
	case b.Committed() > 0, b.WAL() > f.sealed && (idle || f.urgent):
		out = b.SealCommitted(now)
	case b.Len() >= wholeCap:
		out = b.Seal(now)
	default:
		return nil
	}
	f.urgent = false
	f.sealed = out.WAL
	poke(f.space)
	return out
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
