package replication

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/walrelay/walrelay/change"
)

// horizon knows until when the stream has told everything. That a connection is up says
// little: it may have died without a word, and the walsender may be busy with a large
// transaction. So the server's WAL end is noted at every look at the slot, together with the
// time; when the stream has got there, all that was committed before that time has come.
type horizon struct {
	// received: every transaction of the stream that committed below it was received.
	received atomic.Uint64

	mu sync.Mutex
	// mark is the oldest look that the stream has not got to; zero: there is none.
	mark struct {
		at  time.Time
		end change.LSN
	}
	at time.Time
}

// begin begins a stream, perhaps of another server.
func (h *horizon) begin() {
	h.received.Store(0)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mark.at = time.Time{}
}

// reached is called by the receiver, outside of transactions.
func (h *horizon) reached(end change.LSN) { h.received.Store(uint64(end)) }

// looked notes the server's WAL end, asked for at a time. One below the last is another
// server's.
func (h *horizon) looked(at time.Time, end change.LSN) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.passLocked()
	if h.mark.at.IsZero() || end < h.mark.end {
		h.mark.at, h.mark.end = at, end
	}
}

// get is the time before which all commits have been received; zero: not known yet.
func (h *horizon) get() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.passLocked()
	return h.at
}

func (h *horizon) passLocked() {
	if !h.mark.at.IsZero() && change.LSN(h.received.Load()) >= h.mark.end {
		h.at, h.mark.at = h.mark.at, time.Time{}
	}
}
