package eventlog

import (
	"sort"

	"github.com/walrelay/walrelay/change"
)

// chunk is a run of consecutive batches: Prev of each is Last of the one before.
type chunk []*change.Batch

// batchOverhead is what a batch takes in memory besides its body, about.
const batchOverhead = 256

func cost(b *change.Batch) int { return b.Size() + batchOverhead }

func (c chunk) prev() change.Position { return c[0].Prev }
func (c chunk) last() change.Position { return c[len(c)-1].Last }

func (c chunk) cost() int {
	n := 0
	for _, b := range c {
		n += cost(b)
	}
	return n
}

// next is the batch that holds the first change after p, nil when c does not
// have it.
func (c chunk) next(p change.Position) *change.Batch {
	if len(c) == 0 || p.Less(c.prev()) {
		return nil
	}
	if i := c.above(p); i < len(c) {
		return c[i]
	}
	return nil
}

// above is the index of the first batch whose Last is above p.
func (c chunk) above(p change.Position) int {
	return sort.Search(len(c), func(i int) bool { return p.Less(c[i].Last) })
}

// tail holds the newest batches in memory, at most limit bytes but at least one.
// Not safe for concurrent use; [Log] guards it.
type tail struct {
	batches chunk
	bytes   int
	limit   int
}

func (t *tail) push(b *change.Batch) {
	t.batches = append(t.batches, b)
	t.bytes += cost(b)
	for t.bytes > t.limit && len(t.batches) > 1 {
		t.pop()
	}
}

func (t *tail) pop() {
	t.bytes -= cost(t.batches[0])
	t.batches[0] = nil
	t.batches = t.batches[1:]
}

// dropThrough releases the batches up to floor.
func (t *tail) dropThrough(floor change.Position) {
	for len(t.batches) > 0 && !floor.Less(t.batches[0].Last) {
		t.pop()
	}
}

func (t *tail) reset() { *t = tail{limit: t.limit} }
