package replication

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walrelay/walrelay/change"
)

// A receiver that waits for the log lets go of the slot after a while; many short
// waits are none.
func TestInflowLetsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newInflow()
		f.start(change.Position{}, 1)
		content := make([]byte, batchCap)
		add := func() error {
			return f.add(t.Context(), func(b *change.Builder) { b.Message("x", content) })
		}
		if err := add(); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			done := make(chan error)
			go func() { done <- add() }() // there is no room
			time.Sleep(letGoAfter - time.Second)
			if b := f.take(time.Now(), false); b == nil || b.Changes != 1 {
				t.Fatalf("took %+v", b)
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		if err := add(); !errors.Is(err, errNoSpace) || time.Since(began) != letGoAfter {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
	})
}

// A small transaction is taken whole, when it has been committed, whatever else makes the
// writer look; one that was committed before it does not wait for it.
func TestTakeWhole(t *testing.T) {
	f := newInflow()
	f.start(change.Position{}, 1)
	add := func(fn func(*change.Builder)) {
		t.Helper()
		if err := f.add(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
	}
	row := func(b *change.Builder) { b.Message("x", make([]byte, 1000)) }
	woken := func() bool {
		select {
		case <-f.ready:
			return true
		default:
			return false
		}
	}
	add(func(b *change.Builder) { b.Advance(0x80) })
	add(func(b *change.Builder) { b.Begin(change.Tx{Commit: 0x100}) })
	add(row)
	f.hurry()
	if !woken() {
		t.Error("the server waits, and the writer was not woken")
	}
	if b := f.take(time.Now(), false); b == nil || b.Changes != 0 || b.WAL != 0x80 {
		t.Errorf("asked in a transaction: %+v", b)
	}
	add(row)
	if b := f.take(time.Now(), true); b != nil || woken() {
		t.Errorf("in a transaction: %+v", b)
	}
	add(func(b *change.Builder) { b.Commit(0x110) })
	if !woken() {
		t.Error("a commit does not wake the writer")
	}
	add(func(b *change.Builder) { b.Begin(change.Tx{Commit: 0x200}) })
	for range wholeCap/1000 - 10 {
		add(row)
	}
	if b := f.take(time.Now(), false); b == nil || b.Changes != 2 || b.WAL != 0x110 || b.Last.Commit != 0x100 {
		t.Errorf("behind a commit: %+v", b)
	}
	if b := f.take(time.Now(), true); b != nil || woken() {
		t.Errorf("less than a transaction that may be cut: %+v", b)
	}
	for range 20 {
		add(row)
	}
	if !woken() {
		t.Error("a large transaction does not wake the writer")
	}
	if b := f.take(time.Now(), false); b == nil || b.Changes != wholeCap/1000+10 || b.WAL != 0x110 {
		t.Errorf("a large transaction: %+v", b)
	}
	add(row)
	f.stop()
	if b := f.take(time.Now(), true); b != nil {
		t.Errorf("after the end of the session: %+v", b)
	}
}
