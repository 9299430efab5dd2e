package replication

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/change"
)

// Slot is what pg_replication_slots says of a slot.
type Slot struct {
	Name, Plugin, Type, Database string
	// Connected is the database that it was looked at from.
	Connected string
	Active    bool
	ActivePID int32
	ActiveBy  string
	WALStatus string // reserved, extended, unreserved, lost
	// Invalid is why the server has invalidated the slot, see [SlotLostError]; empty
	// while it is good.
	Invalid   string
	Confirmed change.LSN
	Restart   change.LSN
	// Retained is the WAL that the slot holds back, SafeLeft what may still be written
	// before the server invalidates it (below 0: it is due), in bytes. Without Limited,
	// which is max_slot_wal_keep_size, the server never does.
	Retained, SafeLeft int64
	Limited            bool
	Temporary          bool
	// Failover is false only where the server has failover slots (17+) and this is none.
	Failover bool
}

// Columns that only newer servers have are taken from the row's JSON. Postgres 16 says
// conflicting of every invalidated slot; only removed WAL takes restart_lsn away.
const slotSQL = `
select s.slot_name, coalesce(s.plugin, ''), s.slot_type, coalesce(s.database, ''), current_database(), s.active, coalesce(s.active_pid, 0),
       coalesce((select format(', application %s from %s', a.application_name, coalesce(host(a.client_addr), 'a local socket'))
                   from pg_stat_activity a where a.pid = s.active_pid), ''),
       coalesce(s.wal_status, ''),
       coalesce(to_jsonb(s) ->> 'invalidation_reason',
                case when s.wal_status <> 'lost' then '' when (to_jsonb(s) ->> 'conflicting')::bool and s.restart_lsn is not null then 'conflict' else 'wal_removed' end, ''),
       coalesce(s.confirmed_flush_lsn - '0/0', 0)::bigint, coalesce(s.restart_lsn - '0/0', 0)::bigint,
       coalesce(case when pg_is_in_recovery() then pg_last_wal_receive_lsn() else pg_current_wal_lsn() end - '0/0', 0)::bigint,
       coalesce(s.safe_wal_size, 0), s.safe_wal_size is not null, s.temporary, coalesce((to_jsonb(s) ->> 'failover')::bool, true)
  from pg_replication_slots s
 where s.slot_name = $1`

// readSlot returns nil when there is none of the name. end is the server's WAL end.
func readSlot(ctx context.Context, conn *pgx.Conn, name string) (s *Slot, end change.LSN, err error) {
	s = &Slot{}
	var confirmed, restart, walEnd int64
	err = conn.QueryRow(ctx, slotSQL, name).Scan(&s.Name, &s.Plugin, &s.Type, &s.Database, &s.Connected, &s.Active, &s.ActivePID, &s.ActiveBy,
		&s.WALStatus, &s.Invalid, &confirmed, &restart, &walEnd, &s.SafeLeft, &s.Limited, &s.Temporary, &s.Failover)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read replication slot %s: %w", name, err)
	}
	s.Confirmed, s.Restart = change.LSN(confirmed), change.LSN(restart)
	if restart > 0 && s.Invalid == "" { // an invalidated slot keeps nothing, whatever its restart_lsn says
		s.Retained = max(walEnd-restart, 0)
	}
	return s, change.LSN(walEnd), nil
}

// wrong says why walrelay cannot use the slot, nil when it can.
func (s *Slot) wrong() *SlotWrongError {
	const other = "choose another postgres.slot"
	switch {
	case s.Type != "logical":
		return &SlotWrongError{s.Name, "it is a physical slot", other}
	case s.Plugin != "pgoutput":
		return &SlotWrongError{s.Name, "its plugin is " + s.Plugin + ", walrelay needs pgoutput", other + ", or " + dropSlot(s.Name)}
	case s.Database != s.Connected:
		return &SlotWrongError{s.Name, "it belongs to database " + s.Database + ", postgres.url names " + s.Connected, other}
	}
	return nil
}

func (s *Slot) inUse() *SlotInUseError {
	return &SlotInUseError{Slot: s.Name, PID: s.ActivePID, By: s.ActiveBy}
}

func (p *Preflight) checkSlot(ctx context.Context, conn *pgx.Conn, t Target) error {
	s, fs := p.Slot, &p.Findings
	subject := "slot " + t.Slot
	if s == nil {
		return p.checkFreeSlot(ctx, conn, subject)
	}
	if err := s.wrong(); err != nil {
		*fs = append(*fs, Finding{Severity: Error, Subject: subject, Problem: err.Problem, Fix: err.Fix, Err: err})
		return nil
	}
	if s.Invalid != "" {
		err := &SlotLostError{t.Slot, s.Invalid, s.Confirmed}
		*fs = append(*fs, Finding{Severity: Error, Subject: subject, Problem: err.problem(), Fix: err.fix(), Err: err})
		return nil
	}
	if p.Publication == nil {
		fs.add(Error, subject, "it exists, but publication "+t.Publication+" does not: changes before the publication's creation cannot be decoded with it",
			dropSlot(t.Slot)+" and walrelay creates both in the right order (start it again if it has ended), and clients of an older slot get reset{gap}")
	}
	if s.WALStatus == "unreserved" {
		fs.add(Warning, subject, "it is about to be lost: the server removes its WAL at the next checkpoint", "start walrelay, or raise max_slot_wal_keep_size")
	}
	if !s.Failover {
		fs.add(Warning, subject, "it is no failover slot: standbys do not keep a copy, so after a promotion it is missing and clients get reset{gap}",
			"stop walrelay, then run: "+failoverCommand(t.Slot, s.Database))
	}
	return nil
}

// failoverCommand is a shell's: the statement is one of the replication protocol.
func failoverCommand(slot, database string) string {
	if quoteIdent(database) != database {
		database = "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(database) + "'"
	}
	return fmt.Sprintf(`psql "dbname=%s replication=database" -c 'ALTER_REPLICATION_SLOT %s (FAILOVER true)'`, database, quoteIdent(slot))
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
