package replication

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/fault"
)

// session is one connection's life: preflight, slot, stream. It returns why it ended.
// streaming is called when the stream begins, with where.
func (s *Source) session(ctx context.Context, streaming func(from change.LSN)) error {
	if err := s.waitIdle(ctx); err != nil {
		return err
	}
	cat := &catalog{url: s.o.URL}
	defer cat.close()
	conn, err := cat.get(ctx)
	if err != nil {
		return err
	}
	p, err := s.preflight(ctx, conn) // first: it names all that is wrong, a refused connection one thing
	if err != nil {
		return err
	}
	repl, err := connectReplication(ctx, s.o.URL)
	if err != nil {
		return err
	}
	defer closeReplication(repl)
	if err := sameServer(ctx, conn, repl); err != nil {
		return err
	}
	ident, err := s.prepare(ctx, conn, repl, p)
	if err != nil {
		return err
	}
	timeout, err := senderTimeout(ctx, repl)
	if err != nil {
		return err
	}
	last, wal := s.o.Log.Head()
	s.durable.Store(uint64(wal))
	from := wal
	tx, known := s.o.Log.LastTx()
	if known {
		from = min(wal, tx.Commit)
	}
	if err := s.startReplication(ctx, repl, from); err != nil {
		return err
	}
	slot, err := s.slotStood(ctx, conn, wal)
	if err != nil {
		return err
	}
	s.follow(p.Target.Tables)
	w := newWitness(tx, known, wal, slot.Confirmed)
	s.horizon.begin()
	s.inflow.start(last, wal)
	defer s.inflow.stop()
	s.streamed.Store(true)
	s.state.begin(PhaseStreaming)
	poke(s.lookNow)
	streaming(wal)
	r := &receiver{
		receive:   repl.ReceiveMessage,
		inflow:    s.inflow,
		relations: &relations{catalog: cat.get, byOID: map[uint32]*relation{}, roles: newRoles(p.Target.Tables, p.Tables, s.o.Log.Since)},
		have:      last,
		witness:   w,
		watcher:   s.o.Watcher,
		horizon:   &s.horizon,
		maxEvent:  s.o.MaxEventBytes,
		stats:     &s.stats,
	}
	err = s.stream(ctx, repl, r, timeout)
	if other := (*contradictionError)(nil); errors.As(err, &other) {
		return s.beginLineage(ctx, ident, slot.Confirmed, other)
	}
	return err
}

// stream runs receiver and confirmer until one of them ends, or until somebody alters
// the publication or the target. timeout is wal_sender_timeout.
func (s *Source) stream(ctx context.Context, repl *pgconn.PgConn, r *receiver, timeout time.Duration) error {
	g, ctx := errgroup.WithContext(ctx)
	asked := make(chan struct{}, 1)
	r.reply = func() { poke(asked) }
	g.Go(func() error { return r.run(ctx) })
	g.Go(func() error { return s.confirmAlways(ctx, repl, r.witness, asked, timeout) })
	g.Go(func() error { return s.awaitAltered(ctx) })
	g.Go(func() error { // ends the receiver, which reads without a deadline
		<-ctx.Done()
		_ = repl.Conn().Close() // the error that matters is the one that ended ctx
		return nil
	})
	err := g.Wait()
	if errors.Is(err, context.Canceled) && context.Cause(ctx) != nil {
		return context.Cause(ctx)
	}
	return err
}

// closeReplication gives the slot back at once instead of at wal_sender_timeout.
func closeReplication(c *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.Close(ctx) // it may be broken already
}

// startedSQL names a running server: two of them were not started in the same microsecond.
const startedSQL = "select pg_is_in_recovery() || ' ' || extract(epoch from pg_postmaster_start_time())"

// sameServer makes sure that both connections lead to one server: postgres.url may name
// several, or an address that moves. What one says of slot and publication must not be
// combined with the WAL of another.
func sameServer(ctx context.Context, conn *pgx.Conn, repl *pgconn.PgConn) error {
	var one string
	if err := conn.QueryRow(ctx, startedSQL).Scan(&one); err != nil {
		return fmt.Errorf("look which server this is: %w", err)
	}
	results, err := repl.Exec(ctx, startedSQL).ReadAll()
	if err != nil {
		return fmt.Errorf("look which server this is: %w", err)
	}
	if len(results) != 1 || len(results[0].Rows) != 1 || string(results[0].Rows[0][0]) != one {
		return errors.New("two connections to postgres.url lead to two servers; fix: where it names several hosts, add target_session_attrs=read-write")
	}
	return nil
}

