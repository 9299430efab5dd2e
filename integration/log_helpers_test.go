package integration

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/walrelay/walrelay/change"
)

// numberedTable is a table whose rows are numbered in the order of their commits,
// so that a subscriber knows what must come next. Its channel is items.
const numberedTable = "create table items (id bigint primary key, body text)"

// numbered configures a walrelay with small log segments (1/16 of the size).
func numbered(maxBytes, http string) string {
	return settings{http: http, log: "max_bytes: " + maxBytes, channels: "  items: {table: public.items, allow: public}\n"}.yaml()
}

// quietConfig has a channel of the same name for each table, and no heartbeats: a wait
// for an event that does not come then ends.
func quietConfig(tables ...string) string {
	_, channels, _ := strings.Cut(publicTables(tables...), "\n")
	return settings{http: "heartbeat: 5m", channels: channels}.yaml()
}

// insertNumbered commits the rows from first to last, each in a transaction of its
// own, with 4 KB that cannot be compressed.
func insertNumbered(t testing.TB, db *database, first, last int) {
	t.Helper()
	db.exec(t, fmt.Sprintf(`do $$ begin for n in %d..%d loop
		insert into items values (n, (select string_agg(md5(random()::text || n || i), '') from generate_series(1, 125) i)); commit;
	end loop; end $$`, first, last))
}

// witness is a subscriber of a numbered table. What it is given must be exact, or
// it must have been told that it is not.
type witness struct {
	*sse
	next int            // the row that must come now; 0 after a reset, or without an id: any
	last int            // the last row that came
	ids  map[int]string // of the rows that came; may be nil
	// silent: ready said that the stream is not resumed, and no reset has come.
	silent bool
}

// newWitness subscribes at the id of row n, which it has.
func newWitness(t testing.TB, r *relay, id string, n int) *witness {
	t.Helper()
	return &witness{sse: openSSE(t, r.streamURL("items"), resumeAt(id)), next: n + 1, last: n}
}

// liveWitness subscribes without an id and notes the ids of the rows that come. While
// walrelay catches up with Postgres these may be older than the subscription.
func liveWitness(t testing.TB, r *relay) *witness {
	t.Helper()
	return &witness{sse: r.live(t, "items"), ids: map[int]string{}}
}

// frame takes one frame of the stream and gives the reason if it is a reset. That a
// stream cannot be resumed must be followed by a reset before any row.
func (w *witness) frame(t testing.TB, f frame) (reset string) {
	t.Helper()
	if !f.hasData {
		return ""
	}
	e := eventOf(t, f)
	switch f.event {
	case "ready":
		w.silent = !e.Resumed
	case "reset":
		w.next, w.silent = 0, false
		if e.Reason == "view" { // of a new log, which may have the last rows before it once more
			w.last = 0
		}
		return e.Reason
	case "insert":
		id := idOf(e)
		if w.silent || w.next != 0 && id != w.next || id <= w.last {
			t.Fatalf("at %s: got row %d, want %d (0: any) after %d; not resumed and not told: %v", f.id, id, w.next, w.last, w.silent)
		}
		w.next, w.last = id+1, id
		if w.ids != nil {
			w.ids[id] = f.id
		}
	default:
		t.Fatalf("at %s: got %s %.200s", w.lastID, f.event, f.data)
	}
	return ""
}

// readUntil takes frames until done, and gives the reasons of the resets on the way.
func (w *witness) readUntil(t testing.TB, done func(frame) bool) (resets []string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		f, ok := w.nextFrame(t)
		if !ok || time.Now().After(deadline) {
			t.Fatalf("%s: at %s after row %d and resets %v (ended: %v)", w.url, w.lastID, w.last, resets, !ok)
		}
		if reason := w.frame(t, f); reason != "" {
			resets = append(resets, reason)
		}
		if done(f) {
			return resets
		}
	}
}

