package main

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"time"
)

// watch reads a stream of numbered rows and notes when each came.
type watch struct {
	sub  *subscription
	dead chan struct{}

	mu      sync.Mutex
	arrived []time.Time // by number, from 1
	err     error
}

func startWatch(sub *subscription) *watch {
	w := &watch{sub: sub, dead: make(chan struct{})}
	go w.run()
	return w
}

func (w *watch) run() {
	defer close(w.dead)
	for {
		line, err := w.sub.next()
		now := time.Now()
		w.mu.Lock()
		if err == nil {
			_, rest, _ := bytes.Cut(line, []byte(`"n":`))
			if n, _ := number(rest, 10); n != int64(len(w.arrived))+1 {
				err = fmt.Errorf("the client that stays got row %d after row %d", n, len(w.arrived))
			}
		}
		if w.err = err; err == nil {
			w.arrived = append(w.arrived, now)
		}
		w.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// await waits until n rows have come.
func (w *watch) await(n int64, timeout time.Duration) error {
	for deadline := time.Now().Add(timeout); ; time.Sleep(time.Millisecond) {
		w.mu.Lock()
		have, err := int64(len(w.arrived)), w.err
		w.mu.Unlock()
		switch {
		case have >= n:
			return nil
		case err != nil:
			return err
		case time.Now().After(deadline):
			return fmt.Errorf("the client that stays has %d of %d rows after %v", have, n, timeout)
		}
	}
}

// seen gives the times so far.
func (w *watch) seen() []time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.arrived)
}

// close ends the stream and gives the times.
func (w *watch) close() []time.Time {
	w.sub.close()
	<-w.dead
	return w.arrived
}
