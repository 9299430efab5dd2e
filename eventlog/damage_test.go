package eventlog_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/eventlog"
)

// sample is a log of several segments on disk, and what is in it.
type sample struct {
	dir     string
	batches []*change.Batch
	// first is the number of each batch's first row.
	first []int
	end   int
	wal   change.LSN
	// young is the second segment when it had one batch.
	young []byte
}

func newSample(t *testing.T, n int) *sample {
	t.Helper()
	s := &sample{dir: t.TempDir()}
	l := s.open(t, nil)
	must(t, l.Begin(ctx, lineage, genesis, ""))
	src := newRows()
	for range n {
		s.first = append(s.first, src.next)
		s.batches = append(s.batches, src.batch(10))
		must(t, l.Append(ctx, s.batches[len(s.batches)-1]))
		if files := segments(t, s.dir); s.young == nil && len(files) == 2 {
			s.young = read(t, files[1])
		}
	}
	s.end, s.wal = src.next, l.Bounds().WAL
	must(t, l.Close())
	if len(segments(t, s.dir)) < 3 {
		t.Fatalf("sample has %d segments", len(segments(t, s.dir)))
	}
	return s
}

// open opens the log with small segments; it fails the test when that fails.
func (s *sample) open(t *testing.T, w *bytes.Buffer) *eventlog.Log {
	t.Helper()
	l, err := s.tryOpen(w)
	must(t, err)
	return l
}

func (s *sample) tryOpen(w *bytes.Buffer) (*eventlog.Log, error) {
	log := slog.New(slog.DiscardHandler)
	if w != nil {
		log = slog.New(slog.NewTextHandler(w, nil))
	}
	e, err := eventlog.OpenBolt(eventlog.BoltOptions{Dir: s.dir, SegmentBytes: 48 << 10, Logger: log})
	if err != nil {
		return nil, err
	}
	return eventlog.Open(eventlog.Options{Engine: e, Logger: log, CacheBytes: -1})
}

// copy is the same sample in another directory.
func (s *sample) copy(t *testing.T, dir string) *sample {
	t.Helper()
	must(t, os.CopyFS(dir, os.DirFS(s.dir)))
	out := *s
	out.dir = dir
	return &out
}

// readAll starts at every batch that is above the floor: what comes is right, or it
// is ErrCorrupt. It returns the number of batches that came.
func (s *sample) readAll(t *testing.T, l *eventlog.Log) (good int) {
	t.Helper()
	for i, want := range s.batches {
		if now := l.Bounds(); want.Prev.Less(now.Floor) || !want.Prev.Less(now.Last) {
			continue
		}
		b, err := l.Next(want.Prev)
		if errors.Is(err, eventlog.ErrCorrupt) {
			continue
		}
		if err != nil || b == nil {
			t.Fatalf("after %s: %v, %v", want.Prev, b, err)
		}
		numbers, err := rowNumbers(b)
		if err != nil || b.Last != want.Last || len(numbers) != 10 || numbers[0] != s.first[i] || !bytes.Equal(b.Body, want.Body) {
			t.Fatalf("after %s came rows %v (%v), expected from %d", want.Prev, numbers, err, s.first[i])
		}
		good++
	}
	return good
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	must(t, err)
	return data
}

// flip inverts one bit of a file.
func flip(t *testing.T, file string, at int, bit uint) {
	t.Helper()
	data := read(t, file)
	data[at] ^= 1 << bit
	must(t, os.WriteFile(file, data, 0o600))
}

// replace changes every copy of old in the file: bbolt leaves outdated ones about.
func replace(t *testing.T, file string, old, new []byte) {
	t.Helper()
	data := read(t, file)
	if !bytes.Contains(data, old) {
		t.Fatalf("%s has no %q", file, old)
	}
	must(t, os.WriteFile(file, bytes.ReplaceAll(data, old, new), 0o600))
}

