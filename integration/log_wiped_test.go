package integration

import (
	"os"
	"strings"
	"testing"
)

// The log's directory goes away under a running walrelay. What is written to a file
// without a name would be gone with the process: it is noticed with the next change,
// said once, and nothing more is confirmed; after a restart every client has
// everything, or is told.
func TestLogWiped(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		wipe func(t *testing.T, r *relay)
	}{
		{"directory removed", func(t *testing.T, r *relay) { removeAll(t, r.logDir) }},
		{"directory emptied", func(t *testing.T, r *relay) {
			for _, f := range logSegments(t, r) {
				removeAll(t, f)
			}
		}},
		{"replaced by an older copy", func(t *testing.T, r *relay) {
			older := r.logDir + "-older"
			if err := os.CopyFS(older, os.DirFS(r.logDir)); err != nil {
				t.Fatal(err)
			}
			removeAll(t, r.logDir)
			if err := os.Rename(older, r.logDir); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t, numberedTable)
			r := startRelay(t, db, numbered("4MiB", "heartbeat: 200ms"))
			w := liveWitness(t, r)
			insertNumbered(t, db, 1, 20)
			w.wantExact(t, 20)
			old := w.ids[5]
			db.waitConfirmed(t, w.lastID)
			c.wipe(t, r)
			insertNumbered(t, db, 21, 40)
			r.waitUnready(t, `"check":"log"`)
			r.waitUnready(t, "restart walrelay")
			confirmed := db.confirmed(t)
			if float64(confirmed) > r.metric(t, "walrelay_log_durable_lsn") {
				t.Errorf("confirmed_flush_lsn is %s, beyond what is durable", confirmed)
			}
			insertNumbered(t, db, 41, 60)
			w.wantExact(t, 21) // served before it is durable
			if lines := r.errorLines(""); len(lines) != 1 || !strings.Contains(lines[0], "while in use") || !strings.Contains(lines[0], "restart walrelay") {
				t.Errorf("the log says:\n%s", strings.Join(lines, "\n"))
			}
			r.kill9(t)
			if now := db.confirmed(t); now != confirmed {
				t.Errorf("confirmed_flush_lsn moved from %s to %s while nothing could be stored", confirmed, now)
			}

			r.start(t)
			r.waitReady(t)
			w.reconnect(t)
			absent := newWitness(t, r, old, 5)
			insertNumbered(t, db, 61, 61)
			target := db.mark(t)
			w.complete(t, 61, target)
			if told := absent.complete(t, 61, target); len(told) == 0 && absent.last != 61 {
				t.Errorf("a client from before: row %d", absent.last)
			}
			// An ordinary log again.
			r.kill9(t)
			r.start(t)
			r.waitReady(t)
			for _, w := range []*witness{w, absent} {
				w.reconnect(t)
				w.wantResumed(t)
				w.next = 62
			}
			insertNumbered(t, db, 62, 62)
			w.wantExact(t, 62)
			absent.wantExact(t, 62)
		})
	}
}

func removeAll(t testing.TB, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

// Some of the files are gone at a start: an older one is a hole in the middle, of the
// newest the slot knows that there was more.
func TestLogPartlyWiped(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, numberedTable)
	r := startRelay(t, db, numbered("4MiB", "heartbeat: 200ms"))
	w := liveWitness(t, r)
	rows := 0
	fill := func(segments int) {
		for len(logSegments(t, r)) < segments {
			insertNumbered(t, db, rows+1, rows+40)
			rows += 40
			w.wantExact(t, rows)
		}
		db.waitConfirmed(t, w.lastID)
	}
	restart := func(remove string) {
		r.kill9(t)
		removeAll(t, remove)
		r.start(t)
		r.waitReady(t)
		w.reconnect(t)
	}
	fill(4)
	restart(logSegments(t, r)[1])
	w.wantResumed(t) // it was at the head
	before := newWitness(t, r, w.ids[2], 2)
	before.wantResumed(t)
	before.wantTold(t, "gap")
	if len(r.errorLines("changes are missing between two segments")) != 1 || r.metric(t, "walrelay_log_corrupt_total") < 1 {
		t.Errorf("the log says:\n%s", r.stderr)
	}
	fill(5)
	before.wantExact(t, rows)

	files := logSegments(t, r)
	restart(files[len(files)-1])
	r.stderr.waitFor(t, "the event log cannot be continued: all clients get reset.*reason=gap")
	w.wantTold(t, "gap")
	insertNumbered(t, db, rows+1, rows+5)
	w.wantExact(t, rows+5)
}
