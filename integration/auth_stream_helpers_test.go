package integration

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/eventlog"
	"github.com/walrelay/walrelay/replication"
)

// sequence has, in one order, what a watcher saw and what the log was given.
type sequence struct {
	mu    sync.Mutex
	notes []noted
}

// noted is one change that was observed, or a batch that was about to be appended.
type noted struct {
	at       change.Position // of the change; that of the batch's last
	observed string          // the change as text; empty for a batch
}

func (q *sequence) add(e noted) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.notes = append(q.notes, e)
}

// all is what there is so far.
func (q *sequence) all() []noted {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.notes[:len(q.notes):len(q.notes)]
}

// observed are the changes alone, without their positions.
func (q *sequence) observed() (lines []string) {
	for _, e := range q.all() {
		if e.observed != "" {
			lines = append(lines, e.observed)
		}
	}
	return lines
}

// Observe implements replication.Watcher.
func (q *sequence) Observe(c *change.Change) {
	q.add(noted{c.Position, tellChange(c)})
}

// tellChange is a change as text: operation, table, the first column's value, of old rows
// behind a minus.
func tellChange(c *change.Change) string {
	line := c.Op.String()
	if c.Op == change.Truncate {
		for _, rel := range c.Truncated {
			line += " " + rel.Name
		}
		return line
	}
	if c.Op == change.Message {
		return line + " " + string(c.Prefix)
	}
	line += " " + c.Relation.Name
	after, before, err := c.Images(nil, nil)
	if err != nil {
		return line + " " + err.Error()
	}
	if len(after) > 0 {
		line += " " + string(after[0].Text)
	}
	if c.Old != nil {
		line += " -" + string(before[0].Text)
	}
	return line
}

// sequenceLog notes batches before the log gets them. While held, none gets there.
type sequenceLog struct {
	sourceLog
	sequence *sequence
	held     *atomic.Bool
}

func (l sequenceLog) Append(ctx context.Context, b *change.Batch) error {
	if l.held.Load() {
		return fmt.Errorf("held by the test: %w", eventlog.ErrUnavailable)
	}
	if b.Changes > 0 {
		l.sequence.add(noted{at: b.Last})
	}
	return l.sourceLog.Append(ctx, b)
}

// LastTx is that of main's adapter.
func (l sequenceLog) LastTx() (change.Tx, bool) {
	b := l.Bounds()
	before := change.Position{Commit: b.Last.Commit - 1, Index: math.MaxUint64}
	if b.Last.Index > 0 {
		before = change.Position{Commit: b.Last.Commit, Index: b.Last.Index - 1}
	}
	if b.Last == b.Floor {
		return change.Tx{}, false
	}
	batch, err := l.Next(before)
	if err != nil || batch == nil {
		return change.Tx{}, false
	}
	var r change.Reader
	var c change.Change
	for r.Reset(batch); r.Next(&c); {
	}
	return c.Tx, r.Err() == nil
}

// watched is a Source with a sequence.
type watched struct {
	source
	*sequence
	dir    string // of the log
	held   atomic.Bool
	missed atomic.Int64 // calls of OnMissed
	stop   func()
}

// The tables of a target, of schema public.
func channelTable(name string) replication.TableSpec {
	return replication.TableSpec{Schema: "public", Name: name}
}

func privateTable(name string) replication.TableSpec {
	return replication.TableSpec{Schema: "public", Name: name, Private: true, Watched: true}
}

func sharedTable(name string) replication.TableSpec {
	return replication.TableSpec{Schema: "public", Name: name, Watched: true}
}

// startWatched runs a Source on a slot of the database, with the log in dir, until the test
// ends or stop is called, and waits until it streams.
func startWatched(t testing.TB, db *database, slot, dir string, tables ...replication.TableSpec) *watched {
	t.Helper()
	log, err := eventlog.Open(eventlog.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{sequence: &sequence{}, dir: dir}
	w.log = log
	w.Source = replication.New(replication.Options{
		Target: replication.Target{URL: db.url(), Slot: slot, Publication: db.name, Tables: tables},
		Log:    sequenceLog{sourceLog{log}, w.sequence, &w.held}, WALBudget: 1 << 30, Watcher: w.sequence, OnMissed: func() { w.missed.Add(1) },
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil && !t.Failed() {
			t.Error(err)
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(w.stop)
	w.waitStreaming(t)
	return w
}

func (w *watched) waitStreaming(t testing.TB) {
	t.Helper()
	eventually(t, func() string {
		if st := w.State(); st.Phase != replication.PhaseStreaming {
			return fmt.Sprintf("it does not stream: %s, %v", st.Phase, st.Err)
		}
		return ""
	})
}

// logged is what the log has up to a message that is written now, with positions.
func (w *watched) logged(t testing.TB, db *database) (lines []string) {
	t.Helper()
	mark := fmt.Sprintf("end %d", endMarks.Add(1))
	db.exec(t, "select pg_logical_emit_message(true, '"+mark+"', '')")
	w.changes(t, w.log.Bounds().Floor, func(c *change.Change) bool {
		if c.Op == change.Message && strings.HasPrefix(string(c.Prefix), "end ") {
			return string(c.Prefix) != mark
		}
		lines = append(lines, c.Position.String()+" "+tellChange(c))
		return true
	})
	return lines
}

// withoutPositions cuts off the first word of each line.
func withoutPositions(lines []string) (out []string) {
	for _, line := range lines {
		_, rest, _ := strings.Cut(line, " ")
		out = append(out, rest)
	}
	return out
}

// foundIn are those of the texts that are in any file below dir.
func foundIn(t testing.TB, dir string, texts []string) (found []string) {
	t.Helper()
	seen := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		for _, text := range texts {
			seen[text] = seen[text] || bytes.Contains(data, []byte(text))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		if seen[text] {
			found = append(found, text)
		}
	}
	return found
}
