package integration

import (
	"fmt"
	"strings"
	"testing"
)

// TRUNCATE of several tables is one change: one position, a reset per channel.
func TestReplicationTruncate(t *testing.T) {
	t.Parallel()
	db := newDatabase(t,
		"create table parents (id int primary key)",
		"create table children (id int primary key, parent int references parents)",
		"create table others (id int primary key, room int not null, unique (id, room)); alter table others replica identity full",
		"create table unseen (id int primary key)")
	r := startRelay(t, db, standard(publicTables("parents", "children")+`  "others/{room}": {table: public.others, where: row.room == params.room, allow: public}
`))
	s := r.live(t, "parents", "children", "others/1")
	alone := r.live(t, "children")
	wantLines(t, "of one", s.told(t, db, "parents", "insert into children values (1, null); truncate children; insert into children values (2, null)"), []string{
		`1.0 children insert {"id":1} {"id":1,"parent":null}`,
		`1.1 children reset truncate`,
		`1.2 children insert {"id":2} {"id":2,"parent":null}`,
	})
	wantLines(t, "of several", s.told(t, db, "parents", "truncate others, parents, children, unseen restart identity"), []string{
		`-   others/1 reset truncate`,
		`-   parents reset truncate`,
		`1.0 children reset truncate`,
	})
	wantLines(t, "cascade", s.told(t, db, "parents", "insert into parents values (1); truncate parents cascade"), []string{
		`1.0 parents insert {"id":1} {"id":1}`,
		`-   parents reset truncate`,
		`1.1 children reset truncate`,
	})
	wantLines(t, "cascade, seen by the child alone", alone.readTo(t, endMark(t, db, "children")), []string{
		`1.0 children insert {"id":1} {"id":1,"parent":null}`,
		`1.1 children reset truncate`,
		`1.2 children insert {"id":2} {"id":2,"parent":null}`,
		`2.0 children reset truncate`,
		`3.1 children reset truncate`,
	})
}

// All rows of a COPY have one LSN; only the index tells them apart.
func TestReplicationCopy(t *testing.T) {
	t.Parallel()
	const rows = 5000
	db := newDatabase(t, "create table items (id int primary key, name text)")
	r := startRelay(t, db, standard(publicTables("items")))
	s := r.live(t, "items")
	var data strings.Builder
	for i := range rows {
		fmt.Fprintf(&data, "%d\tname %d\n", i, i)
	}
	if _, err := db.conn(t).PgConn().CopyFrom(t.Context(), strings.NewReader(data.String()), "copy items from stdin"); err != nil {
		t.Fatal(err)
	}
	first := positionOf(t, s.nextN(t, 1)[0].id)
	for i := 1; i < rows; i++ {
		f := s.next(t)
		at := positionOf(t, f.id)
		if at.Commit != first.Commit || at.Index != uint64(i) || !strings.Contains(f.data, fmt.Sprintf(`"row":{"id":%d,"name":"name %d"}`, i, i)) {
			t.Fatalf("row %d of a COPY that began at %s: got %s %s", i, first, f.id, f.data)
		}
		if i == rows/2 { // a client that comes back here gets the other half
			s.reconnect(t)
			s.wantResumed(t)
		}
	}
}

