package channel

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/walrelay/walrelay/change"
)

// TestSpareBuffers: of a burst of large frames over many views a lane keeps a bounded amount of
// memory, and knows how much it is, also when the buffers are used again.
func TestSpareBuffers(t *testing.T) {
	h := New(Options{Log: newMemLog()})
	l := newLane(h, change.Position{})
	const views, size = 400, 64 << 10 // 25 MiB
	riders := make([]*riddenView, views)
	for i := range riders {
		s := &Subscriber{hub: h, view: &view{tag: fmt.Sprintf("%06d", i), generation: l.generation}, wake: make(chan struct{}, 1)}
		l.join(s)
		riders[i] = l.index.views[s.view]
	}
	data := bytes.Repeat([]byte{'x'}, size/2)
	for round := range 3 {
		for _, v := range riders {
			for i := range 2 {
				at := change.Position{Commit: change.LSN(8 * (round + 1)), Index: uint64(i)}
				l.index.add(v, EventInsert, data, at, time.Unix(0, 0))
			}
		}
		l.flush()
		kept := 0
		for _, b := range l.index.free {
			kept += cap(b.buf)
		}
		if kept != l.index.spare || kept > maxSpareBytes || kept < maxSpareBytes/2 {
			t.Errorf("round %d: %d buffers of %d bytes are kept, %d are counted", round, len(l.index.free), kept, l.index.spare)
		}
	}
}
