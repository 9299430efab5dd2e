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

// fakeRelay answers with the rows up to last that come after the client's id.
type fakeRelay struct {
	last atomic.Int64
	skip int64 // a row that it leaves out, or 0
	open atomic.Int64
}

func newFakeRelay(last, skip int64) *fakeRelay {
	k := &fakeRelay{skip: skip}
	k.last.Store(last)
	return k
}

func (k *fakeRelay) start(t *testing.T) (addr string) {
	done := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.open.Add(1)
		defer k.open.Add(-1)
		from := int64(0)
		id := r.Header.Get("Last-Event-ID")
		if id != "" {
			_, index, _ := strings.Cut(strings.TrimSuffix(id, ".k7x2mq"), ".")
			from, _ = strconv.ParseInt(index, 10, 64)
		}
		fmt.Fprint(w, readyFrame(id != "", fmt.Sprintf("0/100.%d.k7x2mq", from)))
		for n := from + 1; n <= k.last.Load(); n++ {
			if n != k.skip {
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
	for _, n := range []int{1, 100} {
		k := newFakeRelay(10, 0)
		f := newTestFleet(t, k.start(t), n)
		f.most = 7
		if err := f.connectTo(10, testPatience); err != nil {
			t.Fatal(err)
		}
		for _, last := range []int64{30, 30} { // the second time there is nothing to come
			if err := f.do(f.drop); err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(testPatience); k.open.Load() > 0; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%d of %d connections are still open", k.open.Load(), n)
				}
			}
			k.last.Store(last)
			if err := f.connectTo(last, testPatience); err != nil {
				t.Fatal(err)
			}
			if times, live := f.counts(t); times != n || live != n {
				t.Errorf("%d times and %d live of %d", times, live, n)
			}
		}
		if err := f.close(); err != nil {
			t.Error(err)
		}
	}
}

// counts says how many clients reached the goal, and how many are live.
func (f *fleet) counts(t *testing.T) (times, live int) {
	if err := f.do(func() {
		times = len(f.times)
		for _, c := range f.clients {
			if c.live {
				live++
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	return times, live
}

// What one client finds ends the fleet with its error, and so does a server that is gone.
func TestFleetFails(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t, newFakeRelay(10, 4).start(t), 3)
	err := f.connectTo(10, testPatience)
	if err == nil || !strings.Contains(err.Error(), "row 5 after row 3") {
		t.Errorf("a missing row: %v", err)
	}
	if closed := f.close(); closed != err {
		t.Errorf("close: %v", closed)
	}

	f = newTestFleet(t, newFakeRelay(2, 0).start(t), 3)
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