// A partitioned table is one table to its subscribers.
func TestReplicationPartitions(t *testing.T) {
	t.Parallel()
	db := newDatabase(t,
		"create table events (id int, day date, note text, primary key (id, day)) partition by range (day)",
		"create table events_1 partition of events for values from ('2026-01-01') to ('2026-02-01')",
		"create table events_2 partition of events for values from ('2026-02-01') to ('2026-03-01')",
		"create table events_3 (note text, gone int, day date not null, id int not null, primary key (id, day)); alter table events_3 drop column gone",
		"create table moods (id int, room int not null, primary key (id, room)) partition by list (room)",
		"alter table moods replica identity full",
		"create table moods_1 partition of moods for values in (1); alter table moods_1 replica identity full",
		"create table moods_2 partition of moods for values in (2) partition by list (id)",
		"create table moods_2_5 partition of moods_2 for values in (5); alter table moods_2_5 replica identity full")
	r := startRelay(t, db, standard(publicTables("events")+`  "moods/{room}": {table: public.moods, where: row.room == params.room, allow: public}
`))
	s := r.live(t, "events")
	wantLines(t, "rows", s.told(t, db, "events", "insert into events values (1, '2026-01-10', 'a'), (2, '2026-02-10', 'b')",
		"update events set note = 'c' where id = 1", "delete from events_2"), []string{
		`1.0 events insert {"id":1,"day":"2026-01-10"} {"id":1,"day":"2026-01-10","note":"a"}`,
		`1.1 events insert {"id":2,"day":"2026-02-10"} {"id":2,"day":"2026-02-10","note":"b"}`,
		`2.0 events update {"id":1,"day":"2026-01-10"} {"id":1,"day":"2026-01-10","note":"c"}`,
		`3.0 events delete {"id":2,"day":"2026-02-10"}`,
	})
	wantLines(t, "row that moves to another partition", s.told(t, db, "events", "update events set day = '2026-02-01' where id = 1"), []string{
		`1.0 events delete {"id":1,"day":"2026-01-10"}`,
		`1.1 events insert {"id":1,"day":"2026-02-01"} {"id":1,"day":"2026-02-01","note":"c"}`,
	})
	wantLines(t, "new partitions, one of them with its columns in another order", s.told(t, db, "events",
		"create table events_4 partition of events for values from ('2026-04-01') to ('2026-05-01'); insert into events values (4, '2026-04-10', 'd')",
		"alter table events attach partition events_3 for values from ('2026-03-01') to ('2026-04-01')",
		"insert into events values (3, '2026-03-10', 'e')", "update events_3 set note = 'f'", "update events set day = '2026-04-11' where id = 3"), []string{
		`1.0 events insert {"id":4,"day":"2026-04-10"} {"id":4,"day":"2026-04-10","note":"d"}`,
		`2.0 events insert {"id":3,"day":"2026-03-10"} {"id":3,"day":"2026-03-10","note":"e"}`,
		`3.0 events update {"id":3,"day":"2026-03-10"} {"id":3,"day":"2026-03-10","note":"f"}`,
		`4.0 events delete {"id":3,"day":"2026-03-10"}`,
		`4.1 events insert {"id":3,"day":"2026-04-11"} {"id":3,"day":"2026-04-11","note":"f"}`,
	})
	db.exec(t, "alter table events detach partition events_3")
	if db.cluster.Version() == 14 { // its walsenders overlook that; those that start later know
		db.exec(t, "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = '"+db.name+"'")
	}
	wantLines(t, "detached", s.told(t, db, "events", "insert into events_3 (id, day) values (9, '2026-03-11')", "truncate events"), []string{`1.0 events reset truncate`})

	rooms := r.live(t, "moods/1", "moods/2")
	wantLines(t, "partitioned by the parameter", rooms.told(t, db, "moods/1", "insert into moods values (5, 1)", "update moods set room = 2", "delete from moods"), []string{
		`1.0 moods/1 insert {"id":5,"room":1} {"id":5,"room":1}`,
		`2.0 moods/1 delete {"id":5,"room":1}`,
		`2.1 moods/2 insert {"id":5,"room":2} {"id":5,"room":2}`,
		`3.0 moods/2 delete {"id":5,"room":2}`,
	})
}

// Generated columns are in the stream from Postgres 18 on; before, check says that
// they are not.
func TestReplicationGeneratedColumns(t *testing.T) {
	t.Parallel()
	db := newDatabase(t,
		"create table goods (id int primary key, net int, gross int generated always as (net * 2) stored, name text)",
		"create table goods_full (id int primary key, net int, gross int generated always as (net * 2) stored); alter table goods_full replica identity full")
	r := newRelay(t, db, standard(publicTables("goods", "goods_full")))
	published := db.cluster.Version() >= 18
	out := runWalrelay(t, r.env, "check", "-c", r.config)
	if warned := strings.Contains(out.stdout, `the generated column "gross" is not in the stream`); out.code != 0 || warned == published {
		t.Errorf("check on Postgres %d: exit code %d, output:\n%s%s", db.cluster.Version(), out.code, out.stdout, out.stderr)
	}
	r.start(t)
	r.waitReady(t)
	s := r.live(t, "goods", "goods_full")
	gross := func(v string) string {
		if published {
			return v
		}
		return ""
	}
	wantLines(t, "rows", s.told(t, db, "goods", "insert into goods values (1, 5, default, 'a')", "update goods set net = 6", "delete from goods",
		"insert into goods_full values (1, 5)", "update goods_full set net = 6", "delete from goods_full"), []string{
		`1.0 goods insert {"id":1} {"id":1,"net":5` + gross(`,"gross":10`) + `,"name":"a"}`,
		`2.0 goods update {"id":1} {"id":1,"net":6` + gross(`,"gross":12`) + `,"name":"a"}`,
		`3.0 goods delete {"id":1}`,
		`4.0 goods_full insert {"id":1} {"id":1,"net":5` + gross(`,"gross":10`) + `}`,
		`5.0 goods_full update {"id":1} {"id":1,"net":6` + gross(`,"gross":12`) + `}`,
		`6.0 goods_full delete {"id":1}`,
	})
}

