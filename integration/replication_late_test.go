package integration

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/eventlog"
	"github.com/walrelay/walrelay/replication"
)

// TestReplicationLateTable: a table that is taken out of the publication and added
// again is incomplete in the log. Ids from before get reset on its channels, other
// channels go on.
func TestReplicationLateTable(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table a (id int primary key)", "create table b (id int primary key)")
	r := startRelay(t, db, standard(publicTables("a", "b")))
	a, b := r.live(t, "a"), r.live(t, "b")
	db.exec(t, "insert into a values (1)", "insert into b values (1)")
	a.wantRow(t, "insert", "a", 1)
	b.wantRow(t, "insert", "b", 1)
	r.terminate(t)
	db.exec(t, "alter publication "+db.name+" drop table a", "insert into a values (2)", "insert into b values (2)")
	r.start(t)
	r.waitReady(t)
	a.reconnect(t)
	a.nextReady(t)
	a.wantReset(t, "gap", "a")
	db.exec(t, "insert into a values (3)")
	a.wantLateRow(t, 3)
	b.reconnect(t)
	b.wantResumed(t)
	b.wantRow(t, "insert", "b", 2)
	a.reconnect(t)
	a.wantResumed(t)
}

// TestReplicationLateTableOfNewGeneration: a table joins, and the log begins with the same
// start: because the slot was moved, or because the log is new. From where on the table is
// complete is kept. A page that was rendered before that is told.
func TestReplicationLateTableOfNewGeneration(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		begin func(t *testing.T, db *database, r *relay)
	}{
		{"slot moved", func(t *testing.T, db *database, _ *relay) {
			db.exec(t, "insert into items values (2)", "select pg_replication_slot_advance('"+db.name+"', pg_current_wal_lsn())")
		}},
		{"log removed", func(t *testing.T, _ *database, r *relay) { removeAll(t, r.logDir) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t, "create table items (id int primary key)", "create table late (id int primary key)")
			r := startRelay(t, db, standard(publicTables("items")))
			seen(t, db, r.live(t, "items"), 1)
			r.terminate(t)
			db.waitSlotFree(t)
			test.begin(t, db, r)
			page := db.walEnd(t)
			db.exec(t, "insert into late values (1)")
			r.writeConfig(t, standard(publicTables("items", "late")))
			r.start(t)
			r.waitReady(t)
			r.wantLate(t, db, page)
		})
	}
}

// wantLate checks that a page that was rendered at an LSN is told that table late is
// complete only from a later place on, and has it from there on.
func (r *relay) wantLate(t testing.TB, db *database, page change.LSN) {
	t.Helper()
	s := openSSE(t, r.streamURL("late"), resumeAt(page.String()))
	s.nextReady(t)
	s.wantReset(t, "gap", "late")
	db.exec(t, "insert into late values (2)")
	s.wantLateRow(t, 2)
}

// wantLateRow checks that the row with this id comes next. Before it may be one more reset, if the live lane
// was still before the place where the table joined.
func (s *sse) wantLateRow(t testing.TB, id int) {
	t.Helper()
	f := s.next(t)
	if f.event == "reset" {
		f = s.next(t)
	}
	if e := eventOf(t, f); f.event != "insert" || idOf(e) != id {
		t.Errorf("got %s %s, want row %d", f.event, f.data, id)
	}
}

// TestReplicationLateTablePrepared: a prepared transaction wrote to a table before it was
// published. The table is complete only when that has ended.
func TestReplicationLateTablePrepared(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key)", "create table late (id int primary key)")
	r := startRelay(t, db, standard(publicTables("items")))
	r.terminate(t)
	writer := db.conn(t)
	gid := "'" + db.name + "'"
	t.Cleanup(func() {
		if t.Failed() { // it would hold up the slots of all others
			_ = db.cluster.ExecIn(context.WithoutCancel(t.Context()), db.name, "rollback prepared "+gid)
		}
	})
	script(t, []step{{writer, "begin"}, {writer, "insert into late values (1)"}, {writer, "prepare transaction " + gid}})
	r.writeConfig(t, standard(publicTables("items", "late")))
	r.start(t)
	looks := map[string]bool{} // for transactions that write to it, one after the other
	eventually(t, func() string {
		looks[db.value(t, "select max(query_start) from pg_stat_activity where application_name like 'walrelay%' and query like '%RowExclusiveLock%' and datname = current_database()")] = true
		if delete(looks, ""); len(looks) < 3 {
			return fmt.Sprintf("walrelay has looked %d times for transactions that write to the table", len(looks))
		}
		return ""
	})
	page := db.walEnd(t) // row 1 is not visible
	db.exec(t, "commit prepared "+gid)
	r.waitReady(t)
	r.wantLate(t, db, page)
}

// TestReplicationPublicationGone: a slot cannot decode what was written before its
// publication existed; that is said instead of tried for ever.
func TestReplicationPublicationGone(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table a (id int primary key)")
	r := startRelay(t, db, standard(publicTables("a")))
	r.terminate(t)
	db.exec(t, "drop publication "+db.name, "insert into a values (1)")
	r.start(t)
	if e := r.wait(t); e.code != 1 || !strings.Contains(e.lastLine, "publication "+db.name+" does not") || !strings.Contains(e.lastLine, "pg_drop_replication_slot") {
		t.Errorf("exit %d: %s", e.code, e.lastLine)
	}
}

// sourceLog is main's adapter.
type sourceLog struct{ *eventlog.Log }

func (l sourceLog) Head() (change.Position, change.LSN) {
	b := l.Bounds()
	return b.Last, b.Durable
}

func (l sourceLog) LastTx() (change.Tx, bool) { return change.Tx{}, false }

func (l sourceLog) Identity() (string, uint32) {
	lin := l.Bounds().Lineage
	return lin.SystemID, lin.Timeline
}

func (l sourceLog) Begin(ctx context.Context, id string, timeline uint32, floor change.LSN, reason string) error {
	return l.Log.Begin(ctx, eventlog.Lineage{SystemID: id, Timeline: timeline}, floor, reason)
}

// TestReplicationSlotMovesWhilePreparing: somebody else streams from the slot and
// lets go of it after walrelay has looked where it stands. Postgres then silently
// begins further on; that is a gap.
func TestReplicationSlotMovesWhilePreparing(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table a (id int primary key)",
		"create publication p for table a with (publish_via_partition_root = true)")
	slot := db.name
	db.exec(t, "select pg_create_logical_replication_slot('"+slot+"', 'pgoutput')", "insert into a values (1)")
	log, err := eventlog.Open(eventlog.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}()
	var moved atomic.Bool
	source := replication.New(replication.Options{
		Target: replication.Target{URL: db.url(), Slot: slot, Publication: "p", Tables: []replication.TableSpec{{Schema: "public", Name: "a"}}},
		Log:    sourceLog{log}, WALBudget: 1 << 30,
		OnTables: func(map[string]*replication.Table) error {
			if !moved.Swap(true) {
				db.exec(t, "insert into a values (2)", "select pg_replication_slot_advance('"+slot+"', pg_current_wal_lsn())")
			}
			return nil
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- source.Run(ctx) }()
	eventually(t, func() string {
		if log.Bounds().Lineage.Generation == 2 && source.State().Phase == replication.PhaseStreaming {
			return ""
		}
		return "the log goes on as if nothing had been missed"
	})
	if h := log.History(); len(h) != 1 || h[0].Reason != "gap" {
		t.Errorf("history %+v", h)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
