package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/channel"
)

// A large transaction is interrupted in its middle, by the end of walrelay and by the
// end of the walsender, while subscribers lose their connections at any byte: each gets
// every row once, by index.
//
// WALRELAY_TEST_ROWS sets the number of rows, 120,000 by default.
func TestResumeLargeTransaction(t *testing.T) {
	t.Parallel()
	rows := 120_000
	if text := os.Getenv("WALRELAY_TEST_ROWS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("WALRELAY_TEST_ROWS: %v", err)
		}
		rows = n
	}
	seed := testSeed(t)
	db := newDatabase(t, "create table items (id int primary key)")
	r := startRelay(t, db, standard(publicTables("items")))
	start := r.live(t, "items").lastID
	db.exec(t, fmt.Sprintf("insert into items select generate_series(0, %d)", rows-1), "insert into items values (-1)")
	hoppers := make([]*hopper, 3)
	var hopping sync.WaitGroup
	t.Cleanup(hopping.Wait)
	for i := range hoppers {
		h := &hopper{client: newRawClient(r.streamURL("items")), random: rand.New(rand.NewPCG(seed, uint64(i))), rows: rows, lastID: start}
		hoppers[i] = h
		hopping.Go(func() { h.hop(t.Context()) })
	}
	cut := func() {
		db.exec(t, "select pg_terminate_backend(active_pid) from pg_replication_slots where active and slot_name = '"+db.name+"'")
	}
	kill := func() { r.kill9(t); r.start(t) }
	for i, interrupt := range []func(){cut, kill, kill, cut} {
		var last change.Position
		eventually(t, func() string {
			if last = r.logLast(t); last.Index >= uint64(rows*(i+1)/8) {
				return ""
			}
			return fmt.Sprintf("interruption %d: the log ends at %s", i, last)
		})
		if last.Index == uint64(rows-1) || r.walKnows(t, last) {
			t.Errorf("interruption %d: the transaction is logged as a whole: this tests nothing", i)
		}
		interrupt()
	}
	hopping.Wait()
	for i, h := range hoppers {
		if h.err != nil || h.next != rows || !h.done {
			t.Errorf("subscriber %d: %d rows of %d, %d resumes, last id %s: %v", i, h.next, rows, h.resumes, h.lastID, h.err)
		}
		if h.commit != hoppers[0].commit {
			t.Errorf("subscriber %d: commit %s, subscriber 0 has %s", i, h.commit, hoppers[0].commit)
		}
	}
	t.Logf("%d rows; resumes of subscriber 0: %d", rows, hoppers[0].resumes)
}

// walKnows tells whether the log has all of the transaction.
func (r *relay) walKnows(t testing.TB, at change.Position) bool {
	t.Helper()
	return r.metric(t, "walrelay_log_wal_lsn") > float64(at.Commit)
}

// hopper is a subscriber of a table whose rows 0 to rows-1 are one transaction, and
// row -1 the next; it is cut off again and again.
type hopper struct {
	client *rawClient
	random *rand.Rand
	rows   int

	lastID  string
	next    int        // row that must come now
	commit  change.LSN // of the transaction
	resumes int
	done    bool // row -1 has come
	err     error
}

// hop comes back until it has everything.
func (h *hopper) hop(ctx context.Context) {
	last, moved := h.next, time.Now()
	for h.err == nil && !h.done && ctx.Err() == nil {
		err := h.client.read(ctx, h.lastID, 1000+h.random.IntN(3<<20), h.frame)
		h.resumes++
		if h.next > last {
			last, moved = h.next, time.Now()
		}
		if time.Since(moved) > 2*patience {
			h.err = fmt.Errorf("no row in %v: %w", time.Since(moved), err)
		}
		if err != nil && !errors.Is(err, errCut) {
			time.Sleep(time.Duration(h.random.IntN(50)) * time.Millisecond) // walrelay is away
		}
	}
}

// frame takes one frame and tells whether to read on.
func (h *hopper) frame(f frame) bool {
	switch {
	case f.event == "ready" && strings.Contains(f.data, `"resumed":true`), f.event == "end", !f.hasData:
	case f.event == "insert":
		h.err = h.row(f)
	default:
		h.err = fmt.Errorf("at %s: got %s %s", h.lastID, f.event, f.data)
	}
	if f.hasID {
		h.lastID = f.id
	}
	return h.err == nil && !h.done
}

// row checks one row's place and content.
func (h *hopper) row(f frame) error {
	id, err := channel.ParseEventID(f.id)
	if err != nil {
		return err
	}
	if h.next == 0 {
		h.commit = id.At.Commit
	}
	behind := h.next == h.rows
	exact, want := id.At == change.Position{Commit: h.commit, Index: uint64(h.next)}, fmt.Sprintf(`"row":{"id":%d}`, h.next)
	if behind {
		exact, want = id.At.Index == 0 && h.commit < id.At.Commit, `"row":{"id":-1}`
	}
	if !exact || !f.hasID || !strings.Contains(f.data, want) {
		return fmt.Errorf("got %s %s, want %s, index %d of %s or the next transaction", f.id, f.data, want, h.next, h.commit)
	}
	if h.done = behind; !behind {
		h.next++
	}
	return nil
}
