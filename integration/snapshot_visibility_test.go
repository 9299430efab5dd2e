package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/channel"
	"github.com/walrelay/walrelay/pgtemp"
	"github.com/walrelay/walrelay/snapshot"
)

// sighting is what one snapshot said, and the transactions whose rows it had.
type sighting struct {
	channel.Visibility
	rows map[string]bool // full transaction ids
}

func look(t testing.TB, r *snapshot.Reader, rel *change.Relation) sighting {
	t.Helper()
	s := begin(t, r)
	defer s.Close()
	out := sighting{s.Visible(), map[string]bool{}}
	for _, row := range readRows(t, s, channel.SnapshotQuery{Relation: rel}) {
		xid, _, _ := strings.Cut(row, "|")
		out.rows[xid] = true
	}
	return out
}

// writeTransactions writes transactions of every kind, each of which leaves a row with
// its id if it commits, until stop is closed.
func writeTransactions(ctx context.Context, conn *pgx.Conn, name string, g *rand.Rand, stop <-chan struct{}) error {
	run := func(sql string) error {
		if _, err := conn.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
		return nil
	}
	pick := func(sql ...string) string { return sql[g.IntN(len(sql))] }
	for n := 0; ; n++ {
		select {
		case <-stop:
			return nil
		default:
		}
		gid := fmt.Sprintf("'%s %d'", name, n)
		row := "insert into tx values (pg_current_xact_id()::text, default);"
		for _, sql := range []string{
			"begin;" + pick("", "", "set local synchronous_commit = off;"),
			pick("", "savepoint a;") + row + pick("", "savepoint b;"+row+pick("", "rollback to b;"+row)),
			pick("", "select 1", "savepoint c;"+row+"savepoint d;"+row),
		} {
			if err := run(sql); err != nil {
				return err
			}
		}
		end := pick("commit", "commit", "commit", "rollback", "prepare transaction "+gid)
		if err := run(end); err != nil {
			return err
		}
		if strings.HasPrefix(end, "prepare") {
			if err := run("select 1"); err != nil {
				return err
			}
			if err := run(pick("commit", "commit", "rollback") + " prepared " + gid); err != nil {
				return err
			}
		}
	}
}

// Which transactions a snapshot has is what its rows say, and what Postgres says; all that
// it has was committed before Until, and Until comes by replication.
func TestSnapshotVisibility(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table tx (xid text, id bigint generated always as identity primary key)")
	source := startSource(t, db, "tx")
	r := newReader(t, db, snapshot.Options{})
	rel := db.relation(t, "tx")
	held, ended, gid := db.conn(t), db.conn(t), "'"+db.name+"'"
	script(t, []step{{held, "begin; savepoint a; insert into tx values (pg_current_xact_id()::text); savepoint b; insert into tx values (pg_current_xact_id()::text)"},
		{ended, "begin; insert into tx values (pg_current_xact_id()::text); prepare transaction " + gid}})

	var g errgroup.Group
	stop := make(chan struct{})
	for i := range 4 {
		conn, name, random := db.conn(t), fmt.Sprintf("%s %d", db.name, i), rand.New(rand.NewPCG(uint64(i), 1))
		g.Go(func() error { return writeTransactions(t.Context(), conn, name, random, stop) })
	}
	var looks []sighting
	for i := range 30 {
		looks = append(looks, look(t, r, rel))
		switch i {
		case 10:
			script(t, []step{{held, "release b; commit"}})
		case 20:
			script(t, []step{{ended, "commit prepared " + gid}})
		}
	}
	close(stop)
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	last := look(t, r, rel)
	looks = append(looks, last)
	commits := source.commitsUpTo(t, last.Until)
	if len(commits) != len(last.rows) {
		t.Errorf("%d transactions came, %d are in the table", len(commits), len(last.rows))
	}
	caught := 0 // transactions that some snapshot saw in progress and that committed
	for i, l := range looks {
		l.agrees(t, db)
		for xid, commit := range commits {
			if has := l.Has(uint32(xid)); has != l.rows[strconv.FormatUint(xid, 10)] {
				t.Errorf("snapshot %d (%+v): transaction %d: Has says %v, its rows say %v", i, l.Visibility, xid, has, !has)
			} else if has && commit >= l.Until {
				t.Errorf("snapshot %d: transaction %d is visible, committed at %s, which is not before %s", i, xid, commit, l.Until)
			}
			if slices.Contains(l.InProgress, xid) {
				caught++
			}
		}
	}
	if caught < 31 { // the two above alone are in 11 and 21
		t.Errorf("%d transactions were in progress in a snapshot: this tests nothing", caught)
	}
}

