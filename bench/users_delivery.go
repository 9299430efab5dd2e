package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/channel"
	"github.com/walrelay/walrelay/eventlog"
	"github.com/walrelay/walrelay/filter"
	"github.com/walrelay/walrelay/replication"
)

// delivery is the daemon without HTTP, in this process: replication, log, hub, and users who take
// their frames and drop them.
type delivery struct {
	crowd  crowd
	events *eventlog.Log
	hub    *channel.Hub
	source *replication.Source
	users  []*reader
	claims []filter.Claim
	// subscribed is closed when all users are there and replication begins; began, cpu and mallocs
	// are those of that moment.
	subscribed chan struct{}
	began      time.Time
	cpu        float64
	mallocs    uint64
	// profile is where the CPU profile goes, or nil.
	profile *os.File
}

// reader is a user.
type reader struct {
	number    int
	sub       *channel.Subscriber
	got, want int
}

func newDelivery(url, dir string, c crowd, want []int) (*delivery, error) {
	d := &delivery{crowd: c, subscribed: make(chan struct{})}
	for i, n := range want {
		d.users = append(d.users, &reader{number: i, want: n})
	}
	for _, name := range []string{"id", "teams"} {
		t, err := filter.ParseType(map[string]string{"id": "bigint", "teams": "bigint[]"}[name])
		if err != nil {
			return nil, err
		}
		d.claims = append(d.claims, filter.Claim{Name: name, Type: t})
	}
	var err error
	if d.events, err = eventlog.Open(eventlog.Options{Dir: dir}); err != nil {
		return nil, err
	}
	d.hub = channel.New(channel.Options{Log: d.events})
	d.source = replication.New(replication.Options{
		Target:   replication.Target{URL: url, Slot: "users", Publication: "users_bench", Tables: []replication.TableSpec{{Schema: "public", Name: "orders"}}},
		Log:      usersLog{d.events, d.begin},
		OnTables: d.compile,
	})
	return d, nil
}

const passagePatience = 5 * time.Minute

// run returns once every user has all changes.
func (d *delivery) run(ctx context.Context) (p passage, err error) {
	defer func() { err = errors.Join(err, d.events.Close()) }()
	ctx, stop := context.WithTimeoutCause(ctx, passagePatience, fmt.Errorf("not every user had everything after %v", passagePatience))
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.hub.Run(ctx) })
	g.Go(func() error { return d.source.Run(ctx) })
	g.Go(func() error {
		defer stop()
		defer d.endProfile()
		if err := d.drain(ctx); err != nil {
			return err
		}
		p.took = time.Since(d.began)
		cpu, err := cpuSeconds(os.Getpid())
		p.cpu, p.mallocs = cpu-d.cpu, mallocs()-d.mallocs
		return err
	})
	return p, g.Wait()
}

// compile makes the rule of what the catalog says of the table, as the daemon does.
func (d *delivery) compile(tables map[string]*replication.Table) error {
	const name = "public.orders"
	src := filter.Source{Table: &filter.Table{Name: name}, Claims: d.claims}
	t := tables[name]
	if t == nil {
		return fmt.Errorf("no table %s", name)
	}
	for _, c := range t.Columns {
		src.Table.Columns = append(src.Table.Columns, filter.Column{Name: c.Name, Type: c.Type, NotNull: c.NotNull, Loose: c.Loose,
			Identity: slices.Contains(t.IdentityColumns, c.Name)})
	}
	var err error
	if d.crowd.where != "" {
		if src.Where, err = filter.Parse(d.crowd.where); err != nil {
			return err
		}
	}
	if src.Allow, err = filter.Parse(d.crowd.allow); err != nil {
		return err
	}
	program, problems := filter.Compile(src)
	for i := range problems {
		if !problems[i].Warning {
			return &replication.PermanentError{Op: "compile the rule", Cause: &problems[i].Error}
		}
	}
	d.hub.SetRules([]*channel.Rule{{Name: "orders", Schema: "public", Table: "orders", Program: program}})
	return nil
}

// begin subscribes all users. It is called when the log belongs to the cluster and nothing has
// been streamed.
func (d *delivery) begin(ctx context.Context) error {
	if !d.began.IsZero() {
		return errors.New("replication was interrupted: nothing to measure")
	}
	for _, u := range d.users {
		if err := d.subscribe(ctx, u); err != nil {
			return &replication.PermanentError{Op: fmt.Sprintf("subscribe user %d", u.number), Cause: err}
		}
	}
	runtime.GC()
	var err error
	d.cpu, err = cpuSeconds(os.Getpid())
	if d.profile != nil {
		err = errors.Join(err, pprof.StartCPUProfile(d.profile))
	}
	d.mallocs, d.began = mallocs(), time.Now()
	close(d.subscribed)
	return err
}

