package replication

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
//
// The server compares and drops by itself, in the statement that makes the slot: it goes
// on making it when walrelay is killed meanwhile, and the next one would trust it.
func (s *Source) createSlot(ctx context.Context, conn *pgx.Conn, p *Preflight) (change.LSN, error) {
	for range createAttempts {
		err := s.createSlotOnce(ctx, conn, p)
		if sqlState(err) == shapesChanged {
			s.log.Info("tables were altered while the replication slot was made: making it again", "slot", s.o.Slot)
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("create replication slot %s: %w", s.o.Slot, err)
		}
		slot, _, err := readSlot(ctx, conn, s.o.Slot)
		if err == nil && slot == nil {
			err = errors.New("somebody dropped it at once")
		}
		if err != nil {
			return 0, fmt.Errorf("create replication slot %s: %w", s.o.Slot, err)
		}
		return slot.Confirmed, nil
	}
	return 0, fmt.Errorf("create replication slot %s: each time its tables were altered or truncated meanwhile, %d times in a row", s.o.Slot, createAttempts)
}

// createSlotOnce makes the permanent logical slot: everything committed from its
// consistent point on will be received. On 17+ it is a failover slot, which standbys can
// synchronise.
//
// The publication must exist before: decoding looks it up as of the WAL position.
func (s *Source) createSlotOnce(ctx context.Context, conn *pgx.Conn, p *Preflight) error {
	slow := time.AfterFunc(2*time.Second, func() {
		s.log.Warn("the replication slot can only be created when the transactions that are open now have ended", "slot", s.o.Slot,
			"find", "select pid, xact_start, query from pg_stat_activity where backend_xid is not null order by xact_start; and select * from pg_prepared_xacts;")
	})
	defer slow.Stop()
	var oids []string
	for _, t := range p.Tables {
		if t != nil {
			oids = append(oids, fmt.Sprint(t.OID))
		}
	}
	failover := ""
	if p.Server.Version >= 170000 {
		failover = ", true"
	}
	shapes := strings.ReplaceAll(shapesSQL, "$1::oid[]", "'{"+strings.Join(oids, ",")+"}'::oid[]")
	_, err := conn.Exec(ctx, strings.NewReplacer("SHAPES", shapes, "SLOT", quoteLiteral(s.o.Slot), "FAILOVER", failover, "STATE", shapesChanged).Replace(createSQL))
	return err
}

// shapesChanged is the SQLSTATE of createSQL when a table was altered meanwhile.
const shapesChanged = "WR001"

// Each statement of the block sees what was committed before it.
const createSQL = `do $block$
declare
  before text := (SHAPES);
begin
  perform pg_create_logical_replication_slot(SLOT, 'pgoutput', false, falseFAILOVER);
  if before is distinct from (SHAPES) then
    perform pg_drop_replication_slot(SLOT);
    raise exception using errcode = 'STATE', message = 'tables were altered meanwhile';
  end if;
end $block$`

// shapesSQL gives a text that every ALTER TABLE and TRUNCATE of the tables, or of
// partitions of them, changes.
const shapesSQL = `
select coalesce(string_agg(format('%s %s %s (%s)', c.oid, c.xmin, c.relfilenode, a.xmins), ', ' order by c.oid), '')
  from (select t.oid from unnest($1::oid[]) t(oid) union select p.relid from unnest($1::oid[]) t(oid), pg_partition_tree(t.oid) p) r
  join pg_class c on c.oid = r.oid
 cross join lateral (select string_agg(format('%s %s', attnum, xmin), ' ' order by attnum) xmins from pg_attribute where attrelid = c.oid and attnum > 0) a`
