package integration

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/pgtemp"
)

// The primary dies while three connections write, and the standby takes its place;
// then that one dies too. Subscribers that were connected all the time, that lost
// their connections again and again, and that were away meanwhile get exactly what
// the last primary has, and no reset.
func TestFailoverClean(t *testing.T) {
	t.Parallel()
	seed := testSeed(t)
	p := newPair(t, settings{http: "heartbeat: 1s", channels: resumeChannels}.yaml(), resumeTables)
	oracleSlot := p.primary.name + "_oracle"
	create := "select pg_create_logical_replication_slot('" + oracleSlot + "', 'pgoutput'"
	if p.slotsSynchronised() {
		create += ", failover => true"
	}
	p.primary.exec(t, create+")")
	p.addStandby(t, oracleSlot)

	var target atomic.Uint64
	followers := make([]*follower, 12)
	for i := range followers {
		followers[i] = newFollower(p.relay, rand.New(rand.NewPCG(seed, uint64(i))))
		followers[i].target = &target
		if err := followers[i].begin(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	steady, away, cutOff := followers[0], followers[1], followers[2:]
	var following sync.WaitGroup
	t.Cleanup(following.Wait)
	following.Go(func() { steady.stay(t) })
	for _, f := range cutOff {
		following.Go(func() { f.follow(t.Context()) })
	}

	var changes []recorded
	for timeline := 2; timeline <= 3; timeline++ {
		if p.standby == nil {
			p.addStandby(t, oracleSlot)
		}
		writers := startWriters(t, p.primary, 3, seed+uint64(timeline))
		writers.wait(t, 80)
		p.killPrimary(t, writers)
		p.door.leadTo(p.standby) // which is too early
		p.waitUnready(t, "it is a standby")
		p.promote(t)
		p.stderr.waitFor(t, fmt.Sprintf("timeline changed, the log goes on.*from=%d to=%d", timeline-1, timeline))
		p.waitReady(t)
		writers = startWriters(t, p.primary, 3, seed+uint64(10*timeline))
		writers.wait(t, 80)
		writers.stop(t)
		changes = append(changes, (&oracle{db: p.primary, slot: oracleSlot}).read(t)...)
		p.primary.exec(t, "select pg_replication_slot_advance('"+oracleSlot+"', pg_current_wal_lsn())")
	}
	target.Store(uint64(p.primary.mark(t)))
	following.Go(func() { away.follow(t.Context()) })
	following.Wait()

	wantContents(t, p.primary, "items", changes)
	t.Logf("%d changes on three timelines", len(changes))
	for _, f := range followers {
		f.check(t, changes)
	}
	p.wantLineage(t, 3, 1, 1)
	for _, reason := range []string{"gap", "lineage", "view", "expired", "unknown-id"} {
		if n := p.metric(t, `walrelay_resets_total{reason="`+reason+`"}`); n != 0 {
			t.Errorf("%v resets for %s", n, reason)
		}
	}
}

// stay follows on one connection, which nobody may cut.
func (f *follower) stay(t *testing.T) {
	if err := f.client.read(t.Context(), f.lastID, unlimited, f.frame); !f.done() && f.err == nil {
		f.err = fmt.Errorf("at %s: the stream ended: %v", f.lastID, err)
	}
}

// wantContents checks that the changes make what a table with a key id holds.
func wantContents(t *testing.T, db *database, table string, changes []recorded) {
	t.Helper()
	rows := map[string]string{}
	for _, c := range changes {
		if c.table == table && c.before != nil {
			delete(rows, c.before["id"])
		}
		if c.table == table && c.after != nil {
			rows[c.after["id"]] = c.after["body"]
		}
	}
	var lines []string
	for id, body := range rows {
		lines = append(lines, id+" "+body)
	}
	slices.Sort(lines)
	wantLines(t, "rows of "+table, strings.Split(db.value(t, `select coalesce(string_agg(id||' '||body, ',' order by (id||' '||body) collate "C"), '') from `+table), ","), lines)
}

const failoverTable = "create table items (id int primary key, body text)"

func insertBody(id int, body string) string {
	return fmt.Sprintf("insert into items values (%d, '%s')", id, body)
}

// wantItems checks that the next events insert these rows, and gives their ids.
func (s *sse) wantItems(t testing.TB, rows ...int) (ids []string) {
	t.Helper()
	for _, id := range rows {
		s.wantRow(t, "insert", "items", id)
		ids = append(ids, s.lastID)
	}
	return ids
}

// passed writes until db's WAL end is beyond an LSN.
func (d *database) passed(t testing.TB, at change.LSN) {
	t.Helper()
	for d.walEnd(t) <= at {
		d.exec(t, "create table if not exists noise (n int)", "insert into noise select generate_series(1, 20000)")
	}
}

// The standby had not got the last of what the primary committed and walrelay sent:
// the new primary contradicts what clients have seen. They are told, whether its WAL
// still ends before the log or has passed it by, and whether walrelay saw it happen
// or starts later.
func TestFailoverUnclean(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name           string
		passed, killed bool
	}{{"behind the log", false, false}, {"beyond the log", true, false}, {"walrelay was away", true, true}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, standard(publicTables("items")), failoverTable)
			s := p.live(t, "items")
			p.primary.exec(t, insertBody(1, "kept"))
			ids := s.wantItems(t, 1)
			p.addAsynchronousStandby(t)
			p.waitReplayed(t)
			p.detach(t)
			p.primary.exec(t, insertBody(2, "lost"), insertBody(3, "lost"))
			ids = append(ids, s.wantItems(t, 2, 3)...)
			p.primary.waitConfirmed(t, ids[2])
			if test.killed {
				p.kill9(t)
			}
			p.kill(t)
			if !test.passed { // and stays so while walrelay looks
				p.promote(t)
			} else {
				p.door.shut()
				p.promoteUnseen(t)
				p.primary.passed(t, positionOf(t, ids[2]).Commit+1<<20)
				p.primary.exec(t, insertBody(2, "new"))
				p.door.leadTo(p.primary)
			}
			if test.killed {
				s.waitEnd(t)
				p.start(t)
			} else {
				s.wantEnd(t, "lineage")
			}
			p.stderr.waitFor(t, "the event log cannot be continued: all clients get reset.*reason=lineage")
			p.waitReady(t)

			s.lastID = ids[2]
			var after *sse
			for _, id := range ids { // also the one from before the two histories part
				after = p.wantResetTo(t, id, "lineage", "items")
			}
			lines := after.told(t, p.primary, "items", insertBody(4, "new"))
			if last := lines[len(lines)-1]; !strings.HasSuffix(last, `items insert {"id":4} {"id":4,"body":"new"}`) {
				t.Errorf("afterwards: %q", lines)
			}
			if strings.Contains(strings.Join(lines, "\n"), "lost") {
				t.Errorf("rows that the new primary does not have: %q", lines)
			}
			p.wantLineage(t, 2, 2, 2)
			p.terminate(t)
			p.primary.exec(t, insertBody(5, "new"))
			p.start(t)
			p.waitReady(t)
			after.reconnect(t)
			after.wantResumed(t)
			after.wantItems(t, 5)
			p.wantResetTo(t, ids[2], "lineage", "items")
			p.wantLineage(t, 2, 2, 2)
		})
	}
}

