package replication

import (
	"io"
	"time"
)

// pacedReader reads the replication socket less often while much arrives in small
// pieces. The walsender sends every message by itself; a reader that waits for each
// costs both sides a wake-up per message, which at 50,000 small transactions a
// second is more than decoding them. A stream that is not busy is never delayed.
type pacedReader struct {
	r io.Reader
	// quick counts short reads in a row that hardly had to wait.
	quick int
}

const (
	// busyAfter is how many quick reads in a row make a stream busy: more than a small
	// transaction has messages.
	busyAfter = 16
	// quickRead is the longest wait of a quick read.
	quickRead = 50 * time.Microsecond
	// gatherTime is how long a busy stream is left to gather.
	gatherTime = 200 * time.Microsecond
)

// Read implements io.Reader.
func (p *pacedReader) Read(b []byte) (int, error) {
	if p.quick >= busyAfter {
		time.Sleep(gatherTime)
	}
	began := time.Now()
	n, err := p.r.Read(b)
	if n < len(b)/2 && time.Since(began) < quickRead {
		p.quick++
	} else {
		p.quick = 0
	}
	return n, err
}
