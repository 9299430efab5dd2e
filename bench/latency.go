package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

const latencyRate = 100 // transactions a second

// latencies measures from a commit to its event, and to its receipt by a consumer that does nothing
// else, which reads another slot at the same time.
func (l *lab) latencies(ctx context.Context) (err error) {
	n := int(l.latency.Seconds() * latencyRate)
	ctx, cancel := context.WithTimeout(ctx, l.latency+time.Minute)
	defer cancel()
	defer func() { err = errors.Join(err, l.dropLatencySlots(context.WithoutCancel(ctx))) }()
	if err := l.syncWAL(ctx, true); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.syncWAL(context.WithoutCancel(ctx), false)) }()
	p, err := l.startLatencyRelay(ctx)
	if err != nil {
		return fmt.Errorf("latency: %w", err)
	}
	defer p.stop()
	s, err := p.subscribe(ctx, "items", "")
	if err != nil {
		return fmt.Errorf("latency: %w", err)
	}
	defer s.close()
	bare, err := l.startBare(ctx, "latency_bare", "bench")
	if err != nil {
		return fmt.Errorf("latency: %w", err)
	}
	defer func() { _ = bare.close(ctx) }() // it has what it wants
	w := ways{bare: bare}
	g, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, s.close) // a read of it knows no context
	defer stop()
	g.Go(func() error { return bare.run(ctx, n) })
	g.Go(func() (err error) { w.arrived, err = s.arrivals(n); return err })
	g.Go(func() (err error) { w.sent, w.returned, err = l.probes(ctx, n); return err })
	if err := g.Wait(); err != nil {
		return fmt.Errorf("latency: %w", err)
	}
	fmt.Print(w.report())
	return nil
}

// syncWAL has Postgres sync its WAL, as every Postgres that is worth something does, or not, which is
// what the other measurements are made with. Who reads the WAL gets it when it is synced.
func (l *lab) syncWAL(ctx context.Context, on bool) error {
	return l.cluster.Exec(ctx, fmt.Sprintf(`alter system set fsync = %t`, on), `select pg_reload_conf()`)
}

// startLatencyRelay starts walrelay, and makes the bare consumer's slot at the same place.
func (l *lab) startLatencyRelay(ctx context.Context) (*relay, error) {
	if err := l.newSlot(ctx, "latency_bare"); err != nil {
		return nil, err
	}
	if err := l.newSlot(ctx, "latency"); err != nil {
		return nil, err
	}
	return l.startRelay(ctx, itemsRelay("latency"))
}

func (l *lab) dropLatencySlots(ctx context.Context) error {
	return errors.Join(l.dropSlot(ctx, "latency"), l.dropSlot(ctx, "latency_bare"))
}

// ways are the times of n probes.
type ways struct {
	// sent and returned are those of the INSERT and of the end of its commit.
	sent, returned []time.Time
	bare           *bareConsumer
	arrived        map[int]time.Time // at the SSE client
}

// probes inserts n rows at the rate; user_id numbers them.
func (l *lab) probes(ctx context.Context, n int) (sent, committed []time.Time, err error) {
	conn, err := l.cluster.Conn(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, `set synchronous_commit = on`); err != nil {
		return nil, nil, err
	}
	tick := time.NewTicker(time.Second / latencyRate)
	defer tick.Stop()
	for i := range n {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
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

// report compares both ends of the ways, from three beginnings: the commit itself has no other
// clock than Postgres' timestamp of it, which is taken just before it is durable.
func (w ways) report() string {
	var b strings.Builder
	fmt.Fprintf(&b, "latency %d tx/s, %d transactions: p50 and p99 to the event at one SSE client, against those to the row at a bare replication consumer\n", latencyRate, len(w.sent))
	for _, from := range []struct {
		name string
		at   []time.Time
	}{{"commit (its timestamp)", w.bare.committed}, {"INSERT sent", w.sent}, {"COMMIT returned", w.returned}} {
		var event, bare []time.Duration
		for i, at := range from.at {
			event = append(event, w.arrived[i].Sub(at))
			bare = append(bare, w.bare.received[i].Sub(at))
		}
		fmt.Fprintf(&b, "  from %-22s", from.name)
		for _, q := range []float64{0.5, 0.99} {
			fmt.Fprintf(&b, "  p%.0f %s", q*100, against(quantile(event, q), quantile(bare, q)))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// against gives two times in milliseconds with their ratio, if they have one: a consumer may have a
// row before its COMMIT has returned.
func against(ms, base float64) string {
	if base < 0.001 {
		return fmt.Sprintf("%.2f against %.2f ms", ms, base)
	}
	return fmt.Sprintf("x%.2f (%.2f against %.2f ms)", ms/base, ms, base)
}

// quantile sorts v and gives its p-quantile in milliseconds; 0 of nothing.
func quantile(v []time.Duration, p float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[int(p*float64(len(v)-1))].Seconds() * 1e3
}
