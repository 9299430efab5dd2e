package replication

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/walrelay/walrelay/change"
)

const (
	// confirmPace is the least time between two status updates that only tell progress.
	confirmPace = 200 * time.Millisecond
	// statusEvery keeps the connection alive: well below wal_sender_timeout (60 s).
	statusEvery = 5 * time.Second
)

// confirmAlways sends standby status updates: when the log's durable WAL moved, when
// the server asks, and every few seconds, whatever the receiver is doing.
func (s *Source) confirmAlways(ctx context.Context, repl *pgconn.PgConn, asked <-chan struct{}) error {
	status := time.NewTicker(statusEvery)
	defer status.Stop()
	pace := time.NewTimer(0)
	defer pace.Stop()
	var told change.LSN
	for moved := false; ; {
		send := false
		select {
		case <-ctx.Done():
			return s.sendStatus(repl, &told) // the last word before the connection closes
		case <-asked:
			send = true
		case <-status.C:
			send = true
		case <-s.confirm:
			moved = true
			continue
		case <-pace.C:
			pace.Reset(confirmPace)
			send = moved
		}
		if !send {
			continue
		}
		moved = false
		if err := s.sendStatus(repl, &told); err != nil {
			return err
		}
	}
}

// sendStatus confirms the log's durable WAL. All three positions are set: pglogrepl
// would send a zero flush position as the write position.
func (s *Source) sendStatus(repl *pgconn.PgConn, told *change.LSN) error {
	wal := change.LSN(s.durable.Load())
	if wal == 0 || wal < *told {
		return fmt.Errorf("confirm to Postgres: position %s after %s: this is a bug in walrelay", wal, *told)
	}
	lsn := pglogrepl.LSN(wal)
	err := pglogrepl.SendStandbyStatusUpdate(context.Background(), repl, pglogrepl.StandbyStatusUpdate{
		WALWritePosition: lsn, WALFlushPosition: lsn, WALApplyPosition: lsn,
	})
	if err != nil {
		return fmt.Errorf("confirm %s to Postgres: %w", wal, err)
	}
	*told = wal
	s.stats.confirmed.Store(uint64(wal))
	return nil
}
