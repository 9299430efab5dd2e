package integration

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/walrelay/walrelay/eventlog"
	"github.com/walrelay/walrelay/fault"
)

// The power fails at any point: what was confirmed to Postgres is on the disk, and
// every subscriber gets exactly what the database recorded, also one that had seen
// more than the disk has. The same without syncs must lose data, or else the test
// would prove nothing.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	if err := mountable(t); err != nil {
		t.Logf("POWER CUTS ARE NOT TESTED HERE, which takes root and a loop device: %v", err)
		t.Log("TestKillPoints stands for this test as far as the order of storing and confirming goes. Whether what is stored is on the disk, nothing checks here")
		return
	}
	seed := testSeed(t)
	cuts := &tally{}
	t.Cleanup(func() { t.Logf("power cuts: %v", cuts) })
	t.Run("running", func(t *testing.T) {
		t.Parallel()
		cutRunning(t, seed, cuts)
	})
	for _, point := range starting {
		t.Run("first start, "+string(point), func(t *testing.T) {
			t.Parallel()
			var disk *cutDisk
			s := newFirstStart(t, point, 1, seed, func(r *relay) { disk = newCutDisk(t, r) })
			s.run(t, "stop")
			disk.cut(t)
			cuts.add(string(point))
			s.afterDeath(t)
			s.goOn(t, seed)
		})
	}
	t.Run("without syncs", func(t *testing.T) {
		t.Parallel()
		for try := range 3 {
			if lost := cutWithoutSyncs(t, seed); lost != "" {
				t.Logf("without syncs, cut %d: %s", try+1, lost)
				return
			}
		}
		t.Fatal("without syncs three cuts have lost nothing: this test would not find a sync that is missing")
	})
}

// cutRunning cuts the power of one walrelay after the other; each goes on from what
// the disk of the one before had.
func cutRunning(t *testing.T, seed uint64, cuts *tally) {
	t.Helper()
	var disk *cutDisk
	u := newFaultRun(t, seed, func(r *relay) { disk = newCutDisk(t, r) })
	u.relay.kill9(t)
	random := rand.New(rand.NewPCG(seed, 3000))
	for _, point := range cutPoints(random) {
		when := u.stop(t, point, random)
		disk.cut(t)
		b := u.afterDeath(t, "power cut "+when)
		cuts.add(string(point))
		t.Logf("power cut %s: %d of %d subscribers are ahead of the log", when, len(u.ahead(b.Last)), len(u.followers))
	}
	ahead := u.holdPublished(t, random, func() eventlog.Bounds {
		u.relay.signal(t, syscall.SIGSTOP)
		disk.cut(t)
		cuts.add("ahead of the disk")
		return u.afterDeath(t, "power cut with clients ahead of the log")
	})
	u.waitAhead(t, ahead)
	u.finish(t)
}

// atRandom is no point: the power fails at any moment.
const atRandom fault.Point = "at random"

// cutPoints are in random order.
func cutPoints(random *rand.Rand) []fault.Point {
	points := []fault.Point{atRandom, atRandom, fault.Received, fault.Taken, fault.Published, fault.Stored, fault.Rotated, fault.Trimmed, fault.Confirmed}
	random.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
	return points
}

// stop starts walrelay and has it stopped at a point, or stops it. It returns when,
// for messages.
func (u *faultRun) stop(t *testing.T, point fault.Point, random *rand.Rand) string {
	t.Helper()
	if point == atRandom {
		u.relay.arm("")
		u.relay.start(t)
		u.relay.waitReady(t)
		u.writers.wait(t, 10+random.IntN(50))
		u.relay.signal(t, syscall.SIGSTOP)
		return "at a random moment"
	}
	p := armed{point, 1 + random.IntN(killable[point])}
	u.relay.arm(p.with("stop"))
	u.relay.start(t)
	return "at " + p.String()
}

// waitAhead starts walrelay and keeps its log from growing: those that are ahead of
// it are told that they go on where they are, and wait.
func (u *faultRun) waitAhead(t *testing.T, ahead []*returning) {
	t.Helper()
	f := ahead[0]
	was, told := f.position(), f.resumed()
	u.relay.arm(armed{fault.Taken, 1}.with("hold"))
	u.relay.start(t)
	eventually(t, func() string {
		if f.resumed() == told {
			return "who is ahead of the log has not been let in"
		}
		return ""
	})
	u.relay.kill9(t)
	if at := f.position(); at != was {
		t.Errorf("who was ahead of the log at %s has come to %s while the log stood still", was, at)
	}
	b := u.afterDeath(t, "killed while a client waits for the log")
	t.Logf("at %s a client has waited for the log, which ended at %s", was, b.Last)
}

// cutWithoutSyncs cuts the power of a walrelay that does not sync, with a log from
// one that did, and tells what was lost; "" for nothing. walrelay must notice.
func cutWithoutSyncs(t *testing.T, seed uint64) (lost string) {
	t.Helper()
	db := newDatabase(t, resumeTables)
	r := newRelay(t, db, settings{channels: resumeChannels}.yaml())
	disk := newCutDisk(t, r)
	r.start(t)
	r.waitReady(t)
	w := startWriters(t, db, 2, seed)
	s := r.live(t, "items")
	id := s.next(t).id
	s.close()
	db.waitConfirmed(t, id)
	r.terminate(t)

	r.arm("nosync")
	r.start(t)
	r.waitReady(t)
	w.wait(t, 50)
	end := db.walEnd(t)
	eventually(t, func() string {
		if at := db.confirmed(t); at < end {
			return fmt.Sprintf("confirmed_flush_lsn is %s, before %s", at, end)
		}
		return ""
	})
	r.signal(t, syscall.SIGSTOP)
	disk.cut(t)
	db.waitSlotFree(t)
	confirmed := db.confirmed(t)
	b, err := lookAtLog(t, r.logDir)
	if err == nil && b.Durable >= confirmed {
		return ""
	}
	r.arm("")
	r.start(t)
	if err != nil {
		if got := r.wait(t); got.code == 0 || !strings.Contains(got.lastLine, "open event log") {
			t.Errorf("with a log that cannot be read (%v) walrelay ended with code %d: %s", err, got.code, got.lastLine)
		}
		return fmt.Sprintf("the log cannot be read: %v", err)
	}
	r.waitReady(t)
	r.stderr.waitFor(t, "the event log cannot be continued: all clients get reset.*reason=gap")
	r.wantResetTo(t, id, "gap", "items")
	return fmt.Sprintf("the slot is confirmed up to %s, the log has only what is before %s; walrelay says gap", confirmed, b.Durable)
}