// commitsUpTo waits until replication has passed an LSN and gives the transactions with
// rows, by full id.
func (s *source) commitsUpTo(t testing.TB, until change.LSN) map[uint64]change.LSN {
	t.Helper()
	out := map[uint64]change.LSN{}
	s.changes(t, s.log.Bounds().Floor, func(c *change.Change) bool {
		if c.Op == change.Insert {
			out[uint64(c.Tx.XID)] = c.Tx.Commit // the cluster is in its first epoch
		}
		return c.Tx.Commit < until
	})
	return out
}

// agrees compares Has with Postgres for all transactions around the snapshot.
func (s sighting) agrees(t testing.TB, db *database) {
	t.Helper()
	text := fmt.Sprintf("%d:%d:%s", s.Xmin, s.Xmax, strings.Trim(strings.ReplaceAll(fmt.Sprint(s.InProgress), " ", ","), "[]"))
	from := max(3, int64(s.Xmin)-100)
	got := db.value(t, "select string_agg(case when pg_visible_in_snapshot(x::text::xid8, $1::pg_snapshot) then '1' else '0' end, '' order by x) from generate_series($2::bigint, $3::bigint) x",
		text, from, s.Xmax+100)
	for i, bit := range got {
		if xid := from + int64(i); s.Has(uint32(xid)) != (bit == '1') {
			t.Errorf("snapshot %s: transaction %d: Has says %v", text, xid, s.Has(uint32(xid)))
		}
	}
}

// A commit that waits for a synchronous standby has come by replication but is in no
// snapshot; taking one does not wait with it.
func TestSnapshotNotYetVisible(t *testing.T) {
	t.Parallel()
	db := newDatabaseOn(t, newCluster(t, pgtemp.Options{Settings: map[string]string{"synchronous_commit": "local", "synchronous_standby_names": "nobody"}}),
		"create table tx (xid text, id int primary key)")
	source := startSource(t, db, "tx")
	rel := db.relation(t, "tx")
	db.exec(t, "insert into tx values ('', 0)", "delete from tx") // walrelay then knows the relation, which it could only learn 5 s late below
	var learned change.Position
	source.changes(t, source.log.Bounds().Floor, func(c *change.Change) bool {
		learned = c.Position
		return c.Op != change.Delete
	})
	db.exec(t, "alter database "+db.name+" set synchronous_commit = on") // from here on commits hang
	r := newReader(t, db, snapshot.Options{StatementTimeout: 10 * patience})
	writer := db.conn(t)
	committed := make(chan error, 1)
	go func() {
		_, err := writer.PgConn().Exec(t.Context(), "insert into tx values (pg_current_xact_id()::text, 1)").ReadAll()
		committed <- err
	}()
	var stuck change.Tx
	source.changes(t, learned, func(c *change.Change) bool {
		stuck = c.Tx
		return c.Op != change.Insert
	})

	before := look(t, r, rel)
	if before.Has(stuck.XID) || before.Xmax != uint64(stuck.XID) || len(before.rows) != 0 {
		t.Errorf("transaction %d came by replication and waits for a standby: snapshot %+v with rows %v", stuck.XID, before.Visibility, before.rows)
	}
	db.exec(t, "begin; select pg_current_xact_id(); rollback") // one that ends makes the other one of the list
	if now := look(t, r, rel); now.Has(stuck.XID) || !slices.Contains(now.InProgress, uint64(stuck.XID)) || len(now.rows) != 0 {
		t.Errorf("the same when a later transaction has ended: snapshot %+v with rows %v", now.Visibility, now.rows)
	}
	if stuck.Commit >= before.Until {
		t.Errorf("it was committed at %s, the snapshot is complete only at %s: comparing LSNs would do, so this tests nothing", stuck.Commit, before.Until)
	}
	source.commitsUpTo(t, before.Until) // the mark did not wait for a standby
	select {
	case err := <-committed:
		t.Fatalf("the commit did not wait: %v", err)
	default:
	}
	db.exec(t, "alter system set synchronous_standby_names = ''", "select pg_reload_conf()")
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
	if after := look(t, r, rel); !after.Has(stuck.XID) || len(after.rows) != 1 {
		t.Errorf("once it is visible: snapshot %+v with rows %v", after.Visibility, after.rows)
	}
}
