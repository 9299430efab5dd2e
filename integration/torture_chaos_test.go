package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"github.com/walrelay/walrelay/fault"
	"github.com/walrelay/walrelay/pgtemp"
)

// chaos harms walrelay, Postgres and the network between them, one blow after the
// other. For one goroutine, the test's.
type chaos struct {
	*torture
	random *rand.Rand
	log    []string // what was done, with the time
}

// blow is one kind of harm.
type blow struct {
	name string
	do   func(*chaos)
}

// everyBlow has what comes twice as often twice.
var everyBlow = []blow{
	{"kill", (*chaos).killed}, {"kill", (*chaos).killed},
	{"kill twice", (*chaos).killedTwice},
	{"kill while draining", (*chaos).killedDraining},
	{"kill at a point", (*chaos).killedAtPoint}, {"kill at a point", (*chaos).killedAtPoint},
	{"kill at a point", (*chaos).killedAtPoint}, {"kill at a point", (*chaos).killedAtPoint},
	{"hold at a point", (*chaos).heldAtPoint}, {"hold at a point", (*chaos).heldAtPoint},
	{"freeze at a point", (*chaos).frozenAtPoint},
	{"freeze", (*chaos).frozen},
	{"drain", (*chaos).drained}, {"drain", (*chaos).drained},
	{"postgres killed", (*chaos).postgresKilled},
	{"postgres and walrelay killed", (*chaos).bothKilled},
	{"postgres stopped", func(c *chaos) { c.postgresStopped("immediately", pgtemp.Immediate) }},
	{"postgres restarted", func(c *chaos) { c.postgresStopped("orderly", pgtemp.Fast) }},
	{"walsender ended", func(c *chaos) {
		c.ended("walsender", "select pg_terminate_backend(active_pid) from pg_replication_slots where active")
	}},
	{"all connections ended", func(c *chaos) {
		c.ended("all connections", "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'walrelay'")
	}},
	{"network", (*chaos).cut}, {"network", (*chaos).cutInTheMiddle}, {"network", (*chaos).cutInTheMiddle},
	{"network", (*chaos).stalled}, {"network", (*chaos).split}, {"network", (*chaos).delayed}, {"network", (*chaos).silenced},
}

// deck deals cards: everything has its turn, in an order by chance.
type deck[T any] struct {
	random *rand.Rand
	cards  []T
	left   []T // of this time through
}

func (d *deck[T]) deal() T {
	if len(d.left) == 0 {
		d.left = slices.Clone(d.cards)
		d.random.Shuffle(len(d.left), func(i, j int) { d.left[i], d.left[j] = d.left[j], d.left[i] })
	}
	card := d.left[0]
	d.left = d.left[1:]
	return card
}

// rage deals blows until the time is over.
func (c *chaos) rage(d time.Duration) {
	for until := time.Now().Add(d); time.Now().Before(until) && !c.t.Failed() && !c.struck(); {
		c.blows.deal().do(c)
		c.look()
		c.rest(50*time.Millisecond, 700*time.Millisecond)
	}
}

