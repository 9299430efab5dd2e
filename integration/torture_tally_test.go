package integration

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// tortureTally counts what was done and what came of it.
type tortureTally struct {
	// Counted by any goroutine.
	commits, aborts, ddl, truncates, oversize, bulks, stalls atomic.Int64

	mu   sync.Mutex
	harm map[string]int // by kind; guarded by mu

	// What follows is the test's goroutine's.
	resets map[string]int // by reason
	// transactions and changes are the oracle's, events those compared.
	rounds, transactions, changes, events, connections, resumed, beats, overflows int
	// What must stay 0.
	wrong map[string]int
}

func newTortureTally() *tortureTally {
	return &tortureTally{harm: map[string]int{}, resets: map[string]int{}, wrong: map[string]int{"gap": 0, "duplicate": 0, "wrong order": 0}}
}

// did counts one harm.
func (c *tortureTally) did(kind string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.harm[kind]++
}

// add puts the figures of a round into those of the run.
func (c *tortureTally) add(o *tortureTally) {
	for _, p := range [][2]*atomic.Int64{{&c.commits, &o.commits}, {&c.aborts, &o.aborts}, {&c.ddl, &o.ddl}, {&c.truncates, &o.truncates},
		{&c.oversize, &o.oversize}, {&c.bulks, &o.bulks}, {&c.stalls, &o.stalls}} {
		p[0].Add(p[1].Load())
	}
	for _, p := range [][2]*int{{&c.rounds, &o.rounds}, {&c.transactions, &o.transactions}, {&c.changes, &o.changes}, {&c.events, &o.events},
		{&c.connections, &o.connections}, {&c.resumed, &o.resumed}, {&c.beats, &o.beats}, {&c.overflows, &o.overflows}} {
		*p[0] += *p[1]
	}
	for _, p := range [][2]map[string]int{{c.harm, o.harmOf("")}, {c.resets, o.resets}, {c.wrong, o.wrong}} {
		for k, v := range p[1] {
			p[0][k] += v
		}
	}
}

// of is the sum of the harms whose kind begins so.
func (c *tortureTally) of(prefix string) (sum int) {
	for _, n := range c.harmOf(prefix) {
		sum += n
	}
	return sum
}

// line is one round.
func (c *tortureTally) line() string {
	return fmt.Sprintf("kills %d, drains %d, freezes %d, postgres %d, network %d; %d transactions, %d changes; %d events compared, %d connections, resets %s; %s",
		c.of("kill"), c.of("drain"), c.of("freeze"), c.of("postgres"), c.of("network"), c.transactions, c.changes, c.events, c.connections, listCounts(c.resets), c.findings())
}

func (c *tortureTally) findings() string {
	text := fmt.Sprintf("%d gaps, %d duplicates, %d wrong order", c.wrong["gap"], c.wrong["duplicate"], c.wrong["wrong order"])
	if n := c.wrong["breach"]; n > 0 { // of the rules for ids
		text += fmt.Sprintf(", %d breaches", n)
	}
	return text
}

// total is everything.
func (c *tortureTally) total() string {
	var b strings.Builder
	say := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "  %-14s %s\n", what, fmt.Sprintf(format, args...))
	}
	say("rounds", "%d", c.rounds)
	for _, kind := range []string{"kill", "drain", "freeze", "postgres", "network", "clients", "loss"} {
		say(kind, "%d: %s", c.of(kind), listCounts(c.harmOf(kind)))
	}
	say("written", "%d transactions and %d changes published; %d commits, %d rolled back, %d ALTER TABLE, %d TRUNCATE, %d of thousands of rows, %d rows too large",
		c.transactions, c.changes, c.commits.Load(), c.aborts.Load(), c.ddl.Load(), c.truncates.Load(), c.bulks.Load(), c.oversize.Load())
	say("subscribers", "%d connections, %d of them resumed, %d heartbeats, %d stalls, %d queue overflows seen", c.connections, c.resumed, c.beats, c.stalls.Load(), c.overflows)
	say("resets", "%s (but for truncate)", listCounts(c.resets))
	say("compared", "%d events: %s", c.events, c.findings())
	return b.String()
}

// harmOf are the harms whose kind begins so, by the rest of its name.
func (c *tortureTally) harmOf(prefix string) map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]int{}
	for kind, n := range c.harm {
		if rest, ok := strings.CutPrefix(kind, prefix); ok {
			out[strings.TrimSpace(rest)] += n
		}
	}
	return out
}

// listCounts prints counts by name.
func listCounts(counts map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, counts[name]))
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}
