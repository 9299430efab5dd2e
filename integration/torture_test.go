package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/pgtemp"
)

// torture is one run: a cluster, walrelay behind a proxy, writers, subscribers and
// whoever harms them.
//
// It goes in rounds. In a round everything is harmed at once; then comes a quiet
// point: the writers have stopped, everything runs, every subscriber is complete up to
// a mark. There what each of them got since the last quiet point is compared, event by
// event and id by id, with what the database itself recorded.
//
// One seed gives every round a seed, and that one every actor. The same seed makes
// the same choices; how the actors meet is up to the machine.
type torture struct {
	t       *testing.T
	seed    uint64
	long    bool
	random  *rand.Rand // of the run
	cluster *pgtemp.Cluster
	db      *database
	network *proxy // between walrelay and Postgres
	front   *proxy // between some subscribers and walrelay
	r       *relay
	victim  *victim
	oracle  *tortureOracle
	weather *forecast
	blows   deck[blow]
	points  deck[faultPoint]
	holds   deck[faultPoint]
	losses  deck[loss]
	crowd   []*sufferer
	bareLSN atomic.Pointer[string] // of a moment ago; nil: none in this round
	// counts is the tally of the round, sum that of the run.
	counts atomic.Pointer[tortureTally]
	sum    *tortureTally
	// generation of the event log.
	generation int
}

// TestTorture ends and stops walrelay, Postgres and the network in every way, while
// hundreds of subscribers come and go and rows are written: every subscriber gets
// exactly what the database recorded, and is reset only where that was made
// inevitable.
//
// It is short unless WALRELAY_TORTURE says for how long (see make torture). It is not
// parallel: it takes all there is, and other tests have clocks.
func TestTorture(t *testing.T) {
	length, long := tortureLength(t)
	tt := newTorture(t, long)
	t.Logf("seed %d; again with: %s", tt.seed, tt.command(length))
	defer func() {
		t.Logf("all rounds:\n%s", tt.sum.total())
		if t.Failed() {
			t.Logf("seed %d; again with: %s", tt.seed, tt.command(length))
		}
	}()
	tt.open()
	until := time.Now().Add(length)
	for n := 1; !t.Failed() && (n <= 2 || time.Now().Before(until)); n++ {
		tt.round(n)
	}
}

// size is how long the chaos of a round lasts, and how many subscribers there are.
func (tt *torture) size() (chaos time.Duration, crowd int) {
	if tt.long {
		return 12 * time.Second, 250
	}
	return 8 * time.Second, 200
}

// tortureLength is how long it goes on; two rounds at least.
func tortureLength(t *testing.T) (length time.Duration, long bool) {
	t.Helper()
	text := os.Getenv("WALRELAY_TORTURE")
	if text == "" {
		return 0, false
	}
	length, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("WALRELAY_TORTURE: %v", err)
	}
	return length, true
}

func newTorture(t *testing.T, long bool) *torture {
	t.Helper()
	seed := rand.Uint64N(1e9)
	if !long || os.Getenv("WALRELAY_TEST_SEED") != "" {
		seed = testSeed(t)
	}
	random := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, n)) }
	return &torture{t: t, seed: seed, long: long, random: random(0), weather: newForecast(), sum: newTortureTally(), generation: 1,
		blows: deck[blow]{random: random(1), cards: everyBlow}, points: deck[faultPoint]{random: random(2), cards: faultPoints},
		holds: deck[faultPoint]{random: random(3), cards: holdPoints}, losses: deck[loss]{random: random(4), cards: losses}}
}

// command runs the same again.
func (tt *torture) command(length time.Duration) string {
	if tt.long {
		return fmt.Sprintf("WALRELAY_TEST_SEED=%d make torture TORTURE=%s", tt.seed, length)
	}
	return fmt.Sprintf("WALRELAY_TEST_SEED=%d go test -race -count=1 -v -run '^TestTorture$' ./integration", tt.seed)
}

