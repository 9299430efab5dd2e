package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// stormPatience bounds each wait of a storm.
const stormPatience = 2 * time.Minute

// cost is what something took: time, and CPU seconds of walrelay, of this process and of
// the rest of the machine, which is Postgres and whatever else runs.
type cost struct {
	time            time.Duration
	cpu, self, rest float64
}

// stormRound is one storm on a walrelay of its own, and what was measured.
type stormRound struct {
	*lab
	shape  shape
	number int

	relay *relay
	feed  *feed
	flow  *flow
	stays *watch
	fleet *fleet

	// At the moment of the drop: the WAL's end, and the rows before it, by user and all.
	lsn   string
	rows  []int64
	total int64

	idle    float64       // CPU seconds a second with the flow alone
	opening cost          // all clients' first connections
	one     cost          // a client that comes back to the channel of client 0
	all     cost          // a client that comes back to all rows
	back    cost          // all clients coming back
	head    time.Duration // a row more for everybody afterwards

	events             int64           // missed by all clients together
	times              []time.Duration // of each client in back
	reads              int             // of all clients in back
	passes, overflows  float64
	peak               int64 // RSS in bytes
	calmFrom, calmTo   time.Time
	stormFrom, stormTo time.Time
}

// run goes through one storm. Its steps leave their figures in r.
func (r *stormRound) run(ctx context.Context) (err error) {
	conn, err := r.cluster.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if r.feed, err = newFeed(ctx, conn, r.connections+1, r.shape.pick); err != nil {
		return err
	}
	slot := fmt.Sprintf("storm_%s_%d", r.shape.name, r.number)
	if err := r.newSlot(ctx, slot); err != nil {
		return err
	}
	defer func() { err = firstOf(err, r.dropSlot(context.WithoutCancel(ctx), slot)) }()
	if r.relay, err = r.startRelay(ctx, relayConfig{slot: slot, publication: "storm", channels: feedChannels}); err != nil {
		return err
	}
	defer func() {
		r.relay.stop()
		if err != nil {
			err = fmt.Errorf("%w\nwalrelay said:\n%s", err, r.relay.stderr.String())
		}
	}()
	return r.steps(ctx)
}