// Damage that hits what it says, with the effect that it has: nothing is skipped,
// everything undamaged is there, the log says it.
func TestDamage(t *testing.T) {
	t.Parallel()
	whole := newSample(t, 60)
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, s *sample)
		atOpen string // the error of Open, or
		log    string // what is logged
		lost   [2]int // and how many batches cannot be read, from, to
	}{
		{
			name: "a bit of a row",
			damage: func(t *testing.T, s *sample) {
				bits := s.batches[20].Body[45:61] // of the first row's value
				wrong := bytes.Clone(bits)
				wrong[7] ^= 4
				replace(t, s.fileOf(t, 20), bits, wrong)
			},
			log: "checksum of the record is wrong", lost: [2]int{1, 1},
		},
		{
			name: "a relation",
			damage: func(t *testing.T, s *sample) {
				replace(t, segments(t, s.dir)[1], []byte(`"name":"orders"`), []byte(`"name":"0rders"`))
			},
			// The newest segment has the relation too, and is asked first.
			log: "", lost: [2]int{0, 0},
		},
		{
			name: "a relation, everywhere",
			damage: func(t *testing.T, s *sample) {
				for _, f := range segments(t, s.dir) {
					replace(t, f, []byte(`"name":"orders"`), []byte(`"name":"0rders"`))
				}
			},
			log: "relation 00000000feedbeef", lost: [2]int{60, 60},
		},
		{
			name:   "a segment is missing",
			damage: func(t *testing.T, s *sample) { must(t, os.Remove(segments(t, s.dir)[1])) },
			log:    "changes are missing between two segments", lost: [2]int{3, 30},
		},
		{
			name:   "an older segment is cut off",
			damage: func(t *testing.T, s *sample) { must(t, os.Truncate(segments(t, s.dir)[1], 5000)) },
			log:    "get a reset", lost: [2]int{3, 30},
		},
		{
			name: "an older segment is no longer whole: its last pages are gone",
			damage: func(t *testing.T, s *sample) {
				f := segments(t, s.dir)[1]
				must(t, os.Truncate(f, int64(len(bytes.TrimRight(read(t, f), "\x00"))/2&^4095)))
			},
			log: "get a reset", lost: [2]int{1, 30},
		},
		{
			name:   "the newest segment is empty",
			damage: func(t *testing.T, s *sample) { must(t, os.Truncate(newest(t, s), 0)) },
			atOpen: "move the directory away",
		},
		{
			name: "the newest segment is garbage",
			damage: func(t *testing.T, s *sample) {
				must(t, os.WriteFile(newest(t, s), bytes.Repeat([]byte("garbage "), 1<<14), 0o600))
			},
			atOpen: "move the directory away",
		},
		{
			name: "the state of the newest segment",
			damage: func(t *testing.T, s *sample) {
				// The state's last position is also the record's key.
				at := binary.BigEndian.AppendUint64(nil, uint64(s.batches[59].Last.Commit))
				replace(t, newest(t, s), at, bytes.Repeat([]byte{7}, len(at)))
			},
			atOpen: "checksum of the state is wrong",
		},
		{
			name:   "an older segment comes from a backup",
			damage: func(t *testing.T, s *sample) { must(t, os.WriteFile(segments(t, s.dir)[1], s.young, 0o600)) },
			log:    "changes are missing between two segments", lost: [2]int{3, 30},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := whole.copy(t, t.TempDir())
			c.damage(t, s)
			var log bytes.Buffer
			l, err := s.tryOpen(&log)
			if c.atOpen != "" {
				wantIs(t, err, eventlog.ErrCorrupt)
				if !strings.Contains(err.Error(), c.atOpen) || !strings.Contains(err.Error(), s.dir) {
					t.Errorf("error %v", err)
				}
				return
			}
			must(t, err)
			good := s.readAll(t, l)
			if lost := len(s.batches) - good; lost < c.lost[0] || lost > c.lost[1] {
				t.Errorf("%d batches cannot be read, expected %v", lost, c.lost)
			}
			if got := log.String(); !strings.Contains(got, c.log) || (c.log == "") != (got == "") {
				t.Errorf("log:\n%s", got)
			}
			// Counted at every read, logged once for each place.
			before, said := l.Bounds().Corrupt, strings.Count(log.String(), "level=ERROR")
			if again := s.readAll(t, l); again != good || l.Bounds().Corrupt != before+int64(len(s.batches)-good) {
				t.Errorf("the second time %d batches instead of %d; damage counted %d, then %d", again, good, before, l.Bounds().Corrupt)
			}
			if (before > 0) != (c.log != "") || strings.Count(log.String(), "level=ERROR") != said {
				t.Errorf("damage counted: %d; log:\n%s", before, log.String())
			}
			must(t, l.Close())
		})
	}
}

func newest(t *testing.T, s *sample) string {
	files := segments(t, s.dir)
	return files[len(files)-1]
}

