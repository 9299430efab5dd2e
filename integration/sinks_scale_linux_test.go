package integration

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Two thousand streams on shards are cut off twice while rows flow, and come back with their
// ids: each gets every row once.
func TestSinksFleetComesBack(t *testing.T) {
	t.Parallel()
	const size = 2000
	db := newDatabase(t, itemsTable)
	r := startRelay(t, db, settings{http: "heartbeat: 1s, limits: {per_ip: 100000}", channels: itemsChannels}.yaml())
	f := openFleet(t, r, "items", size)
	rows := db.writeRows(t, "items", 400*time.Millisecond)
	f.await(t, "a row", func(m *member) bool { return m.row.Load() > 0 })
	for round := range int64(2) {
		f.cut(2)
		f.await(t, "another stream", func(m *member) bool { return m.streams.Load() > round+1 })
	}
	last := rows.stop(t)
	f.finish(t, last)
	r.waitMetric(t, "walrelay_connections", func(v float64) bool { return v == 0 })
	for name, want := range map[string]float64{"walrelay_resets_total": 0, `walrelay_ends_total{reason="write_failed"}`: 0, "walrelay_connections_total": 3 * size} {
		if got := r.metric(t, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	t.Logf("%d rows", last)
}

// A thousand clients that never read cost a bounded amount of memory, and one that reads misses
// nothing. Their streams end by the write timeout (30 s, which is most of this test), and leave
// nothing behind.
func TestSinksNeverRead(t *testing.T) {
	t.Parallel()
	const (
		size        = 1000
		rows, chunk = 256, 8 // of 8 KB: 2 MB for each client, 2 GB in all
		queue       = 64 << 10
		// What may wait for all clients; the same in the making, before it is copied; and the
		// collector lets the heap grow to twice that and more while it is at work. The race detector takes more for itself.
		heapBound     = 6 * size * queue
		residentBound = 3 * heapBound
	)
	db := newDatabase(t, itemsTable, "create table bulk (id bigint primary key, part int, body text)", "alter table bulk alter body set storage external, replica identity full")
	r := startRelay(t, db, settings{http: "limits: {queue: 64KiB, per_ip: 100000}", channels: itemsChannels + `
  bulk: {table: public.bulk, allow: public}
  "part/{part}": {table: public.bulk, columns: [id], where: row.part == params.part, allow: public}
`}.yaml())
	well := openSSE(t, r.streamURL("bulk"), nil)
	well.nextReady(t)
	pid := r.cmd.Process.Pid
	files, goroutines := r.metric(t, "process_open_fds"), r.metric(t, "go_goroutines")

	for n := range size {
		// Every client has a view of its own, so that nothing is shared between them.
		request := fmt.Sprintf("GET /events?channel=bulk&channel=part/%d HTTP/1.1\r\nHost: x\r\n\r\n", 100+n)
		if _, err := dialSmall(t, strings.TrimPrefix(r.url, "http://")).Write([]byte(request)); err != nil {
			t.Fatal(err)
		}
	}
	r.waitMetric(t, "walrelay_connections", func(v float64) bool { return v == size+1 })
	heap := func() int { return int(r.metric(t, "go_memstats_heap_inuse_bytes")) }
	idle, idleHeap, most, mostHeap := residentBytes(t, pid), heap(), 0, 0
	look := func() { most, mostHeap = max(most, residentBytes(t, pid)), max(mostHeap, heap()) }
	for first := 1; first <= rows; first += chunk {
		db.exec(t, fmt.Sprintf("insert into bulk select n, 1, repeat(md5(n::text), 250) from generate_series(%d, %d) n", first, first+chunk-1))
		for n := first; n < first+chunk; n++ {
			well.wantRow(t, "insert", "bulk", n)
		}
		look()
	}
	if n := r.metric(t, "walrelay_queue_overflows_total"); n < size {
		t.Errorf("%v queues overflowed, want those of all %d", n, size)
	}
	r.waitMetricFor(t, 3*patience, `walrelay_ends_total{reason="slow_client"}`, func(v float64) bool {
		look()
		return v == size
	})
	t.Logf("with idle clients %d MB, heap %d MB; at most %d MB, heap %d MB", idle>>20, idleHeap>>20, most>>20, mostHeap>>20)
	if most > idle+residentBound || mostHeap > idleHeap+heapBound {
		t.Errorf("walrelay has grown by %d MB, the heap by %d MB, more than %d and %d MB", (most-idle)>>20, (mostHeap-idleHeap)>>20, residentBound>>20, heapBound>>20)
	}
	db.exec(t, fmt.Sprintf("insert into bulk values (%d, 1, '')", rows+1))
	well.wantRow(t, "insert", "bulk", rows+1)
	r.waitMetric(t, "walrelay_connections", func(v float64) bool { return v == 1 })
	r.waitMetric(t, "process_open_fds", func(v float64) bool { return v <= files+4 }) // of connections to Postgres and of this question
	r.waitMetric(t, "go_goroutines", func(v float64) bool { return v <= goroutines+10 })
}

// dialSmall connects as a client behind a real network does, which takes little before the
// server feels it: by default the loopback's large segments let each take megabytes.
func dialSmall(t testing.TB, address string) net.Conn {
	t.Helper()
	d := &net.Dialer{Timeout: patience, Control: func(_, _ string, c syscall.RawConn) (err error) {
		cerr := c.Control(func(fd uintptr) {
			if err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, 1460); err == nil {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<10)
			}
		})
		if cerr != nil {
			return cerr
		}
		return err
	}}
	conn, err := d.DialContext(context.WithoutCancel(t.Context()), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// residentBytes is how much memory a process has now.
func residentBytes(t testing.TB, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(status), "VmRSS:")
	text, _, _ = strings.Cut(strings.TrimSpace(text), " ")
	kb, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("VmRSS of %d: %v", pid, err)
	}
	return kb << 10
}
