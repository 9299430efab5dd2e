package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/fault"
)

// starting are the points that are passed only until the first row can come.
var starting = []fault.Point{fault.PublicationReady, fault.SlotCreated, fault.Begun}

// firstStart is a walrelay that has neither slot nor log, is ended at one of the
// points that it passes on its way to the first row, and started again.
type firstStart struct {
	db      *database
	relay   *relay
	writers *writers
	point   fault.Point
	// times that the point is reached until the end. From the second time on the slot
	// is lost each time (point PublicationReady: only the connection).
	times     int
	walsender string // process id of the last one that was ended
	// oracle and from are known when walrelay has been ended, or else once it has been
	// started again: everything from from on is to come.
	oracle *oracle
	from   change.LSN
}

// newFirstStart starts the writers. prepare may change the relay before its start.
func newFirstStart(t *testing.T, point fault.Point, times int, seed uint64, prepare func(*relay)) *firstStart {
	t.Helper()
	db := newDatabase(t, resumeTables)
	s := &firstStart{db: db, point: point, times: times, walsender: "0"}
	s.relay = newRelay(t, db, settings{http: "heartbeat: 100ms", channels: resumeChannels}.yaml())
	prepare(s.relay)
	s.writers = startWriters(t, db, 2, seed)
	return s
}

// run starts walrelay, armed with an action, and brings it to the point.
func (s *firstStart) run(t *testing.T, action string) {
	t.Helper()
	s.relay.arm(armed{s.point, s.times}.with(action))
	s.relay.start(t)
	for range s.times - 1 {
		s.lose(t)
	}
}

// lose ends the connection that reads the slot, which must come first, and drops the
// slot unless only the connection is to be lost.
func (s *firstStart) lose(t *testing.T) {
	t.Helper()
	eventually(t, func() string {
		select {
		case <-s.relay.done: // it tried more often than it succeeded
			return ""
		default:
		}
		if was := s.walsender; s.db.endWalsender(t, &s.walsender) == was {
			return "nobody reads the slot"
		}
		return ""
	})
	if s.point == fault.PublicationReady {
		return
	}
	conn := s.db.conn(t)
	eventually(t, func() string {
		if _, err := conn.Exec(t.Context(), "select pg_drop_replication_slot($1)", s.db.name); err != nil {
			s.db.endWalsender(t, &s.walsender)
			return err.Error()
		}
		return ""
	})
}

// endWalsender ends the process that reads the slot, unless it is the last one that
// was ended, and returns which one was.
func (d *database) endWalsender(t testing.TB, last *string) string {
	t.Helper()
	*last = d.value(t, `with reader as materialized (
			select r.pid from pg_stat_replication r join pg_replication_slots s on s.active_pid = r.pid where s.slot_name = $1 and r.pid <> $2::int)
		select coalesce((select pid from reader where pg_terminate_backend(pid)), $2::int)`, d.name, *last)
	return *last
}

// afterDeath checks what the ended walrelay has left: slot and log as the point
// says.
func (s *firstStart) afterDeath(t *testing.T) {
	t.Helper()
	s.db.waitNoWalsender(t)
	b, err := lookAtLog(t, s.relay.logDir)
	if err != nil {
		t.Fatalf("the log that is left: %v", err)
	}
	want := map[fault.Point]int{fault.PublicationReady: min(s.times-1, 1), fault.SlotCreated: s.times - 1, fault.Begun: s.times}[s.point]
	if int(b.Lineage.Generation) != want {
		t.Errorf("the log that is left is in generation %d, want %d", b.Lineage.Generation, want)
	}
	if s.point == fault.PublicationReady && s.times == 1 {
		if n := s.db.value(t, "select count(*) from pg_replication_slots where slot_name = $1", s.db.name); n != "0" {
			t.Error("there is a slot, which was not to be created yet")
		}
		s.oracle = newOracle(t, s.db)
		return
	}
	s.from = s.db.confirmed(t)
	s.oracle = &oracle{db: s.db, slot: s.db.name + "_oracle"} // begins where the slot does
	s.db.exec(t, fmt.Sprintf("select pg_copy_logical_replication_slot('%s', '%s')", s.db.name, s.oracle.slot))
	switch {
	case s.point == fault.Begun && b.Durable != s.from:
		t.Errorf("the log begins at %s, the slot at %s", b.Durable, s.from)
	case s.point == fault.SlotCreated && b.Durable >= s.from:
		t.Errorf("the log has everything before %s, and the new slot begins at %s", b.Durable, s.from)
	case s.point == fault.PublicationReady && b.Durable < s.from:
		t.Errorf("the slot is confirmed up to %s, the log has only what is before %s", s.from, b.Durable)
	}
}

