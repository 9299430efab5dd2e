package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"time"
)

// slowOptions are the flags of slow.
type slowOptions struct {
	healthy, stalled int
	length           time.Duration
}

// slowing are those of the command line.
var slowing slowOptions

func (o *slowOptions) flags(f *flag.FlagSet) {
	f.IntVar(&o.healthy, "healthy", 1000, "clients of slow that read")
	f.IntVar(&o.stalled, "stalled", 1000, "clients of slow that never read")
	f.DurationVar(&o.length, "slow-for", 15*time.Second, "how long the clients that read are watched, with and without others")
}

func (o *slowOptions) check() error {
	// The server ends a stream after 30 s without progress: until then nobody has gone.
	if o.healthy < 1 || o.stalled < 1 || o.length < time.Second || o.length > 25*time.Second {
		return errors.New("-healthy and -stalled must be at least 1, -slow-for between 1s and 25s")
	}
	return nil
}

const (
	// slowTick lies between two transactions, each with a row for those who read and nine more for
	// those who do not: they have all rows.
	slowTick, slowRows = 20 * time.Millisecond, 10
	slowPatience       = 2 * time.Minute
	// slowMost is how much longer p99 may be with clients that do not read.
	slowMost = 1.5
	// slowQueue is walrelay's http.limits.queue: what is queued for one client at most.
	slowQueue = 1 << 20
)

// slow is a walrelay with clients that read and others that never do.
type slow struct {
	slowOptions
	*lab
	relay   *relay
	feed    *feed
	crowd   *readers
	flow    *flow
	began   time.Time // the clients' clocks
	windows [][4]span // of each round
	// Memory of each round: before, at most during, and after those who never read.
	memory [][3]reading
	// overflows and ended are counted over all rounds.
	overflows, ended float64
}

// span is a part of the time.
type span struct{ from, to time.Time }

// The spans of a round, and how they are called.
const (
	withNobody = iota
	withOne
	withMany
	asTheyEnd
)

// run measures and compares.
func (o *slowOptions) run(l *lab, ctx context.Context) (err error) {
	if err := l.enoughFiles(o.healthy + o.stalled); err != nil {
		return err
	}
	s := &slow{slowOptions: *o, lab: l}
	conn, err := l.cluster.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if s.feed, err = l.publishFeed(ctx, conn, "slow", slowRows, func(n int) int { return 1 + n%(slowRows-1) }); err != nil {
		return fmt.Errorf("slow: %w", err)
	}
	defer func() { err = firstOf(err, l.dropSlot(context.WithoutCancel(ctx), "slow")) }()
	if s.relay, err = l.startRelay(ctx, relayConfig{slot: "slow", publication: "slow", channels: feedChannels}); err != nil {
		return err
	}
	defer func() { err = s.relay.end(err) }()
	if err := s.steps(ctx); err != nil {
		return fmt.Errorf("slow: %w", err)
	}
	return s.report()
}

func (s *slow) steps(ctx context.Context) (err error) {
	if err := s.relay.ready(ctx); err != nil {
		return err
	}
	s.began = time.Now()
	clients := make([]*client, s.healthy)
	for i := range clients {
		clients[i] = userClient(0)
		clients[i].clock = s.began
	}
	if s.crowd, err = newReaders(s.relay, s.feed, clients); err != nil {
		return err
	}
	defer func() { err = firstOf(err, s.crowd.close()) }()
	if err := s.crowd.connect(slowPatience); err != nil {
		return err
	}
	s.flow = startFlowEvery(ctx, slowTick, s.feed, 0, int(slowRows*time.Second/slowTick))
	defer func() { err = firstOf(err, s.flow.stop()) }()
	if err := pause(ctx, 2*time.Second); err != nil {
		return err
	}
	for range s.rounds {
		if err := s.round(ctx); err != nil {
			return err
		}
	}
	if err := s.flow.stop(); err != nil {
		return err
	}
	if err := s.crowd.complete(slowPatience); err != nil {
		return err
	}
	return s.crowd.exact()
}

