package integration

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// A transaction streams through: walrelay's memory depends neither on its size nor
// on how much a subscriber has yet to read.
//
// WALRELAY_TEST_ROWS sets the number of rows. The default, 1,000,000, is more than
// the bounds leave room for: 200 MB. Run by hand with 5,000,000 (1 GB; Postgres 15, 2
// cores): written in 15 s, received 28 s later; heap 86 MiB, resident 148 MiB at most.
func TestReplicationMemory(t *testing.T) {
	t.Parallel()
	rows := 1_000_000
	if text := os.Getenv("WALRELAY_TEST_ROWS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("WALRELAY_TEST_ROWS: %v", err)
		}
		rows = n
	}
	// Garbage is collected early, so that what is in use is close to what is needed:
	// the log's memory tail (64 MiB) and its cache (32 MiB), and buffers.
	const heapBound, residentBound = 144 << 20, 256 << 20
	const rowBytes = 200
	db := newDatabase(t, "create table items (id int primary key, body text)")
	r := newRelay(t, db, standard(publicTables("items")))
	r.env = append(r.env, "GOGC=20")
	cmd := exec.Command(plainWalrelay(t), "serve", "-c", r.config)
	cmd.Env = r.env
	r.process = startProcess(t, cmd)
	r.waitReady(t)

	var received atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	resp := get(t, ctx, r.streamURL("items"))
	go func() {
		defer resp.Body.Close()
		ended <- count(resp.Body, "\nevent: insert\n", &received)
	}()
	began := time.Now()
	db.exec(t, fmt.Sprintf("insert into items select n, repeat('x', %d) from generate_series(1, %d) n", rowBytes, rows))
	written := time.Now()
	var heap, resident float64
	for received.Load() < int64(rows) {
		heap = max(heap, r.metric(t, "go_memstats_heap_inuse_bytes"))
		resident = max(resident, r.metric(t, "process_resident_memory_bytes"))
		select {
		case err := <-ended:
			t.Fatalf("the stream ended after %d rows: %v", received.Load(), err)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Since(began) > 10*patience {
			t.Fatalf("%d of %d rows after %v", received.Load(), rows, time.Since(began))
		}
	}
	t.Logf("%d rows written in %.1f s, received %.1f s later; heap %.0f MiB, resident %.0f MiB at most", rows, written.Sub(began).Seconds(), time.Since(written).Seconds(),
		heap/(1<<20), resident/(1<<20))
	if heap > heapBound || resident > residentBound {
		t.Errorf("heap %.0f MiB, resident %.0f MiB; allowed are %d and %d", heap/(1<<20), resident/(1<<20), heapBound>>20, residentBound>>20)
	}
	cancel()
	<-ended
}

// plainWalrelay is a walrelay without the race detector, which keeps a multiple of
// the memory.
func plainWalrelay(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "walrelay")
	build := exec.Command("go", "build", "-o", path, ".")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build walrelay: %v\n%s", err, out)
	}
	return path
}

func get(t testing.TB, ctx context.Context, url string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := sseClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s", url, resp.Status)
	}
	return resp
}

// count adds up how often a text occurs in what it reads.
func count(r io.Reader, text string, n *atomic.Int64) error {
	buf := make([]byte, 0, 1<<20)
	for {
		k, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+k]
		n.Add(int64(bytes.Count(buf, []byte(text))))
		keep := min(len(buf), len(text)-1)
		buf = append(buf[:0], buf[len(buf)-keep:]...)
		if err != nil {
			return err
		}
	}
}
