package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/pgtemp"
)

// desk signs users in and out. Safe for concurrent use.
type desk struct {
	mu   sync.Mutex
	conn *pgx.Conn
	// last is the number of the newest session. Those of makeSessions are below.
	last int
}

// firstAtDesk is above the sessions of makeSessions.
const firstAtDesk = 10_000_000

func newDesk(ctx context.Context, cluster *pgtemp.Cluster) (*desk, error) {
	conn, err := cluster.Conn(ctx)
	if err != nil {
		return nil, err
	}
	// A logout is to be seen now, not when the WAL writer comes by.
	_, err = conn.Exec(ctx, `set synchronous_commit = on`)
	return &desk{conn: conn, last: firstAtDesk}, err
}

func (d *desk) close(ctx context.Context) {
	_ = d.conn.Close(context.WithoutCancel(ctx)) // nothing was asked that it could lose
}

// signIn gives the number of a new session of a user.
func (d *desk) signIn(ctx context.Context, user int) (session int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last++
	ctx = context.WithoutCancel(ctx) // a query that is cut off closes its connection
	_, err = d.conn.Exec(ctx, `insert into session select $1, sess($2), now() at time zone 'UTC' + interval '1 day'`, fmt.Sprintf("s%d", d.last), user)
	return d.last, err
}

// signOut ends a session, and gives an LSN behind which it is over.
func (d *desk) signOut(ctx context.Context, session int) (behind position, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ctx = context.WithoutCancel(ctx)
	if _, err := d.conn.Exec(ctx, `delete from session where sid = $1`, fmt.Sprintf("s%d", session)); err != nil {
		return behind, err
	}
	var lsn string
	if err := d.conn.QueryRow(ctx, `select pg_current_wal_insert_lsn()::text`).Scan(&lsn); err != nil {
		return behind, err
	}
	return parsePosition([]byte(lsn + ".0.x"))
}