// subscribe waits for the hub where it does not run yet.
func (d *delivery) subscribe(ctx context.Context, u *reader) error {
	claims, err := filter.ParseClaims(d.claims, fmt.Appendf(nil, `{"id":%d,"teams":[%d,%d]}`, u.number, u.number, 1_000_000+u.number))
	if err != nil {
		return err
	}
	for {
		u.sub, err = d.hub.Subscribe(ctx, channel.Request{Channels: []string{"orders"}, User: claims})
		if !errors.Is(err, channel.ErrStarting) {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

// sweepers are the goroutines that look after all users, and sweepPause how long they let frames
// gather.
const (
	sweepers   = 2
	sweepPause = 5 * time.Millisecond
)

// endProfile completes the profile; a file that cannot be closed is not worth the measurement.
func (d *delivery) endProfile() {
	if d.profile != nil {
		pprof.StopCPUProfile()
		_ = d.profile.Close()
	}
}

// drain returns when every user has what it must get.
func (d *delivery) drain(ctx context.Context) error {
	select {
	case <-d.subscribed:
	case <-ctx.Done():
		return nil // whoever ended it says why
	}
	g, ctx := errgroup.WithContext(ctx)
	if d.crowd.each {
		for _, u := range d.users {
			g.Go(func() error { return u.follow(ctx) })
		}
		return g.Wait()
	}
	for i := range sweepers {
		g.Go(func() error { return sweep(ctx, d.users[i*len(d.users)/sweepers:(i+1)*len(d.users)/sweepers]) })
	}
	return g.Wait()
}

// follow waits for one user's frames, as an HTTP stream does.
func (u *reader) follow(ctx context.Context) error {
	for u.got < u.want {
		select {
		case <-u.sub.Changed():
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := u.take(); err != nil {
			return err
		}
	}
	return nil
}

// sweep looks at one user after the other until all have everything.
func sweep(ctx context.Context, users []*reader) error {
	missing := 0
	for _, u := range users {
		missing += u.want
	}
	tick := time.NewTicker(sweepPause)
	defer tick.Stop()
	for missing > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		for _, u := range users {
			select {
			case <-u.sub.Changed():
			default:
				continue
			}
			had := u.got
			if err := u.take(); err != nil {
				return err
			}
			missing -= u.got - had
		}
	}
	return nil
}

// take counts what is queued and drops it. It is an error when a user gets more than its own.
func (u *reader) take() error {
	for runs := u.sub.Take(); len(runs) > 0; runs = u.sub.Take() {
		for _, r := range runs {
			for i := range r.Frames {
				switch r.Frames[i].Kind {
				case channel.EventInsert, channel.EventUpdate:
					u.got++
				case channel.EventReady:
				default:
					return fmt.Errorf("user %d got %s: %s", u.number, r.Frames[i].Kind, r.Bytes)
				}
			}
		}
	}
	if reason, ended := u.sub.Ended(); ended {
		return fmt.Errorf("the stream of user %d has ended: %s", u.number, reason)
	}
	if u.got > u.want {
		return fmt.Errorf("user %d got %d events, %d are its own", u.number, u.got, u.want)
	}
	return nil
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// usersLog is the event log as replication sees it, for a run that begins with an empty one.
type usersLog struct {
	*eventlog.Log
	// begin is called when the log is ready to be written.
	begin func(context.Context) error
}

func (l usersLog) Head() (change.Position, change.LSN) {
	b := l.Bounds()
	return b.Last, b.Durable
}

// LastTx is only asked of a log that has been written.
func (l usersLog) LastTx() (change.Tx, bool) { return change.Tx{}, false }

func (l usersLog) Identity() (string, uint32) {
	lin := l.Bounds().Lineage
	return lin.SystemID, lin.Timeline
}

func (l usersLog) Begin(ctx context.Context, systemID string, timeline uint32, floor change.LSN, reason string) error {
	if l.Bounds().Lineage.Generation > 0 {
		return fmt.Errorf("the log was to be begun anew (%s): nothing to measure", reason)
	}
	return l.Log.Begin(ctx, eventlog.Lineage{SystemID: systemID, Timeline: timeline}, floor, reason)
}

// SetMembers is the last that replication does before it streams.
func (l usersLog) SetMembers(ctx context.Context, members map[string]string) error {
	if err := l.Log.SetMembers(ctx, members); err != nil {
		return err
	}
	return l.begin(ctx)
}
