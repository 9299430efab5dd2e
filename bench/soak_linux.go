package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// soakOptions are the flags of soak.
type soakOptions struct {
	length  time.Duration
	share   float64
	pace    int // rows a second
	clients int
}

// soaking are those of the command line.
var soaking soakOptions

func (o *soakOptions) flags(f *flag.FlagSet) {
	f.DurationVar(&o.length, "soak", 30*time.Minute, "length of the soak, at least 1m; the first sixth is its warm-up")
	f.Float64Var(&o.share, "load", 0.5, "rows a second of the soak, as a part of those with which the machine is saturated")
	f.IntVar(&o.pace, "soak-rate", 0, "rows a second of the soak, in place of -load; 0: as -load says")
	f.IntVar(&o.clients, "soak-clients", 1000, "clients of the soak that stay, beside those that come and go")
}

func (o *soakOptions) check() error {
	if o.length < time.Minute || o.share <= 0 || o.share > 1 || o.pace < 0 || o.pace > 0 && o.pace < 100 || o.clients < 10 {
		return errors.New("-soak must be at least 1m, -load above 0 and at most 1, -soak-rate 0 or at least 100, -soak-clients at least 10")
	}
	return nil
}

const (
	// soakUsers have rows: user 0 one in ten, the others their share of the rest.
	soakUsers = 200
	// soakPatience bounds each wait of a soak.
	soakPatience = 2 * time.Minute
	// soakSample lies between two lines.
	soakSample = 10 * time.Second
	// soakSpace bounds the rows of a soak: each takes about 300 bytes of the table and its index.
	soakSpace, soakRow = 20 << 30, 300
)

// soakChannels are public ones and that of who is signed in.
const soakChannels = feedChannels + mineChannel

// soak is a long time under load.
type soak struct {
	soakOptions
	*lab
	relay  *relay
	feed   *feed
	crowd  *readers
	churn  *churn
	flow   *flow
	stays  *watch
	tracks []track
	// last is the last sample, clocks what the clocks said then.
	last   track
	clocks cost
}

// warmUp is long enough for the log to be as large as it will be.
func (o *soakOptions) warmUp() time.Duration { return o.length / 6 }

func (o *soakOptions) retention() time.Duration { return o.warmUp() / 2 }

// run goes through a soak and judges it.
func (o *soakOptions) run(l *lab, ctx context.Context) (err error) {
	if err := l.enoughFiles(o.clients + 1000); err != nil {
		return err
	}
	s := &soak{soakOptions: *o, lab: l}
	conn, err := l.cluster.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	auth, err := l.makeSessions(ctx, soakUsers)
	if err != nil {
		return fmt.Errorf("soak: %w", err)
	}
	if s.feed, err = l.publishFeed(ctx, conn, "soak", soakUsers+1, soakPick, "session", "app_users"); err != nil {
		return fmt.Errorf("soak: %w", err)
	}
	defer func() { err = firstOf(err, l.dropSlot(context.WithoutCancel(ctx), "soak")) }()
	s.relay, err = l.startRelay(ctx, relayConfig{slot: "soak", publication: "soak", channels: soakChannels, more: auth,
		log: fmt.Sprintf(", retention: %dms", s.retention().Milliseconds()), http: ", h2c: true, heartbeat: 5s"})
	if err != nil {
		return err
	}
	defer func() { err = s.relay.end(err) }()
	if err := s.steps(ctx); err != nil {
		return fmt.Errorf("soak: %w", err)
	}
	return nil
}

// soakPick spreads the rows.
func soakPick(n int) int {
	if n%10 == 0 {
		return 0
	}
	return 1 + n*7919%(soakUsers-1)
}

// steps is a soak with a walrelay that runs.
func (s *soak) steps(ctx context.Context) (err error) {
	desk, err := newDesk(ctx, s.cluster)
	if err != nil {
		return err
	}
	defer desk.close(ctx)
	sub, err := s.relay.subscribe(ctx, fmt.Sprintf("user/%d", soakUsers), "")
	if err != nil {
		return err
	}
	s.stays = startWatch(sub)
	defer s.stays.close()
	s.churn = newChurn(s.relay, s.feed, desk, s.retention()/3)
	defer s.churn.close()
	start, err := s.begin(ctx)
	if err != nil {
		return err
	}
	if s.crowd, err = newReaders(s.relay, s.feed, s.steady()); err != nil {
		return err
	}
	defer func() { err = firstOf(err, s.crowd.close()) }()
	if err := s.crowd.connect(soakPatience); err != nil {
		return err
	}
	if err := s.choose(ctx); err != nil {
		return err
	}
	if err := s.hold(ctx); err != nil {
		return err
	}
	return s.judge(ctx, start)
}

// steady are the clients that stay: a tenth sees its own rows, a fifth those of user 0.
func (s *soak) steady() []*client {
	out := make([]*client, s.clients)
	for i := range out {
		user := i % soakUsers
		switch {
		case i%10 == 0 && user > 0:
			out[i] = ownClient(user, sessionCookie(user))
		case i%5 == 1:
			out[i] = userClient(0)
		default:
			out[i] = userClient(user)
		}
	}
	return out
}