// A standby without the slot: Postgres before 17, or nobody asked for it. The new
// primary gets a new slot, and clients are told of the gap, once.
func TestFailoverWithoutSlot(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		lost bool // a row that walrelay has sent is not on the standby
	}{{"clean", false}, {"rows lost", true}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, standard(publicTables("items")), failoverTable)
			s := p.live(t, "items")
			p.addStandbyWithoutSlots(t)
			p.primary.exec(t, insertBody(1, "kept"))
			ids := s.wantItems(t, 1)
			p.waitReplayed(t)
			p.detach(t)
			if test.lost {
				p.primary.exec(t, insertBody(2, "lost"))
				ids = append(ids, s.wantItems(t, 2)...)
			}
			p.kill(t)
			p.promote(t)
			s.wantEnd(t, "gap")
			p.stderr.waitFor(t, "replication slot created.*slot="+p.primary.name)
			p.stderr.waitFor(t, "the event log cannot be continued: all clients get reset.*reason=gap.*")
			p.waitReady(t)
			p.wantLineage(t, 2, 2, 2)
			for _, id := range ids {
				s = p.wantResetTo(t, id, "gap", "items")
			}
			p.primary.exec(t, insertBody(2, "new"))
			s.wantItems(t, 2)
			p.terminate(t)
			p.primary.exec(t, insertBody(3, "new"))
			p.start(t)
			p.waitReady(t)
			s.reconnect(t)
			s.wantResumed(t)
			s.wantItems(t, 3)
			p.wantLineage(t, 2, 2, 2)
			if got := p.primary.value(t, "select count(*) from pg_replication_slots"); got != "1" {
				t.Errorf("the new primary has %s slots, want walrelay's alone", got)
			}
		})
	}
}

