package replication

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/walrelay/walrelay/change"
)

// session are the settings of the replication connection, and of those that read the catalog.
var session = change.TextSettings(map[string]string{
	"statement_timeout":     "0",
	"idle_session_timeout":  "0",
	"lock_timeout":          "10s",
	"synchronous_commit":    "local", // walrelay may be the synchronous standby that a commit would wait for
	"jit":                   "off",   // the catalog queries are short
	"quote_all_identifiers": "off",
	"search_path":           "pg_catalog", // nobody's functions and operators but Postgres's own
})

const applicationName = "walrelay"

func newConfig(url string, extra map[string]string) (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, &PermanentError{"read postgres.url", fmt.Errorf("not a Postgres connection string"), "postgres://USER:PASSWORD@HOST:5432/DATABASE"}
	}
	maps.Copy(cfg.RuntimeParams, session)
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = applicationName
	}
	maps.Copy(cfg.RuntimeParams, extra)
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 10 * time.Second
	}
	return cfg, nil
}

// Config is that of an ordinary connection with walrelay's session settings and, over
// these, others.
func Config(url string, settings map[string]string) (*pgx.ConnConfig, error) {
	return newConfig(url, settings)
}

// Connect opens an ordinary connection with walrelay's session settings. Errors
// name host and user, never the password; [PermanentError] where only a person can
// help.
func Connect(ctx context.Context, url string) (*pgx.Conn, error) {
	cfg, err := newConfig(url, nil)
	if err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, connectError(&cfg.Config, err)
	}
	return conn, nil
}

// receiveBuffer is what one read takes from the replication socket at most: pgx
// reads 8 KiB at a time, which costs as much as decoding does.
const receiveBuffer = 256 << 10

// connectReplication opens a walsender connection bound to the database.
func connectReplication(ctx context.Context, url string) (*pgconn.PgConn, error) {
	// Values of regclass and its kin are written relative to the search path.
	cfg, err := newConfig(url, map[string]string{"replication": "database", "search_path": "public"})
	if err != nil {
		return nil, err
	}
	cfg.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		return pgproto3.NewFrontend(bufio.NewReaderSize(&pacedReader{r: r}, receiveBuffer), w)
	}
	conn, err := pgconn.ConnectConfig(ctx, &cfg.Config)
	if err != nil {
		return nil, connectError(&cfg.Config, err)
	}
	return conn, nil
}
