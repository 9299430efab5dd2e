package integration

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// One inverted bit in a closed segment: a client that needs what it hit is told so
// in band, with everything before it given; one that does not is exact. It is said
// once, with the place, and counted.
func TestLogFlippedBit(t *testing.T) {
	t.Parallel()
	const rows = 270
	db := newDatabase(t, numberedTable)
	r := startRelay(t, db, numbered("4MiB", "heartbeat: 200ms"))
	w := liveWitness(t, r)
	w.wantWritten(t, db, rows)
	ids := w.ids
	db.waitConfirmed(t, ids[rows])
	r.terminate(t)

	// The memory has nothing any more: the history is read from disk.
	r.start(t)
	r.waitReady(t)
	files := logSegments(t, r)
	if len(files) < 4 {
		t.Fatalf("the log has %d segments", len(files))
	}
	hit := middleRecord(t, files[1])
	for _, at := range hit.places {
		flipBit(t, files[1], at+rand.IntN(900), uint(rand.IntN(8)))
	}
	last := rows
	check := func(when string) {
		before, after := rowsAround(t, ids, hit)
		last++
		first := newWitness(t, r, ids[1], 1)
		near := newWitness(t, r, ids[before], before)
		behind := newWitness(t, r, ids[after], after)
		ahead := newWitness(t, r, ids[rows], rows)
		live := liveWitness(t, r)
		for _, w := range []*witness{first, near} {
			if !w.nextReady(t).Resumed {
				t.Errorf("%s: not resumed, and the damage is ahead of the client", when)
			}
			w.wantTold(t, "gap")
			if w.last != before {
				t.Errorf("%s: told after row %d, the damage is behind row %d", when, w.last, before)
			}
		}
		insertNumbered(t, db, last, last)
		for _, w := range []*witness{first, near, behind, ahead, live} {
			w.wantExact(t, last)
		}
		first.reconnect(t) // with the id that the reset gave, and a row
		first.wantResumed(t)
		lines := r.errorLines("")
		if len(lines) != 1 || !strings.Contains(lines[0], "after="+hit.prev.String()) || !strings.Contains(lines[0], hit.last.String()) || !strings.Contains(lines[0], "event log is damaged") {
			t.Errorf("%s: lines about the damage between %s and %s:\n%s", when, hit.prev, hit.last, strings.Join(lines, "\n"))
		}
		if n := r.metric(t, "walrelay_log_corrupt_total"); n < 1 {
			t.Errorf("%s: walrelay_log_corrupt_total is %v", when, n)
		}
		if n := r.metric(t, `walrelay_resets_total{reason="gap"}`); n != 2 {
			t.Errorf("%s: %v resets", when, n)
		}
	}
	check("under a running walrelay")
	r.kill9(t)
	r.start(t)
	r.waitReady(t)
	check("before a start")
}

// rowsAround are the last row before a record, and its last row.
func rowsAround(t testing.TB, ids map[int]string, hit storedRecord) (before, after int) {
	t.Helper()
	for n, id := range ids {
		at := positionOf(t, id)
		if at.Compare(hit.prev) <= 0 {
			before = max(before, n)
		}
		if at.Compare(hit.last) <= 0 {
			after = max(after, n)
		}
	}
	if before < 10 || after <= before || after > len(ids)-10 {
		t.Fatalf("the record (%s, %s] has rows (%d, %d] of %d", hit.prev, hit.last, before, after, len(ids))
	}
	return before, after
}

