package eventlog

import (
	"math/rand/v2"
	"testing"

	"github.com/walrelay/walrelay/change"
)

// Chunks come in any order, overlap as those of racing readers do, and go by use
// and by floor. What is found is right, and the accounts are too.
func TestCache(t *testing.T) {
	var chain chunk
	for i := range 300 {
		chain = append(chain, testBatch(i, 10+i%50, true))
	}
	c, err := newCache(40 * cost(chain[0]))
	if err != nil {
		t.Fatal(err)
	}
	c.reset(3)
	rng := rand.New(rand.NewPCG(3, 4))
	found := 0
	for range 3000 {
		from := rng.IntN(len(chain))
		c.add(3, chain[from:min(len(chain), from+1+rng.IntN(20))])
		if rng.IntN(50) == 0 {
			c.dropThrough(chain[rng.IntN(len(chain))].Last)
		}
		checkCache(t, c)
		i := rng.IntN(len(chain))
		for _, p := range []change.Position{chain[i].Prev, {Commit: chain[i].First.Commit, Index: 0}} {
			b := c.next(3, p)
			if b != nil && (p.Less(b.Prev) || !p.Less(b.Last)) {
				t.Fatalf("after %s comes (%s, %s]", p, b.Prev, b.Last)
			}
			if b != nil {
				found++
			}
		}
	}
	if found < 100 {
		t.Errorf("only %d hits", found)
	}
	c.add(2, chain[:5])
	if c.reset(4); c.bytes != 0 || len(c.index) != 0 || c.next(4, chain[0].Prev) != nil {
		t.Error("chunks of another generation are left")
	}
}

func checkCache(t *testing.T, c *cache) {
	t.Helper()
	bytes := 0
	for i, ch := range c.index {
		bytes += ch.cost()
		if i > 0 && ch.prev().Less(c.index[i-1].last()) {
			t.Fatalf("chunks (%s, %s] and (%s, %s] overlap", c.index[i-1].prev(), c.index[i-1].last(), ch.prev(), ch.last())
		}
	}
	if bytes != c.bytes || c.bytes > c.limit || c.recent.Len() != len(c.index) {
		t.Fatalf("%d bytes of %d in %d chunks, accounted %d in %d", bytes, c.limit, len(c.index), c.bytes, c.recent.Len())
	}
}

func TestTail(t *testing.T) {
	tl := tail{limit: 3 * cost(testBatch(0, 100, true))}
	for i := range 10 {
		tl.push(testBatch(i, 100, true))
		if n := len(tl.batches); n != min(i+1, 3) || tl.bytes > tl.limit {
			t.Fatalf("%d batches, %d bytes of %d", n, tl.bytes, tl.limit)
		}
	}
	tl.push(testBatch(10, 100_000, true))
	if len(tl.batches) != 1 {
		t.Errorf("a batch above the limit is not alone but with %d", len(tl.batches))
	}
	tl.dropThrough(testBatch(10, 0, true).Last)
	if len(tl.batches) != 0 || tl.bytes != 0 {
		t.Errorf("%d batches, %d bytes below the floor", len(tl.batches), tl.bytes)
	}
}
