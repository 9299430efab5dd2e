package eventlog_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/eventlog"
)

// smallDisk mounts a disk of 12 MiB: ext4 on a loop device, or else tmpfs. It
// returns "" where mounting is not allowed; TestFileSizeLimit needs no rights.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if os.Geteuid() != 0 {
		return ""
	}
	image := filepath.Join(t.TempDir(), "disk")
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, 12<<20))
	_, err := exec.Command("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", image).CombinedOutput()
	if err == nil {
		_, err = exec.Command("mount", "-o", "loop", image, dir).CombinedOutput()
	}
	if err != nil {
		t.Logf("no loop device (%v), using tmpfs", err)
		if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", dir).CombinedOutput(); err != nil {
			t.Logf("no tmpfs either: %v: %s", err, out)
			return ""
		}
	}
	t.Cleanup(func() { must(t, syscall.Unmount(dir, 0)) })
	return dir
}

// The disk is full: appends are refused, what is there is served, also after a
// restart; with room again the same batch goes in, by itself.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t)
	if disk == "" {
		t.Log("mounting is not allowed here; TestFileSizeLimit and TestAppendFailsAndRecovers stand for this test")
		return
	}
	ballast := filepath.Join(disk, "ballast")
	must(t, os.WriteFile(ballast, make([]byte, 3<<20), 0o600))
	dir := filepath.Join(disk, "log")
	reopen := func(maxBytes int64) *eventlog.Log {
		e, err := eventlog.OpenBolt(eventlog.BoltOptions{Dir: dir, SegmentBytes: 1 << 20})
		must(t, err)
		l, err := eventlog.Open(eventlog.Options{Engine: e, TailBytes: 1, MaxBytes: maxBytes})
		must(t, err)
		return l
	}
	l := reopen(0)
	must(t, l.Begin(ctx, lineage, genesis, ""))
	s := newSource(change.Before(genesis), genesis, 0, 2000)
	b := fillUp(t, l, s)
	durable := l.Bounds().Durable
	for range 3 {
		wantIs(t, l.Append(ctx, b), eventlog.ErrUnavailable)
	}
	if now := l.Bounds(); now.Durable != durable || now.WAL != b.WAL {
		t.Errorf("bounds on a full disk %+v", now)
	}
	wantAll(t, l, s.next)

	must(t, os.Remove(ballast))
	must(t, l.Append(ctx, b))
	if now := l.Bounds(); now.Durable != b.WAL {
		t.Errorf("bounds with room again %+v", now)
	}
	wantAll(t, l, s.next)

	fillUp(t, l, s)
	end := l.Bounds().Durable
	must(t, l.Close())
	l = reopen(0) // on the full disk
	if now := l.Bounds(); now.Durable != end || now.WAL != end {
		t.Errorf("bounds after a restart on the full disk %+v", now)
	}
	kept, _, err := walk(l, change.Before(genesis), 0)
	must(t, err)
	must(t, l.Close())

	l = reopen(6 << 20) // a lower limit makes room
	s = newSource(l.Bounds().Last, end, kept, 2000)
	b = s.batch(40)
	for err = l.Append(ctx, b); errors.Is(err, syscall.ENOSPC); err = l.Append(ctx, b) {
	}
	must(t, err)
	rows := 0
	for err = eventlog.ErrTrimmed; errors.Is(err, eventlog.ErrTrimmed); { // while the retention goes on
		floor := l.Bounds().Floor
		rows, _, err = walk(l, floor, firstRow(t, l, floor))
	}
	if rows != s.next || err != nil {
		t.Errorf("rows up to %d instead of %d, %v", rows, s.next, err)
	}
	must(t, l.Close())
}

// fillUp appends until the disk is full and returns the batch that found no room.
func fillUp(t *testing.T, l *eventlog.Log, s *source) *change.Batch {
	t.Helper()
	for range 10_000 {
		b := s.batch(40)
		if err := l.Append(ctx, b); err != nil {
			wantIs(t, err, eventlog.ErrUnavailable)
			wantIs(t, err, syscall.ENOSPC)
			return b
		}
	}
	t.Fatal("the disk does not fill up")
	return nil
}

// The same with a limit of file size, in a process of its own; needs no rights.
func TestFileSizeLimit(t *testing.T) {
	t.Parallel()
	if out, err := child(t, "limit", t.TempDir()).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func childLimit(dir string) error {
	l, err := eventlog.Open(eventlog.Options{Dir: dir, TailBytes: 1})
	if err != nil {
		return err
	}
	if err := l.Begin(ctx, lineage, genesis, ""); err != nil {
		return err
	}
	signal.Ignore(syscall.SIGXFSZ)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	limit.Cur = 600 << 10
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	s := newSource(change.Before(genesis), genesis, 0, 2000)
	var b *change.Batch
	for err == nil && s.next < 100_000 {
		b = s.batch(40)
		err = l.Append(ctx, b)
	}
	if !errors.Is(err, syscall.EFBIG) || !errors.Is(err, eventlog.ErrUnavailable) {
		return fmt.Errorf("at the limit: %w", err)
	}
	if n, _, err := walk(l, change.Before(genesis), 0); n != s.next || err != nil {
		return fmt.Errorf("at the limit %d rows of %d can be read: %w", n, s.next, err)
	}
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	if err := errors.Join(l.Append(ctx, b), l.Append(ctx, s.batch(40))); err != nil {
		return fmt.Errorf("without the limit: %w", err)
	}
	if n, _, err := walk(l, change.Before(genesis), 0); n != s.next || err != nil {
		return fmt.Errorf("without the limit %d rows of %d can be read: %w", n, s.next, err)
	}
	return l.Close()
}
