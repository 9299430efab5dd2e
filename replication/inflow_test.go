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
