package snapshot

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/channel"
	"github.com/walrelay/walrelay/pgpool"
)

// fetchRows is how many rows the server is asked for at once.
const fetchRows = 500

// Read may be called many times, for any tables. After an error other than row's own the
// snapshot can only be closed.
func (s *snapshot) Read(ctx context.Context, q channel.SnapshotQuery, row func([]change.Value) error) error {
	sh, err := s.verify(ctx, q.Relation)
	if err == nil {
		if err = s.open(ctx, sh, q); err == nil {
			err = s.fetchAll(ctx, row)
		}
	}
	if stop := (*stopError)(nil); errors.As(err, &stop) {
		return stop.cause
	}
	if err != nil {
		return s.readError(ctx, q.Relation, sh, err)
	}
	return nil
}

// verify locks the table and makes sure that it is, in the snapshot and now, what the
// relation says.
func (s *snapshot) verify(ctx context.Context, rel *change.Relation) (*shape, error) {
	then, err := readShape(ctx, s.conn.Conn(), rel.OID)
	if err != nil {
		return nil, err
	}
	if then == nil || !then.is(rel) {
		return nil, channel.ErrTableChanged
	}
	if _, err := s.conn.Conn().PgConn().Exec(ctx, "lock table "+then.quoted()+" in access share mode").ReadAll(); err != nil {
		return then, lockError(err)
	}
	now, err := s.reader.shapeNow(ctx, rel.OID)
	if err != nil {
		return then, err
	}
	if now == nil || !now.same(then) {
		return then, channel.ErrTableChanged
	}
	return then, nil
}

// shapeNow asks another connection: in the transaction the catalog is that of the
// snapshot.
func (r *Reader) shapeNow(ctx context.Context, oid uint32) (*shape, error) {
	conn, err := r.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer pgpool.GiveBack(conn)
	return readShape(ctx, conn.Conn(), oid)
}

// open plans the query. Names and operators in it are Postgres's own, whatever stands in
// schema public; only the values are written with that in the search path, as the walsender
// writes them (regclass and its kin).
func (s *snapshot) open(ctx context.Context, sh *shape, q channel.SnapshotQuery) error {
	args := make([][]byte, len(q.Args))
	for i, arg := range q.Args {
		args[i] = []byte(arg)
	}
	sql := "declare walrelay_rows no scroll cursor for " + querySQL(sh, q)
	return s.conn.Conn().PgConn().ExecParams(ctx, sql, args, nil, nil, nil).Read().Err
}

func querySQL(sh *shape, q channel.SnapshotQuery) string {
	var b strings.Builder
	b.WriteString("select ")
	for i, c := range q.Relation.Columns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(pgx.Identifier{c.Name}.Sanitize())
	}
	b.WriteString(" from " + sh.quoted())
	if q.Where != "" {
		b.WriteString(" where (" + q.Where + ")")
	}
	if q.Limit > 0 {
		b.WriteString(" limit " + strconv.Itoa(q.Limit))
	}
	return b.String()
}

// fetchAll reads the cursor to its end, or to the first error of row, and closes it.
func (s *snapshot) fetchAll(ctx context.Context, row func([]change.Value) error) error {
	fetch := "fetch " + strconv.Itoa(fetchRows) + " from walrelay_rows"
	for sql := "set local search_path = public; " + fetch; ; sql = fetch {
		n, err := s.fetch(ctx, sql, row)
		if stop := (*stopError)(nil); err != nil && !errors.As(err, &stop) {
			return err
		}
		if n == fetchRows && err == nil {
			continue
		}
		if _, cerr := s.conn.Conn().PgConn().Exec(ctx, "close walrelay_rows; set local search_path = pg_catalog").ReadAll(); cerr != nil {
			return cerr
		}
		return err
	}
}

func (s *snapshot) fetch(ctx context.Context, sql string, row func([]change.Value) error) (n int, err error) {
	results := s.conn.Conn().PgConn().Exec(ctx, sql)
	for results.NextResult() {
		rows := results.ResultReader()
		for err == nil && rows.NextRow() {
			n++
			if rerr := row(s.values(rows)); rerr != nil {
				err = &stopError{rerr}
			}
		}
		_, _ = rows.Close() // what is left is read; results has the error
	}
	if cerr := results.Close(); cerr != nil {
		return n, cerr
	}
	return n, err
}

// values are those of the current row, until the next.
func (s *snapshot) values(rows *pgconn.ResultReader) []change.Value {
	s.row = s.row[:0]
	for _, text := range rows.Values() {
		v := change.Value{Kind: change.Text, Text: text}
		if text == nil {
			v = change.Value{Kind: change.Null}
		}
		s.row = append(s.row, v)
	}
	return s.row
}