// A virtual generated column is never in the stream; with REPLICA IDENTITY FULL it
// would make the application's UPDATE fail.
func TestReplicationVirtualColumns(t *testing.T) {
	t.Parallel()
	if sharedCluster(t).Version() < 18 {
		return // there are none
	}
	db := newDatabase(t, "create table goods (id int primary key, net int, gross int generated always as (net * 2) virtual); insert into goods values (1, 1)",
		"create table goods_full (id int primary key, net int, gross int generated always as (net * 2)); alter table goods_full replica identity full; insert into goods_full values (1, 1)")
	r := newRelay(t, db, standard(publicTables("goods", "goods_full")))
	r.wantRefused(t, `channels.goods_full.table: table public.goods_full: REPLICA IDENTITY FULL with the virtual generated column "gross": .*fix: ALTER TABLE public.goods_full REPLICA IDENTITY DEFAULT;`)
	db.exec(t, "alter table goods_full replica identity default")
	r.wantCheck(t, `^warning .*table public.goods: the generated column "gross" is not in the stream`, `^warning .*table public.goods_full`, `^ok `, `^will do `, `^will do `)
	r.start(t)
	r.waitReady(t)
	db.wantWritable(t, "served")
	s := r.live(t, "goods")
	wantLines(t, "rows", s.told(t, db, "goods", "update goods set net = 2"), []string{`1.0 goods update {"id":1} {"id":1,"net":2}`})
}

// Transactional logical messages are events of the channel that their prefix
// names. Every one of them takes an index, whether it is an event or not; those
// outside of transactions take none, as they have no place in commit order.
func TestReplicationMessages(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table orders (id int primary key)", "create table rooms (id int primary key, room int); alter table rooms replica identity full")
	r := startRelay(t, db, standard(publicTables("orders")+`  "rooms/{room}": {table: public.rooms, where: row.room == params.room, allow: public}
`))
	s := r.live(t, "orders", "rooms/7")
	message := func(transactional, prefix, content string) string {
		return fmt.Sprintf("select pg_logical_emit_message(%s, '%s', '%s'); ", transactional, prefix, content)
	}
	wantLines(t, "messages", s.told(t, db, "orders",
		"insert into orders values (1); "+
			message("true", "other", "{}")+
			"insert into orders values (2); "+
			message("false", "walrelay:orders", `"not transactional"`)+
			message("true", "walrelay:orders", `{"any":  ["JSON", 1.50]}`)+
			message("true", "walrelay:nobody", "{}")+
			message("true", "walrelay:rooms/8", "{}")+
			message("true", "walrelay:rooms/7", `not JSON: "ü"`)+
			"insert into orders values (3)",
		message("false", "walrelay:orders", `"not transactional"`),
		message("true", "walrelay:orders", "1"),
		"begin; "+message("true", "walrelay:orders", `"rolled back"`)+" rollback",
		"begin; savepoint a; "+message("true", "walrelay:orders", `"rolled back"`)+" rollback to a; "+message("true", "walrelay:orders", "2")+" commit"), []string{
		`1.0 orders insert {"id":1} {"id":1}`,
		`1.2 orders insert {"id":2} {"id":2}`,
		`1.3 orders message {"any":["JSON",1.50]}`,
		`1.6 rooms/7 message "not JSON: \"ü\""`,
		`1.7 orders insert {"id":3} {"id":3}`,
		`2.0 orders message 1`,
		`3.0 orders message 2`,
	})
}