// say keeps a line for the report of a round that fails.
func (c *chaos) say(format string, args ...any) {
	c.log = append(c.log, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

func (c *chaos) did(kind string) {
	c.say("%s", kind)
	c.tally().did(kind)
}

// rest lets things happen for a moment.
func (c *chaos) rest(low, high time.Duration) { time.Sleep(moment(c.random, low, high)) }

// again starts walrelay, and mostly waits until it is ready.
func (c *chaos) again() {
	c.victim.start("")
	if c.random.IntN(3) > 0 {
		c.r.waitReady(c.t)
	}
}

func (c *chaos) killed() {
	c.did("kill at random")
	c.victim.kill()
	c.rest(0, 300*time.Millisecond)
	c.again()
}

// killedTwice ends the second process while it starts.
func (c *chaos) killedTwice() {
	c.did("kill at random")
	c.victim.kill()
	c.victim.start("")
	c.rest(0, time.Second)
	c.did("kill while starting")
	c.victim.kill()
	c.again()
}

func (c *chaos) killedDraining() {
	c.did("kill while draining")
	c.victim.due.drained = true // it may be quicker
	c.r.signal(c.t, syscall.SIGTERM)
	c.rest(0, 400*time.Millisecond)
	c.victim.kill()
	c.again()
}

func (c *chaos) killedAtPoint() {
	plan, point := c.plan("kill", &c.points)
	c.victim.kill()
	c.victim.start(plan)
	if c.victim.waitOver(moment(c.random, 3*time.Second, 5*time.Second)) {
		c.did("kill at " + string(point))
		c.victim.end()
	} else {
		c.say("%s was not reached", plan)
		c.did("kill at random")
		c.victim.kill()
	}
	c.again()
}

// heldAtPoint keeps one goroutine at a point, as a slow disk or network would, while the
// others go on, and then ends them all.
func (c *chaos) heldAtPoint() {
	plan, point := c.plan("hold", &c.holds)
	c.did("kill at random")
	c.victim.kill()
	c.victim.start(plan)
	if !c.victim.waitHeld(moment(c.random, 3*time.Second, 5*time.Second)) {
		c.say("%s was not reached", plan)
		c.did("kill at random")
	} else {
		c.did("kill while held at " + string(point))
		c.rest(100*time.Millisecond, 1500*time.Millisecond)
	}
	c.victim.kill()
	c.again()
}

func (c *chaos) frozenAtPoint() {
	plan, point := c.plan("stop", &c.points)
	c.did("kill at random")
	c.victim.kill()
	c.victim.start(plan)
	c.rest(time.Second, 3*time.Second) // it is not told when it stands
	c.did("freeze at " + string(point))
	if c.random.IntN(2) == 0 {
		c.did("kill while frozen")
		c.victim.kill()
		c.again()
		return
	}
	c.r.signal(c.t, syscall.SIGCONT)
	c.rest(100*time.Millisecond, 500*time.Millisecond)
	c.victim.kill() // what was not reached yet would freeze it later
	c.did("kill at random")
	c.again()
}

func (c *chaos) frozen() {
	c.did("freeze at random")
	c.r.signal(c.t, syscall.SIGSTOP)
	c.rest(300*time.Millisecond, 3500*time.Millisecond) // Postgres gives up after two seconds
	c.r.signal(c.t, syscall.SIGCONT)
}

func (c *chaos) drained() {
	c.did("drain")
	c.victim.drain()
	c.rest(0, 300*time.Millisecond)
	c.again()
}

func (c *chaos) postgresKilled() {
	c.did("postgres killed")
	c.must(c.cluster.Kill(c.t.Context()))
	c.rest(0, 500*time.Millisecond)
	c.must(c.cluster.StartAgain(c.t.Context()))
}

// bothKilled starts them in either order.
func (c *chaos) bothKilled() {
	c.did("postgres killed with walrelay")
	c.did("kill with postgres")
	c.must(c.cluster.Kill(c.t.Context()))
	c.victim.kill()
	if c.random.IntN(2) == 0 {
		c.must(c.cluster.StartAgain(c.t.Context()))
		c.again()
		return
	}
	c.victim.start("")
	c.rest(0, time.Second)
	c.must(c.cluster.StartAgain(c.t.Context()))
}

func (c *chaos) postgresStopped(how string, mode pgtemp.Mode) {
	c.did("postgres stopped " + how)
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	c.must(c.cluster.Stop(ctx, mode))
	c.rest(0, 500*time.Millisecond)
	c.must(c.cluster.StartAgain(c.t.Context()))
}

func (c *chaos) ended(what, sql string) {
	c.did("network " + what + " ended")
	c.db.exec(c.t, sql)
}

// cut ends every connection between walrelay and Postgres at once.
func (c *chaos) cut() {
	c.did("network cut")
	c.network.each((*link).close)
}

// cutInTheMiddle ends replication within a message, of either side.
func (c *chaos) cutInTheMiddle() {
	c.did("network cut in the middle")
	up, n := c.random.IntN(3) == 0, 1+c.random.IntN(60)
	if c.random.IntN(2) == 0 {
		n = c.random.IntN(60_000)
	}
	c.network.eachStream(func(k *link) {
		if up {
			k.up.cutAfter(n)
		} else {
			k.down.cutAfter(n)
		}
	})
}

func (c *chaos) stalled() {
	c.did("network stall")
	d := moment(c.random, 200*time.Millisecond, 3*time.Second)
	c.network.each(func(k *link) { k.stall(d) })
	c.rest(0, d)
}

func (c *chaos) split() {
	c.did("network split")
	n := 1000 + c.random.IntN(20_000)
	c.network.each(func(k *link) { k.down.splitNext(n); k.up.splitNext(200) })
}

func (c *chaos) delayed() {
	c.did("network delay")
	d := moment(c.random, time.Millisecond, 30*time.Millisecond)
	c.network.each(func(k *link) { k.slow(d) })
	c.rest(500*time.Millisecond, 2*time.Second)
	c.network.each(func(k *link) { k.slow(0) })
}

// silenced lets nothing through any more, as a firewall that forgot the connection;
// both sides find out after some seconds.
func (c *chaos) silenced() {
	c.did("network silence")
	c.network.silenceStreams()
}

// heal makes everything run, walrelay without a fault to come.
func (c *chaos) heal() {
	c.must(c.cluster.StartAgain(c.t.Context()))
	if c.victim.over() {
		c.victim.end()
		c.victim.start("")
	}
	c.r.signal(c.t, syscall.SIGCONT)
	c.r.waitReady(c.t)
}

// look starts what has ended by itself, which victim.end reports.
func (c *chaos) look() {
	if c.victim.over() {
		c.victim.end()
		c.again()
	}
}

func (c *chaos) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// plan is a fault at a point, such as kill:stored:3.
func (c *chaos) plan(signal string, points *deck[faultPoint]) (plan string, point fault.Point) {
	p := points.deal()
	return fmt.Sprintf("%s:%s:%d", signal, p.at, 1+c.random.IntN(p.most)), p.at
}
