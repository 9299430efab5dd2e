package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// bareConsumer reads a slot and does nothing with what comes but to note when it came: the least
// that a consumer in Go costs.
type bareConsumer struct {
	conn *pgconn.PgConn
	// committed and received are, by row, when its transaction was committed, which Postgres says,
	// and when the row was here.
	committed, received []time.Time
	at                  time.Time // commit of the transaction that is being read
	read                pglogrepl.LSN
}

// startBare starts reading a slot that exists; close it.
func (l *lab) startBare(ctx context.Context, slot, publication string) (*bareConsumer, error) {
	conn, err := pgconn.Connect(ctx, l.cluster.URL("postgres")+"&replication=database")
	if err != nil {
		return nil, fmt.Errorf("connect the bare consumer: %w", err)
	}
	err = pglogrepl.StartReplication(ctx, conn, slot, 0, pglogrepl.StartReplicationOptions{Mode: pglogrepl.LogicalReplication,
		PluginArgs: []string{"proto_version '1'", "publication_names '" + publication + "'"}})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the bare consumer: %w", err), conn.Close(ctx))
	}
	return &bareConsumer{conn: conn}, nil
}

func (b *bareConsumer) close(ctx context.Context) error {
	return b.conn.Close(context.WithoutCancel(ctx))
}

// run reads until n rows have come.
func (b *bareConsumer) run(ctx context.Context, n int) error {
	for status := time.Now(); len(b.received) < n; {
		m, err := b.conn.ReceiveMessage(ctx)
		now := time.Now()
		if err != nil {
			return fmt.Errorf("bare consumer, after %d of %d rows: %w", len(b.received), n, err)
		}
		if err := b.message(m, now); err != nil {
			return err
		}
		if now.Sub(status) > time.Second {
			status = now
			if err := pglogrepl.SendStandbyStatusUpdate(ctx, b.conn, pglogrepl.StandbyStatusUpdate{WALWritePosition: b.read}); err != nil {
				return fmt.Errorf("bare consumer: %w", err)
			}
		}
	}
	return nil
}

// message looks at what is in the first bytes: see "Logical Streaming Replication Protocol" of
// Postgres' documentation.
func (b *bareConsumer) message(m pgproto3.BackendMessage, now time.Time) error {
	const head = 1 + 8 + 8 + 8 // 'w', start of the data in the WAL, end of the WAL, clock
	switch m := m.(type) {
	case *pgproto3.ErrorResponse:
		return fmt.Errorf("bare consumer: %w", pgconn.ErrorResponseToPgError(m))
	case *pgproto3.CopyData:
		if len(m.Data) <= head || m.Data[0] != pglogrepl.XLogDataByteID {
			return nil // a keepalive: the status goes out each second anyway
		}
		b.read = max(b.read, pglogrepl.LSN(binary.BigEndian.Uint64(m.Data[1:])))
		switch data := m.Data[head:]; {
		case data[0] == 'B' && len(data) >= 1+8+8: // end LSN, time of the commit
			b.at = commitTime(int64(binary.BigEndian.Uint64(data[1+8:])))
		case data[0] == 'I':
			b.committed, b.received = append(b.committed, b.at), append(b.received, now)
		}
	}
	return nil
}

// commitTime reads microseconds since 2000, on this machine's clock.
func commitTime(micros int64) time.Time {
	return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(micros) * time.Microsecond)
}
