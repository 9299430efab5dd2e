package replication

import (
	"errors"
	"testing"
	"time"

	"github.com/walrelay/walrelay/change"
)

// witnessLog is a log that ends in a transaction at 0x100, and has every commit below
// complete.
type witnessLog struct {
	last      change.Tx
	unknown   bool // which transaction the last one is
	complete  change.LSN
	confirmed change.LSN // of the slot when the stream begins
}

// TestWitness: a server must first show what the log has, as far as the slot is not
// confirmed. Until then its WAL end counts for nothing, and nothing of it is taken.
func TestWitness(t *testing.T) {
	last := change.Tx{Commit: 0x100, XID: 771, Time: 5}
	busy := witnessLog{last: last, complete: 0x110, confirmed: 0x50} // nothing came after its last transaction
	idle := witnessLog{last: last, complete: 0x300, confirmed: 0x50} // nothing that is published
	replay := [][]byte{begin(0x100), insertItem(1), commit(0x100, 0x110)}
	for _, test := range []struct {
		name        string
		log         witnessLog
		messages    [][]byte
		contradicts bool
		wal         change.LSN // of the batch then; 0: none, and it is not shown
		changes     int
	}{
		{"it is sent again", busy, append(replay, keepalive(0xF0, 0), keepalive(0x200, 0)), false, 0x200, 0},
		{"an empty one before it", busy, append([][]byte{begin(0x80), commit(0x80, 0x90)}, replay...), false, 0x110, 0},
		{"nothing is sent", busy, [][]byte{keepalive(0xF0, 0), keepalive(0x100, 0)}, false, 0, 0},
		{"it is passed over", busy, [][]byte{keepalive(0x101, 0)}, true, 0, 0},
		{"another in its place", witnessLog{change.Tx{Commit: 0x100, XID: 770, Time: 5}, false, 0x110, 0x50}, [][]byte{keepalive(0xF0, 0), begin(0x100)}, true, 0, 0},
		{"the same, committed at another time", witnessLog{change.Tx{Commit: 0x100, XID: 771, Time: 4}, false, 0x110, 0x50}, [][]byte{begin(0x100)}, true, 0, 0},
		{"only later ones", witnessLog{change.Tx{Commit: 0xE0, XID: 771, Time: 5}, false, 0x110, 0x50}, [][]byte{begin(0x100)}, true, 0, 0},
		{"it was cut off", witnessLog{last, false, 0x60, 0x50}, [][]byte{begin(0x100), insertItem(1), insertItem(2), commit(0x100, 0x110)}, false, 0x110, 1},

		{"nothing after it", idle, append(replay, keepalive(0x300, 0)), false, 0x300, 0},
		{"not all up to the log's end yet", idle, append(replay, keepalive(0x2FF, 0)), false, 0, 0},
		{"empty ones after it", idle, append(replay, begin(0x200), commit(0x200, 0x210), begin(0x2F0), commit(0x2F0, 0x300)), false, 0x300, 0},
		{"a change after it that the log lacks", idle, append(replay, begin(0x200), insertItem(2)), true, 0, 0},
		{"one at the log's end", idle, append(replay, begin(0x300), insertItem(2), commit(0x300, 0x310)), false, 0x310, 1},
		{"one beyond the log's end", idle, append(replay, keepalive(0x200, 0), begin(0x400), insertItem(2), commit(0x400, 0x410)), false, 0x410, 1},

		{"confirmed beyond it, and a change that the log lacks", witnessLog{last, false, 0x300, 0x150}, [][]byte{begin(0x200), insertItem(2)}, true, 0, 0},
		{"confirmed beyond it, and none", witnessLog{last, false, 0x300, 0x150}, [][]byte{keepalive(0x200, 0), keepalive(0x320, 0)}, false, 0x320, 0},
		{"confirmed up to the log's end", witnessLog{last, false, 0x300, 0x300}, [][]byte{keepalive(0x200, 0)}, false, 0x200, 0},
		{"unknown, and a change that the log lacks", witnessLog{last, true, 0x300, 0x50}, [][]byte{begin(0x200), insertItem(2)}, true, 0, 0},
		{"unknown, and none", witnessLog{last, true, 0x300, 0x50}, [][]byte{keepalive(0x200, 0), keepalive(0x300, 0)}, false, 0x300, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			log := test.log
			r, f := testReceiver(change.Position{Commit: log.last.Commit}, test.messages...)
			r.witness = newWitness(log.last, !log.unknown, log.complete, log.confirmed)
			err := r.run(t.Context())
			if other := (*contradictionError)(nil); errors.As(err, &other) != test.contradicts {
				t.Fatal(err)
			}
			want := log.confirmed
			if shown := !test.contradicts && test.wal != 0; shown {
				want = 0x700
			}
			if got := r.witness.allows(0x700); got != want {
				t.Errorf("%s may be confirmed, want %s", got, want)
			}
			switch b := f.take(time.Now(), true); {
			case test.wal == 0 && b != nil && (b.Changes != 0 || b.WAL > log.complete), b == nil && test.wal != 0,
				b != nil && test.wal != 0 && (b.WAL != test.wal || int(b.Changes) != test.changes):
				t.Errorf("batch %+v, want WAL %s and %d changes", b, test.wal, test.changes)
			}
		})
	}
}
