package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fakeRelay answers with the rows up to last that come after the client's id; skip, when
// set, is a row that it leaves out.
func fakeRelay(t *testing.T, last, skip *atomic.Int64) string {
	done := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from := int64(0)
		id := r.Header.Get("Last-Event-ID")
		if id != "" {
			_, index, _ := strings.Cut(strings.TrimSuffix(id, ".k7x2mq"), ".")
			from, _ = strconv.ParseInt(index, 10, 64)
		}
		fmt.Fprint(w, readyFrame(id != "", fmt.Sprintf("0/100.%d.k7x2mq", from)))
		for n := from + 1; n <= last.Load(); n++ {
			if n != skip.Load() {
				fmt.Fprint(w, rowFrame(int(n), fmt.Sprintf("0/100.%d.k7x2mq", n)))
			}
		}
		_ = http.NewResponseController(w).Flush()
		select {
		case <-done:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() { close(done); s.Close() })
	return s.Listener.Addr().String()
}

func newTestFleet(t *testing.T, addr string, n int) *fleet {
	clients := make([]*client, n)
	for i := range clients {
		clients[i] = newClient("user/7", feedPrefix(7))
	}
	f, err := newFleet(addr, clients)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const testPatience = 30 * time.Second

// connectTo connects everybody and waits until all have the row.
func (f *fleet) connectTo(row int64, timeout time.Duration) error {
	if err := f.do(func() { f.aim(func(int) int64 { return row }); f.connect() }); err != nil {
		return err
	}
	return f.await(timeout)
}

// A fleet that loses its connections comes back with its ids and goes on where it was.
func TestFleet(t *testing.T) {
	t.Parallel()
	var last, skip atomic.Int64
	last.Store(10)
	f := newTestFleet(t, fakeRelay(t, &last, &skip), 100)
	if err := f.connectTo(10, testPatience); err != nil {
		t.Fatal(err)
	}
	if err := f.do(f.drop); err != nil {
		t.Fatal(err)
	}
	last.Store(30)
	if err := f.connectTo(30, testPatience); err != nil {
		t.Fatal(err)
	}
	var times int
	if err := f.do(func() { times = len(f.times) }); err != nil || times != 100 {
		t.Errorf("%d times, %v", times, err)
	}
	if err := f.close(); err != nil {
		t.Error(err)
	}
}

// What one client finds ends the fleet with its error, and so does a server that is gone.
func TestFleetFails(t *testing.T) {
	t.Parallel()
	var last, skip atomic.Int64
	last.Store(10)
	skip.Store(4)
	f := newTestFleet(t, fakeRelay(t, &last, &skip), 3)
	err := f.connectTo(10, testPatience)
	if err == nil || !strings.Contains(err.Error(), "row 5 after row 3") {
		t.Errorf("a missing row: %v", err)
	}
	if closed := f.close(); closed != err {
		t.Errorf("close: %v", closed)
	}

	last.Store(2)
	f = newTestFleet(t, fakeRelay(t, &last, &skip), 3)
	if err := f.connectTo(3, time.Millisecond); err == nil || !strings.Contains(err.Error(), "3 clients are late") {
		t.Errorf("rows that do not come: %v", err)
	}
	if err := f.close(); err != nil {
		t.Error(err)
	}

	f = newTestFleet(t, "127.0.0.1:1", 3)
	if err := f.connectTo(1, testPatience); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("nobody listens: %v", err)
	}
	_ = f.close() // says the same
}