// However a disk has torn the log, the next start continues exactly, or says what is
// damaged and gives no client a gap without a word: it refuses to start and names the
// way out, or the clients whose changes are hit get reset and the others go on.
func TestLogTornTail(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(testSeed(t), 77))
	db := newDatabase(t, numberedTable)
	r := startRelay(t, db, numbered("4MiB", "heartbeat: 300ms"))
	torn := &tornLog{db: db, r: r, ids: map[int]string{}, head: r.live(t, "items").lastID, random: random}
	for _, c := range []struct {
		name   string
		newest bool // or the one before
		harm   func(data []byte) []byte
		// What must become of it; "": either, as the place has it.
		want string
	}{
		{"nothing", true, func(d []byte) []byte { return d }, "exact"},
		{"garbage at the end", true, func(d []byte) []byte { return append(d, randomBytes(random, 10000)...) }, "exact"},
		{"zeros at the end", true, func(d []byte) []byte { return append(d, make([]byte, 10000)...) }, "exact"},
		{"cut anywhere", true, func(d []byte) []byte { return d[:random.IntN(usedBytes(d))] }, ""},
		{"cut at a page", true, func(d []byte) []byte { return d[:random.IntN(usedBytes(d))&^4095] }, ""},
		{"the last page cut off", true, func(d []byte) []byte { return d[:usedBytes(d)-4096] }, ""},
		{"the last pages zeroed", true, func(d []byte) []byte { return zeroLast(d, 1+random.IntN(20)) }, ""},
		{"the last pages overwritten", true, func(d []byte) []byte { return scribble(d, 1+random.IntN(20), random) }, ""},
		{"half of it zeroed", true, func(d []byte) []byte { return zeroLast(d, len(d)/4096/2) }, ""},
		{"pages in its middle zeroed", true, func(d []byte) []byte { clear(somePages(d, random)); return d }, ""},
		{"pages in its middle overwritten", true, func(d []byte) []byte {
			pages := somePages(d, random)
			copy(pages, randomBytes(random, len(pages)))
			return d
		}, ""},
		{"both meta pages zeroed", true, func(d []byte) []byte { clear(d[:8192]); return d }, "refused"},
		{"empty", true, func([]byte) []byte { return nil }, "refused"},
		{"an older one cut anywhere", false, func(d []byte) []byte { return d[:random.IntN(usedBytes(d))] }, ""},
		{"an older one's last pages zeroed", false, func(d []byte) []byte { return zeroLast(d, 1+random.IntN(20)) }, ""},
		{"an older one empty", false, func([]byte) []byte { return nil }, "damaged"},
	} {
		torn.fill(t, map[bool]int{true: 0, false: 2}[c.newest])
		r.kill9(t)
		files := logSegments(t, r)
		file := files[len(files)-1]
		if !c.newest {
			file = files[len(files)-2]
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, c.harm(data), 0o600); err != nil {
			t.Fatal(err)
		}
		insertNumbered(t, db, torn.rows+1, torn.rows+5)
		torn.rows += 5
		got := torn.start(t, c.name)
		t.Logf("%s: %s", c.name, got)
		if c.want != "" && got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func randomBytes(random *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// usedBytes is the length of the file up to its last page that is not empty.
func usedBytes(d []byte) int {
	return (len(bytes.TrimRight(d, "\x00")) + 4095) &^ 4095
}

// zeroLast empties the last n pages in use.
func zeroLast(d []byte, n int) []byte {
	end := min(usedBytes(d), len(d))
	clear(d[max(0, end-4096*n):end])
	return d
}

// somePages are a few pages in use behind the meta pages.
func somePages(d []byte, random *rand.Rand) []byte {
	pages := usedBytes(d) / 4096
	first := 2 + random.IntN(pages-2)
	return d[4096*first : min(4096*(first+1+random.IntN(4)), len(d))]
}

// scribble overwrites the last n pages in use.
func scribble(d []byte, n int, random *rand.Rand) []byte {
	end := min(usedBytes(d), len(d))
	copy(d[max(0, end-4096*n):end], randomBytes(random, 4096*n))
	return d
}

// tornLog is a log that is damaged again and again.
type tornLog struct {
	db     *database
	r      *relay
	rows   int            // in the table
	ids    map[int]string // of rows
	from   int            // the first row of this round
	head   string         // an id of a client that has all rows
	random *rand.Rand
}

// fill writes until the log has so many segments more, and notes the ids of the rows.
func (l *tornLog) fill(t testing.TB, segments int) {
	t.Helper()
	l.from = l.rows + 1
	files := logSegments(t, l.r)
	newest := files[len(files)-1]
	grown := func() int {
		files := logSegments(t, l.r)
		return len(files) - 1 - slices.Index(files, newest)
	}
	w := newWitness(t, l.r, l.head, l.rows)
	w.ids = l.ids
	for l.rows < l.from+20 || grown() < segments {
		from := l.rows + 1
		l.rows += 10 + l.random.IntN(50)
		insertNumbered(t, l.db, from, l.rows)
		w.wantExact(t, l.rows)
	}
	w.close()
}

// start starts walrelay on what is left, with an operator who does what it says, and
// checks its clients: "exact", "damaged" (some were reset) or "refused".
func (l *tornLog) start(t testing.TB, name string) string {
	t.Helper()
	at := []int{l.from, (l.from + l.rows) / 2, l.rows - 6, l.rows - 5} // the last one is at the head
	l.r.start(t)
	refused := l.refused(t, name)
	if refused {
		l.moveAway(t)
		l.r.start(t)
		l.r.waitReady(t)
	}
	var witnesses []*witness
	for _, n := range at {
		witnesses = append(witnesses, newWitness(t, l.r, l.ids[n], n))
	}
	witnesses = append(witnesses, liveWitness(t, l.r))
	l.rows++
	insertNumbered(t, l.db, l.rows, l.rows)
	target := l.db.mark(t)
	resets := 0
	for i, w := range witnesses {
		told := w.complete(t, l.rows, target)
		resets += len(told)
		for _, reason := range told {
			if reason != "gap" && !(refused && (reason == "expired" || reason == "view")) {
				t.Errorf("%s: client %d got reset %s", name, i, reason)
			}
		}
		w.close()
	}
	l.head = witnesses[0].lastID
	switch {
	case refused:
		return "refused"
	case resets > 0:
		if len(l.r.errorLines("")) == 0 {
			t.Errorf("%s: clients were reset and the log says nothing:\n%s", name, l.r.stderr)
		}
		return "damaged"
	}
	return "exact"
}

// refused waits until walrelay is ready, or has ended with one line that has the way
// out.
func (l *tornLog) refused(t testing.TB, name string) bool {
	t.Helper()
	ended := func() bool {
		select {
		case <-l.r.done:
			return true
		default:
			return false
		}
	}
	eventually(t, func() string {
		status, body, err := l.r.get(l.r.adminAt + "/readyz")
		if ended() || err == nil && status == 200 && l.r.logLast(t).Commit > positionOf(t, l.ids[l.rows-5]).Commit {
			return ""
		}
		return fmt.Sprintf("%s: neither ready with the rows nor ended: %d %s %v", name, status, body, err)
	})
	if !ended() {
		return false
	}
	got := l.r.wait(t)
	fix := regexp.MustCompile(`event log.*` + regexp.QuoteMeta(l.r.logDir) + `.*event log is corrupt.*(move the directory away|new, empty log.dir)`)
	if got.code != 1 || !fix.MatchString(got.lastLine) {
		t.Errorf("%s: exit code %d: %s", name, got.code, got.lastLine)
	}
	return true
}

// moveAway is what the line asks for.
func (l *tornLog) moveAway(t testing.TB) {
	t.Helper()
	if err := os.Rename(l.r.logDir, fmt.Sprintf("%s-damaged-%d", l.r.logDir, l.rows)); err != nil {
		t.Fatal(err)
	}
}