// begin lets one of each kind come and go, so that what walrelay opens when it is first needed
// is there, and then looks at it.
func (s *soak) begin(ctx context.Context) (reading, error) {
	if err := s.feed.add(ctx, 10*soakUsers, soakUsers); err != nil {
		return reading{}, err
	}
	if err := s.churn.once(ctx); err != nil {
		return reading{}, err
	}
	r, err := s.alone(ctx, func(reading) bool { return true })
	return r, firstOf(err, s.keepHeap(ctx, "start"))
}

// keepHeap writes a profile of the heap, where -profiles asks for it.
func (s *soak) keepHeap(ctx context.Context, when string) error {
	if s.profiles == "" {
		return nil
	}
	body, err := s.relay.get(ctx, "/debug/pprof/heap?gc=1")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.profiles, "soak-"+when+".pprof"), body, 0o600)
}

// choose finds the rate.
func (s *soak) choose(ctx context.Context) error {
	if s.pace == 0 {
		most, err := s.saturate(ctx)
		if err != nil {
			return err
		}
		s.pace = max(int(most*s.share), 100)
		fmt.Printf("soak   saturated at %.0f rows/s; %.2f of it from here on\n", most, s.share)
	}
	if need := int64(s.pace) * int64(s.length.Seconds()) * soakRow; need > soakSpace {
		return fmt.Errorf("%d rows/s for %v take %d GB; pass a lower -soak-rate", s.pace, s.length, need>>30)
	}
	return nil
}

const (
	saturateFor = 8 * time.Second
	// A piece of the load that saturates is 40 transactions of 50 rows.
	pieceTx, txRows = 40, 50
)

// saturate is how many rows a second are committed and reach everybody: while a piece is on its
// way the next one is committed.
func (s *soak) saturate(ctx context.Context) (rate float64, err error) {
	_, before := s.feed.count()
	began := time.Now()
	for time.Since(began) < saturateFor {
		rows, _ := s.feed.count()
		for range pieceTx {
			if err := s.feed.add(ctx, txRows); err != nil {
				return 0, err
			}
		}
		if err := s.crowd.reach(rows, soakPatience); err != nil {
			return 0, err
		}
	}
	if err := s.crowd.complete(soakPatience); err != nil {
		return 0, err
	}
	took := time.Since(began)
	_, after := s.feed.count()
	return float64(after-before) / took.Seconds(), nil
}

