package replication

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/fault"
)

// receiver reads one replication connection. It belongs to one goroutine.
type receiver struct {
	receive   func(context.Context) (pgproto3.BackendMessage, error) // pgconn.PgConn.ReceiveMessage
	inflow    *inflow
	relations *relations
	// have is the last position that the log holds: what Postgres sends again up to
	// there only takes its index.
	have     change.Position
	maxEvent int
	stats    *counters
	witness  *witness
	watcher  Watcher
	horizon  *horizon
	// reply asks for a standby status update.
	reply func()

	inTx    bool
	tx      change.Tx
	next    uint64             // index of the transaction's next change
	relbuf  []*change.Relation // reused by truncate
	payload []byte             // reused by oversize rows
	watched change.Change      // reused for the watcher
}

// run reads until the connection fails or ctx ends.
//
// ReceiveMessage gets a background context on purpose: pgx then sets no deadline
// and starts no watcher per message. The session closes the connection when ctx ends.
func (r *receiver) run(ctx context.Context) error {
	for {
		m, err := r.receive(context.Background())
		if err != nil {
			return fmt.Errorf("receive from Postgres: %w", err)
		}
		switch m := m.(type) {
		case *pgproto3.CopyData:
			if err := r.copyData(ctx, m.Data); err != nil {
				return err
			}
		case *pgproto3.ErrorResponse:
			return fmt.Errorf("replication stream: %s (SQLSTATE %s)", m.Message, m.Code)
		case *pgproto3.CopyDone:
			return errors.New("replication stream: the server ended it")
		}
	}
}

// copyData handles XLogData ('w') and the primary keepalive ('k'), see "Streaming
// Replication Protocol". data dies at the next receive.
func (r *receiver) copyData(ctx context.Context, data []byte) error {
	switch {
	case len(data) >= 26 && data[0] == 'w':
		r.stats.received(len(data))
		if err := r.message(ctx, data[25:]); err != nil {
			return fmt.Errorf("pgoutput message %q at %s: %w", data[25], change.LSN(binary.BigEndian.Uint64(data[1:])), err)
		}
		return nil
	case len(data) >= 18 && data[0] == 'k':
		return r.keepalive(ctx, change.LSN(binary.BigEndian.Uint64(data[1:])), data[17] != 0)
	}
	return fmt.Errorf("replication stream: %w", errMalformed)
}

// keepalive: the WAL end counts only outside of transactions; everything below it
// has been received then. It counts for nothing on a server that has yet to show that
// it has the log's past, or shows that it has not.
func (r *receiver) keepalive(ctx context.Context, end change.LSN, replyRequested bool) error {
	r.stats.keepalives.Add(1)
	if err := r.witness.passed(end); err != nil {
		return err
	}
	if !r.inTx {
		r.horizon.reached(end)
	}
	if !r.inTx && !r.witness.due.Load() {
		if err := r.inflow.add(ctx, func(b *change.Builder) { b.Advance(end) }); err != nil {
			return err
		}
	}
	if replyRequested {
		r.inflow.hurry()
		r.reply()
	}
	return nil
}

// message dispatches one pgoutput message, see "Logical Replication Message Formats".
func (r *receiver) message(ctx context.Context, b []byte) error {
	kind, b := b[0], b[1:]
	switch kind {
	case 'I', 'U', 'D':
		return r.row(ctx, change.Op(kind), b)
	case 'B':
		return r.begin(ctx, b)
	case 'C':
		return r.commit(ctx, b)
	case 'R':
		r.inflow.blocked.Store(true) // the catalog is asked meanwhile, the socket is not read
		defer r.inflow.blocked.Store(false)
		return r.relations.learn(ctx, b, r.tx.XID)
	case 'T':
		return r.truncate(ctx, b)
	case 'M':
		return r.logical(ctx, b)
	case 'Y', 'O': // types come from the catalog, origins do not matter
		return nil
	}
	return errMalformed
}

func (r *receiver) begin(ctx context.Context, b []byte) error {
	if len(b) < 20 || r.inTx {
		return errMalformed
	}
	r.inTx, r.next = true, 0
	r.tx = change.Tx{
		Commit: change.LSN(binary.BigEndian.Uint64(b)),
		Time:   int64(binary.BigEndian.Uint64(b[8:])),
		XID:    binary.BigEndian.Uint32(b[16:]),
	}
	if err := r.witness.begin(r.tx); err != nil {
		return err
	}
	return r.inflow.add(ctx, func(b *change.Builder) { b.Begin(r.tx) })
}

func (r *receiver) commit(ctx context.Context, b []byte) error {
	if len(b) < 25 || !r.inTx {
		return errMalformed
	}
	r.inTx = false
	end := change.LSN(binary.BigEndian.Uint64(b[9:]))
	r.stats.transactions.Add(1)
	r.witness.reached(end)
	r.horizon.reached(end)
	return r.inflow.add(ctx, func(b *change.Builder) { b.Commit(end) })
}

