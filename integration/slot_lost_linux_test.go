package integration

import "testing"

// The slot is lost because the log's disk is full: nothing can be confirmed, and the
// budget, here the server's, says so in time. A full disk here must not make the
// server hang: not its checkpoints, which wait for the walsender to end, and not its
// shutdown.
func TestSlotLostFullDisk(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, keepLittle())
	db := newDatabaseOn(t, cluster, "create table items (id int primary key)", "create table bulk (id serial primary key, body text)")
	r := newRelay(t, db, standard(publicTables("items", "bulk")))
	disk := newSmallDisk(t, r)
	r.start(t)
	r.waitReady(t)
	s := r.live(t, "items")
	ids := seen(t, db, s, 2)
	disk.fill(t)
	db.exec(t, "insert into bulk (body) select (select string_agg(md5(random()::text), '') from generate_series(1, 125) where n > 0) from generate_series(1, 3000) n") // of 4 KiB
	r.waitReason(t, "log", "the event log cannot be written")
	db.writeWAL(t, 90, 0)
	r.waitReason(t, "wal_budget", "^slot "+db.name+` holds back \d+ bytes of WAL, \d+ % of the \d+ bytes that max_slot_wal_keep_size allows; fix: .*, or raise max_slot_wal_keep_size$`)
	db.loseWAL(t)
	stopCluster(t, cluster)
	startCluster(t, cluster)
	got := r.wantSlot(t, "lost", lostReason(db.name, "wal_removed")+"$")
	r.stderr.waitFor(t, "level=ERROR.*the replication slot is lost")
	r.wantServed(t, ids[0])
	db.exec(t, printedSQL(t, got.reason("slot")))
	r.wantSlot(t, "missing", "slot "+db.name+": it does not exist, but the event log was written from it")
	disk.makeRoom(t)
	r.wantGap(t, db, s, ids[1], 10)
}
