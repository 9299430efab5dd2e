package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"syscall"
	"time"
)

// usersHTTPOptions are the flags of usershttp. -users says how many.
type usersHTTPOptions struct {
	changes int
	// behind: walrelay stands still while Postgres commits, so that what is measured is how fast walrelay
	// goes, not how fast Postgres commits on processors that it shares with walrelay and all clients.
	behind bool
}

// crowding are those of the command line.
var crowding usersHTTPOptions

func (o *usersHTTPOptions) flags(f *flag.FlagSet) {
	f.IntVar(&o.changes, "http-changes", 200_000, "rows of users in transactions of 10, for usershttp; a multiple of -users")
	f.BoolVar(&o.behind, "http-behind", false, "usershttp: stop walrelay until all is committed")
}

func (o *usersHTTPOptions) check() error {
	if o.changes < 10 || o.changes%10 != 0 {
		return errors.New("-http-changes must be a positive multiple of 10")
	}
	return nil
}

const (
	usersHTTPPatience = 5 * time.Minute
	// usersHTTPLeast is the part of the changes a second with few users that is wanted with many.
	usersHTTPLeast = 0.7
)

// ownRowsSQL commits rows in transactions of 10, as fast as Postgres goes. Those of each user are
// numbered from 1. Users come in no order that memory could profit by, but each has the same
// number of rows. A transaction is as large with few users as with many.
func ownRowsSQL(changes, users int) string {
	return fmt.Sprintf(`do $$ begin for i in 0..%d loop
		insert into feed select 1 + (i*10+k)::bigint*7919 %% %d, 1 + (i*10+k) / %d, rpad('row '||(i*10+k), 100, 'x') from generate_series(0, 9) k;
		commit; end loop; end $$`, changes/10-1, users, users)
}

// delivered is what it took to bring all changes to the clients of their users.
type delivered struct {
	cost
	commits time.Duration // of which Postgres took for the statements
	reads   int           // of the clients
}

// run compares few users with many, by turns: both meet the machine as it is.
func (o *usersHTTPOptions) run(l *lab, ctx context.Context) error {
	if err := l.enoughFiles(l.users); err != nil {
		return err
	}
	if o.changes%l.users != 0 || l.users%10 != 0 || l.users%7919 == 0 {
		return fmt.Errorf("usershttp: -http-changes %d must be a multiple of -users %d, that of 10, and not of 7919: each user gets the same number of rows", o.changes, l.users)
	}
	sizes := [2]int{few, l.users}
	var all [2][]delivered
	for round := range l.rounds {
		for turn := range sizes {
			i := (round + turn) % 2
			d, err := o.deliver(l, ctx, sizes[i])
			if err != nil {
				return fmt.Errorf("usershttp: %d users: %w", sizes[i], err)
			}
			all[i] = append(all[i], d)
		}
	}
	return o.report(sizes, all)
}

