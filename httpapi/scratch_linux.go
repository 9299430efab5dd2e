package httpapi

import (
	"slices"

	"github.com/walrelay/walrelay/channel"
)

// scratch is memory that all connections of a shard write by. Who shares a view is written to one after
// the other, and mostly the same, so what was made last is kept for the next one.
type scratch struct {
	block block
	beat  beat
	frame []byte
	// made are the events of run in the encoding as, where those are not the run's own bytes.
	made []byte
	run  *channel.Run
	as   encoding
}

// body is the bytes of a run, valid until the next call.
func (s *scratch) body(e encoding, r *channel.Run) []byte {
	if s.run == r && s.as == e {
		return s.made
	}
	b, own := e.bytes(s.made[:0], r)
	if !own {
		s.made, s.run, s.as = b, r, e
	}
	return b
}

// size is the length of the body of the run that c is at, which was gathered as the i-th, if it was.
func (s *scratch) size(c *conn, i int) int {
	if b, r := &s.block, c.runs[c.at]; i < len(b.runs) && b.runs[i] == r && alike(b.as, c.st.encoding) {
		return b.sizes[i]
	}
	return len(s.body(c.st.encoding, c.runs[c.at]))
}

// release lets go of what a burst has left behind.
func (s *scratch) release() {
	s.run, s.as = nil, nil
	if cap(s.made) > 4*sliceSize {
		s.made = nil
	}
	s.block.release()
}

// block is what was gathered last.
type block struct {
	// out was gathered from runs, in this encoding and framing.
	out     []byte
	runs    []*channel.Run
	as      encoding
	framing framing
	// sizes are the lengths of the bodies of runs.
	sizes []int
	// whole: out is runs from beginning to end, and nothing else.
	whole bool
}

// maxSpareBlock is the number of runs for which a block keeps memory without need.
const maxSpareBlock = 1024

// is reports whether what c has to write now is b.
func (b *block) is(c *conn) bool {
	if !b.whole || len(c.rest) > 0 || c.off > 0 || b.framing != c.framing || !alike(b.as, c.st.encoding) {
		return false
	}
	pending := c.runs[c.at:]
	n := len(b.runs)
	if n == 0 || len(pending) < n || len(pending) > n && len(b.out) < gatherSize {
		return false
	}
	return slices.Equal(pending[:n], b.runs)
}

// begin makes b what c has pending before its runs.
func (b *block) begin(c *conn) {
	b.whole, b.as, b.framing = false, c.st.encoding, c.framing
	b.out, b.runs, b.sizes = append(b.out[:0], c.rest...), b.runs[:0], b.sizes[:0]
}

// add appends what there is room for in one write.
func (b *block) add(p []byte) {
	b.out = append(b.out, p[:min(len(p), max(0, sliceSize-len(b.out)))]...)
}

func (b *block) release() {
	b.whole, b.as = false, nil
	clear(b.runs[:cap(b.runs)])
	if b.runs, b.sizes = b.runs[:0], b.sizes[:0]; cap(b.runs) > maxSpareBlock {
		b.runs, b.sizes = nil, nil
	}
}
