package eventlog

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/walrelay/walrelay/change"
)

// cache keeps chunks that were read from the engine, shared by all readers, the
// least recently used going first. Safe for concurrent use.
type cache struct {
	mu sync.Mutex
	// generation that the chunks belong to; others are not taken in.
	generation uint32
	// recent has the chunks by the position before them, index the same chunks in
	// order. Invariant: no two overlap.
	recent *simplelru.LRU[change.Position, chunk]
	index  []chunk
	bytes  int
	limit  int
}

func newCache(limit int) (*cache, error) {
	c := &cache{limit: limit}
	// The bound is in bytes, see add.
	recent, err := simplelru.NewLRU(math.MaxInt32, func(_ change.Position, ch chunk) { c.forget(ch) })
	if err != nil {
		return nil, fmt.Errorf("create chunk cache: %w", err)
	}
	c.recent = recent
	return c, nil
}

// next is the batch that holds the first change after p, nil when it is not here.
func (c *cache) next(generation uint32, p change.Position) *change.Batch {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.above(p)
	if generation != c.generation || i == len(c.index) {
		return nil
	}
	ch := c.index[i]
	b := ch.next(p)
	if b != nil {
		c.recent.Get(ch.prev())
	}
	return b
}

// add takes in the part of ch that is not here yet.
func (c *cache) add(generation uint32, ch chunk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if generation != c.generation {
		return
	}
	ch = c.clip(ch)
	if len(ch) == 0 {
		return
	}
	c.index = slices.Insert(c.index, c.above(ch.prev()), ch)
	c.bytes += ch.cost()
	c.recent.Add(ch.prev(), ch)
	for c.bytes > c.limit && c.recent.Len() > 0 {
		c.recent.RemoveOldest()
	}
}

// clip cuts off what is here already. Two readers that started in the same stretch
// at once have read parts of it twice.
func (c *cache) clip(ch chunk) chunk {
	for i := c.above(ch.prev()); i < len(c.index) && len(ch) > 0; i++ {
		have := c.index[i]
		if ch.prev().Less(have.prev()) {
			return ch[:ch.above(have.prev())]
		}
		ch = ch[ch.above(have.last()):]
	}
	return ch
}

// dropThrough releases the chunks that end at or below floor.
func (c *cache) dropThrough(floor change.Position) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.index) > 0 && !floor.Less(c.index[0].last()) {
		c.recent.Remove(c.index[0].prev())
	}
}

// reset empties the cache for another generation.
func (c *cache) reset(generation uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recent.Purge()
	c.generation = generation
}

// forget follows the removal of ch from recent.
func (c *cache) forget(ch chunk) {
	if i := c.above(ch.prev()); i < len(c.index) {
		c.index = slices.Delete(c.index, i, i+1)
	}
	c.bytes -= ch.cost()
}

// above is the index of the first chunk that ends above p.
func (c *cache) above(p change.Position) int {
	return sort.Search(len(c.index), func(i int) bool { return p.Less(c.index[i].last()) })
}
