package replication

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/change"
)

// publish brings the publication to the configured tables.
//
// A table that is added while a slot exists is complete in the log only from then
// on: the log remembers where, so that an id from before is not continued on its
// channels as if nothing had been missed.
func (s *Source) publish(ctx context.Context, conn *pgx.Conn, p *Preflight) error {
	var late []TableSpec
	if id, _ := s.o.Log.Identity(); id != "" && p.Slot != nil {
		for _, spec := range s.o.Tables {
			if s.o.Log.Since(spec.fullName()) == unknownLSN { // the last attempt ended in between
				late = append(late, spec)
			}
		}
		for _, spec := range p.unpublished(s.o.Target) {
			if err := s.o.Log.SetSince(ctx, spec.fullName(), unknownLSN); err != nil {
				return err
			}
			late = append(late, spec)
		}
	}
	changed, err := p.ensurePublication(ctx, conn, s.o.Target)
	for _, sql := range changed {
		s.log.Info("publication prepared", "sql", sql)
	}
	if err != nil || len(late) == 0 {
		return err
	}
	return s.noteSince(ctx, conn, p, late)
}

// unknownLSN: added, but not known where; greater than every position.
const unknownLSN = change.LSN(math.MaxUint64)

// noteSince waits for the transactions that wrote to the tables before they were
// published (of those the stream has only what they write from then on) and notes
// where the tables are complete.
func (s *Source) noteSince(ctx context.Context, conn *pgx.Conn, p *Preflight, late []TableSpec) error {
	for _, spec := range late {
		if t := p.Tables[spec.fullName()]; t != nil {
			if err := s.awaitWriters(ctx, conn, spec, t.OID); err != nil {
				return err
			}
		}
	}
	var lsn int64
	if err := conn.QueryRow(ctx, "select pg_current_wal_insert_lsn() - '0/0'").Scan(&lsn); err != nil {
		return fmt.Errorf("read the WAL position after extending the publication: %w", err)
	}
	for _, spec := range late {
		s.log.Info("table added to a running publication: ids from before get reset{gap} on its channels", "table", spec.fullName(), "complete_from", change.LSN(lsn).String())
		if err := s.o.Log.SetSince(ctx, spec.fullName(), change.LSN(lsn)); err != nil {
			return err
		}
	}
	return nil
}

// writersPatience bounds the wait for transactions that wrote to a table before it
// was published.
const writersPatience = 30 * time.Second

const writersSQL = `
select coalesce(array_agg(distinct virtualtransaction), '{}') from pg_locks
 where locktype = 'relation' and database = (select oid from pg_database where datname = current_database())
   and relation in (select relid from pg_partition_tree($1::oid::regclass) union select $1::oid) and mode = 'RowExclusiveLock' and granted and pid <> pg_backend_pid()
   and ($2::text[] is null or virtualtransaction = any($2))`

func (s *Source) awaitWriters(ctx context.Context, conn *pgx.Conn, spec TableSpec, oid uint32) error {
	var writers []string // nil at first: all of them
	deadline := time.Now().Add(writersPatience)
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		if err := conn.QueryRow(ctx, writersSQL, oid, writers).Scan(&writers); err != nil {
			return fmt.Errorf("look for transactions that write to %s: %w", spec.fullName(), err)
		}
		if len(writers) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			s.log.Warn("transactions that wrote to a table before it was published are still open: what they wrote before is not in the stream",
				"table", spec.fullName(), "transactions", writers, "fix", "end them, and let clients of its channels fetch their rows again")
			return nil
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return context.Cause(ctx)
		}
	}
}