// round watches those who read alone, with one and with many who do not, until the last of
// these has been ended.
func (s *slow) round(ctx context.Context) (err error) {
	var w [4]span
	var m [3]reading
	if m[0], err = s.relay.settled(ctx); err != nil {
		return err
	}
	ended, err := s.slowEnds(ctx)
	if err != nil {
		return err
	}
	if w[withNobody], err = s.watch(ctx, nil); err != nil {
		return err
	}
	one, err := s.stall(ctx, 1)
	if err != nil {
		return err
	}
	w[withOne], err = s.watch(ctx, nil)
	leaveAll(one)
	if err != nil {
		return err
	}
	many, err := s.stall(ctx, s.stalled)
	defer leaveAll(many)
	if err != nil {
		return err
	}
	if w[withMany], err = s.watch(ctx, &m[1]); err != nil {
		return err
	}
	if m[1].streams < s.healthy+s.stalled {
		return fmt.Errorf("%d streams are open; of %d clients some had gone before the others were watched", m[1].streams, s.healthy+s.stalled)
	}
	w[asTheyEnd].from = time.Now()
	if err := s.untilEnded(ctx, ended+float64(s.stalled), &m[1]); err != nil {
		return err
	}
	w[asTheyEnd].to = time.Now()
	if m[2], err = s.relay.settled(ctx); err != nil {
		return err
	}
	s.overflows += m[2].overflows - m[0].overflows
	s.ended += float64(s.stalled)
	s.windows, s.memory = append(s.windows, w), append(s.memory, m)
	return nil
}

// stall opens streams of all rows that nobody reads, and waits until they are there.
func (s *slow) stall(ctx context.Context, n int) (conns []net.Conn, err error) {
	for range n {
		c, err := s.relay.dial(ctx, newClient("feed", ""), smallWindow)
		if err != nil {
			return conns, err
		}
		conns = append(conns, c)
	}
	for deadline := time.Now().Add(slowPatience); ; {
		r, err := s.relay.read(ctx)
		if err != nil || r.streams >= s.healthy+n {
			return conns, err
		}
		if time.Now().After(deadline) {
			return conns, fmt.Errorf("%d of %d streams are open after %v", r.streams, s.healthy+n, slowPatience)
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return conns, err
		}
	}
}

func leaveAll(conns []net.Conn) {
	for _, c := range conns {
		_ = c.Close() // nothing is read of it
	}
}

// watch lets the time go by. most gets the reading with the most memory.
func (s *slow) watch(ctx context.Context, most *reading) (w span, err error) {
	w.from = time.Now()
	for w.to = w.from; w.to.Sub(w.from) < s.length; w.to = time.Now() {
		if most != nil {
			if err := s.note(ctx, most); err != nil {
				return w, err
			}
		}
		if err := s.pause(ctx, min(time.Second, s.length)); err != nil {
			return w, err
		}
	}
	return w, nil
}

// note keeps the reading with the most memory, and the streams of the last one.
func (s *slow) note(ctx context.Context, most *reading) error {
	r, err := s.relay.read(ctx)
	if err != nil {
		return err
	}
	if r.anon < most.anon {
		most.streams = r.streams
		return nil
	}
	*most = r
	return nil
}

// pause waits, unless a client finds something wrong.
func (s *slow) pause(ctx context.Context, d time.Duration) error {
	select {
	case <-s.crowd.fleet.dead:
		return s.crowd.fleet.err
	default:
	}
	return pause(ctx, d)
}

// untilEnded waits until so many streams have been ended because nobody read them.
func (s *slow) untilEnded(ctx context.Context, want float64, most *reading) error {
	for deadline := time.Now().Add(slowPatience); ; {
		if err := s.note(ctx, most); err != nil {
			return err
		}
		n, err := s.slowEnds(ctx)
		if err != nil || n >= want {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%.0f streams have ended with slow_client after %v, %.0f should", n, slowPatience, want)
		}
		if err := s.pause(ctx, time.Second); err != nil {
			return err
		}
	}
}

func (s *slow) slowEnds(ctx context.Context) (float64, error) {
	m, err := s.relay.metrics(ctx)
	return m[`walrelay_ends_total{reason="slow_client"}`], err
}