// waitNoWalsender waits until nobody reads the slot, which need not exist.
func (d *database) waitNoWalsender(t testing.TB) {
	t.Helper()
	eventually(t, func() string {
		return d.value(t, "select case when exists (select from pg_replication_slots where slot_name = $1 and active) then 'the slot is active' end", d.name)
	})
}

const consistentPoint = `replication slot created.*consistent_point=(\S+)`

// goOn starts walrelay again: it serves everything from where the slot begins, in
// the generation that must be, and calls a gap a gap.
func (s *firstStart) goOn(t *testing.T, seed uint64) {
	t.Helper()
	s.writers.wait(t, 20)
	s.relay.arm("")
	s.relay.start(t)
	s.relay.waitReady(t)
	if s.from == 0 {
		s.from = lsn(t, s.relay.stderr.waitFor(t, consistentPoint)[1])
	}
	var followers []*returning
	var following sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	defer following.Wait()
	defer cancel()
	var target atomic.Uint64
	for i := range 3 {
		f := newReturning(s.relay, rand.New(rand.NewPCG(seed, uint64(i))), i == 0)
		f.target = &target
		f.beginAt(t, s.from.String())
		followers = append(followers, f)
		following.Go(func() { f.follow(ctx) })
	}
	s.writers.wait(t, 20)
	s.writers.stop(t)
	target.Store(uint64(s.db.mark(t)))
	following.Wait()
	compareAll(t, slices.DeleteFunc(s.oracle.read(t), func(r recorded) bool { return r.at.Commit < s.from }), followers)
	s.checkGenerations(t)
}

// checkGenerations ends walrelay and looks at its log, and at what it said.
func (s *firstStart) checkGenerations(t *testing.T) {
	t.Helper()
	lost := s.point == fault.SlotCreated && s.times > 1 // found only after the end
	said := s.relay.stderr.String()
	if got := strings.Count(said, "cannot be continued: all clients get reset"); got != 0 && !lost || lost && (got != 1 || !strings.Contains(said, "reason=gap")) {
		t.Errorf("walrelay said that its log cannot be continued %d times:\n%s", got, said)
	}
	s.relay.kill9(t)
	b, err := lookAtLog(t, s.relay.logDir)
	want := uint32(s.times)
	if s.point == fault.PublicationReady {
		want = 1
	}
	if err != nil || b.Lineage.Generation != want {
		t.Errorf("the log is in generation %d, want %d (%v)", b.Lineage.Generation, want, err)
	}
	if begins := change.Before(s.from); b.Floor != begins && (s.point != fault.PublicationReady || s.times == 1) {
		t.Errorf("the log begins at %s, want %s", b.Floor, begins)
	}
}

// beginAt subscribes at a bare LSN, from which everything must be there, and is cut
// off after ready.
func (f *returning) beginAt(t *testing.T, lsn string) {
	t.Helper()
	if err := f.client.read(t.Context(), lsn, unlimited, func(in frame) bool {
		if in.event == "ready" && strings.Contains(in.data, `"resumed":true`) {
			f.lastID = in.id
		}
		return in.event != "ready"
	}); !errors.Is(err, errCut) || f.lastID == "" {
		t.Fatalf("subscribed at %s: not resumed (%v)", lsn, err)
	}
}