// open starts everything and gathers the crowd.
func (tt *torture) open() {
	t := tt.t
	// A walsender gives walrelay up after two seconds of silence.
	tt.cluster = newCluster(t, pgtemp.Options{Settings: map[string]string{"wal_sender_timeout": "2s", "max_wal_size": "256MB"}})
	tt.db = newDatabaseOn(t, tt.cluster, tortureTables)
	tt.network = openProxy(t, &proxy{server: fmt.Sprintf("127.0.0.1:%d", tt.cluster.Port()), postgres: true, seed: tt.seed})
	tt.r = newRelay(t, tt.db, settings{
		http:     "heartbeat: 200ms, shutdown_timeout: 2s, limits: {queue: 8KiB, per_ip: 5000}",
		log:      fmt.Sprintf("max_bytes: %d, max_event_bytes: %d", tortureLog, tortureEvent),
		channels: tortureChannels,
	}.yaml())
	tt.r.env = append(tt.r.env, "DATABASE_URL="+tt.network.url(t, tt.db))
	tt.victim = &victim{t: t, r: tt.r}
	t.Cleanup(tt.victim.stopAll)
	tt.counts.Store(newTortureTally())
	tt.weather.set(weather{calm: true})
	tt.victim.start("")
	tt.r.waitReady(t)
	tt.front = openProxy(t, &proxy{server: strings.TrimPrefix(tt.r.url, "http://"), seed: tt.seed + 1, greet: tt.greet})
	tt.oracle = newTortureOracle(t, tt.db)
	_, crowd := tt.size()
	tt.gather(crowd)
}

// greet harms a connection between a subscriber and walrelay.
func (tt *torture) greet(k *link) {
	if tt.weather.now().calm {
		return
	}
	r := k.random
	switch r.IntN(4) {
	case 0:
		tt.tally().did("clients cut")
		k.down.cutAfter(r.IntN(40_000))
	case 1:
		tt.tally().did("clients split")
		k.down.cutAfter(500 + r.IntN(20_000))
		k.down.splitNext(r.IntN(4000))
		k.up.splitNext(100)
	case 2:
		tt.tally().did("clients stall")
		k.stall(moment(r, 0, time.Second))
	case 3:
		tt.tally().did("clients delay")
		k.slow(moment(r, 0, 20*time.Millisecond))
		k.down.cutAfter(r.IntN(200_000))
	}
}

// gather connects the subscribers, each for the first time.
func (tt *torture) gather(n int) {
	ctx, stop := context.WithCancel(context.WithoutCancel(tt.t.Context()))
	var running sync.WaitGroup
	tt.t.Cleanup(func() {
		stop()
		running.Wait()
	})
	for i := range n {
		s := tt.newSufferer(i)
		if err := s.begin(ctx); err != nil {
			tt.t.Fatal(err)
		}
		tt.crowd = append(tt.crowd, s)
	}
	for _, s := range tt.crowd { // only now: the channels of all are known
		s.has = make([]bool, len(tt.oracle.numbers))
		for _, channel := range s.channels {
			s.has[tt.oracle.number(channel)] = true
		}
		running.Go(func() { s.run(ctx) })
	}
}

// newSufferer chooses a subscriber by the seed of the run.
func (tt *torture) newSufferer(n int) *sufferer {
	r := tt.random
	s := &sufferer{t: tt, number: n, round: -1, address: strings.TrimPrefix(tt.r.url, "http://")}
	s.kind = []tortureKind{steady, steady, steady, fickle, fickle, fickle, stalling, absent, newcomer, newcomer}[n%10]
	s.wire = []tortureWire{wireSSE, wireSSE, wireSSE, wireSSE, wireSSE, wireSSE, wireSSE, wireLines, wirePoll}[r.IntN(9)]
	if r.IntN(4) == 0 {
		s.address = tt.front.address()
	}
	s.channels = tt.chooseChannels()
	if s.kind == stalling && !slices.Contains(s.channels, "bulk") {
		s.channels = append(s.channels, "bulk") // what fills a queue
	}
	for _, channel := range s.channels {
		tt.oracle.number(channel)
	}
	s.path = "/events?channel=" + strings.Join(s.channels, "&channel=")
	if len(s.channels) == 1 && r.IntN(2) == 0 {
		s.path = "/events/" + s.channels[0]
	}
	return s
}

