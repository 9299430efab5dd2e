package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/walrelay/walrelay/pgtemp"
)

const snapshotTable = "create table items (id int primary key, body text); alter table items replica identity full"

func fillItems(n int) string {
	return fmt.Sprintf("insert into items select i, repeat('row '||i||' ', 40) from generate_series(1, %d) i", n)
}

// Whoever is cut off in the middle of a snapshot has no id and gets another one. One who has
// read it all goes on without.
func TestSnapshotCut(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, snapshotTable, fillItems(6000))
	r := snapshotRelay(t, db, snapshotItems)
	s := r.snapshotsOf(t, "items")
	s.until(t, func() bool { return s.frames == 3 })
	if s.lastID != "" {
		t.Errorf("the id %s came before the end of the snapshot", s.lastID)
	}
	db.exec(t, "update items set body = 'other' where id % 2 = 0; delete from items where id % 3 = 0")
	s.comeBack(t)
	s.complete(t, 0)
	if s.snapshots != 1 || s.frames < 8 || len(s.rows) != 4000 {
		t.Errorf("%d snapshots, the last of %d frames with %d rows", s.snapshots, s.frames, len(s.rows))
	}
	db.exec(t, "delete from items where id = 1")
	s.comeBack(t)
	s.wantTable(t, db, "select * from items")
	if s.snapshots != 1 || len(s.events) != 1 {
		t.Errorf("%d snapshots and events %v after a return with an id", s.snapshots, s.events)
	}
}

// Many clients of one audience who come together share queries, and a client that does not read
// keeps no transaction open.
func TestSnapshotShared(t *testing.T) {
	t.Parallel()
	db := newDatabaseOn(t, newCluster(t, pgtemp.Options{Settings: map[string]string{"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track_utility": "on"}}),
		"create extension pg_stat_statements", snapshotTable, "insert into items select i, repeat('row '||i||' ', 1200) from generate_series(1, 400) i", "select pg_stat_statements_reset()")
	r := snapshotRelay(t, db, snapshotItems)
	slow := openSlowSSE(t, r.streamURL("items"), nil)
	slow.next(t)
	slow.pause()
	const n = 12
	var clients []*sse
	for range n {
		clients = append(clients, openSSE(t, r.streamURL("items"), nil))
	}
	for _, s := range clients {
		rows, last := 0, frame{}
		for s.nextReady(t); !last.hasID; rows += strings.Count(last.data, `"id":`) { // the rows are large: not decoded
			last = s.next(t)
		}
		if rows != 400 {
			t.Fatalf("%d rows", rows)
		}
	}
	queries := db.value(t, "select sum(calls) from pg_stat_statements where query ilike '%cursor for select%items%'")
	if len(queries) != 1 || queries > "6" || queries == "0" || queries == "" {
		t.Errorf("%s queries for %d clients", queries, n+1)
	}
	t.Logf("%s queries for %d clients", queries, n+1)
	eventually(t, func() string {
		return db.value(t, "select string_agg(state||': '||query, '; ') from pg_stat_activity where application_name = 'walrelay-snapshot' and xact_start is not null")
	})
}

// More rows than max_rows: the client is told to have them from elsewhere, and goes on with what
// changes.
func TestSnapshotTooLarge(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, snapshotTable, fillItems(11))
	r := snapshotRelay(t, db, `
  items: {table: public.items, allow: public, snapshot: {max_rows: 10}}
`)
	s := openSSE(t, r.streamURL("items"), nil)
	s.nextReady(t)
	s.wantReset(t, "snapshot-required", "items")
	wantLines(t, "after the reset", s.told(t, db, "items", "delete from items where id = 1"), []string{`1.0 items delete {"id":1}`})
	again := r.snapshotsOf(t, "items")
	again.wantTable(t, db, "select * from items")
	if again.snapshots != 1 || len(again.rows) != 10 {
		t.Errorf("%d snapshots with %d rows", again.snapshots, len(again.rows))
	}
}

// TRUNCATE while snapshots are taken; and tables that are altered, with and without being written
// anew: clients come to what the table is, without a restart.
func TestSnapshotTableAltered(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, snapshotTable, fillItems(1500))
	r := snapshotRelay(t, db, snapshotItems)
	old := r.snapshotsOf(t, "items")
	old.complete(t, 0)
	for i, sql := range []string{
		"truncate items; insert into items values (1, 'first')",
		"alter table items add column price numeric default 1.50",
		"alter table items alter column price type text",
		"alter table items drop column price",
		"truncate items",
		"alter table items add column note text; insert into items values (1, 'a', 'b')",
	} {
		var clients []*snapshotted
		for range 3 {
			clients = append(clients, r.snapshotsOf(t, "items"))
		}
		db.exec(t, sql)
		for range 3 {
			clients = append(clients, r.snapshotsOf(t, "items"))
		}
		db.exec(t, fmt.Sprintf("insert into items (id, body) values (%d, 'after')", 100000+i))
		for _, s := range clients[3:] {
			s.wantTable(t, db, "select * from items")
		}
		for _, s := range clients[:3] { // of before: rows that nobody wrote keep the columns that they had
			s.complete(t, db.walEnd(t))
			if want := db.value(t, "select count(*) from items"); fmt.Sprint(len(s.rows)) != want {
				t.Errorf("after %q: %d rows, want %s", sql, len(s.rows), want)
			}
			s.close()
		}
	}
	old.complete(t, db.walEnd(t))
	if want := db.value(t, "select count(*) from items"); fmt.Sprint(len(old.rows)) != want {
		t.Errorf("%d rows, want %s; resets %v", len(old.rows), want, old.resets)
	}
}

// Without Postgres a snapshot ends its stream with a reason, and the client that comes back later
// gets one. Who has an id notices nothing.
func TestSnapshotWithoutPostgres(t *testing.T) {
	t.Parallel()
	db := newDatabaseOn(t, newCluster(t, pgtemp.Options{}), snapshotTable, fillItems(1500))
	r := snapshotRelay(t, db, snapshotItems)
	old := r.snapshotsOf(t, "items")
	old.complete(t, 0)
	if err := db.cluster.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := r.snapshotsOf(t, "items")
	for range 2 {
		for s.end == "" {
			f, ok := s.nextFrame(t)
			if !ok {
				break
			}
			s.take(t, f)
		}
		if s.end != "snapshot_unavailable" || s.snapshots > 0 {
			t.Fatalf("end %q, %d snapshots", s.end, s.snapshots)
		}
		s.waitEnd(t)
		s.comeBack(t)
	}
	if err := db.cluster.StartAgain(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	db.exec(t, "delete from items where id <= 100")
	for _, c := range []*snapshotted{s, old} {
		c.wantTable(t, db, "select * from items")
	}
	if old.snapshots != 1 {
		t.Errorf("the client that was there got %d snapshots", old.snapshots)
	}
}
