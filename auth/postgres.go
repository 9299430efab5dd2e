package auth

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/pgpool"
)

// ApplicationName is what pg_stat_activity shows of look-ups.
const ApplicationName = "walrelay-auth"

// connectPatience bounds one attempt to connect.
const connectPatience = 5 * time.Second

// lookupSettings are those of the sessions that look up. The search path is the role's own, for
// the claims SQL.
var lookupSettings = change.TextSettings(map[string]string{
	"application_name":                    ApplicationName,
	"statement_timeout":                   "3s",
	"lock_timeout":                        "2s",
	"idle_in_transaction_session_timeout": "10s",
	"idle_session_timeout":                "0",
	"jit":                                 "off", // the queries are short
})

// postgres looks sessions up through a pool of connections.
type postgres struct {
	pool *pgxpool.Pool
}

var _ lookups = (*postgres)(nil)

// newPostgres makes look-ups of which at most limit run at once. It connects when it is
// first needed.
func newPostgres(url string, limit int) (*postgres, error) {
	cfg, err := lookupConfig(url)
	if err != nil {
		return nil, err
	}
	pgpool.Tune(cfg, max(1, limit))
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		return nil, fmt.Errorf("make connection pool for sessions: %w", err)
	}
	return &postgres{pool: pool}, nil
}

// lookupConfig is that of a connection which looks up.
func lookupConfig(url string) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil { // its error quotes the URL
		return nil, errors.New("read postgres.url: it is no connection string: postgres://USER:PASSWORD@HOST:5432/DATABASE")
	}
	conn := cfg.ConnConfig
	maps.Copy(conn.RuntimeParams, lookupSettings)
	conn.ConnectTimeout = connectPatience
	if conn.ValidateConnect == nil { // where the URL names several hosts: a standby shows sessions that are over
		conn.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsPrimary
	}
	// Not a setting of the start: target_session_attrs=read-write would refuse every server.
	conn.AfterConnect = func(ctx context.Context, c *pgconn.PgConn) error {
		_, err := c.Exec(ctx, "set default_transaction_read_only = on").ReadAll()
		return err
	}
	return cfg, nil
}

// close closes the connections; it waits for look-ups that run.
func (p *postgres) close() { p.pool.Close() }

// reset closes connections once they are not in use: after a failover they may lead to the old
// primary, which shows what was.
func (p *postgres) reset() { p.pool.Reset() }

// snapshot is what is visible now.
func (p *postgres) snapshot(ctx context.Context) (change.Snapshot, error) {
	var out change.Snapshot
	err := p.with(ctx, func(pg *pgconn.PgConn) error {
		results, err := run(ctx, pg, statement{sql: snapshotSQL})
		if err == nil {
			out, err = readSnapshot(results[0])
		}
		return err
	})
	return out, err
}

func readSnapshot(rows [][][]byte) (change.Snapshot, error) {
	if len(rows) != 1 || len(rows[0]) != 1 {
		return change.Snapshot{}, errors.New("read pg_current_snapshot: not one value")
	}
	return change.ParseSnapshot(string(rows[0][0]))
}

// with lends a connection to use and gives it back, out of any transaction: the pool closes
// those that are still in one.
func (p *postgres) with(ctx context.Context, use func(*pgconn.PgConn) error) error {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("look up a session: wait for a connection: %w", context.Cause(ctx))
		}
		return fmt.Errorf("look up a session: connect: %w", connectError(err))
	}
	defer pgpool.GiveBack(conn)
	return use(conn.Conn().PgConn())
}

// connectError keeps the host and the server's words, which have no values of ours.
func connectError(err error) error {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return fmt.Errorf("%s (SQLSTATE %s)", pe.Message, pe.Code)
	}
	return err
}

// run sends statements in one go and returns the rows of each. Values are in text format.
func run(ctx context.Context, pg *pgconn.PgConn, statements ...statement) ([][][][]byte, error) {
	out, err := runRaw(ctx, pg, statements...)
	if err != nil {
		return nil, serverError(ctx, err)
	}
	return out, nil
}

// runRaw is run with the server's own error.
func runRaw(ctx context.Context, pg *pgconn.PgConn, statements ...statement) (out [][][][]byte, err error) {
	pipeline := pg.StartPipeline(ctx)
	for _, s := range statements {
		pipeline.SendQueryParams(s.sql, s.args, nil, nil, nil)
	}
	if err := pipeline.Sync(); err != nil {
		_ = pipeline.Close()
		return nil, err
	}
	for range statements {
		rows, rerr := readRows(pipeline)
		if rerr != nil {
			err = rerr
			break
		}
		out = append(out, rows)
	}
	if cerr := pipeline.Close(); err == nil {
		err = cerr
	}
	return out, err
}

func readRows(pipeline *pgconn.Pipeline) ([][][]byte, error) {
	results, err := pipeline.GetResults()
	if err != nil {
		return nil, err
	}
	reader, ok := results.(*pgconn.ResultReader)
	if !ok {
		return nil, errors.New("the server's answer has no rows")
	}
	result := reader.Read()
	return result.Rows, result.Err
}

// states are the SQLSTATEs that have something to say of their own.
var states = map[string]string{
	"57014": "it took longer than 3 s, or was cancelled",
	"55P03": "a lock was not free",
	"40001": "it conflicts with another transaction",
	"53300": "there are too many connections",
	"57P01": "the server shuts down",
	"57P02": "the server has crashed",
	"57P03": "the server starts",
	"25006": "it writes, and look-ups are read only",
	"25P03": "the transaction was idle for too long",
}

// serverError takes out of a server's error what may have values in it: those of class 22,
// which are about values, become refusals; of the rest the code is left, and where they are
// about names in a statement of ours (class 42, no function on the way) the message.
func serverError(ctx context.Context, err error) error {
	var pe *pgconn.PgError
	switch {
	case !errors.As(err, &pe) && ctx.Err() != nil:
		return context.Cause(ctx)
	case pe == nil:
		return err
	case len(pe.Code) != 5:
		return errors.New("an error without SQLSTATE")
	case pe.Code[:2] == "22":
		return refuse(BadValue, "a value of it does not fit the database")
	case pe.Code[:2] == "42" && pe.Where == "" && pe.InternalQuery == "":
		return &sqlProblem{code: pe.Code, text: pe.Message}
	}
	return &sqlProblem{code: pe.Code, text: states[pe.Code]}
}

// problemOf is what the server says of a statement without values of anybody; nil: it was
// not the server who said it.
func problemOf(err error) *sqlProblem {
	var pe *pgconn.PgError
	if !errors.As(err, &pe) || len(pe.Code) != 5 {
		return nil
	}
	return &sqlProblem{code: pe.Code, text: pe.Message}
}

// sqlProblem is a server's error without values.
type sqlProblem struct{ code, text string }

func (e *sqlProblem) Error() string {
	if e.text == "" {
		return "the statement failed (SQLSTATE " + e.code + ")"
	}
	return e.text + " (SQLSTATE " + e.code + ")"
}
