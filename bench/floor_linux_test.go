package main

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

// testFloor runs a floor in this process.
func testFloor(t *testing.T) (addr string) {
	addr, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- serveFloor(addr, int(r.Fd())) }()
	t.Cleanup(func() {
		_ = w.Close() // the floor sees its end
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = r.Close()
	})
	return addr
}

// testPeer is a floor with clients.
func testPeer(t *testing.T, n int) *peer {
	p := &peer{name: "floor", addr: testFloor(t), end: func() (string, error) { return "", nil }, client: func() *client {
		return &client{dialect: dialect{path: "/events", position: hubPosition}, channel: "floor", prefix: []byte(hubPrefix)}
	}}
	var err error
	if p.publisher, err = dialHub(t.Context(), nil, p.addr); err != nil {
		t.Fatal(err)
	}
	if err := p.gather(n); err != nil {
		t.Fatal(p.close(err))
	}
	return p
}

// Clients of the floor get every message once, under each load, and those that come back too.
func TestFloor(t *testing.T) {
	t.Parallel()
	p := testPeer(t, 50)
	for _, l := range []load{{"single", 500, 1}, {"burst", 500, 10}, {"saturated", 0, 0}} {
		before := p.published.Load()
		stop := p.pump(t.Context(), l, 16)
		for deadline := time.Now().Add(testPatience); p.fleet.rows.Load() < (before+100)*50 && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if err := p.await(p.published.Load(), testPatience); err != nil {
			t.Fatal(err)
		}
		if rows := p.fleet.rows.Load(); rows != p.published.Load()*50 || p.published.Load() < before+100 {
			t.Errorf("%s: %d rows of %d messages, %d of them before", l.name, rows, p.published.Load(), before)
		}
		if err := p.fleet.do(func() { p.fleet.drop(); p.fleet.aim(func(int) int64 { return 0 }); p.fleet.connect() }); err != nil {
			t.Fatal(err)
		}
		if err := p.fleet.await(testPatience); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.fleet.bytes.Load(); got < p.published.Load()*50*eventSize {
		t.Errorf("%d bytes of %d messages", got, p.published.Load())
	}
	if err := p.close(nil); err != nil {
		t.Error(err)
	}
}

// A message that is left out is found by the clients, and ends the load.
func TestFloorGap(t *testing.T) {
	t.Parallel()
	p := testPeer(t, 3)
	p.published.Add(1) // without a word to the server
	stop := p.pump(t.Context(), load{"saturated", 0, 0}, 16)
	err := p.fleet.await(testPatience)
	if err == nil {
		select {
		case <-p.fleet.dead:
		case <-time.After(testPatience):
		}
	}
	err = p.close(stop())
	if err == nil || !strings.Contains(err.Error(), "row 2 after row 0") {
		t.Errorf("message 1 is missing: %v", err)
	}
}

// What a server does not take is an error of the publisher, and a server that has gone one of the
// start.
func TestHubFails(t *testing.T) {
	t.Parallel()
	addr := newFakeRelay(0, 0).start(t)
	dead := make(chan struct{})
	close(dead)
	if _, err := dialHub(t.Context(), dead, "127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("nobody listens: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	p, err := newHubPublisher(ctx, addr, "/publish?\n")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	for deadline := time.Now().Add(testPatience); err == nil && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		err = p.publish(t.Context(), 1, 1)
	}
	if err == nil || !strings.Contains(err.Error(), "400 Bad Request") {
		t.Errorf("a request that is none: %v", err)
	}
	_ = p.close() // says the same
}

func TestHubPosition(t *testing.T) {
	for id, want := range map[string]position{"12": {12, 0}, "1700000000:3": {1700000000, 3}, "0:0": {}} {
		if got, err := hubPosition([]byte(id)); got != want || err != nil {
			t.Errorf("%q: %v, %v", id, got, err)
		}
	}
	for _, id := range []string{"", "x", ":1", "1:", "1;2", "1:2x"} {
		if got, err := hubPosition([]byte(id)); err == nil {
			t.Errorf("%q: %v", id, got)
		}
	}
}