// deliver starts a walrelay whose clients are users with a session each, and commits their rows.
func (o *usersHTTPOptions) deliver(l *lab, ctx context.Context, users int) (d delivered, err error) {
	conn, err := l.cluster.Conn(ctx)
	if err != nil {
		return d, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	const name = "usershttp"
	if err := l.cluster.Exec(ctx, `drop publication if exists `+name); err != nil {
		return d, err
	}
	auth, err := l.makeSessions(ctx, users)
	if err != nil {
		return d, err
	}
	if _, err := l.publishFeed(ctx, conn, name, 1, nil, "session", "app_users"); err != nil {
		return d, err
	}
	defer func() { err = firstOf(err, l.dropSlot(context.WithoutCancel(ctx), name)) }()
	p, err := l.startRelay(ctx, relayConfig{slot: name, publication: name, channels: mineChannel, more: auth})
	if err != nil {
		return d, err
	}
	defer func() { err = p.end(err) }()
	if err := p.ready(ctx); err != nil {
		return d, err
	}
	x := &usersHTTP{relay: p, each: int64(o.changes / users), sql: ownRowsSQL(o.changes, users), behind: o.behind}
	for i := range users {
		x.clients = append(x.clients, ownClient(i+1, sessionCookie(i+1)))
	}
	return x.run(ctx, l)
}

// usersHTTP is one walrelay with one crowd of users.
type usersHTTP struct {
	relay   *relay
	clients []*client
	each    int64 // rows of each user
	sql     string
	behind  bool
}

func (x *usersHTTP) run(ctx context.Context, l *lab) (d delivered, err error) {
	crowd, err := newReaders(x.relay, &feed{rows: make([]int64, len(x.clients)+1)}, x.clients)
	if err != nil {
		return d, err
	}
	defer func() { err = firstOf(err, crowd.close()) }()
	if err := crowd.connect(usersHTTPPatience); err != nil {
		return d, err
	}
	if err := crowd.fleet.do(func() { crowd.fleet.aim(func(int) int64 { return x.each }) }); err != nil {
		return d, err
	}
	if x.behind {
		if d.commits, err = x.commitUnseen(ctx, l); err != nil {
			return d, err
		}
	}
	profiled := l.profile(ctx, x.relay, fmt.Sprintf("usershttp-%d.pprof", len(x.clients)))
	d.cost, err = x.relay.measure(func() error {
		if x.behind {
			err = x.relay.cmd.Process.Signal(syscall.SIGCONT)
		} else {
			d.commits, err = x.commit(ctx, l)
		}
		if err != nil {
			return err
		}
		return crowd.fleet.await(usersHTTPPatience)
	})
	if err := errors.Join(err, <-profiled); err != nil {
		return d, err
	}
	// Whoever gets a row too many gets it now.
	if err := pause(ctx, 200*time.Millisecond); err != nil {
		return d, err
	}
	var wrong error
	err = crowd.fleet.do(func() {
		d.reads = crowd.fleet.reads
		for _, c := range x.clients {
			if c.row != x.each {
				wrong = fmt.Errorf("user %d has %d rows of %d", c.user, c.row, x.each)
			}
		}
	})
	return d, errors.Join(err, wrong)
}

// commit commits the rows, and returns how long that took.
func (x *usersHTTP) commit(ctx context.Context, l *lab) (time.Duration, error) {
	began := time.Now()
	// Without the message's commit the last rows wait up to 200 ms for the WAL writer.
	err := l.cluster.Exec(ctx, x.sql, `set synchronous_commit = on`, `select pg_logical_emit_message(true, 'end', '')`)
	return time.Since(began), err
}

// commitUnseen commits while walrelay stands still, and leaves it so.
func (x *usersHTTP) commitUnseen(ctx context.Context, l *lab) (time.Duration, error) {
	if err := x.relay.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return 0, err
	}
	took, err := x.commit(ctx, l)
	if err != nil {
		err = errors.Join(err, x.relay.cmd.Process.Signal(syscall.SIGCONT)) // or it could not be ended
	}
	return took, err
}

// report prints the ratio of the pairs and says whether it is good enough.
func (o *usersHTTPOptions) report(sizes [2]int, all [2][]delivered) error {
	n := float64(o.changes)
	var ratio, cpuRatio []float64
	for i := range all[0] {
		ratio = append(ratio, all[0][i].time.Seconds()/all[1][i].time.Seconds())
		cpuRatio = append(cpuRatio, all[0][i].cpu/all[1][i].cpu)
	}
	r := median(ratio)
	fmt.Printf("usershttp %d changes in transactions of 10, a session and a stream for each user: x%.2f changes/s with %d users of what it is with %d, x%.2f a CPU second of walrelay\n", o.changes, r, sizes[1], sizes[0], median(cpuRatio))
	for i, users := range sizes {
		of := func(get func(delivered) float64) float64 {
			var v []float64
			for _, d := range all[i] {
				v = append(v, get(d))
			}
			return median(v)
		}
		fmt.Printf("usershttp   %d users: %.0f changes/s (committed at %.0f a second), %.2f us CPU of walrelay a change, %.2f us of the clients, %.2f us of the rest of the machine, %.2f reads a change\n", users,
			of(func(d delivered) float64 { return n / d.time.Seconds() }), of(func(d delivered) float64 { return n / d.commits.Seconds() }),
			of(func(d delivered) float64 { return d.cpu / n * 1e6 }), of(func(d delivered) float64 { return d.self / n * 1e6 }),
			of(func(d delivered) float64 { return d.rest / n * 1e6 }), of(func(d delivered) float64 { return float64(d.reads) / n }))
	}
	if r < usersHTTPLeast {
		return fmt.Errorf("usershttp: x%.2f changes/s with %d users, at least x%.1f is wanted", r, sizes[1], usersHTTPLeast)
	}
	return nil
}