// preflight looks at everything and changes nothing.
func (s *Source) preflight(ctx context.Context, conn *pgx.Conn) (*Preflight, error) {
	p, err := s.check(ctx, conn)
	if err != nil {
		return nil, err
	}
	if bad := s.stopping(p); len(bad) > 0 {
		return nil, &PreflightError{bad}
	}
	s.told.tell(s.log, p.Findings)
	if s.o.OnTables != nil {
		if err := s.o.OnTables(p.Tables); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// prepare brings publication, slot and log together, in this order: the slot must
// not exist before the publication, and the log's identity follows the slot.
//
// Nothing is done while another process holds the slot: whoever it is moves it, and a
// log that follows by beginning anew each time has lost what it could have served.
func (s *Source) prepare(ctx context.Context, conn *pgx.Conn, repl *pgconn.PgConn, p *Preflight) (pglogrepl.IdentifySystemResult, error) {
	if p.Slot != nil && p.Slot.Active {
		return pglogrepl.IdentifySystemResult{}, p.Slot.inUse()
	}
	ident, err := s.identify(ctx, repl)
	if err != nil {
		return ident, err
	}
	if id, _ := s.o.Log.Identity(); id == "" && p.Slot != nil { // tables that join are late in it
		if err := s.reconcile(ctx, repl, ident, false, p.Slot.Confirmed); err != nil {
			return ident, err
		}
	}
	tables, err := s.publish(ctx, conn, p)
	if err != nil {
		return ident, err
	}
	fault.At(fault.PublicationReady)
	created := p.Slot == nil
	confirmed := change.LSN(0)
	if created {
		if confirmed, err = s.createSlot(ctx, conn, p); err != nil {
			return ident, err
		}
		fault.At(fault.SlotCreated)
		s.log.Info("replication slot created", "slot", s.o.Slot, "consistent_point", confirmed.String())
	} else {
		confirmed = p.Slot.Confirmed
	}
	if err := s.reconcile(ctx, repl, ident, created, confirmed); err != nil {
		return ident, err
	}
	s.membership.Store(tables)
	return ident, s.o.Log.SetMembers(ctx, tables.members)
}

// identify makes sure that the log belongs to this cluster, before anything is made
// on a wrong one: a slot there would hold back WAL for ever. A server on a timeline that
// the log has left is a primary that was replaced: what it commits is not what follows.
func (s *Source) identify(ctx context.Context, repl *pgconn.PgConn) (pglogrepl.IdentifySystemResult, error) {
	ident, err := pglogrepl.IdentifySystem(ctx, repl)
	if err != nil {
		return ident, fmt.Errorf("identify system: %w", err)
	}
	id, timeline := s.o.Log.Identity()
	switch {
	case id == "":
	case id != ident.SystemID:
		return ident, &PermanentError{"open event log", fmt.Errorf("it belongs to the cluster with system identifier %s, postgres.url leads to %s", id, ident.SystemID),
			"correct postgres.url, or give this cluster its own log.dir"}
	case uint32(ident.Timeline) < timeline:
		return ident, &PermanentError{"follow the primary", fmt.Errorf("the server is on timeline %d, the event log has followed the cluster to timeline %d: this is a primary that was replaced, or an older state of the cluster", ident.Timeline, timeline),
			"lead postgres.url to the primary; if this older state is the one to go on with, stop walrelay and move log.dir away: clients then get reset"}
	}
	return ident, nil
}

// stopping are the findings that end the attempt. Once rows have been streamed a
// table that has become unfit only suspends its own channels: the others go on, and
// no WAL piles up for its sake.
func (s *Source) stopping(p *Preflight) Findings {
	bad := p.Findings.Errors()
	if s.streamed.Load() {
		bad = slices.DeleteFunc(bad, func(f Finding) bool { return f.Table != "" })
	}
	return bad
}

// slotStood makes sure that the slot, which is ours from START_REPLICATION on, was
// not moved between the preflight and that: Postgres then silently begins further on.
// The next attempt finds the gap.
func (s *Source) slotStood(ctx context.Context, conn *pgx.Conn, from change.LSN) (*Slot, error) {
	slot, _, err := readSlot(ctx, conn, s.o.Slot)
	if err == nil && (slot == nil || slot.Confirmed > from) {
		err = fmt.Errorf("start replication from slot %s at %s: somebody else moved it meanwhile", s.o.Slot, from)
	}
	return slot, err
}

// checkPatience bounds the preflight, should the server fall silent in it.
const checkPatience = time.Minute

func (s *Source) check(ctx context.Context, conn *pgx.Conn) (*Preflight, error) {
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	return Check(ctx, conn, *s.target.Load())
}

// reconcile compares log and slot. The slot must not have been confirmed beyond what
// the log holds: Postgres would silently begin at confirmed_flush_lsn and the changes between would be missing.
func (s *Source) reconcile(ctx context.Context, repl *pgconn.PgConn, ident pglogrepl.IdentifySystemResult, created bool, confirmed change.LSN) error {
	id, timeline := s.o.Log.Identity()
	last, wal := s.o.Log.Head()
	end := max(wal, last.Commit+1) // of a transaction that was cut off the log has the commit LSN, and WAL below it
	switch {
	case id == "":
		s.missed = true
		return s.o.Log.Begin(ctx, ident.SystemID, uint32(ident.Timeline), confirmed, "")
	case created:
		return s.beginAnew(ctx, ident, confirmed, "gap", &SlotMissingError{s.o.Slot, wal})
	case confirmed > wal:
		return s.beginAnew(ctx, ident, confirmed, "gap", &SlotAheadError{s.o.Slot, confirmed, wal})
	case change.LSN(ident.XLogPos) < end:
		return s.beginAnew(ctx, ident, confirmed, "lineage", fmt.Errorf("the server's WAL ends at %s, before the log's end %s: an older state of the cluster was restored", ident.XLogPos, end))
	case uint32(ident.Timeline) != timeline:
		return s.followTimeline(ctx, repl, ident, timeline, end, confirmed)
	}
	return nil
}

// beginAnew gives up the log: clients are told why.
func (s *Source) beginAnew(ctx context.Context, ident pglogrepl.IdentifySystemResult, from change.LSN, reason string, why error) error {
	s.missed = true
	if err := s.o.Log.Begin(ctx, ident.SystemID, uint32(ident.Timeline), from, reason); err != nil {
		return fmt.Errorf("%w; it must begin anew (%s), because %w", err, reason, why)
	}
	s.log.Error("the event log cannot be continued: all clients get reset", "reason", reason, "cause", why, "from", from.String())
	return nil
}

// beginLineage does so after a stream that contradicted the log, of which nothing was
// taken.
func (s *Source) beginLineage(ctx context.Context, ident pglogrepl.IdentifySystemResult, from change.LSN, why error) error {
	if err := s.waitIdle(ctx); err != nil {
		return err
	}
	if err := s.beginAnew(ctx, ident, from, "lineage", why); err != nil {
		return err
	}
	return why
}

// followTimeline: after a promotion the log goes on if the old timeline was left
// behind the log's end; else the new primary contradicts what clients have seen.
func (s *Source) followTimeline(ctx context.Context, repl *pgconn.PgConn, ident pglogrepl.IdentifySystemResult, from uint32, end, confirmed change.LSN) error {
	history, err := pglogrepl.TimelineHistory(ctx, repl, ident.Timeline)
	if err != nil {
		return fmt.Errorf("read history of timeline %d: %w", ident.Timeline, err)
	}
	left, ok := switchPoint(string(history.Content), from)
	if !ok || left < end {
		return s.beginAnew(ctx, ident, confirmed, "lineage", fmt.Errorf("timeline %d left timeline %d at %s, before the log's end %s", ident.Timeline, from, left, end))
	}
	s.missed = true // transaction ids that the old primary gave out are given out again
	s.log.Info("timeline changed, the log goes on", "from", from, "to", ident.Timeline, "switch_point", left.String())
	return s.o.Log.SetTimeline(ctx, uint32(ident.Timeline))
}

// startReplication asks for everything behind the log's end.
func (s *Source) startReplication(ctx context.Context, repl *pgconn.PgConn, from change.LSN) error {
	err := pglogrepl.StartReplication(ctx, repl, quoteSlot(s.o.Slot), pglogrepl.LSN(from), pglogrepl.StartReplicationOptions{
		Mode: pglogrepl.LogicalReplication,
		PluginArgs: []string{
			"proto_version '1'",
			"publication_names " + quoteLiteral(`"`+doubled(s.o.Publication)+`"`),
			"messages 'true'",
		},
	})
	if err == nil {
		return nil
	}
	if sqlState(err) == "55006" { // object_in_use
		return s.slotInUse(ctx)
	}
	return fmt.Errorf("start replication from slot %s: %w", s.o.Slot, err)
}

// slotInUse names the holder.
func (s *Source) slotInUse(ctx context.Context) error {
	e := &SlotInUseError{Slot: s.o.Slot}
	conn, err := Connect(ctx, s.o.URL)
	if err != nil {
		return e
	}
	defer conn.Close(ctx)
	if slot, _, err := readSlot(ctx, conn, s.o.Slot); err == nil && slot != nil {
		return slot.inUse()
	}
	return e
}
