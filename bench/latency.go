package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"
)

const latencyRate = 100 // transactions a second

// latencies measures from the return of an INSERT's commit to its event.
func (l *lab) latencies(ctx context.Context) error {
	if err := l.newSlot(ctx, "latency"); err != nil {
		return err
	}
	p, err := l.startRelay(ctx, itemsRelay("latency"))
	if err != nil {
		return err
	}
	defer p.stop()
	s, err := p.subscribe(ctx, "items", "")
	if err != nil {
		return err
	}
	defer s.close()
	n := int(l.latency.Seconds() * latencyRate)
	arrived := make(chan map[int]time.Time, 1)
	failed := make(chan error, 1)
	go func() {
		at, err := s.arrivals(n)
		if err != nil {
			failed <- err
			return
		}
		arrived <- at
	}()
	sent, committed, err := l.probes(ctx, n)
	if err != nil {
		return err
	}
	select {
	case at := <-arrived:
		printLatencies(sent, committed, at)
		return nil
	case err := <-failed:
		return err
	case <-time.After(30 * time.Second):
		return fmt.Errorf("latency: not every probe arrived within 30 s")
	}
}

// probes inserts n rows at the rate; user_id numbers them.
func (l *lab) probes(ctx context.Context, n int) (sent, committed []time.Time, err error) {
	conn, err := l.cluster.Conn(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, `set synchronous_commit = on`); err != nil {
		return nil, nil, err
	}
	tick := time.NewTicker(time.Second / latencyRate)
	defer tick.Stop()
	for i := range n {
		<-tick.C
		sent = append(sent, time.Now())
		if _, err := conn.Exec(ctx, `insert into items(user_id, status, price, payload) values ($1, 'new', 9.99, 'latency probe')`, i); err != nil {
			return nil, nil, err
		}
		committed = append(committed, time.Now())
	}
	return sent, committed, nil
}

// arrivals notes when each probe's event came.
func (s *subscription) arrivals(n int) (map[int]time.Time, error) {
	at := map[int]time.Time{}
	for len(at) < n {
		line, err := s.next()
		if err != nil {
			return nil, err
		}
		now := time.Now()
		_, rest, ok := bytes.Cut(line, []byte(`"user_id":`))
		if !ok {
			continue
		}
		num, _, _ := bytes.Cut(rest, []byte(","))
		i, err := strconv.Atoi(string(num))
		if err != nil {
			return nil, err
		}
		at[i] = now
	}
	return at, nil
}

func printLatencies(sent, committed []time.Time, at map[int]time.Time) {
	var fromSend, fromCommit []time.Duration
	for i := range sent {
		fromSend = append(fromSend, at[i].Sub(sent[i]))
		fromCommit = append(fromCommit, at[i].Sub(committed[i]))
	}
	fmt.Printf("latency %d tx/s, %d transactions: INSERT sent to event p50 %.2f ms, p99 %.2f ms; COMMIT returned to event p50 %.2f ms, p99 %.2f ms\n",
		latencyRate, len(sent), quantile(fromSend, 0.5), quantile(fromSend, 0.99), quantile(fromCommit, 0.5), quantile(fromCommit, 0.99))
}

// quantile sorts v and gives its p-quantile in milliseconds; 0 of nothing.
func quantile(v []time.Duration, p float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[int(p*float64(len(v)-1))].Seconds() * 1e3
}
