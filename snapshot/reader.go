package snapshot

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/channel"
	"github.com/walrelay/walrelay/pgpool"
	"github.com/walrelay/walrelay/replication"
)

// Options of a Reader.
type Options struct {
	// URL is that of the database, as for replication.
	URL string
	// Connections is the most that are open at once, at least 2; 0: 4. One of them writes
	// marks, so one snapshot less can be open.
	Connections int
	// StatementTimeout bounds each statement, and how long the server keeps a snapshot that
	// does nothing; 0: 30 s.
	StatementTimeout time.Duration
	Logger           *slog.Logger
}

const (
	defaultConnections      = 4
	defaultStatementTimeout = 30 * time.Second
)

// ApplicationName is what pg_stat_activity shows.
const ApplicationName = "walrelay-snapshot"

// Reader takes snapshots. Safe for concurrent use.
type Reader struct {
	pool *pgxpool.Pool
	cfg  *pgx.ConnConfig
	log  *slog.Logger
	// slots has a value for every open snapshot. Invariant: one connection of the pool is
	// nobody's snapshot.
	slots    chan struct{}
	unmarked sync.Once
}

var _ channel.Snapshots = (*Reader)(nil)

// New makes a Reader, which connects when it is first needed.
func New(o Options) (*Reader, error) {
	if o.Connections == 0 {
		o.Connections = defaultConnections
	}
	if o.StatementTimeout == 0 {
		o.StatementTimeout = defaultStatementTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	timeout := strconv.FormatInt(max(1, o.StatementTimeout.Milliseconds()), 10)
	cfg, err := replication.Config(o.URL, map[string]string{
		"application_name":                    ApplicationName,
		"statement_timeout":                   timeout,
		"idle_in_transaction_session_timeout": timeout,
		"row_security":                        "off",
		"cursor_tuple_fraction":               "1", // all rows are fetched
	})
	if err != nil {
		return nil, err
	}
	pc, err := pgxpool.ParseConfig(o.URL)
	if err != nil { // no pool setting in the URL is right
		return nil, fmt.Errorf("read postgres.url: %w", err)
	}
	pc.ConnConfig = cfg
	pgpool.Tune(pc, max(2, o.Connections))
	pool, err := pgxpool.NewWithConfig(context.Background(), pc)
	if err != nil {
		return nil, fmt.Errorf("make connection pool for snapshots: %w", err)
	}
	return &Reader{pool: pool, cfg: cfg, log: o.Logger, slots: make(chan struct{}, pc.MaxConns-1)}, nil
}

// Close closes the connections; it waits for open snapshots.
func (r *Reader) Close() { r.pool.Close() }

// beginSQL: the first query takes the snapshot.
const beginSQL = "begin isolation level repeatable read read only; select pg_current_snapshot()"

// Begin waits until fewer snapshots are open than may be.
func (r *Reader) Begin(ctx context.Context) (channel.Snapshot, error) {
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("begin snapshot: wait for a connection: %w", context.Cause(ctx))
	}
	s := &snapshot{reader: r}
	err := s.begin(ctx)
	if err == nil {
		return s, nil
	}
	s.Close()
	return nil, fmt.Errorf("begin snapshot: %w", err)
}

func (s *snapshot) begin(ctx context.Context) (err error) {
	if s.conn, err = s.reader.acquire(ctx); err != nil {
		return err
	}
	results, err := s.conn.Conn().PgConn().Exec(ctx, beginSQL).ReadAll()
	if err != nil {
		return err
	}
	if s.visible.Snapshot, err = change.ParseSnapshot(string(results[1].Rows[0][0])); err != nil {
		return err
	}
	s.visible.Until, err = s.reader.mark(ctx)
	return err
}

// acquire takes a connection of the pool; its caller has a slot, or gives it back soon.
func (r *Reader) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	conn, err := r.pool.Acquire(ctx)
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("wait for a connection: %w", context.Cause(ctx))
	}
	if err != nil {
		return nil, replication.ConnectError(r.cfg, err)
	}
	return conn, nil
}

// snapshot is one transaction on one connection.
type snapshot struct {
	reader  *Reader
	conn    *pgxpool.Conn // nil before begin and after Close
	visible channel.Visibility
	row     []change.Value // reused
	closed  bool
}

func (s *snapshot) Visible() channel.Visibility { return s.visible }

// Close ends the transaction. A connection that does not obey is closed.
func (s *snapshot) Close() {
	if s.closed {
		return
	}
	s.closed = true
	if s.conn != nil {
		pgpool.GiveBack(s.conn)
	}
	<-s.reader.slots
}
