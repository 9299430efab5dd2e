package integration

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/walrelay/walrelay/change"
)

// loss is what makes a reset inevitable. It is inflicted in the middle of a round of
// its own and says who may be reset, how often and why.
type loss struct {
	name    string
	inflict func(*chaos) judgement
}

// String is for the line of a round.
func (l *loss) String() string {
	if l == nil {
		return ""
	}
	return " (" + l.name + ")"
}

var losses = []loss{
	{"slot dropped", (*chaos).slotDropped},
	{"log wiped", (*chaos).logWiped},
	{"away for too long", (*chaos).awayTooLong},
}

// everybodyOnce: every subscriber is reset exactly once, for one of the reasons.
func everybodyOnce(reasons ...string) judgement {
	return func(_ *sufferer, got []stretch) string {
		resets := resetsOf(got)
		if len(resets) == 1 && slices.Contains(reasons, got[resets[0]].how) {
			return ""
		}
		return fmt.Sprintf("%d resets, want one of %v: %s", len(resets), reasons, describe(got))
	}
}

// describe lists how stretches began and where.
func describe(got []stretch) string {
	var parts []string
	for _, st := range got {
		parts = append(parts, strings.TrimSpace(fmt.Sprintf("%s (%s, %s]", st.how, st.from, st.to)))
	}
	return strings.Join(parts, ", ")
}

// slotDropped drops the slot while walrelay is down. What is committed until there is
// another one nobody can have.
func (c *chaos) slotDropped() judgement {
	c.must(c.cluster.StartAgain(c.t.Context()))
	c.victim.kill()
	c.db.waitSlotFree(c.t)
	c.rest(200*time.Millisecond, time.Second)
	c.db.exec(c.t, "select pg_drop_replication_slot('"+c.db.name+"')")
	c.rest(0, 300*time.Millisecond)
	c.generation++
	c.victim.allowed = regexp.MustCompile("the event log cannot be continued: all clients get reset.*reason=gap")
	if fault := []string{"", "kill:slot-created:1", "kill:begun:1"}[c.random.IntN(3)]; fault != "" {
		c.victim.start(fault)
		if !c.victim.waitOver(patience) {
			c.t.Errorf("%s was not reached", fault)
			c.victim.due.killed = true
		}
		c.did("kill at " + strings.Split(fault, ":")[1])
		c.victim.end()
	}
	c.victim.start("")
	c.r.waitReady(c.t)
	return everybodyOnce("gap")
}

// logWiped removes the log while the slot stays: the log begins anew at what the slot
// has confirmed. Ids from before that have expired, those from there on are another log's.
func (c *chaos) logWiped() judgement {
	c.must(c.cluster.StartAgain(c.t.Context()))
	c.victim.kill()
	c.db.waitSlotFree(c.t)
	c.rest(0, 500*time.Millisecond)
	c.must(os.RemoveAll(c.r.logDir))
	c.victim.start("")
	c.r.waitReady(c.t)
	c.generation = 1
	return everybodyOnce("expired", "view")
}

// awayTooLong keeps some away until the log has dropped what they miss. All others,
// who had nothing but heartbeats meanwhile, resume exactly.
func (c *chaos) awayTooLong() judgement {
	c.heal()
	exiles := map[*sufferer]chan struct{}{}
	var names []*sufferer
	for _, i := range c.random.Perm(len(c.crowd))[:len(c.crowd)/12] {
		names = append(names, c.crowd[i])
		exiles[c.crowd[i]] = c.crowd[i].sendAway()
	}
	c.calm(true)
	c.waitComplete(c, names...)
	c.fill(names)
	c.waitComplete(c, names...)
	c.killed()
	for _, back := range exiles {
		close(back)
	}
	c.calm(false)
	return func(s *sufferer, got []stretch) string {
		if _, away := exiles[s]; away {
			return everybodyOnce("expired")(s, got)
		}
		return nothingLost(s, got)
	}
}

// fill writes what nobody reads until the log begins behind all of them.
func (c *chaos) fill(away []*sufferer) {
	var last change.Position
	for _, s := range away {
		if at := s.position(); last.Less(at) {
			last = at
		}
	}
	for deadline := time.Now().Add(4 * patience); c.r.metric(c.t, "walrelay_log_floor_lsn") <= float64(last.Commit); {
		if time.Now().After(deadline) {
			c.t.Fatalf("the log has not dropped %s after %v", last, 4*patience)
		}
		c.db.exec(c.t, "insert into filler (body) select (select string_agg(md5(random()::text), '') from generate_series(1, 300)) from generate_series(1, 40)")
	}
}