// complete reads until the subscriber is complete up to the LSN, behind row n: it has
// all rows, or it was told that it has not.
func (w *witness) complete(t testing.TB, n int, upTo change.LSN) (resets []string) {
	t.Helper()
	resets = w.readUntil(t, func(f frame) bool { return f.hasID && !positionOf(t, f.id).Less(change.Before(upTo)) })
	if w.silent || w.next != 0 && w.last != n {
		t.Fatalf("complete up to %s without row %d: the last one is %d, after resets %v", upTo, n, w.last, resets)
	}
	return resets
}

// wantExact reads up to row n, of which none may be missing.
func (w *witness) wantExact(t testing.TB, n int) {
	t.Helper()
	if w.last >= n {
		return
	}
	if resets := w.readUntil(t, func(frame) bool { return w.last >= n }); len(resets) != 0 {
		t.Fatalf("row %d came after resets: %v", n, resets)
	}
}

// wantTold reads up to a reset with the reason, which must come before anything is
// missing.
func (w *witness) wantTold(t testing.TB, reason string) {
	t.Helper()
	got := w.readUntil(t, func(f frame) bool { return f.event == "reset" })
	if got[0] != reason {
		t.Fatalf("after row %d: reset %v, want %s", w.last, got, reason)
	}
}

// wantWritten commits the rows up to n one by one, each when the one before has come:
// each has a record of its own in the log.
func (w *witness) wantWritten(t testing.TB, db *database, n int) {
	t.Helper()
	conn := db.conn(t)
	defer conn.Close(t.Context())
	for id := w.last + 1; id <= n; id++ {
		if _, err := conn.Exec(t.Context(), "insert into items values ($1, (select string_agg(md5(random()::text || i), '') from generate_series(1, 125) i))", id); err != nil {
			t.Fatal(err)
		}
		w.wantExact(t, id)
	}
}

// logSegments are the files of a relay's log, the newest last.
func logSegments(t testing.TB, r *relay) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(r.logDir, "segment-*.db"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has %d segments, %v", r.logDir, len(files), err)
	}
	slices.Sort(files)
	return files
}

// storedRecord is one record of a segment file.
type storedRecord struct {
	prev, last change.Position // of the record before it in the file, and its own
	places     []int           // where in the file the first piece stands; bbolt leaves outdated copies about
}

// middleRecord looks into a segment, which a walrelay may have open, and gives the
// record in its middle.
func middleRecord(t testing.TB, file string) storedRecord {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "segment.db")
	if err := os.WriteFile(copied, data, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(copied, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var records []storedRecord
	err = db.View(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("records")).ForEach(func(k, v []byte) error {
			if binary.BigEndian.Uint32(k[16:]) != 0 {
				return nil
			}
			r := storedRecord{last: change.Position{Commit: change.LSN(binary.BigEndian.Uint64(k)), Index: binary.BigEndian.Uint64(k[8:])}}
			if len(records) > 0 {
				r.prev = records[len(records)-1].last
			}
			for at := bytes.Index(data, v); at >= 0; {
				r.places = append(r.places, at)
				next := bytes.Index(data[at+1:], v)
				if next < 0 {
					break
				}
				at += 1 + next
			}
			records = append(records, r)
			return nil
		})
	})
	if err != nil || len(records) < 8 {
		t.Fatalf("%s has %d records, %v", file, len(records), err)
	}
	return records[len(records)/2]
}

// flipBit inverts one bit of a file in place, as a disk would.
func flipBit(t testing.TB, file string, at int, bit uint) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err = f.ReadAt(b, int64(at)); err == nil {
		b[0] ^= 1 << bit
		_, err = f.WriteAt(b, int64(at))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// errorLines are the lines of the server log that an operator must look at and that
// have the text.
func (r *relay) errorLines(text string) (out []string) {
	for _, line := range r.stderr.lines() {
		if strings.Contains(line, "level=ERROR") && strings.Contains(line, text) {
			out = append(out, line)
		}
	}
	return out
}
