package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/pgtemp"
)

// While the event log cannot be written nothing is confirmed, for longer than
// wal_sender_timeout, yet the walsender is not ended; clients have what is there;
// with room on the disk all goes on by itself. The same after a start on a full disk.
func TestLogDiskFull(t *testing.T) {
	t.Parallel()
	db := newDatabaseOn(t, newCluster(t, pgtemp.Options{Settings: map[string]string{"wal_sender_timeout": "1500ms"}}),
		"create table items (id int primary key, body text)")
	r := newRelay(t, db, standard(publicTables("items")))
	disk := newSmallDisk(t, r)
	r.start(t)
	r.waitReady(t)
	s := r.live(t, "items")
	db.exec(t, "insert into items values (0)")
	first := s.next(t)
	walsender := db.value(t, "select active_pid from pg_replication_slots where slot_name = $1", db.name)

	disk.fill(t)
	const rows = 1500 // of 4 KiB
	db.exec(t, fmt.Sprintf("insert into items select n, (select string_agg(md5(random()::text), '') from generate_series(1, 125) where n > 0) from generate_series(1, %d) n", rows))
	r.waitUnready(t, "event log cannot be written")
	r.waitUnready(t, disk.fix())
	var stuck change.LSN
	eventually(t, func() string { // what was durable before is confirmed a moment later
		if stuck = db.confirmed(t); float64(stuck) != r.metric(t, "walrelay_log_durable_lsn") {
			return fmt.Sprintf("confirmed_flush_lsn is %s, not what is durable", stuck)
		}
		return ""
	})
	// A client that comes back is served from what the log has.
	again := r.resumed(t, first.id, "items")
	if f := again.next(t); !strings.Contains(f.data, `"id":1,`) {
		t.Errorf("got %s %.80s, want row 1", f.event, f.data)
	}
	// Longer than the server's patience, by its own clock.
	since := db.value(t, "select clock_timestamp()")
	eventually(t, func() string {
		return db.value(t, "select case when clock_timestamp() < $1::timestamptz + interval '4 s' then 'not stuck for long enough' end", since)
	})
	if at := db.confirmed(t); at != stuck {
		t.Errorf("confirmed_flush_lsn moved from %s to %s while the disk was full", stuck, at)
	}
	if pid := db.value(t, "select active_pid from pg_replication_slots where slot_name = $1", db.name); pid != walsender {
		t.Errorf("the walsender has changed from %s to %q", walsender, pid)
	}
	disk.makeRoom(t)
	for i := 1; i <= rows; i++ {
		if f := s.next(t); !strings.Contains(f.data, fmt.Sprintf(`"id":%d,`, i)) {
			t.Fatalf("got %s %s %.80s, want row %d", f.event, f.id, f.data, i)
		}
	}
	r.waitReady(t)
	end := db.walEnd(t)
	eventually(t, func() string {
		if at := db.confirmed(t); at < end {
			return fmt.Sprintf("confirmed_flush_lsn is %s, before %s", at, end)
		}
		return ""
	})
	if lines := strings.Count(r.stderr.String(), "event log cannot be written"); lines != 1 || strings.Count(r.stderr.String(), "event log can be written again") != 1 ||
		strings.Contains(r.stderr.String(), "replication lost") {
		t.Errorf("log lines:\n%s", r.stderr)
	}

	disk.fill(t)
	db.exec(t, fmt.Sprintf("insert into items select n, repeat('x', 3000) from generate_series(%d, %d) n", rows+1, rows+500))
	r.waitUnready(t, "event log cannot be written")
	s.next(t) // is served what is not on disk
	r.kill9(t)
	stuck = db.confirmed(t)
	r.start(t)
	disk.stillFull(t)
	r.waitUnready(t, "event log cannot be written")
	s.comeBack(t, r)
	s.wantResumed(t)
	again.reconnect(t)
	again.wantResumed(t)
	for i := 2; i <= rows; i++ { // the log has them
		if f := again.next(t); !strings.Contains(f.data, fmt.Sprintf(`"id":%d,`, i)) {
			t.Fatalf("started on a full disk: got %s %s %.80s, want row %d", f.event, f.id, f.data, i)
		}
	}
	if at := db.confirmed(t); at != stuck && disk.ballast != "" {
		t.Errorf("confirmed_flush_lsn moved from %s to %s after a start on a full disk", stuck, at)
	}
	disk.makeRoom(t)
	for i := rows + 2; i <= rows+500; i++ {
		if f := s.next(t); !strings.Contains(f.data, fmt.Sprintf(`"id":%d,`, i)) {
			t.Fatalf("got %s %s %.80s, want row %d", f.event, f.id, f.data, i)
		}
	}
	r.waitReady(t)
}

// smallDisk is a disk for a relay's log that can be filled: a file system of its own
// where this process may mount one, else a limit of file size.
type smallDisk struct {
	relay   *relay
	ballast string // file; empty: the limit
}

func newSmallDisk(t testing.TB, r *relay) *smallDisk {
	t.Helper()
	if os.Geteuid() != 0 {
		return &smallDisk{relay: r}
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64m"); err != nil {
		t.Logf("mount: %v; using a limit of file size", err)
		return &smallDisk{relay: r}
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	r.logDir = filepath.Join(dir, "log")
	r.env = append(r.env, "LOG_DIR="+r.logDir)
	return &smallDisk{relay: r, ballast: filepath.Join(dir, "ballast")}
}

func (d *smallDisk) fill(t testing.TB) {
	t.Helper()
	if d.ballast == "" {
		d.limit(t, 1<<20)
		return
	}
	if err := os.WriteFile(d.ballast, make([]byte, 64<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("fill the disk: %v", err)
	}
}

// fix is what walrelay says that is to be done.
func (d *smallDisk) fix() string {
	if d.ballast == "" {
		return "raise the limit of file size"
	}
	return "make room on the disk"
}

// stillFull fills it for the process that was started anew: a limit went with the old
// one.
func (d *smallDisk) stillFull(t testing.TB) {
	t.Helper()
	if d.ballast == "" {
		d.limit(t, 1<<20)
	}
}

func (d *smallDisk) makeRoom(t testing.TB) {
	t.Helper()
	if d.ballast == "" {
		d.limit(t, unix.RLIM_INFINITY)
		return
	}
	if err := os.Remove(d.ballast); err != nil {
		t.Fatal(err)
	}
}

func (d *smallDisk) limit(t testing.TB, bytes uint64) {
	t.Helper()
	pid := d.relay.cmd.Process.Pid
	var limit unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, nil, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = min(bytes, limit.Max)
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
		t.Fatal(err)
	}
}
