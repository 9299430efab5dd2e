package pgtemp

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"
)

// URL is the connection string for a database of the cluster, over TCP, as the
// superuser: postgres://postgres@127.0.0.1:23456/app?sslmode=disable.
func (c *Cluster) URL(database string) string { return c.UserURL(database, c.opts.User, "") }

// UserURL is the connection string for another role.
func (c *Cluster) UserURL(database, user, password string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.User(user),
		Host:     fmt.Sprintf("127.0.0.1:%d", c.port),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	if password != "" {
		u.User = url.UserPassword(user, password)
	}
	return u.String()
}

// Conn connects to the database postgres. The caller closes the connection.
func (c *Cluster) Conn(ctx context.Context) (*pgx.Conn, error) { return c.ConnTo(ctx, "postgres") }

// ConnTo connects to a database. The caller closes the connection.
func (c *Cluster) ConnTo(ctx context.Context, database string) (*pgx.Conn, error) {
	conn, err := pgx.Connect(ctx, c.URL(database))
	if err != nil {
		return nil, fmt.Errorf("pgtemp: connect: %w", err)
	}
	return conn, nil
}

// Exec runs statements in the database postgres, see [Cluster.ExecIn].
func (c *Cluster) Exec(ctx context.Context, sql ...string) error {
	return c.ExecIn(ctx, "postgres", sql...)
}

// ExecIn runs each string by itself, in order, on one new connection, until one
// fails. A string may hold several statements, which then are one transaction.
func (c *Cluster) ExecIn(ctx context.Context, database string, sql ...string) (err error) {
	conn, err := c.ConnTo(ctx, database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	for _, statement := range sql {
		// The simple protocol, which alone takes several statements at once.
		if _, err := conn.PgConn().Exec(ctx, statement).ReadAll(); err != nil {
			return fmt.Errorf("pgtemp: run %q in database %s: %w", shorten(statement), database, err)
		}
	}
	return nil
}

func shorten(sql string) string {
	if len(sql) > 200 {
		return sql[:200] + "…"
	}
	return sql
}

// CreateDatabase makes an empty database.
func (c *Cluster) CreateDatabase(ctx context.Context, name string) error {
	return c.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
}

// DropDatabase removes a database with its replication slots and sessions,
// whoever uses them.
func (c *Cluster) DropDatabase(ctx context.Context, name string) error {
	quoted := "'" + strings.ReplaceAll(name, "'", "''") + "'"
	return c.Exec(ctx,
		"ALTER DATABASE "+pgx.Identifier{name}.Sanitize()+" ALLOW_CONNECTIONS false",
		// A slot in use cannot be dropped; pg_terminate_backend with a timeout waits
		// for the walsender's end.
		"SELECT pg_terminate_backend(active_pid, 10000) FROM pg_replication_slots WHERE database = "+quoted+" AND active",
		"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = "+quoted,
		"DROP DATABASE "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
}
