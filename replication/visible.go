package replication

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// visibleSQL tells whether a fresh snapshot sees transaction $1, a 32-bit id, which
// is completed with the epoch that brings it closest to the snapshot's end.
const visibleSQL = `
select pg_visible_in_snapshot((s.xmax + ($1::bigint - s.xmax % 4294967296 + 6442450944) % 4294967296 - 2147483648)::text::xid8, s.snapshot)
  from (select c.snapshot, pg_snapshot_xmax(c.snapshot)::text::bigint as xmax from pg_current_snapshot() c(snapshot)) s`

// visiblePatience bounds the wait for a transaction's visibility. When walrelay
// itself is a synchronous standby (synchronous_standby_names = '*') the commit waits
// for its confirmation, which must not wait for the commit.
const visiblePatience = 5 * time.Second

// awaitVisible waits until catalog queries see what transaction xid did to the
// catalog. The walsender sends a transaction as soon as its commit record is
// flushed, which is before the committing backend ends it for other sessions: by
// moments, or by as long as a synchronous standby takes.
func awaitVisible(ctx context.Context, conn *pgx.Conn, xid uint32) error {
	deadline := time.Now().Add(visiblePatience)
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		var visible bool
		if err := conn.QueryRow(ctx, visibleSQL, int64(xid)).Scan(&visible); err != nil {
			return fmt.Errorf("look for transaction %d: %w", xid, err)
		}
		if visible || time.Now().After(deadline) {
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
