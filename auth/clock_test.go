package auth

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestClockIsSet: a machine that was asleep has another time than its timers.
func TestClockIsSet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		var ahead atomic.Int64
		w.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		short := adas
		short.expires = time.Now().Add(24 * time.Hour)
		w.have(short)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		st := w.enter("sid=t-ada")
		time.Sleep(time.Minute)
		st.is(t, "open")
		ahead.Store(int64(25 * time.Hour))
		time.Sleep(maxNap + time.Second)
		st.is(t, "signed_out")
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		w.Close()
	})
}
