//go:build unix

package channel

import (
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/walrelay/walrelay/change"
)

const (
	stormChanges = 100_000
	stormUsers   = 10_000
	stormBatch   = 500 // changes, about what replication gathers under load
)

// BenchmarkResume: subscribers come back at once over the same 100,000 changes of 10,000
// users, each with an owner that takes its runs. An operation is the whole storm, from
// the first Subscribe until the last of them has everything.
//
//   - own: each has a channel of its own, in which 10 of the changes are;
//   - shared: all have the same channel, in which 200 are.
//
// cpu-ns/change is the storm's CPU time by change. x-one is that time against one
// subscriber of the same channel, x-all against one that gets all changes; both were
// measured just before.
func BenchmarkResume(b *testing.B) {
	for _, shape := range []struct {
		name    string
		user    func(i int) int // whose channel subscriber i has
		change  func(i int) int // user of change i
		perUser int
	}{
		{"own", func(i int) int { return i }, func(i int) int { return i % stormUsers }, stormChanges / stormUsers},
		{"shared", func(int) int { return 0 }, oneInFiveHundred, stormChanges / 500},
	} {
		storm := newStorm(b, shape.change)
		for _, n := range []int{1, 100, 1000, 10_000} {
			b.Run(fmt.Sprintf("%s/%d", shape.name, n), func(b *testing.B) {
				one := storm.single(b, "user/0", shape.perUser)
				all := storm.single(b, "all", stormChanges)
				names := make([]string, n)
				for i := range names {
					names[i] = "user/" + strconv.Itoa(shape.user(i))
				}
				passes, allocated, began := storm.hub.Stats().CatchUpPasses, mallocs(), cpuTime()
				b.ReportAllocs()
				b.ResetTimer()
				for b.Loop() {
					storm.run(b, names, shape.perUser)
				}
				cpu := (cpuTime() - began) / time.Duration(b.N)
				b.ReportMetric(float64(cpu.Nanoseconds())/stormChanges, "cpu-ns/change")
				b.ReportMetric(float64(cpu)/float64(one), "x-one")
				b.ReportMetric(float64(cpu)/float64(all), "x-all")
				b.ReportMetric(float64(mallocs()-allocated)/float64(b.N*n), "allocs/subscriber")
				b.ReportMetric(float64(storm.hub.Stats().CatchUpPasses-passes)/float64(b.N), "passes")
			})
		}
	}
}

// oneInFiveHundred gives every 500th change to user 0.
func oneInFiveHundred(i int) int {
	if i%500 == 0 {
		return 0
	}
	return 1 + i%(stormUsers-1)
}

// cpuTime of this process: other work on the machine does not count, as it does in wall
// time.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// storm is a running hub over a log with the changes.
type storm struct{ hub *Hub }

func newStorm(b *testing.B, user func(i int) int) *storm {
	log, rel := newMemLog(), itemsRelation()
	rel.Identity = 'f' // user_id is bound to a parameter
	for i := range rel.Columns {
		rel.Columns[i].Identity = true
	}
	builder := change.NewBuilder(log.bounds.Last, log.bounds.WAL)
	for i := 0; i < stormChanges; i += stormBatch {
		commit := log.bounds.WAL + 0x100
		builder.Begin(change.Tx{Commit: commit, XID: uint32(i)})
		for j := i; j < i+stormBatch; j++ {
			builder.Row(change.Insert, rel, append([]byte{'N'}, tup(strconv.Itoa(j), strconv.Itoa(user(j)), "open", "45.67",
				"row 1xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "2026-11-20 21:00:00.123456+00")...), false)
		}
		builder.Commit(commit + 0x10)
		batch := builder.Seal(time.Time{})
		log.batches = append(log.batches, batch)
		log.bounds.Last, log.bounds.WAL = batch.Last, batch.WAL
	}
	h := New(Options{Log: log, QueueBytes: 1 << 30, Rules: []*Rule{
		ruled(b, rel, Rule{Name: "all"}, "", "public"),
		ruled(b, rel, Rule{Name: "user/{user}"}, "row.user_id == params.user", "public"),
	}})
	stop := (&testHub{Hub: h, t: b}).runPlain()
	b.Cleanup(stop)
	return &storm{hub: h}
}

// runPlain starts the hub outside of a synctest bubble.
func (h *testHub) runPlain() (stop func()) {
	done := make(chan struct{})
	ctx := h.t.Context()
	go func() { defer close(done); _ = h.Run(ctx) }()
	for {
		if _, err := h.Subscribe(ctx, Request{}); err == nil {
			return func() { <-done }
		}
		time.Sleep(time.Millisecond)
	}
}

// single is the CPU time of one subscriber's return.
func (s *storm) single(b *testing.B, name string, want int) time.Duration {
	const times = 10
	runtime.GC() // what others left is not theirs
	began := cpuTime()
	for range times {
		s.run(b, []string{name}, want)
	}
	return (cpuTime() - began) / times
}

// run lets a subscriber of each name come back from the beginning; each ends when it
// has as many row events as wanted.
func (s *storm) run(b *testing.B, names []string, want int) {
	var owners sync.WaitGroup
	for _, name := range names {
		owners.Go(func() {
			sub, err := s.hub.Subscribe(b.Context(), Request{Channels: []string{name}, LastEventID: "0/FF.0"})
			if err != nil {
				b.Error(err)
				return
			}
			defer sub.Close()
			for got := 0; got < want; {
				<-sub.Changed()
				for runs := sub.Take(); len(runs) > 0; runs = sub.Take() {
					for _, r := range runs {
						switch r.Frames[0].Kind {
						case EventInsert:
							got += len(r.Frames)
						case EventReady:
						default:
							b.Errorf("%s got %s", name, r.Bytes)
							return
						}
					}
				}
				if reason, ended := sub.Ended(); ended {
					b.Errorf("%s ended: %s", name, reason)
					return
				}
			}
		})
	}
	owners.Wait()
}
