package snapshot

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/pgpool"
)

// MarkPrefix is that of the logical messages by which a Reader finds its place in the WAL.
const MarkPrefix = "walrelay-snapshot"

// markSQL gives the end of the message's WAL record. It is one round trip, which ends when
// the commit is flushed.
const markSQL = `begin read write; set local synchronous_commit = local;
select pg_logical_emit_message(true, '` + MarkPrefix + `', '') - '0/0'; commit`

// mark gives an LSN behind all that was committed before it was called, see the package
// comment.
func (r *Reader) mark(ctx context.Context) (change.LSN, error) {
	conn, err := r.acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer pgpool.GiveBack(conn)
	pg := conn.Conn().PgConn()
	results, err := pg.Exec(ctx, markSQL).ReadAll()
	if err == nil {
		return readLSN(results[2])
	}
	if state := sqlState(err); state != "42501" && state != "25006" { // insufficient_privilege, read_only_sql_transaction
		return 0, fmt.Errorf("mark a place in the WAL: %w", err)
	}
	lsn, function, ierr := insertPoint(ctx, pg)
	if ierr != nil {
		return 0, fmt.Errorf("mark a place in the WAL: %w", errors.Join(err, ierr))
	}
	r.unmarked.Do(func() {
		r.log.Warn("snapshots cannot mark their place in the WAL: what follows one may wait until something else is written", "cause", err,
			"fix", "GRANT EXECUTE ON FUNCTION "+function+" TO "+r.role()+";")
	})
	return lsn, nil
}

// insertPointSQL is where the WAL ends now, or the start of its page if nothing was
// written there yet but the header: the last record ends before it. And the function that
// was refused.
const insertPointSQL = `
select case when l.lsn % s.block = case when l.lsn % s.segment < s.block then 40 else 24 end then l.lsn - l.lsn % s.block else l.lsn end,
       (select format('%I.%s', 'pg_catalog', p.oid::regprocedure) from pg_proc p
         where p.pronamespace = 'pg_catalog'::regnamespace and p.proname = 'pg_logical_emit_message' and p.proargtypes[2] = 'text'::regtype)
  from (select pg_current_wal_insert_lsn() - '0/0') l(lsn),
       (select current_setting('wal_block_size')::numeric, pg_size_bytes(current_setting('wal_segment_size'))::numeric) s(block, segment)`

// insertPoint stands in for a mark: nothing sees to it that replication passes it soon.
func insertPoint(ctx context.Context, pg *pgconn.PgConn) (lsn change.LSN, function string, err error) {
	if _, err := pg.Exec(ctx, "rollback").ReadAll(); err != nil {
		return 0, "", err
	}
	result := pg.ExecParams(ctx, insertPointSQL, nil, nil, nil, nil).Read()
	if lsn, err = readLSN(result); err != nil {
		return 0, "", err
	}
	return lsn, string(result.Rows[0][1]), nil
}

// readLSN reads the first value of a result, an LSN as a number.
func readLSN(result *pgconn.Result) (change.LSN, error) {
	if result.Err != nil {
		return 0, result.Err
	}
	n, err := strconv.ParseUint(string(result.Rows[0][0]), 10, 64)
	return change.LSN(n), err
}