// chooseChannels is one channel, or several on one stream.
func (tt *torture) chooseChannels() []string {
	r := tt.random
	pool := []string{"items", "notes", "wide", "scratch"}
	if r.IntN(5) == 0 {
		pool = append(pool, "bulk")
	}
	for i := range tortureRooms {
		pool = append(pool, fmt.Sprintf("room/%d", i), fmt.Sprintf("hall/%d", i), fmt.Sprintf("corner/%d", i))
	}
	for range 6 {
		pool = append(pool, fmt.Sprintf("note/%d", r.IntN(tortureKeys)))
	}
	var out []string
	for _, i := range r.Perm(len(pool))[:[]int{1, 1, 2, 3, 5, 8}[r.IntN(6)]] {
		if !slices.Contains(out, pool[i]) {
			out = append(out, pool[i])
		}
	}
	return out
}

func (tt *torture) tally() *tortureTally { return tt.counts.Load() }

// round is chaos and a quiet point.
func (tt *torture) round(n int) {
	began := time.Now()
	l := tt.announce(n)
	c := &chaos{torture: tt, random: tt.weather.now().random(actorChaos)}
	allowed := tt.harm(c, l)
	tt.calm(true)
	calm := time.Now()
	tt.waitComplete(c)
	caught := time.Since(calm)
	tt.judge(c, allowed)
	tt.sum.add(tt.tally())
	tt.t.Logf("round %d%s, %.1fs, caught up in %.1fs: %s", n, l, time.Since(began).Seconds(), caught.Seconds(), tt.tally().line())
}

// announce begins a round; l is the loss that it is for, nil for none.
func (tt *torture) announce(n int) (l *loss) {
	w := weather{round: n, seed: rand.New(rand.NewPCG(tt.seed, uint64(1000+n))).Uint64()}
	if tt.long && n%4 == 0 {
		card := tt.losses.deal()
		l, w.losses = &card, true
	}
	tt.counts.Store(newTortureTally())
	tt.tally().rounds = 1
	tt.bareLSN.Store(nil)
	tt.weather.set(w)
	return l
}

// calm begins or ends the time in which nobody misbehaves.
func (tt *torture) calm(is bool) {
	w := tt.weather.now()
	w.calm = is
	tt.weather.set(w)
}

// harm is all that is written and all the chaos of a round. At its end everything
// runs and nothing is written.
func (tt *torture) harm(c *chaos, l *loss) (allowed judgement) {
	scribes := tt.startScribes()
	defer scribes.stop() // should the test end here
	length, _ := tt.size()
	if l == nil {
		c.rage(length)
		allowed = nothingLost
	} else {
		c.rage(length / 3)
		c.did("loss " + l.name)
		allowed = l.inflict(c)
		c.rage(length / 3)
	}
	if err := scribes.stop(); err != nil {
		tt.t.Error(err)
	}
	if c.random.IntN(2) == 0 { // what has not come yet must come without anything new being written
		c.blows.deal().do(c)
		c.look()
	}
	c.heal()
	return allowed
}

// struck reports whether a subscriber got what it must not get.
func (tt *torture) struck() bool {
	for _, s := range tt.crowd {
		if s.failure() != nil {
			return true
		}
	}
	return false
}

// waitComplete waits until every subscriber has everything. As long as those who have
// not get ahead it goes on waiting: the machine may be slow.
func (tt *torture) waitComplete(c *chaos, but ...*sufferer) {
	tt.t.Helper()
	mark := change.Before(tt.db.mark(tt.t))
	was, since := map[*sufferer]change.Position{}, time.Now()
	for !tt.struck() {
		late := tt.late(mark, but)
		if len(late) == 0 {
			return
		}
		for _, s := range late {
			if at := s.position(); at != was[s] {
				was[s], since = at, time.Now()
			}
		}
		if time.Since(since) > patience {
			tt.giveUp(c, late, mark)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// late are those who are not complete.
func (tt *torture) late(mark change.Position, but []*sufferer) (out []*sufferer) {
	for _, s := range tt.crowd {
		if s.position().Less(mark) && !slices.Contains(but, s) {
			out = append(out, s)
		}
	}
	return out
}

func (tt *torture) giveUp(c *chaos, late []*sufferer, mark change.Position) {
	tt.t.Helper()
	tt.t.Errorf("%d of %d subscribers are not complete up to %s and get no further", len(late), len(tt.crowd), mark)
	for _, s := range late[:min(3, len(late))] {
		tt.t.Errorf("%s is at %s%s", s, s.position(), s.history())
	}
	tt.t.Fatalf("what was done in the round:\n  %s", strings.Join(c.log, "\n  "))
}
