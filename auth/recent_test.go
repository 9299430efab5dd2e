package auth

import (
	"strconv"
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
	r.note(rowA, change.Tx{XID: 100})
	r.note(rowA, change.Tx{XID: 105})
	r.note(userA, change.Tx{XID: 101})
	r.note(userA, change.Tx{XID: 103})
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
	r.note(all, change.Tx{XID: 110})
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
	r.note(row, change.Tx{XID: 100})
	r.note(stuck, change.Tx{XID: 101})
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

// TestRecentComesAgain: after a reconnect changes come that came before, one after the other.
func TestRecentComesAgain(t *testing.T) {
	t.Parallel()
	row, r := ref{0, ofRow, tag{1}}, newRecent()
	r.note(row, change.Tx{XID: 105, Commit: 1000})
	r.note(row, change.Tx{XID: 100, Commit: 2000}) // it began earlier, and was the last
	r.note(row, change.Tx{XID: 105, Commit: 1000})
	if !r.hides(snapshotUpTo(106, 100), row) {
		t.Error("what comes again has hidden what came after it")
	}
	r.reorder()
	r.note(row, change.Tx{XID: 110, Commit: 900})
	if !r.hides(snapshotUpTo(111, 110), row) {
		t.Error("a change of another past counts")
	}
}

func TestRecentOverflow(t *testing.T) {
	t.Parallel()
	r := newRecent()
	for i := range maxRecent + 10 {
		r.note(ref{0, ofRow, tag{byte(i), byte(i >> 8), byte(i >> 16)}}, change.Tx{XID: uint32(500 + i)})
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
	if r.hides(snapshotUpTo(uint64(500+maxRecent+10), 499), other) {
		t.Error("a long transaction from before all that was dropped hides nothing")
	}
	r.prune(snapshotUpTo(uint64(500 + maxRecent + 10)))
	if r.dropped || r.count != 0 {
		t.Errorf("dropped %v, %d notes", r.dropped, r.count)
	}
}

// TestForgottenWithoutLookups: a busy table does not fill the notes while nobody signs in.
func TestForgottenWithoutLookups(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(t *testing.T, w *world) {
		for n := range 1000 {
			row := sessionRow{id: strconv.Itoa(n), token: "t" + strconv.Itoa(n), user: "eve", kind: "web"}
			w.commit(updateSession(row, row))
		}
		if n := w.figures().notes; n != 1000 {
			t.Fatalf("%d notes", n)
		}
		time.Sleep(5 * recentFor)
		if n := w.figures().notes; n != 0 || w.queries() != 0 {
			t.Errorf("%d notes are left, after %d look-ups", n, w.queries())
		}
	})
}

func BenchmarkRecentNote(b *testing.B) {
	r := newRecent()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r.note(ref{0, ofRow, tag{byte(i), byte(i >> 8)}}, change.Tx{XID: uint32(i)})
	}
}
