package change

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestBuilderAtRandom: whatever is written, left out and sealed in whatever order, the
// batches together have exactly what was written, at its positions, in an unbroken chain;
// those of committed transactions have nothing of an open one.
func TestBuilderAtRandom(t *testing.T) {
	relations := make([]*Relation, 200)
	for i := range relations {
		relations[i] = testRelation()
		relations[i].Name = "t" + strconv.Itoa(i)
	}
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		b := NewBuilder(Position{0x10, 2}, 0x10)
		last, wal := Position{0x10, 2}, LSN(0x10)
		var want, got []string
		committed := 0 // of want
		check := func(batch *Batch, whole bool) {
			t.Helper()
			lines := walkAll(t, batch)
			if batch.Prev != last || batch.Changes != len(lines) || batch.WAL < wal || batch.Changes > 0 && (!last.Less(batch.First) || batch.Last.Less(batch.First)) || batch.Changes == 0 && batch.Last != last {
				t.Fatalf("seed %d: behind %s: %+v", seed, last, batch)
			}
			last, wal = batch.Last, batch.WAL
			got = append(got, lines...)
			if whole && len(got) != max(committed, len(got)-len(lines)) {
				t.Fatalf("seed %d: %d changes taken, %d are committed", seed, len(got), committed)
			}
		}
		for commit := LSN(0x100); commit < 0x200; commit += 0x10 {
			tx := Tx{Commit: commit, XID: uint32(commit)}
			b.Begin(tx)
			for index := range uint64(rnd.IntN(12)) {
				at, rel := Position{commit, index}, relations[rnd.IntN(1+rnd.IntN(len(relations)))]
				if b.NextPosition() != at {
					t.Fatalf("seed %d: the next position is %s, not %s", seed, b.NextPosition(), at)
				}
				switch rnd.IntN(8) {
				case 0, 1:
					b.Skip()
				case 2:
					b.Message("p", []byte("m"))
					want = append(want, at.String()+" message p m")
				case 3:
					other := relations[rnd.IntN(len(relations))]
					b.Truncate([]*Relation{rel, other}, false, false)
					want = append(want, at.String()+" truncate public."+rel.Name+" public."+other.Name)
				default:
					b.Row(Insert, rel, row(byte('N'), tuple("1", "", "")), false)
					want = append(want, at.String()+" insert "+rel.Name)
				}
				switch rnd.IntN(20) {
				case 0:
					check(b.Seal(time.Time{}), false)
				case 1, 2:
					check(b.SealCommitted(time.Time{}), true)
				}
			}
			b.Commit(commit + 8)
			committed = len(want)
			if rnd.IntN(3) == 0 {
				check(b.SealCommitted(time.Time{}), true)
			}
		}
		check(b.SealCommitted(time.Time{}), true)
		if d := cmp.Diff(want, got); d != "" || wal != 0x1f8 {
			t.Fatalf("seed %d: WAL %s, (-written +read)\n%s", seed, wal, d)
		}
	}
}

// walkAll is walk with the names of relations, of which the batch must have no others.
func walkAll(t *testing.T, b *Batch) (out []string) {
	t.Helper()
	var r Reader
	var c Change
	used := map[*Relation]bool{}
	for r.Reset(b); r.Next(&c); {
		line := c.Position.String() + " " + c.Op.String()
		switch c.Op {
		case Truncate:
			for _, rel := range c.Truncated {
				line += " " + rel.FullName()
				used[rel] = true
			}
		case Message:
			line += " " + string(c.Prefix) + " " + string(c.Content)
		default:
			line += " " + c.Relation.Name
			used[c.Relation] = true
		}
		out = append(out, line)
	}
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	if len(used) != len(b.Relations) || slices.ContainsFunc(b.Relations, func(rel *Relation) bool { return !used[rel] }) {
		t.Errorf("%d relations, %d are used", len(b.Relations), len(used))
	}
	return out
}
