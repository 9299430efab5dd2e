package integration

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/walrelay/walrelay/eventlog"
	"github.com/walrelay/walrelay/fault"
)

// killable are the points that a running walrelay passes again and again, and the
// most times that are waited for.
var killable = map[fault.Point]int{
	fault.Received: 800, fault.Taken: 25, fault.Published: 25, fault.Stored: 25,
	fault.Rotated: 3, fault.Trimmed: 3, fault.Confirmed: 6, fault.Written: 200,
}

// Killed at every point, three times each at least: nothing is confirmed that is not
// on disk, and every subscriber gets exactly what the database recorded.
func TestKillPoints(t *testing.T) {
	t.Parallel()
	if got := len(killable) + len(starting); got != len(fault.Points) {
		t.Fatalf("%d points are tested, there are %d", got, len(fault.Points))
	}
	seed := testSeed(t)
	kills := &tally{}
	t.Cleanup(func() { t.Logf("kill -9: %v", kills) })
	t.Run("running", func(t *testing.T) {
		t.Parallel()
		killRunning(t, seed, kills)
	})
	for _, point := range starting {
		for times := 1; times <= 3; times++ {
			t.Run(fmt.Sprintf("%s %d", point, times), func(t *testing.T) {
				t.Parallel()
				s := newFirstStart(t, point, times, seed, func(*relay) {})
				s.run(t, "kill")
				s.relay.wantKilled(t)
				kills.add(string(point))
				s.afterDeath(t)
				s.goOn(t, seed)
			})
		}
	}
}

// killRunning kills one walrelay after the other, all on the same log.
func killRunning(t *testing.T, seed uint64, kills *tally) {
	t.Helper()
	u := newFaultRun(t, seed, func(*relay) {})
	u.relay.kill9(t)
	kills.add("at random")
	u.afterDeath(t, "killed at a random moment")
	random := rand.New(rand.NewPCG(seed, 2000))
	for _, p := range plans(random, killable) {
		u.relay.arm(p.with("kill"))
		u.relay.start(t)
		u.relay.wantKilled(t)
		u.afterDeath(t, "killed at "+p.String())
		kills.add(string(p.point))
	}
	u.holdPublished(t, random, func() eventlog.Bounds {
		u.relay.kill9(t)
		kills.add("ahead of the disk")
		return u.afterDeath(t, "killed with clients ahead of the log")
	})
	u.finish(t)
}

// plans are three different numbers of times for each point, up to most, in random
// order.
func plans(random *rand.Rand, most map[fault.Point]int) (out []armed) {
	for _, point := range fault.Points {
		if most[point] == 0 {
			continue
		}
		for _, n := range random.Perm(most[point])[:3] {
			out = append(out, armed{point, n + 1})
		}
	}
	random.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}