// position takes the transaction's next index.
func (r *receiver) position() (change.Position, error) {
	if !r.inTx {
		return change.Position{}, errMalformed
	}
	at := change.Position{Commit: r.tx.Commit, Index: r.next}
	r.next++
	return at, nil
}

// lacks reports whether the change at a position is one that the log is to be given: not
// one that it has, nor one that it is not to have.
func (r *receiver) lacks(at change.Position, as role) (bool, error) {
	if !as.logged || at.Compare(r.have) <= 0 || r.witness.behind(r.tx) && r.tx.Commit < as.since {
		return false, nil
	}
	return true, r.witness.change(r.tx)
}

// record gives a change to the log, or skips it.
func (r *receiver) record(ctx context.Context, lacks bool, fn func(*change.Builder)) error {
	if !lacks {
		fn = (*change.Builder).Skip
	}
	err := r.inflow.add(ctx, fn)
	fault.At(fault.Received)
	return err
}

func (r *receiver) row(ctx context.Context, op change.Op, b []byte) error {
	if len(b) < 5 {
		return errMalformed
	}
	rel := r.relations.byOID[binary.BigEndian.Uint32(b)]
	if rel == nil {
		return fmt.Errorf("relation %d was not announced", binary.BigEndian.Uint32(b))
	}
	at, err := r.position()
	if err != nil {
		return err
	}
	payload, oversize := b[4:], false
	if rel.watched {
		if err := r.observe(op, rel.Relation, payload, at); err != nil {
			return err
		}
	}
	lacks, err := r.lacks(at, rel.role)
	if err != nil {
		return err
	}
	if lacks && len(payload) > r.maxEvent {
		if r.payload, err = change.Shrink(r.payload[:0], payload, rel.Relation, r.maxEvent); err != nil {
			return err
		}
		payload, oversize = r.payload, true
		r.stats.oversize.Add(1)
	}
	return r.record(ctx, lacks, func(b *change.Builder) { b.Row(op, rel.Relation, payload, oversize) })
}

func (r *receiver) truncate(ctx context.Context, b []byte) error {
	if len(b) < 5 {
		return errMalformed
	}
	n, flags := int(binary.BigEndian.Uint32(b)), b[4]
	b = b[5:]
	if n < 0 || len(b) < 4*n {
		return errMalformed
	}
	as, err := r.truncated(b[:4*n])
	if err != nil {
		return err
	}
	at, err := r.position()
	if err != nil {
		return err
	}
	if as.watched {
		r.observeTruncate(b[:4*n], flags&1 != 0, flags&2 != 0, at)
	}
	lacks, err := r.lacks(at, as)
	if err != nil {
		return err
	}
	return r.record(ctx, lacks, func(b *change.Builder) { b.Truncate(r.relbuf, flags&1 != 0, flags&2 != 0) })
}

// truncated collects the relations of a TRUNCATE that are logged in relbuf, and tells the
// role of the whole.
func (r *receiver) truncated(oids []byte) (as role, err error) {
	r.relbuf = r.relbuf[:0]
	for ; len(oids) >= 4; oids = oids[4:] {
		rel := r.relations.byOID[binary.BigEndian.Uint32(oids)]
		if rel == nil {
			return as, fmt.Errorf("relation %d was not announced", binary.BigEndian.Uint32(oids))
		}
		as.watched = as.watched || rel.watched
		if !rel.logged {
			continue
		}
		if !as.logged || rel.since < as.since {
			as.since = rel.since
		}
		as.logged = true
		r.relbuf = append(r.relbuf, rel.Relation)
	}
	return as, nil
}

// logical handles a logical message. Those outside of transactions have no place
// in commit order and are not taken.
func (r *receiver) logical(ctx context.Context, b []byte) error {
	if len(b) < 9 {
		return errMalformed
	}
	transactional := b[0]&1 != 0
	prefix, rest, ok := cString(b[9:])
	if !ok || len(rest) < 4 || int(binary.BigEndian.Uint32(rest)) > len(rest)-4 {
		return errMalformed
	}
	if !transactional {
		return nil
	}
	content := rest[4 : 4+binary.BigEndian.Uint32(rest)]
	if len(content) > r.maxEvent {
		r.stats.oversize.Add(1)
		content = []byte(`{"oversize":true}`)
	}
	at, err := r.position()
	if err != nil {
		return err
	}
	lacks, err := r.lacks(at, role{logged: true})
	if err != nil {
		return err
	}
	return r.record(ctx, lacks, func(b *change.Builder) { b.Message(prefix, content) })
}