// fileOf is the segment that has the i-th batch.
func (s *sample) fileOf(t *testing.T, i int) string {
	t.Helper()
	for _, f := range segments(t, s.dir) {
		if bytes.Contains(read(t, f), s.batches[i].Body[45:61]) {
			return f
		}
	}
	t.Fatalf("no segment has batch %d", i)
	return ""
}

// One inverted bit anywhere, many times over: what can be read is right, the rest
// is ErrCorrupt. The log may also not open, or, when a bit of bbolt's newest meta
// page is hit, end one commit earlier, which the comparison of the slot with
// Bounds().Durable shows.
func TestRandomBits(t *testing.T) {
	t.Parallel()
	whole := newSample(t, 40)
	rng := rand.New(rand.NewPCG(1, 2))
	var notOpened, damaged, shorter int
	dir := filepath.Join(t.TempDir(), "log")
	for range 80 {
		must(t, os.RemoveAll(dir))
		s := whole.copy(t, dir)
		files := segments(t, dir)
		file := files[rng.IntN(len(files))]
		at := rng.IntN(len(bytes.TrimRight(read(t, file), "\x00")))
		if rng.IntN(2) == 0 {
			at = at&^4095 + rng.IntN(100) // bbolt's own structures
		}
		flip(t, file, at, uint(rng.IntN(8)))
		l, err := s.tryOpen(nil)
		if err != nil {
			wantIs(t, err, eventlog.ErrCorrupt)
			notOpened++
			continue
		}
		b := l.Bounds()
		if b.Last.Less(s.batches[len(s.batches)-2].Last) {
			t.Fatalf("flipped bit in %s: the log ends at %s instead of %s", file, b.Last, s.batches[len(s.batches)-1].Last)
		}
		if b.WAL < s.wal {
			shorter++
			s.batches = s.batches[:len(s.batches)-1]
		}
		if s.readAll(t, l) < len(s.batches) {
			damaged++
		}
		// Appending goes on or fails; it does no harm.
		next := newSource(b.Last, b.WAL, s.end, 200)
		for range 3 {
			if err := l.Append(ctx, next.batch(10)); err != nil {
				break
			}
		}
		s.readAll(t, l)
		must(t, l.Close())
	}
	t.Logf("not opened %d, damage found %d, one commit shorter %d", notOpened, damaged, shorter)
	if damaged == 0 {
		t.Error("the flips hit nothing")
	}
}

// Damage to bbolt's own pages ends a read where it is: what stands before it comes,
// what stands behind it too, and readers from different places give one line.
func TestDamagedPage(t *testing.T) {
	t.Parallel()
	const batches, damaged = 60, 40
	s := &sample{dir: t.TempDir()}
	l, err := eventlog.Open(eventlog.Options{Dir: s.dir})
	must(t, err)
	must(t, l.Begin(ctx, lineage, genesis, ""))
	src := newRows()
	for range batches {
		s.first = append(s.first, src.next)
		s.batches = append(s.batches, src.batch(10))
		must(t, l.Append(ctx, s.batches[len(s.batches)-1]))
	}
	must(t, l.Close())
	page := bytes.LastIndex(read(t, newest(t, s)), s.batches[damaged].Body[45:61]) &^ 4095
	flip(t, newest(t, s), page+8, 0) // the page's kind

	var log bytes.Buffer
	l, err = eventlog.Open(eventlog.Options{Dir: s.dir, CacheBytes: -1, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	must(t, err)
	defer func() { must(t, l.Close()) }()
	_, end, err := walk(l, change.Before(genesis), 0)
	wantIs(t, err, eventlog.ErrCorrupt)
	if end.Less(s.batches[damaged-3].Prev) || s.batches[damaged].Prev.Less(end) {
		t.Fatalf("the log reads to %s, the damaged page has the batch after %s", end, s.batches[damaged].Prev)
	}
	for i := range damaged - 3 {
		if _, at, err := walk(l, s.batches[i].Prev, s.first[i]); !errors.Is(err, eventlog.ErrCorrupt) || at != end {
			t.Errorf("from batch %d the log reads to %s instead of %s, %v", i, at, end, err)
		}
	}
	if said := strings.Count(log.String(), "level=ERROR"); said != 1 || l.Bounds().Corrupt != damaged-2 {
		t.Errorf("damage counted: %d; log:\n%s", l.Bounds().Corrupt, &log)
	}
	if good := s.readAll(t, l); good < batches-6 {
		t.Errorf("%d batches of %d can be read", good, batches)
	}
}
