package replication

import (
	"testing"
	"time"
)

// What was committed before a look has come when the stream has got to where the WAL
// ended then; looks of another server, and places in another stream, do not count.
func TestHorizon(t *testing.T) {
	var h horizon
	at := func(second int64) time.Time { return time.Unix(second, 0) }
	want := func(when string, second int64) {
		t.Helper()
		if got := h.get(); second == 0 && !got.IsZero() || second != 0 && !got.Equal(at(second)) {
			t.Errorf("%s: %v", when, got)
		}
	}
	h.begin()
	h.looked(at(1), 0x100)
	h.reached(0xf8)
	want("before the WAL's end", 0)
	h.looked(at(6), 0x200) // the older one counts first, or a stream that is always behind would never get there
	h.reached(0x100)
	want("at its end", 1)
	h.looked(at(11), 0x300)
	want("not at the next", 1)
	h.looked(at(16), 0x80) // another server
	want("a look at another server", 16)
	h.looked(at(21), 0x180)
	h.begin()
	h.reached(0x400)
	want("a look before the stream began", 16)
	h.looked(at(26), 0x400)
	want("at once", 26)
	h.begin()
	h.looked(at(31), 0x300)
	want("a place in the stream before", 26)
}