// The primary dies when half of a large transaction has been sent: the rest comes
// from the new primary.
func TestFailoverLargeTransaction(t *testing.T) {
	t.Parallel()
	const rows = 6000 // of 1 kB
	p := newPair(t, standard(publicTables("items")), failoverTable)
	p.addStandby(t)
	s := p.live(t, "items")
	p.door.holdAfter(rows / 2 * 1000)
	p.primary.exec(t, fmt.Sprintf("insert into items select n, repeat('x', 1000) from generate_series(1, %d) n", rows))
	first := s.wantItems(t, 1)
	p.waitReplayed(t)
	s.wantItems(t, seq(2, 1000)...)
	away := s.lastID
	p.waitMetric(t, "walrelay_replication_changes_total", func(n float64) bool { return n > rows/3 })
	p.kill(t)
	if n := p.metric(t, "walrelay_replication_changes_total"); n >= rows {
		t.Fatalf("walrelay had all %v rows before the primary died", n)
	}
	p.promote(t)
	p.primary.exec(t, insertBody(0, "after"))
	for i := 1001; i <= rows; i++ {
		if at := positionOf(t, s.next(t).id); at != (change.Position{Commit: positionOf(t, first[0]).Commit, Index: uint64(i - 1)}) {
			t.Fatalf("event %d is at %s", i, at)
		}
	}
	s.wantItems(t, 0)
	resumed := p.resumed(t, away, "items")
	resumed.wantItems(t, append(seq(1001, rows), 0)...)
	p.wantLineage(t, 2, 1, 1)
}

// seq are the numbers from first to last.
func seq(first, last int) (out []int) {
	for i := first; i <= last; i++ {
		out = append(out, i)
	}
	return out
}

// The old primary is started again, and walrelay is led there: it must not take what
// is written there for what follows. Back at the new one it goes on as if nothing had
// been.
func TestFailoverStalePrimary(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		passed bool // the old primary's WAL ends beyond the log
	}{{"behind the log", false}, {"beyond the log", true}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, settings{http: "heartbeat: 1s", channels: itemsOnly}.yaml(), failoverTable)
			s := p.live(t, "items")
			p.primary.exec(t, insertBody(1, "old"))
			s.wantItems(t, 1)
			p.addStandby(t)
			p.killPrimary(t)
			old := p.promote(t)
			p.stderr.waitFor(t, "timeline changed, the log goes on.*from=1 to=2")
			p.primary.passed(t, p.primary.walEnd(t)+1<<20)
			p.primary.exec(t, insertBody(2, "new"))
			id := s.wantItems(t, 2)[0]
			p.primary.waitConfirmed(t, id)

			startCluster(t, old.cluster)
			if p.slotsSynchronised() {
				old.exec(t, "alter system reset synchronized_standby_slots", "select pg_reload_conf()")
			}
			old.exec(t, insertBody(2, "stale"))
			if test.passed {
				old.passed(t, p.primary.walEnd(t)+1<<20)
				old.exec(t, insertBody(3, "stale"))
			}
			p.door.leadTo(old)
			p.waitUnready(t, "timeline 1")
			old.exec(t, insertBody(4, "stale"))
			away := p.resumed(t, id, "items") // served from the log
			p.door.leadTo(p.primary)
			p.waitReady(t)
			p.primary.exec(t, insertBody(3, "new"))
			s.wantItems(t, 3)
			away.wantItems(t, 3)
			p.wantLineage(t, 2, 1, 1)
		})
	}
}

const itemsOnly = "  items: {table: public.items, allow: public}\n"

