package auth

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

func TestFailures(t *testing.T) {
	t.Parallel()
	f := newFailures(60)
	now := time.Unix(1800000000, 0)
	for i := range 60 {
		if wait := f.blocked("192.0.2.1", now); wait != 0 {
			t.Fatalf("blocked for %v after %d failures", wait, i)
		}
		f.failed("192.0.2.1", now)
	}
	if wait := f.blocked("192.0.2.1", now); wait != time.Second {
		t.Errorf("blocked for %v after 60 failures, want 1s", wait)
	}
	f.failed("192.0.2.1", now) // requests that were under way
	if wait := f.blocked("192.0.2.1", now.Add(500*time.Millisecond)); wait != 500*time.Millisecond {
		t.Errorf("half a second later blocked for %v", wait)
	}
	if wait := f.blocked("192.0.2.1", now.Add(time.Second)); wait != 0 {
		t.Errorf("a second later blocked for %v", wait)
	}
	// Asking costs nothing.
	for range 1000 {
		if f.blocked("192.0.2.1", now.Add(time.Second)) != 0 {
			t.Fatal("asking costs")
		}
	}
	f.failed("192.0.2.1", now.Add(time.Second))
	if f.blocked("192.0.2.1", now.Add(time.Second)) == 0 {
		t.Error("a failure costs nothing")
	}
	for range 60 {
		f.failed("192.0.2.1", now.Add(time.Hour))
	}
	if f.blocked("192.0.2.1", now.Add(time.Hour)) == 0 {
		t.Error("more than a minute's failures were saved up")
	}
	if f.blocked("192.0.2.2", now) != 0 {
		t.Error("another address is blocked")
	}
}

// Who owns an IPv6 address owns its /64.
func TestFailuresOfNeighbours(t *testing.T) {
	t.Parallel()
	now := time.Unix(1800000000, 0)
	for _, c := range []struct {
		failed, asks string
		same         bool
	}{
		{"2001:db8::1", "2001:db8::ffff:1", true}, {"2001:db8::1", "2001:db8:0:1::1", false}, {"fe80::1%eth0", "fe80::2%eth1", true},
		{"192.0.2.1", "192.0.2.2", false}, {"192.0.2.1", "::ffff:192.0.2.1", true}, {"::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
		{"", "@", true}, {"no address", "192.0.2.1", false}, {"0.0.0.0", "", false}, {"::", "", false},
	} {
		f := newFailures(1)
		f.failed(c.failed, now)
		if blocked := f.blocked(c.asks, now) > 0; blocked != c.same {
			t.Errorf("%q failed: %q is blocked: %v", c.failed, c.asks, blocked)
		}
	}
}

func TestFailuresWithoutBound(t *testing.T) {
	t.Parallel()
	for _, perMinute := range []int{0, -1} {
		f := newFailures(perMinute)
		for range 1000 {
			f.failed("192.0.2.1", time.Unix(0, 0))
		}
		if f.blocked("192.0.2.1", time.Unix(0, 0)) != 0 || f.buckets.Len() != 0 {
			t.Errorf("%d a minute: blocked", perMinute)
		}
	}
}

// However they interleave, failures of one address take from one bucket.
func TestFailuresAtOnce(t *testing.T) {
	t.Parallel()
	f := newFailures(100)
	now := time.Unix(1800000000, 0)
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			for range 10 {
				f.failed("192.0.2.1", now)
			}
		})
	}
	all.Wait()
	if f.blocked("192.0.2.1", now) == 0 {
		t.Error("not blocked after 100 failures")
	}
}

// The oldest addresses are forgotten.
func TestFailuresOfManyAddresses(t *testing.T) {
	t.Parallel()
	f := newFailures(1)
	now := time.Unix(1800000000, 0)
	for i := range maxFailing + 100 {
		f.failed(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), now)
	}
	if n := f.buckets.Len(); n != maxFailing {
		t.Errorf("%d addresses are remembered, want %d", n, maxFailing)
	}
	if f.blocked("10.0.0.0", now) != 0 || f.blocked("10.0.39.100", now) == 0 {
		t.Error("not the oldest address was forgotten")
	}
}
