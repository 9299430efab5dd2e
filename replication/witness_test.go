package replication

import (
	"errors"
	"testing"
	"time"

	"github.com/walrelay/walrelay/change"
)

// TestWitness: a server must first show the transaction that the log ends in. Until
// then its WAL end counts for nothing, and nothing of it is taken.
func TestWitness(t *testing.T) {
	last := change.Tx{Commit: 0x100, XID: 771, Time: 5}
	for _, test := range []struct {
		name        string
		last        change.Tx
		messages    [][]byte
		contradicts bool
		wal         change.LSN // of the batch then; 0: none
	}{
		{"it is sent again", last, [][]byte{keepalive(0xF0, 0), begin(0x100), insertItem(1), commit(0x100, 0x110), keepalive(0x200, 0)}, false, 0x200},
		{"an empty one before it", last, [][]byte{begin(0x80), commit(0x80, 0x90), begin(0x100), insertItem(1), commit(0x100, 0x110)}, false, 0x110},
		{"nothing is sent", last, [][]byte{keepalive(0xF0, 0), keepalive(0x100, 0)}, false, 0},
		{"it is passed over", last, [][]byte{keepalive(0x101, 0)}, true, 0},
		{"another in its place", change.Tx{Commit: 0x100, XID: 770, Time: 5}, [][]byte{keepalive(0xF0, 0), begin(0x100)}, true, 0},
		{"the same, committed at another time", change.Tx{Commit: 0x100, XID: 771, Time: 4}, [][]byte{begin(0x100)}, true, 0},
		{"only later ones", change.Tx{Commit: 0xE0, XID: 771, Time: 5}, [][]byte{begin(0x100)}, true, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, f := testReceiver(change.Position{Commit: test.last.Commit}, test.messages...)
			r.witness = &witness{tx: test.last, confirmed: 0x50}
			r.witness.due.Store(true)
			err := r.run(t.Context())
			if other := (*contradictionError)(nil); errors.As(err, &other) != test.contradicts {
				t.Fatal(err)
			}
			proven := !test.contradicts && test.wal != 0
			if got := r.witness.allows(0x70); got != 0x50 && !proven || got != 0x70 && proven {
				t.Errorf("%s may be confirmed", got)
			}
			switch b := f.take(time.Now(), true); {
			case b == nil && test.wal != 0, b != nil && (b.WAL != test.wal || b.Changes != 0):
				t.Errorf("batch %+v, want WAL %s and nothing else", b, test.wal)
			}
		})
	}
}
