package replication

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/change"
)

// Slot is what pg_replication_slots says of a slot.
type Slot struct {
	Name, Plugin, Type, Database string
	Active                       bool
	ActivePID                    int32
	ActiveBy                     string
	WALStatus                    string // reserved, extended, unreserved, lost
	Confirmed                    change.LSN
	Restart                      change.LSN
	// Retained is the WAL that the slot holds back, SafeLeft what may still be
	// written before the server drops it (-1: no limit), in bytes.
	Retained, SafeLeft int64
	Temporary          bool
}

const slotSQL = `
select s.slot_name, coalesce(s.plugin, ''), s.slot_type, coalesce(s.database, ''), s.active, coalesce(s.active_pid, 0),
       coalesce((select format(', application %s from %s', a.application_name, coalesce(host(a.client_addr), 'a local socket'))
                   from pg_stat_activity a where a.pid = s.active_pid), ''),
       coalesce(s.wal_status, ''), coalesce(s.confirmed_flush_lsn - '0/0', 0)::bigint, coalesce(s.restart_lsn - '0/0', 0)::bigint,
       coalesce(case when pg_is_in_recovery() then pg_last_wal_receive_lsn() else pg_current_wal_lsn() end - s.restart_lsn, 0)::bigint,
       coalesce(s.safe_wal_size, -1), s.temporary
  from pg_replication_slots s
 where s.slot_name = $1`

// readSlot returns nil when there is none of the name.
func readSlot(ctx context.Context, conn *pgx.Conn, name string) (*Slot, error) {
	s := &Slot{}
	var confirmed, restart int64
	err := conn.QueryRow(ctx, slotSQL, name).Scan(&s.Name, &s.Plugin, &s.Type, &s.Database, &s.Active, &s.ActivePID, &s.ActiveBy,
		&s.WALStatus, &confirmed, &restart, &s.Retained, &s.SafeLeft, &s.Temporary)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read replication slot %s: %w", name, err)
	}
	s.Confirmed, s.Restart = change.LSN(confirmed), change.LSN(restart)
	return s, nil
}

func (p *Preflight) checkSlot(ctx context.Context, conn *pgx.Conn, t Target) error {
	s, fs := p.Slot, &p.Findings
	subject := "slot " + t.Slot
	drop := "select pg_drop_replication_slot(" + quoteLiteral(t.Slot) + ");"
	if s == nil {
		return p.checkFreeSlot(ctx, conn, subject)
	}
	if p.Publication == nil {
		fs.add(Error, subject, "it exists, but publication "+t.Publication+" does not: changes before the publication's creation cannot be decoded with it", drop+" then start walrelay again: it creates both in the right order, and clients of an older slot get reset{gap}")
	}
	switch {
	case s.Type != "logical":
		fs.add(Error, subject, "it is a physical slot", "choose another postgres.slot")
	case s.Plugin != "pgoutput":
		fs.add(Error, subject, "its plugin is "+s.Plugin+", walrelay needs pgoutput", "choose another postgres.slot, or "+drop)
	case s.Database != p.Server.Database:
		fs.add(Error, subject, "it belongs to database "+s.Database+", postgres.url names "+p.Server.Database, "choose another postgres.slot")
	case s.WALStatus == "lost":
		fs.add(Error, subject, "it is lost: the server has removed WAL that it needed (max_slot_wal_keep_size); changes since "+s.Confirmed.String()+" cannot be had any more", drop+" then start walrelay again: it creates the slot anew and clients get reset{gap}")
	case s.WALStatus == "unreserved":
		fs.add(Warning, subject, "it is about to be lost: the server removes its WAL at the next checkpoint", "start walrelay, or raise max_slot_wal_keep_size")
	}
	return nil
}

func (p *Preflight) checkFreeSlot(ctx context.Context, conn *pgx.Conn, subject string) error {
	var used, limit int
	err := conn.QueryRow(ctx, `select (select count(*) from pg_replication_slots), current_setting('max_replication_slots')::int`).Scan(&used, &limit)
	if err != nil {
		return fmt.Errorf("count replication slots: %w", err)
	}
	if used >= limit {
		p.Findings.add(Error, subject, fmt.Sprintf("it does not exist and all %d replication slots are in use", limit), "ALTER SYSTEM SET max_replication_slots = "+fmt.Sprint(limit+10)+"; then restart Postgres, or drop a slot that nobody needs")
	}
	return nil
}

// createSlot makes the permanent logical slot and returns its consistent point:
// everything committed from there on will be received. On 17+ it is a failover
// slot, which standbys can synchronise.
//
// The publication must exist before: decoding looks it up as of the WAL position.
func createSlot(ctx context.Context, conn *pgx.Conn, name string, version int) (change.LSN, error) {
	sql := `select lsn - '0/0' from pg_create_logical_replication_slot($1, 'pgoutput', false, false)`
	if version >= 170000 {
		sql = `select lsn - '0/0' from pg_create_logical_replication_slot($1, 'pgoutput', false, false, true)`
	}
	var lsn int64
	if err := conn.QueryRow(ctx, sql, name).Scan(&lsn); err != nil {
		return 0, fmt.Errorf("create replication slot %s: %w", name, err)
	}
	return change.LSN(lsn), nil
}
