package replication

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/change"
)

// publish brings the publication to the target's tables and returns what they are to
// it then.
//
// A table that is added while a slot exists, by walrelay or by somebody who had taken
// it out, is complete in the log only from then on: the log remembers where, so that
// nobody is continued on its channels as if nothing had been missed.
func (s *Source) publish(ctx context.Context, conn *pgx.Conn, p *Preflight) (*membership, error) {
	before, err := readMembership(ctx, conn, p.Target)
	if err != nil {
		return nil, err
	}
	late, err := s.markLate(ctx, p, before)
	if err != nil {
		return nil, err
	}
	changed, err := p.ensurePublication(ctx, conn, p.Target)
	for _, sql := range changed {
		s.log.Info("publication prepared", "sql", sql)
	}
	if err != nil {
		return nil, err
	}
	after, err := readMembership(ctx, conn, p.Target)
	if err != nil {
		return nil, err
	}
	if !p.untouched(before, after, late, changed) {
		return nil, fmt.Errorf("prepare publication %s: somebody else altered it, or a table of it, meanwhile", s.o.Publication)
	}
	return after, s.noteSince(ctx, conn, p, late)
}

// untouched reports whether all that walrelay has not altered itself, by the SQL in
// changed, is as it was before. Else the next attempt has to find out what it means.
func (p *Preflight) untouched(before, after *membership, late []TableSpec, changed []string) bool {
	if len(changed) == 0 {
		return after.equal(before)
	}
	if p.Slot == nil { // nothing is streamed of what was before
		return true
	}
	set := slices.ContainsFunc(changed, func(sql string) bool { return strings.Contains(sql, " SET (") })
	others := func(m *membership) map[string]string {
		out := maps.Clone(m.members)
		for _, spec := range late {
			delete(out, spec.fullName())
		}
		for name, member := range out {
			if set {
				out[name], _, _ = strings.Cut(member, ofPublication)
			}
		}
		return out
	}
	return maps.Equal(others(before), others(after)) && maps.Equal(before.fitness, after.fitness)
}

// markLate notes durably which tables the log lacks changes of, before they are
// published, and returns them.
func (s *Source) markLate(ctx context.Context, p *Preflight, now *membership) (late []TableSpec, err error) {
	if id, _ := s.o.Log.Identity(); id == "" || p.Slot == nil { // a new log is complete from its beginning
		return nil, nil
	}
	was, joins := s.o.Log.Members(), map[string]bool{}
	for _, spec := range p.unpublished(p.Target) {
		joins[spec.fullName()] = true
	}
	for _, spec := range p.Target.Tables {
		name := spec.fullName()
		switch {
		case s.o.Log.Since(name) == unknownLSN: // the last attempt ended in between
		case joins[name], now.rejoined(name, was):
			if !spec.Private {
				if err := s.o.Log.SetSince(ctx, name, unknownLSN); err != nil {
					return nil, err
				}
			}
		default:
			continue
		}
		late = append(late, spec)
		s.missed = s.missed || spec.Watched
	}
	return late, nil
}

// unknownLSN: added, but not known where; greater than every position.
const unknownLSN = change.LSN(math.MaxUint64)

// noteSince waits for the transactions that wrote to the tables before they were
// published (of those the stream has only what they write from then on) and notes
// where the tables that are logged are complete.
func (s *Source) noteSince(ctx context.Context, conn *pgx.Conn, p *Preflight, late []TableSpec) error {
	if len(late) == 0 {
		return nil
	}
	for _, spec := range late {
		if t := p.Tables[spec.fullName()]; t != nil {
			if err := s.awaitWriters(ctx, conn, spec, t.OID); err != nil {
				return err
			}
		}
	}
	late = slices.DeleteFunc(slices.Clone(late), func(spec TableSpec) bool { return spec.Private })
	if len(late) == 0 {
		return nil
	}
	// A message of no consequence, so that the place lies behind all that clients have
	// seen, also in a database where nothing happens.
	var lsn int64
	if err := conn.QueryRow(ctx, "select pg_logical_emit_message(false, 'walrelay joined', '') - '0/0'").Scan(&lsn); err != nil {
		return fmt.Errorf("mark in the WAL where the publication has all tables: %w", err)
	}
	for _, spec := range late {
		s.log.Info("table joined a running publication: clients from before get reset{gap} on its channels", "table", spec.fullName(), "complete_from", change.LSN(lsn).String())
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
   and relation in (select relid from pg_partition_tree($1::oid::regclass) union select $1::oid) and mode = 'RowExclusiveLock' and granted and pid is distinct from pg_backend_pid()
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
		if time.Now().After(deadline) && spec.Watched { // what they end must not go on
			return fmt.Errorf("transactions that wrote to %s before it was published are still open, and what they wrote before would never be seen: %v; fix: end them", spec.fullName(), writers)
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