// Two standbys are promoted, each to a timeline 2 of its own, and walrelay, which
// followed the one, is led to the other.
func TestFailoverSplitBrain(t *testing.T) {
	t.Parallel()
	p := newPair(t, standard(publicTables("items")), failoverTable)
	s := p.live(t, "items")
	p.addAsynchronousStandby(t)
	other := p.anotherStandby(t, "other", p.primary.name)
	p.primary.exec(t, insertBody(1, "kept"))
	s.wantItems(t, 1)
	p.waitReplayed(t)
	p.killPrimary(t)
	p.promote(t)
	p.stderr.waitFor(t, "timeline changed, the log goes on.*from=1 to=2")
	p.primary.exec(t, insertBody(2, "here"))
	id := s.wantItems(t, 2)[0]
	if err := other.cluster.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	other.exec(t, insertBody(2, "there"))
	other.passed(t, p.primary.walEnd(t)+1<<20)
	p.door.leadTo(other)
	s.wantEnd(t, "lineage")
	p.waitReady(t)
	p.wantLineage(t, 2, 2, 2)
	s = p.wantResetTo(t, id, "lineage", "items")
	lines := s.told(t, other, "items", insertBody(3, "there"))
	if last := lines[len(lines)-1]; !strings.HasSuffix(last, `items insert {"id":3} {"id":3,"body":"there"}`) { // those from the slot's place on may come before
		t.Errorf("afterwards: %q", lines)
	}
	if strings.Contains(strings.Join(lines, "\n"), `"here"`) {
		t.Errorf("rows that the other primary does not have: %q", lines)
	}
}

// The URL names both servers, and libpq's target_session_attrs finds the primary.
func TestFailoverTwoHosts(t *testing.T) {
	t.Parallel()
	p := preparePair(t, standard(publicTables("items")), failoverTable)
	p.start(t)
	p.waitReady(t)
	p.addStandby(t)
	p.terminate(t)
	hosts := fmt.Sprintf("127.0.0.1:%d,127.0.0.1:%d", p.standby.cluster.Port(), p.primary.cluster.Port())
	p.env = append(p.env, "DATABASE_URL=postgres://postgres@"+hosts+"/"+p.primary.name+"?sslmode=disable&target_session_attrs=read-write")
	p.start(t)
	p.waitReady(t)
	s := p.live(t, "items")
	p.primary.exec(t, insertBody(1, "old"))
	s.wantItems(t, 1)
	p.primary.waitConfirmed(t, s.lastID)
	p.waitReplayed(t)
	p.kill(t)
	p.waitUnready(t, `"check":"postgres"`)
	p.promote(t)
	p.stderr.waitFor(t, "timeline changed, the log goes on.*from=1 to=2")
	p.primary.exec(t, insertBody(2, "new"))
	s.wantItems(t, 2)
	p.wantLineage(t, 2, 1, 1)
}

// TestFailoverTwoServers: the URL names two hosts and does not say that the primary is
// meant. When the primary has no walsender free for the moment, the second connection
// leads to the standby, which lags: its WAL end must not be taken for the primary's.
func TestFailoverTwoServers(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, pgtemp.Options{Settings: map[string]string{"max_wal_senders": "2"}})
	p := &pair{primary: newDatabaseOn(t, cluster, failoverTable)}
	p.relay = newRelay(t, p.primary, standard(publicTables("items")))
	p.start(t)
	p.waitReady(t)
	s := p.live(t, "items")
	p.addStandbyWithoutSlots(t)
	p.waitReplayed(t)
	p.detach(t)
	p.primary.exec(t, insertBody(1, "kept"), insertBody(2, "kept"))
	ids := s.wantItems(t, 1, 2)
	p.primary.waitConfirmed(t, ids[1])
	p.terminate(t)
	p.primary.waitSlotFree(t)
	one, two := consumer{p.primary.replication(t)}, consumer{p.primary.replication(t)}
	hosts := fmt.Sprintf("127.0.0.1:%d,127.0.0.1:%d", p.primary.cluster.Port(), p.standby.cluster.Port())
	p.env = append(p.env, "DATABASE_URL=postgres://postgres@"+hosts+"/"+p.primary.name+"?sslmode=disable")
	p.start(t)
	p.stderr.waitFor(t, "two connections to postgres.url lead to two servers; fix: .*target_session_attrs=read-write")
	one.stop()
	two.stop()
	p.waitReady(t)
	p.wantLineage(t, 1, 1, 1)
	p.resumed(t, ids[0], "items").wantItems(t, 2)
}