// steps is a storm with a walrelay that runs.
func (r *stormRound) steps(ctx context.Context) (err error) {
	sub, err := r.relay.subscribe(ctx, fmt.Sprintf("user/%d", r.probeUser()), "")
	if err != nil {
		return err
	}
	r.stays = startWatch(sub)
	defer r.stays.close()
	if r.fleet, err = newFleet(strings.TrimPrefix(r.relay.base, "http://"), r.clients()); err != nil {
		return err
	}
	defer func() { err = firstOf(err, r.fleet.close()) }()
	if err := r.gather(); err != nil {
		return err
	}
	r.flow = startFlow(ctx, r.feed, r.probeUser(), r.rate)
	defer func() { err = firstOf(err, r.flow.stop()) }()
	for _, step := range []func(context.Context) error{r.calm, r.drop, r.miss, r.alone, r.comeBack, r.live, r.finish} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// probeUser is the user after those of the clients.
func (r *stormRound) probeUser() int { return r.connections }

// firstOf is the error that came first: what follows it is often its consequence.
func firstOf(err, next error) error {
	if err != nil {
		return err
	}
	return next
}

// measure runs f between two looks at the clocks.
func (p *relay) measure(f func() error) (cost, error) {
	before, err := p.clocks()
	if err != nil {
		return cost{}, err
	}
	began := time.Now()
	if err := f(); err != nil {
		return cost{}, err
	}
	took := time.Since(began)
	after, err := p.clocks()
	cpu, self, machine := after.cpu-before.cpu, after.self-before.self, after.rest-before.rest
	return cost{took, cpu, self, machine - cpu - self}, err
}

// clocks reads the CPU clocks; rest is the whole machine here.
func (p *relay) clocks() (c cost, err error) {
	if c.cpu, err = p.cpu(); err != nil {
		return c, err
	}
	if c.self, err = cpuSeconds(os.Getpid()); err != nil {
		return c, err
	}
	c.rest, err = machineSeconds()
	return c, err
}

func (r *stormRound) clients() []*client {
	out := make([]*client, r.connections)
	for i := range out {
		user := r.shape.channel(i)
		out[i] = newClient(fmt.Sprintf("user/%d", user), feedPrefix(user))
	}
	return out
}

// gather connects everybody for the first time.
func (r *stormRound) gather() (err error) {
	r.opening, err = r.relay.measure(func() error { return r.connectAll(func(int) int64 { return 0 }) })
	return err
}

// connectAll connects everybody and waits until all have their goal.
func (r *stormRound) connectAll(goal func(i int) int64) error {
	if err := r.fleet.do(func() { r.fleet.aim(goal); r.fleet.connect() }); err != nil {
		return err
	}
	return r.fleet.await(stormPatience)
}

// calm lets the rows flow.
func (r *stormRound) calm(ctx context.Context) error {
	if err := r.stays.await(1, stormPatience); err != nil {
		return err
	}
	r.calmFrom = time.Now()
	defer func() { r.calmTo = time.Now() }()
	return pause(ctx, r.lab.calm)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// drop closes all connections and waits until walrelay has seen it.
func (r *stormRound) drop(ctx context.Context) (err error) {
	if r.lsn, r.rows, r.total, err = r.feed.mark(ctx); err != nil {
		return err
	}
	if err := r.fleet.do(r.fleet.drop); err != nil {
		return err
	}
	for deadline := time.Now().Add(stormPatience); time.Now().Before(deadline); {
		m, err := r.relay.metrics(ctx)
		if err != nil {
			return err
		}
		if m["walrelay_subscribers"] == 1 {
			return nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("walrelay has not seen within %v that the clients are gone", stormPatience)
}

// miss adds what the clients miss, in transactions of 100 rows, and waits until
// walrelay has it. It notes what the flow alone costs then.
func (r *stormRound) miss(ctx context.Context) error {
	for n := 0; n < r.missed; n += 100 {
		if err := r.feed.add(ctx, min(100, r.missed-n)); err != nil {
			return err
		}
	}
	rows, _ := r.feed.count()
	if err := r.stays.await(rows[r.probeUser()]+1, stormPatience); err != nil {
		return err
	}
	c, err := r.relay.measure(func() error { return pause(ctx, time.Second) })
	r.idle = c.cpu / c.time.Seconds()
	return err
}

// alone lets one client come back over the same changes, several times: to what client
// 0 misses, and to all rows.
func (r *stormRound) alone(ctx context.Context) error {
	const times = 5
	for range times {
		rows, total := r.feed.count()
		user := r.shape.channel(0)
		one, err := r.pass(ctx, fmt.Sprintf("user/%d", user), rows[user]-r.rows[user])
		if err != nil {
			return err
		}
		all, err := r.pass(ctx, "feed", total-r.total)
		if err != nil {
			return err
		}
		for sum, c := range map[*cost]cost{&r.one: one, &r.all: all} {
			sum.time += c.time / times
			sum.cpu += (c.cpu - r.idle*c.time.Seconds()) / times
		}
	}
	return nil
}

// pass measures one client from its request to its last row.
func (r *stormRound) pass(ctx context.Context, channel string, rows int64) (cost, error) {
	var sub *subscription
	c, err := r.relay.measure(func() (err error) {
		if sub, err = r.relay.subscribe(ctx, channel, r.lsn); err != nil {
			return err
		}
		return sub.skip(int(rows))
	})
	if sub != nil {
		sub.close()
	}
	return c, err
}

// comeBack is the storm: everybody connects with the last id, until all have what was
// committed before.
func (r *stormRound) comeBack(ctx context.Context) error {
	before, err := r.relay.metrics(ctx)
	if err != nil {
		return err
	}
	profiled := r.profile(ctx, r.relay, fmt.Sprintf("storm-%s-%d.pprof", r.shape.name, r.number+1)) // nil is sent at once without -profiles
	rows, _ := r.feed.count()
	r.stormFrom = time.Now()
	r.back, err = r.relay.measure(func() error { return r.connectAll(func(i int) int64 { return rows[r.shape.channel(i)] }) })
	r.stormTo = time.Now()
	if err := errors.Join(err, <-profiled); err != nil {
		return err
	}
	if err := r.fleet.do(func() { r.times, r.reads = slices.Clone(r.fleet.times), r.fleet.reads }); err != nil {
		return err
	}
	for i := range r.connections {
		user := r.shape.channel(i)
		r.events += rows[user] - r.rows[user]
	}
	after, err := r.relay.metrics(ctx)
	r.passes = after["walrelay_catch_up_passes_total"] - before["walrelay_catch_up_passes_total"]
	r.overflows = after["walrelay_queue_overflows_total"] - before["walrelay_queue_overflows_total"]
	return err
}

// live sends everybody one more row and waits until all have it: they are at the head.
func (r *stormRound) live(ctx context.Context) error {
	users := make([]int, 0, r.connections)
	for i := range r.connections {
		if i == 0 || r.shape.channel(i) != r.shape.channel(0) {
			users = append(users, r.shape.channel(i))
		}
	}
	began := time.Now()
	if err := r.feed.add(ctx, 0, users...); err != nil {
		return err
	}
	if err := r.complete(); err != nil {
		return err
	}
	r.head = time.Since(began)
	return nil
}

// complete waits until everybody has all rows that are committed.
func (r *stormRound) complete() error {
	rows, _ := r.feed.count()
	if err := r.fleet.do(func() { r.fleet.aim(func(i int) int64 { return rows[r.shape.channel(i)] }) }); err != nil {
		return err
	}
	return r.fleet.await(stormPatience)
}

// finish stops the flow and checks that everybody has every row exactly once, which
// each client does by itself while it reads.
func (r *stormRound) finish(ctx context.Context) error {
	if err := r.flow.stop(); err != nil {
		return err
	}
	if err := r.complete(); err != nil {
		return err
	}
	rows, _ := r.feed.count()
	if err := r.stays.await(rows[r.probeUser()], stormPatience); err != nil {
		return err
	}
	for i, at := range r.stays.close() {
		r.flow.probes[i].arrived = at
	}
	if err := r.noMoreThan(rows); err != nil {
		return err
	}
	m, err := r.relay.metrics(ctx)
	if err != nil {
		return err
	}
	for name, v := range m {
		if strings.HasPrefix(name, "walrelay_resets_total") && v > 0 {
			return fmt.Errorf("%s is %v", name, v)
		}
	}
	r.peak, err = peakRSS(r.relay.cmd.Process.Pid)
	return err
}

// noMoreThan fails when a client has another number of rows.
func (r *stormRound) noMoreThan(rows []int64) error {
	var wrong error
	err := r.fleet.do(func() {
		for i, c := range r.fleet.clients {
			if want := rows[r.shape.channel(i)]; c.row != want {
				wrong = fmt.Errorf("client %d has %d rows of %d", i, c.row, want)
			}
		}
	})
	return errors.Join(err, wrong)
}

// profileTime is longer than a storm takes.
const profileTime = 4

// profile writes walrelay's CPU profile of the next seconds to a file, if asked for.
func (l *lab) profile(ctx context.Context, p *relay, file string) <-chan error {
	done := make(chan error, 1)
	if l.profiles == "" {
		done <- nil
		return done
	}
	go func() {
		body, err := p.get(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%d", profileTime))
		if err == nil {
			err = os.WriteFile(filepath.Join(l.profiles, file), body, 0o600)
		}
		done <- err
	}()
	return done
}
