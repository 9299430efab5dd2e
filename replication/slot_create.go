package replication

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/change"
)

// createAttempts bounds how often a slot is made again because tables were altered
// meanwhile.
const createAttempts = 5

// createSlot makes the slot, which says so when it takes long: Postgres first waits
// for the end of every transaction that has written, in any database of the cluster.
//
// Postgres forgets what ALTER TABLE or TRUNCATE committed while it waits, unless their
// transaction is one that it waits for: the new slot would leave out new columns, or
// fail for ever with "could not map filenode". So a slot during whose making a table
// was altered is dropped, before anybody has read it, and made again.
func (s *Source) createSlot(ctx context.Context, conn *pgx.Conn, p *Preflight) (change.LSN, error) {
	for range createAttempts {
		before, err := readShapes(ctx, conn, p.Tables)
		if err != nil {
			return 0, err
		}
		confirmed, err := s.createSlotOnce(ctx, conn, p.Server.Version)
		if err != nil {
			return 0, err
		}
		after, err := readShapes(ctx, conn, p.Tables)
		if err == nil && after == before {
			return confirmed, nil
		}
		s.log.Info("tables were altered while the replication slot was made: making it again", "slot", s.o.Slot)
		if _, derr := conn.Exec(ctx, "select pg_drop_replication_slot($1)", s.o.Slot); err != nil || derr != nil {
			return 0, fmt.Errorf("create replication slot %s: look whether tables were altered meanwhile: %w", s.o.Slot, errors.Join(err, derr))
		}
	}
	return 0, fmt.Errorf("create replication slot %s: each time its tables were altered or truncated meanwhile, %d times in a row", s.o.Slot, createAttempts)
}

func (s *Source) createSlotOnce(ctx context.Context, conn *pgx.Conn, version int) (change.LSN, error) {
	slow := time.AfterFunc(2*time.Second, func() {
		s.log.Warn("the replication slot can only be created when the transactions that are open now have ended", "slot", s.o.Slot,
			"find", "select pid, xact_start, query from pg_stat_activity where backend_xid is not null order by xact_start; and select * from pg_prepared_xacts;")
	})
	defer slow.Stop()
	return createSlot(ctx, conn, s.o.Slot, version)
}

// shapesSQL gives a text that every ALTER TABLE and TRUNCATE of the tables, or of
// partitions of them, changes.
const shapesSQL = `
select coalesce(string_agg(format('%s %s %s (%s)', c.oid, c.xmin, c.relfilenode, a.xmins), ', ' order by c.oid), '')
  from (select t.oid from unnest($1::oid[]) t(oid) union select p.relid from unnest($1::oid[]) t(oid), pg_partition_tree(t.oid) p) r
  join pg_class c on c.oid = r.oid
 cross join lateral (select string_agg(format('%s %s', attnum, xmin), ' ' order by attnum) xmins from pg_attribute where attrelid = c.oid and attnum > 0) a`

func readShapes(ctx context.Context, conn *pgx.Conn, tables map[string]*Table) (shapes string, err error) {
	var oids []uint32
	for _, t := range tables {
		if t != nil {
			oids = append(oids, t.OID)
		}
	}
	if err := conn.QueryRow(ctx, shapesSQL, oids).Scan(&shapes); err != nil {
		return "", fmt.Errorf("look at the tables before and after making the slot: %w", err)
	}
	return shapes, nil
}
