package eventlog

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/walrelay/walrelay/change"
)

// testBatch is number n of a chain, with a body of size bytes.
func testBatch(n, size int, compressible bool) *change.Batch {
	pos := func(i int) change.Position { return change.Position{Commit: change.LSN(i) * 16, Index: uint64(i)} }
	b := &change.Batch{Prev: pos(n), First: change.Position{Commit: pos(n + 1).Commit}, Last: pos(n + 1), WAL: pos(n+1).Commit + 8,
		Changes: 7, Time: time.Date(2026, 11, 20, 21, 0, n, 123456000, time.UTC), Body: make([]byte, size)}
	if !compressible {
		rng := rand.NewChaCha8([32]byte{byte(n)})
		_, _ = rng.Read(b.Body)
	}
	return b
}

func TestRecord(t *testing.T) {
	for _, c := range []struct {
		name         string
		size         int
		compressible bool
		relations    int
		compressed   bool
	}{
		{"empty", 0, true, 0, false},
		{"small", 100, true, 1, false},
		{"just below the size that is compressed", compressFrom - 1, true, 2, false},
		{"compressed", compressFrom, true, 2, true},
		{"large", 300 << 10, true, 40, true},
		{"compression does not help", 300 << 10, false, 3, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := testBatch(3, c.size, c.compressible)
			var wantIDs []uint64
			for i := range c.relations {
				want.Relations = append(want.Relations, &change.Relation{ID: uint64(i) + 1<<60})
				wantIDs = append(wantIDs, uint64(i)+1<<60)
			}
			before := []byte("before")
			rec := appendRecord(before, want)[len(before):]
			got, ids, err := decodeRecord(rec)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(want.Body, got.Body) {
				t.Error("another body")
			}
			got.Relations, got.Body = want.Relations, want.Body
			if diff := cmp.Diff(want, got); diff != "" || !cmp.Equal(append([]uint64{}, wantIDs...), ids) {
				t.Errorf("(-want +got):\n%s%v", diff, ids)
			}
			if compressed := len(rec) < recordHeader+c.size; compressed != c.compressed {
				t.Errorf("body of %d bytes in a record of %d", c.size, len(rec))
			}
		})
	}
}

// Every inverted bit and every missing end is noticed.
func TestRecordDamage(t *testing.T) {
	b := testBatch(1, 60, true)
	b.Relations = []*change.Relation{{ID: 5}}
	rec := appendRecord(nil, b)
	for i := range len(rec) * 8 {
		wrong := bytes.Clone(rec)
		wrong[i/8] ^= 1 << (i % 8)
		if got, _, err := decodeRecord(wrong); err == nil {
			t.Fatalf("bit %d inverted gives %+v", i, got)
		}
	}
	for n := range rec {
		if got, _, err := decodeRecord(rec[:n]); err == nil {
			t.Fatalf("%d of %d bytes give %+v", n, len(rec), got)
		}
	}
}

// No bytes make the decoder panic, also when their checksum is right.
func FuzzDecodeRecord(f *testing.F) {
	f.Add(appendRecord(nil, testBatch(1, 100, true)))
	f.Add(appendRecord(nil, testBatch(2, 5000, true)))
	f.Fuzz(func(t *testing.T, rec []byte) {
		if len(rec) >= 5 {
			sum := recordCRC(rec)
			rec[1], rec[2], rec[3], rec[4] = byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)
		}
		if b, _, err := decodeRecord(rec); err == nil && b == nil {
			t.Error("neither batch nor error")
		}
	})
}