// hold is the soak itself.
func (s *soak) hold(ctx context.Context) (err error) {
	fmt.Printf("soak   %v at %d rows/s, retention %v, %d clients that stay and %d that come and go; figures count after %v\n",
		s.length, s.pace, s.retention(), s.clients, s.churn.people(), s.warmUp())
	touch, err := s.startTouches(ctx, 50, soakUsers)
	if err != nil {
		return err
	}
	defer func() { err = firstOf(err, touch.stop()) }()
	s.flow = startFlow(ctx, s.feed, soakUsers, s.pace)
	defer func() { err = firstOf(err, s.flow.stop()) }()
	come := s.churn.start(ctx)
	defer func() { err = firstOf(err, come.stop()) }()
	if err := s.look(ctx, time.Now()); err != nil {
		return err
	}
	tick := time.NewTicker(soakSample)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < s.length; {
		select {
		case <-tick.C:
		case <-come.failed:
			return come.stop()
		case <-s.crowd.fleet.dead:
			return s.crowd.fleet.err
		case <-s.stays.dead:
			return s.stays.err
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := s.sample(ctx, began); err != nil {
			return err
		}
	}
	return nil
}

// sample reads the figures and prints them.
func (s *soak) sample(ctx context.Context, began time.Time) error {
	was, clocks := s.last, s.clocks
	if err := s.look(ctx, began); err != nil {
		return err
	}
	s.tracks = append(s.tracks, s.last)
	took := (s.last.after - was.after).Seconds()
	rows := float64(s.last.rows-was.rows) / took
	percent := func(now, was float64) float64 { return (now - was) / took * 100 }
	fmt.Printf("soak   %6v %s; %.0f rows/s, %.0f events/s; CPU %.0f%%, clients %.0f%%, machine %.0f%%\n", s.last.after.Round(time.Second), s.last, rows, (s.last.events-was.events)/took,
		percent(s.clocks.cpu, clocks.cpu), percent(s.clocks.self, clocks.self), percent(s.clocks.rest, clocks.rest))
	if rows == 0 {
		return firstOf(s.flow.stop(), errors.New("no row was committed since the last line"))
	}
	return nil
}

// look reads the figures and the clocks.
func (s *soak) look(ctx context.Context, began time.Time) (err error) {
	s.last.after = time.Since(began)
	_, s.last.rows = s.feed.count()
	if s.last.reading, err = s.relay.read(ctx); err != nil {
		return err
	}
	s.clocks, err = s.relay.clocks()
	return err
}

// judge lets everybody have everything, sends all away and says whether walrelay stayed the same.
func (s *soak) judge(ctx context.Context, start reading) error {
	if err := s.crowd.complete(soakPatience); err != nil {
		return err
	}
	if err := s.crowd.exact(); err != nil {
		return err
	}
	rows, total := s.feed.count()
	if err := s.stays.await(rows[soakUsers], soakPatience); err != nil {
		return err
	}
	if err := s.noResets(ctx); err != nil {
		return err
	}
	if err := s.crowd.fleet.do(s.crowd.fleet.drop); err != nil {
		return err
	}
	s.churn.close()
	fmt.Printf("soak   %d rows, nobody missed one or got one twice; visits: %s\n", total, s.churn)
	s.latencies()
	end, err := s.alone(ctx, func(r reading) bool { return r.like(start) })
	if err != nil {
		return err
	}
	if err := s.keepHeap(ctx, "end"); err != nil {
		return err
	}
	fmt.Printf("soak   before anybody came: %s\nsoak   after all have gone:  %s\n", start, end)
	lines, flat := verdict(s.tracks, s.warmUp())
	fmt.Print(lines)
	switch {
	case !end.like(start):
		return fmt.Errorf("%v after all have gone walrelay has %d descriptors and %d goroutines, %d and %d before anybody came; see /debug/pprof/goroutine", goneFor, end.fds, end.goroutines, start.fds, start.goroutines)
	case !flat:
		return errors.New("walrelay does not stay the same, see above")
	}
	return nil
}

// latencies prints what the client that stays has seen, in the first and the last quarter.
func (s *soak) latencies() {
	at := s.stays.seen()
	var way []time.Duration
	// The first row of the probe user is not of the flow.
	for i, p := range s.flow.probes {
		way = append(way, at[i+1].Sub(p.committed))
	}
	n := len(way)
	for _, part := range []struct {
		name string
		v    []time.Duration
	}{{"first", way[n/6 : n/6+n*5/24]}, {"last", way[n-n*5/24:]}} {
		fmt.Printf("soak   COMMIT to event in the %s quarter: p50 %.2f ms, p99 %.2f ms (%d transactions)\n", part.name, quantile(part.v, 0.5), quantile(part.v, 0.99), len(part.v))
	}
}

// noResets fails where walrelay told a client that it missed something, and where nobody was
// found to be slow although some never read.
func (s *soak) noResets(ctx context.Context) error {
	m, err := s.relay.metrics(ctx)
	if err != nil {
		return err
	}
	if s.length >= 2*time.Minute && m[`walrelay_ends_total{reason="slow_client"}`] == 0 {
		return errors.New("no stream was ended with slow_client, although some clients never read")
	}
	for name, v := range m {
		if strings.HasPrefix(name, "walrelay_resets_total") && v > 0 {
			return fmt.Errorf("%s is %v", name, v)
		}
		if strings.HasPrefix(name, "walrelay_ends_total") && v > 0 {
			fmt.Printf("soak   %s %.0f\n", name, v)
		}
	}
	return nil
}

// goneFor is how long walrelay may take to let go of what it has: pools close connections after
// a minute or two.
const goneFor = 3 * time.Minute

// alone waits until nobody is connected but the client that stays and ok says yes, or until the
// time is over, and gives the figures.
func (s *soak) alone(ctx context.Context, ok func(reading) bool) (reading, error) {
	for deadline := time.Now().Add(goneFor); ; {
		r, err := s.relay.settled(ctx)
		if err != nil {
			return r, err
		}
		if r.streams <= 1 && ok(r) || time.Now().After(deadline) {
			return r, nil
		}
		if err := pause(ctx, time.Second); err != nil {
			return r, err
		}
	}
}

// end stops walrelay. What it said goes with err.
func (p *relay) end(err error) error {
	p.stop()
	if err != nil && p.stderr.Len() > 0 {
		return fmt.Errorf("%w\nwalrelay said:\n%s", err, lastLines(p.stderr.String(), 20))
	}
	return err
}

// lastLines are the last n lines of a text.
func lastLines(text string, n int) string {
	lines := strings.SplitAfter(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n-1):], "")
}

// publishFeed makes the table, in place of that of an earlier measurement, and a publication of that name for it
// and further tables, with a slot.
func (l *lab) publishFeed(ctx context.Context, conn *pgx.Conn, name string, users int, pick func(n int) int, more ...string) (*feed, error) {
	if err := l.cluster.Exec(ctx, `drop table if exists feed`, feedTable,
		fmt.Sprintf(`create publication %s for table %s`, name, strings.Join(append([]string{"feed"}, more...), ", "))); err != nil {
		return nil, err
	}
	f, err := newFeed(ctx, conn, users, pick)
	if err != nil {
		return nil, err
	}
	return f, l.newSlot(ctx, name) // behind the TRUNCATE that newFeed begins with
}
