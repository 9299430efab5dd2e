package auth

import (
	"testing"
	"time"

	"github.com/walrelay/walrelay/change"
)

func snapshotUpTo(xmax uint64, running ...uint64) change.Snapshot {
	s := change.Snapshot{Xmin: xmax, Xmax: xmax, InProgress: running}
	if len(running) > 0 {
		s.Xmin = running[0]
	}
	return s
}

func TestRecentHides(t *testing.T) {
	t.Parallel()
	rowA, rowB, userA, all := ref{0, ofRow, tag{1}}, ref{0, ofRow, tag{2}}, ref{0, 0, tag{1}}, ref{0, ofAll, tag{}}
	r := newRecent()
	r.note(rowA, 100)
	r.note(rowA, 105)
	r.note(userA, 101)
	r.note(userA, 103)
	for name, test := range map[string]struct {
		s    change.Snapshot
		what []ref
		want bool
	}{
		"before all":                           {snapshotUpTo(100), []ref{rowA}, true},
		"all visible":                          {snapshotUpTo(106), []ref{rowA, userA}, false},
		"the last change of the row in flight": {snapshotUpTo(106, 105), []ref{rowA}, true},
		"an earlier one of the user in flight": {snapshotUpTo(106, 101), []ref{userA}, true},
		"another row":                          {snapshotUpTo(100), []ref{rowB, all}, false},
		"one of many":                          {snapshotUpTo(104), []ref{rowB, all, rowA}, true},
	} {
		if got := r.hides(test.s, test.what...); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	r.note(all, 110)
	if !r.hides(snapshotUpTo(107), rowB, all) {
		t.Error("a change of all sessions concerns each")
	}
}

// TestRecentForgets: only what every look-up under way sees, which began less than
// lookupPatience ago.
func TestRecentForgets(t *testing.T) {
	t.Parallel()
	if lookupPatience >= recentFor {
		t.Fatal("a look-up may be older than the snapshot by which notes are forgotten")
	}
	row, stuck := ref{0, ofRow, tag{1}}, ref{0, 0, tag{2}}
	r, now := newRecent(), time.Unix(1000, 0)
	r.note(row, 100)
	r.note(stuck, 101)
	r.saw(snapshotUpTo(103, 101), now)
	r.saw(snapshotUpTo(103, 101), now.Add(recentFor-1))
	if r.count != 2 {
		t.Fatal("forgotten too early")
	}
	r.saw(snapshotUpTo(104, 101), now.Add(recentFor))
	if r.count != 1 || !r.hides(snapshotUpTo(104, 101), stuck) {
		t.Errorf("%d notes: the visible change is to be forgotten, the stuck one not", r.count)
	}
	r.saw(snapshotUpTo(105), now.Add(2*recentFor))
	r.saw(snapshotUpTo(105), now.Add(3*recentFor))
	if r.count != 0 || len(r.others) != 0 {
		t.Errorf("%d notes left", r.count)
	}
}

func TestRecentOverflow(t *testing.T) {
	t.Parallel()
	r := newRecent()
	for i := range maxRecent + 10 {
		r.note(ref{0, ofRow, tag{byte(i), byte(i >> 8), byte(i >> 16)}}, uint32(500+i))
	}
	if r.count > maxRecent {
		t.Errorf("%d notes", r.count)
	}
	other := ref{3, ofRow, tag{9}}
	if !r.hides(snapshotUpTo(uint64(500+maxRecent), 600), other) {
		t.Error("what was dropped must hide everything until all of it has ended")
	}
	if r.hides(snapshotUpTo(uint64(500+maxRecent+10)), other) {
		t.Error("all has ended")
	}
	r.prune(snapshotUpTo(uint64(500 + maxRecent + 10)))
	if r.dropped || r.count != 0 {
		t.Errorf("dropped %v, %d notes", r.dropped, r.count)
	}
}

func BenchmarkRecentNote(b *testing.B) {
	r := newRecent()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r.note(ref{0, ofRow, tag{byte(i), byte(i >> 8)}}, uint32(i))
	}
}
