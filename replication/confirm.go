package replication

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/fault"
)

const (
	// confirmPace is the least time between two status updates that only tell progress.
	confirmPace = 200 * time.Millisecond
	// statusEvery is the most time between two status updates; a smaller
	// wal_sender_timeout shortens it.
	statusEvery = 5 * time.Second
	// defaultSilence is when a server without wal_sender_timeout is given up.
	defaultSilence = 2 * time.Minute
)

// statusPace keeps the connection alive, also while the receiver waits for the log
// and does not see that the server asks. timeout is wal_sender_timeout, 0: none.
func statusPace(timeout time.Duration) time.Duration {
	if timeout == 0 {
		return statusEvery
	}
	return min(statusEvery, max(timeout/3, 10*time.Millisecond))
}

// senderTimeout reads wal_sender_timeout where it counts: it may be set per role
// and database.
func senderTimeout(ctx context.Context, repl *pgconn.PgConn) (time.Duration, error) {
	results, err := repl.Exec(ctx, "select setting from pg_settings where name = 'wal_sender_timeout'").ReadAll()
	if err != nil {
		return 0, fmt.Errorf("read wal_sender_timeout: %w", err)
	}
	if len(results) != 1 || len(results[0].Rows) != 1 {
		return 0, errors.New("read wal_sender_timeout: no such setting")
	}
	ms, err := strconv.Atoi(string(results[0].Rows[0][0]))
	if err != nil {
		return 0, fmt.Errorf("read wal_sender_timeout: %w", err)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// confirmAlways sends standby status updates: when the log's durable WAL moved, when
// the server asks, and every few seconds, whatever the receiver is doing. The latter
// ask for an answer, so that a server that is gone without a word is noticed.
// timeout is wal_sender_timeout.
func (s *Source) confirmAlways(ctx context.Context, repl *pgconn.PgConn, w *witness, asked <-chan struct{}, timeout time.Duration) error {
	silence := silence{limit: cmp.Or(2*timeout, defaultSilence)}
	status := time.NewTicker(statusPace(timeout))
	defer status.Stop()
	pace := time.NewTimer(0)
	defer pace.Stop()
	var told change.LSN
	for moved := false; ; {
		send, ask := false, false
		select {
		case <-ctx.Done():
			return s.sendStatus(repl, w, &told, false) // the last word before the connection closes
		case <-asked:
			send = true
		case now := <-status.C:
			send, ask = true, true
			if err := silence.check(now, s.stats.heard(), s.inflow.blocked.Load()); err != nil {
				return err
			}
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
		if err := s.sendStatus(repl, w, &told, ask); err != nil {
			return err
		}
	}
}

// sendStatus confirms the log's durable WAL. With ask the server answers with a
// keepalive.
//
// It writes to the connection itself: pgconn, and pglogrepl.SendStandbyStatusUpdate
// above it, share a buffer with the goroutine that pgconn starts when a receive fails.
func (s *Source) sendStatus(repl *pgconn.PgConn, w *witness, told *change.LSN, ask bool) error {
	wal := w.allows(change.LSN(s.durable.Load()))
	if wal == 0 || wal < *told {
		return fmt.Errorf("confirm to Postgres: position %s after %s: this is a bug in walrelay", wal, *told)
	}
	if _, err := repl.Conn().Write(appendStatus(nil, wal, time.Now(), ask)); err != nil {
		return fmt.Errorf("confirm %s to Postgres: %w", wal, err)
	}
	fault.At(fault.Confirmed)
	*told = wal
	s.stats.confirmed.Store(uint64(wal))
	return nil
}

// appendStatus appends a CopyData message with a standby status update, see
// "Streaming Replication Protocol". Written, flushed and applied are the same: what
// is not durable was not written.
func appendStatus(dst []byte, wal change.LSN, now time.Time, ask bool) []byte {
	const size = 1 + 3*8 + 8 + 1
	dst = append(dst, 'd')
	dst = binary.BigEndian.AppendUint32(dst, 4+size)
	dst = append(dst, 'r')
	for range 3 {
		dst = binary.BigEndian.AppendUint64(dst, uint64(wal))
	}
	dst = binary.BigEndian.AppendUint64(dst, uint64(now.Sub(postgresEpoch).Microseconds()))
	if ask {
		return append(dst, 1)
	}
	return append(dst, 0)
}

var postgresEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
