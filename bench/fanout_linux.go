package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// fanoutOptions are the flags of fanout.
type fanoutOptions struct {
	clients, servers, loads string // lists
	duration                time.Duration
	window                  int64
	foreign                 float64
}

var fanning fanoutOptions

// fanoutWarm passes between the beginning of a load and that of its measurement.
const fanoutWarm = 500 * time.Millisecond

func (o *fanoutOptions) flags(f *flag.FlagSet) {
	f.StringVar(&o.clients, "n", "1000,5000", "numbers of clients of fanout")
	f.StringVar(&o.servers, "servers", "floor,nchan,walrelay", "servers of fanout, in the order in which they are measured, and of peerstorm, without the floor")
	f.StringVar(&o.loads, "loads", "single,burst,saturated", "loads of fanout: 50 messages a second, 60 in groups of 10, as fast as they are delivered")
	f.DurationVar(&o.duration, "duration", 3*time.Second, "length of each of fanout's measurements")
	f.Int64Var(&o.window, "window", 16, "messages on their way when fanout is saturated")
	f.Float64Var(&o.foreign, "foreign", 0.1, "CPUs of other work from which on a round of fanout or peerstorm is marked")
}

func (o *fanoutOptions) check() error {
	for _, s := range o.serverNames() {
		if !slices.Contains([]string{"floor", "nchan", "walrelay"}, s) {
			return fmt.Errorf("-servers: %q is none of floor, nchan, walrelay", s)
		}
	}
	for s := range strings.SplitSeq(o.loads, ",") {
		if !slices.ContainsFunc(loads, func(l load) bool { return l.name == s }) {
			return fmt.Errorf("-loads: %q is none of single, burst, saturated", s)
		}
	}
	if o.duration < 100*time.Millisecond || o.window < 1 {
		return errors.New("-duration must be at least 100ms, -window at least 1")
	}
	_, err := o.numbers()
	return err
}

func (o *fanoutOptions) serverNames() []string { return strings.Split(o.servers, ",") }

func (o *fanoutOptions) numbers() (out []int, err error) {
	for s := range strings.SplitSeq(o.clients, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("-n: %q is no number of clients", s)
		}
		out = append(out, n)
	}
	return out, nil
}

// run measures all servers side by side: in each round all of them run, with their clients, and are
// measured one after the other with the same load, so that what is compared is seconds apart.
// Those that have nothing to do take no CPU time.
func (o *fanoutOptions) run(l *lab, ctx context.Context) error {
	servers, err := l.preparePeers(ctx, o.serverNames())
	if err != nil {
		return fmt.Errorf("fanout: %w", err)
	}
	numbers, err := o.numbers()
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if err := l.enoughFiles(n * len(servers)); err != nil {
			return fmt.Errorf("fanout: %w", err)
		}
		var figures fanoutFigures
		for i := range l.rounds {
			r := &fanoutRound{lab: l, fanoutOptions: o, servers: servers, number: i, n: n}
			if err := r.run(ctx); err != nil {
				return fmt.Errorf("fanout to %d clients, round %d: %w", n, i+1, err)
			}
			figures = append(figures, r.figures...)
		}
		fmt.Print(figures.table(n, servers, o.foreign))
	}
	return nil
}

// preparePeers makes the table and leaves out servers that are not installed, with a word.
func (l *lab) preparePeers(ctx context.Context, names []string) ([]string, error) {
	if err := l.cluster.Exec(ctx, strings.Replace(fanoutTable, "create table", "create table if not exists", 1),
		`drop publication if exists fanout`, `create publication fanout for table fanout`); err != nil {
		return nil, err
	}
	var out []string
	for _, name := range names {
		if name == "nchan" {
			if _, _, err := findNchan(); err != nil {
				fmt.Printf("nchan is left out: %v\n", err)
				continue
			}
		}
		out = append(out, name)
	}
	return out, nil
}

// fanoutRound measures each load with each server once.
type fanoutRound struct {
	*lab
	*fanoutOptions
	servers   []string
	number, n int

	peers   []*peer
	source  int // Postgres' process
	figures fanoutFigures
}

func (r *fanoutRound) run(ctx context.Context) (err error) {
	c, err := r.shareCPUs()
	if err != nil {
		return err
	}
	defer func() { err = firstOf(err, c.free()) }()
	if r.source = c.postmaster; r.number == 0 {
		fmt.Printf("fanout to %d clients, %d rounds of %v for each server and load; %s\n", r.n, r.rounds, r.duration, c.says)
	}
	defer func() {
		for _, p := range r.peers {
			err = firstOf(err, p.close(nil))
		}
	}()
	for _, name := range r.servers {
		p, err := r.startPeer(ctx, c, name, r.n)
		if err != nil {
			return err
		}
		r.peers = append(r.peers, p)
	}
	return r.measure(ctx)
}

// measure goes through loads and, for each, servers.
func (r *fanoutRound) measure(ctx context.Context) error {
	for _, l := range loads {
		if !slices.Contains(strings.Split(r.loads, ","), l.name) || !l.fits(r.n) {
			continue
		}
		for i, p := range r.peers {
			f, err := r.sample(ctx, p, l)
			if err != nil {
				r.peers = slices.Delete(r.peers, i, i+1)
				return p.close(fmt.Errorf("%s: %w", l.name, err))
			}
			r.figures = append(r.figures, f)
		}
	}
	return nil
}

// sample measures a server under a load, and then waits until everybody has everything: the
// clients have checked it.
func (r *fanoutRound) sample(ctx context.Context, p *peer, l load) (f fanoutFigure, err error) {
	stop := p.pump(ctx, l, r.window)
	defer func() { err = firstOf(err, stop()) }()
	if err := pause(ctx, fanoutWarm); err != nil {
		return f, err
	}
	before, err := p.clocks(r.source)
	if err != nil {
		return f, err
	}
	if err := pause(ctx, r.duration); err != nil {
		return f, err
	}
	after, err := p.clocks(r.source)
	if err != nil {
		return f, err
	}
	if err := stop(); err != nil {
		return f, err
	}
	if err := p.complete(); err != nil {
		return f, err
	}
	return fanoutFigure{r.number, l.name, p.name, after.since(before)}, nil
}

// clocks reads what the server and those around it have done so far.
func (p *peer) clocks(source int) (c peerClocks, err error) {
	c.at, c.events, c.bytes = time.Now(), float64(p.fleet.rows.Load()), float64(p.fleet.bytes.Load())
	if c.server, err = familySeconds(p.pid); err != nil {
		return c, err
	}
	if c.clients, err = cpuSeconds(os.Getpid()); err != nil {
		return c, err
	}
	if c.source, err = familySeconds(source); err != nil {
		return c, err
	}
	c.machine, err = machineSeconds()
	return c, err
}

// fileLimit is the number of files that this process and those that it starts may open.
func fileLimit() int {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 1024
	}
	return int(min(r.Max, 1<<20))
}
