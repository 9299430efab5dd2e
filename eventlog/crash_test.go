package eventlog_test

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/eventlog"
)

// crashLog makes segments and retention turn over quickly.
func crashLog(dir string, maxBytes int64) (*eventlog.Log, error) {
	e, err := eventlog.OpenBolt(eventlog.BoltOptions{Dir: dir, SegmentBytes: 96 << 10})
	if err != nil {
		return nil, err
	}
	return eventlog.Open(eventlog.Options{Engine: e, MaxBytes: maxBytes})
}

// childWrite appends numbered rows until it is killed and says after each append
// how far it got.
func childWrite(arg string) error {
	var (
		dir      string
		next     int
		commit   uint64
		maxBytes int64
	)
	if _, err := fmt.Sscan(arg, &next, &commit, &maxBytes, &dir); err != nil {
		return err
	}
	l, err := crashLog(dir, maxBytes)
	if err != nil {
		return err
	}
	b := l.Bounds()
	s := newSource(b.Last, b.WAL, next, 200)
	for i := 0; ; i++ {
		rows := rand.IntN(60)
		if i%7 == 3 {
			rows = 0
		}
		batch := s.batch(rows)
		if err := l.Append(ctx, batch); err != nil {
			return err
		}
		if _, err := fmt.Printf("%d %d\n", s.next, uint64(batch.WAL)); err != nil {
			return err
		}
		s.Advance(s.commit + 0xc0)
	}
}

// killed runs a writer for a few appends, kills it, and returns what it had
// acknowledged.
func killed(t *testing.T, dir string, next int, maxBytes int64) (acked int, wal change.LSN) {
	t.Helper()
	cmd := child(t, "write", fmt.Sprintf("%d 0 %d %s", next, maxBytes, dir))
	out, err := cmd.StdoutPipe()
	must(t, err)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	for left := rand.IntN(40); lines.Scan(); left-- {
		if _, err := fmt.Sscan(lines.Text(), &acked, &wal); err != nil {
			t.Errorf("%q: %v", lines.Text(), err)
		}
		if left == 0 {
			time.Sleep(time.Duration(rand.IntN(1500)) * time.Microsecond) // somewhere in an append
			must(t, cmd.Process.Kill())
		}
	}
	if err := cmd.Wait(); err == nil || stderr.Len() > 0 {
		t.Fatalf("the writer ended by itself: %v\n%s", err, &stderr)
	}
	return acked, wal
}

// Killed at any point: nothing that was acknowledged is missing, the order is
// right, nothing is doubled, and the log goes on.
func TestKill(t *testing.T) {
	for _, c := range []struct {
		name     string
		maxBytes int64
	}{{"everything kept", 0}, {"with retention", 1 << 20}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			l, err := crashLog(dir, c.maxBytes)
			must(t, err)
			must(t, l.Begin(ctx, lineage, genesis, ""))
			must(t, l.Close())
			next := 0
			for range 10 {
				acked, wal := killed(t, dir, next, c.maxBytes)
				next = afterKill(t, dir, c.maxBytes, acked, wal)
			}
			t.Logf("%d rows, %d segments", next, len(segments(t, dir)))
		})
	}
}

// afterKill checks the log that a killed writer left and returns the number of the
// next row.
func afterKill(t *testing.T, dir string, maxBytes int64, acked int, wal change.LSN) int {
	t.Helper()
	l, err := crashLog(dir, 0) // nothing is dropped while we look
	must(t, err)
	b := l.Bounds()
	first := 0
	if b.Floor != change.Before(genesis) && b.Floor != b.Last {
		if maxBytes == 0 {
			t.Fatalf("floor rose to %s without retention", b.Floor)
		}
		first = firstRow(t, l, b.Floor)
	}
	next, at, err := walk(l, b.Floor, first)
	if err != nil || at != b.Last {
		t.Fatalf("from %s the log reads to %s, its head is %s: %v", b.Floor, at, b.Last, err)
	}
	if next < acked || b.Durable < wal || b.Durable != b.WAL {
		t.Fatalf("rows up to %d and WAL %s were acknowledged, the log has rows up to %d and %+v", acked, wal, next, b)
	}
	must(t, l.Close())
	return next
}

// A file that a crash left half made is no obstacle and goes away.
func TestCrashLeftovers(t *testing.T) {
	s := newSample(t, 40)
	half := s.dir + "/segment-0000000099.db.tmp"
	must(t, os.WriteFile(half, []byte("half"), 0o600))
	// The generation before, whose removal a crash cut off.
	old := s.copy(t, t.TempDir())
	l := s.open(t, nil)
	must(t, l.Begin(ctx, lineage, genesis*2, "gap"))
	must(t, l.Close())
	for _, f := range segments(t, old.dir) {
		must(t, os.WriteFile(s.dir+f[len(old.dir):], read(t, f), 0o600))
	}
	l = s.open(t, nil)
	defer func() { must(t, l.Close()) }()
	if b := l.Bounds(); b.Lineage.Generation != 2 || b.Floor != change.Before(genesis*2) || b.Batches != 0 {
		t.Errorf("bounds %+v", b)
	}
	if files := segments(t, s.dir); len(files) != 1 {
		t.Errorf("files %v", files)
	}
	if _, err := os.Stat(half); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", half, err)
	}
}

func childOpen(dir string) error {
	l, err := eventlog.Open(eventlog.Options{Dir: dir})
	if err != nil {
		return err
	}
	return l.Close()
}

// One process per directory; the second one says who has it.
func TestSecondProcess(t *testing.T) {
	dir := t.TempDir()
	l, err := eventlog.Open(eventlog.Options{Dir: dir})
	must(t, err)
	must(t, l.Begin(ctx, lineage, genesis, ""))
	s := newRows()
	fill(t, l, s, 2, 2)
	out, err := child(t, "open", dir).CombinedOutput()
	if _, failed := err.(*exec.ExitError); !failed || !strings.Contains(string(out), fmt.Sprintf("(pid %d)", os.Getpid())) {
		t.Errorf("second process: %v\n%s", err, out)
	}
	fill(t, l, s, 2, 2) // the first one is not disturbed
	wantAll(t, l, 8)
	must(t, l.Close())
	if out, err := child(t, "open", dir).CombinedOutput(); err != nil {
		t.Errorf("after Close: %v\n%s", err, out)
	}
}
