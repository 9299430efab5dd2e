// Package pgpool has what all pools of connections of walrelay have in common: they connect
// when they are first needed, outlive restarts of the server, and take no connection back
// that is still in a transaction.
package pgpool

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// idleFor is how long a connection without use is kept.
	idleFor = time.Minute
	// rollbackPatience bounds what is done to give a connection back in order.
	rollbackPatience = time.Second
)

// Tune makes cfg that of a pool of at most the given number of connections.
func Tune(cfg *pgxpool.Config, most int) {
	cfg.MaxConns, cfg.MinConns, cfg.MinIdleConns = int32(most), 0, 0
	cfg.MaxConnIdleTime, cfg.HealthCheckPeriod = idleFor, idleFor/2
	cfg.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return true } // the server may have restarted
}

// GiveBack gives a connection back, out of any transaction: the pool closes those that are
// still in one.
func GiveBack(conn *pgxpool.Conn) {
	if pg := conn.Conn().PgConn(); !pg.IsClosed() && pg.TxStatus() != 'I' {
		ctx, cancel := context.WithTimeout(context.Background(), rollbackPatience)
		defer cancel()
		_, _ = pg.Exec(ctx, "rollback").ReadAll() // the status tells
	}
	conn.Release()
}
