package shop

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// store is the shop's tables. Safe for concurrent use.
type store struct {
	pool *pgxpool.Pool
}

// Why an order stays as it is.
var (
	errNoOrder   = errors.New("there is no such order (any more)")
	errFinished  = errors.New("the order is finished")
	errOpen      = errors.New("the order is still open; cancel it first")
	errNoCourier = errors.New("all couriers are on the way")
)

// place inserts n random orders in one transaction.
func (s *store) place(ctx context.Context, n int) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		for range n {
			items, total := basket()
			batch.Queue(`insert into orders (customer_id, items, total)
				select id, $1, $2::text::numeric from customers order by random() limit 1`, items, total)
		}
		return tx.SendBatch(ctx, batch).Close()
	})
}

// advance moves an order to its next status, whatever that needs.
func (s *store) advance(ctx context.Context, id int64) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var status string
		err := tx.QueryRow(ctx, `select status::text from orders where id = $1 for update`, id).Scan(&status)
		if errors.Is(err, pgx.ErrNoRows) {
			return errNoOrder
		}
		if err != nil {
			return err
		}
		switch status {
		case "placed":
			return setStatus(ctx, tx, id, "paid")
		case "paid":
			return setStatus(ctx, tx, id, "packed")
		case "packed":
			return dispatch(ctx, tx, id)
		case "on_the_way":
			return deliver(ctx, tx, id)
		}
		return errFinished
	})
	if busy := (*pgconn.PgError)(nil); errors.As(err, &busy) && busy.ConstraintName == "one_order_per_courier" {
		return errNoCourier
	}
	return err
}

func setStatus(ctx context.Context, tx pgx.Tx, id int64, status string) error {
	_, err := tx.Exec(ctx, `update orders set status = $2, changed_at = now() where id = $1`, id, status)
	return err
}

// dispatch gives a packed order to a courier who has none.
func dispatch(ctx context.Context, tx pgx.Tx, id int64) error {
	tag, err := tx.Exec(ctx, `update orders set status = 'on_the_way', changed_at = now(), courier_id = c.id
		from (select id from couriers c
			where not exists (select from orders o where o.courier_id = c.id and o.status = 'on_the_way')
			order by random() limit 1) c
		where orders.id = $1`, id)
	if err == nil && tag.RowsAffected() == 0 {
		return errNoCourier
	}
	return err
}

// deliver ends an order well: the customer gets a point for each whole euro.
func deliver(ctx context.Context, tx pgx.Tx, id int64) error {
	if err := setStatus(ctx, tx, id, "delivered"); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `update customers c set points = points + floor(o.total)::integer
		from orders o where o.id = $1 and c.id = o.customer_id`, id)
	return err
}

func (s *store) cancel(ctx context.Context, id int64) error {
	return s.change(ctx, errFinished, id, `update orders set status = 'cancelled', changed_at = now()
		where id = $1 and status not in ('delivered', 'cancelled')`)
}

func (s *store) remove(ctx context.Context, id int64) error {
	return s.change(ctx, errOpen, id, `delete from orders where id = $1 and status in ('delivered', 'cancelled')`)
}

// change runs a statement on one order; where it hits nothing, the order is gone
// or refused is the reason.
func (s *store) change(ctx context.Context, refused error, id int64, sql string) error {
	tag, err := s.pool.Exec(ctx, sql, id)
	if err != nil || tag.RowsAffected() > 0 {
		return err
	}
	var there bool
	if err := s.pool.QueryRow(ctx, `select exists (select from orders where id = $1)`, id).Scan(&there); err != nil {
		return err
	}
	if !there {
		return errNoOrder
	}
	return refused
}

// rows are the tables as the page shows them.
type rows struct {
	// LSN: whatever is not in the rows was committed at or after it.
	LSN string `json:"lsn"`
	// Now is the database's clock.
	Now       time.Time       `json:"now"`
	Customers json.RawMessage `json:"customers"`
	Couriers  json.RawMessage `json:"couriers"`
	Orders    json.RawMessage `json:"orders"`
}

// read returns the current rows.
func (s *store) read(ctx context.Context) (rows, error) {
	var r rows
	lsn, err := s.snapshot(ctx, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `select clock_timestamp(),
			(select coalesce(jsonb_agg(t), '[]') from (select id, name, street, x, y, points from customers) t),
			(select coalesce(jsonb_agg(t), '[]') from couriers t),
			(select coalesce(jsonb_agg(t), '[]') from orders t)`).Scan(&r.Now, &r.Customers, &r.Couriers, &r.Orders)
	})
	r.LSN = lsn
	return r, err
}

// snapshot calls read in a transaction that sees one moment of the database. The
// LSN is such that every transaction that this moment does not contain commits at
// or after it, so changes from there on continue the rows without a gap.
//
// A transaction that commits has its record in the WAL a little before others see
// its rows. So the LSN is read first, and the moment comes when whoever may have
// been between the two is through.
func (s *store) snapshot(ctx context.Context, read func(pgx.Tx) error) (lsn string, err error) {
	if err := s.pool.QueryRow(ctx, `select pg_current_wal_lsn()::text`).Scan(&lsn); err != nil {
		return "", err
	}
	if err := s.settle(ctx); err != nil {
		return "", err
	}
	return lsn, pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, read)
}

// settleTime bounds the wait for transactions that stay open. It is much longer
// than a commit takes, so those were not committing.
const settleTime = 500 * time.Millisecond

// settle waits for the transactions that are writing now. Each holds the lock of
// its own id until others can see what it has committed.
func (s *store) settle(ctx context.Context) error {
	const locks = `from pg_locks where locktype = 'transactionid' and mode = 'ExclusiveLock' and granted`
	var writing []string
	err := s.pool.QueryRow(ctx, `select coalesce(array_agg(transactionid::text), '{}') `+locks).Scan(&writing)
	for end := time.Now().Add(settleTime); err == nil && len(writing) > 0 && time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
		err = s.pool.QueryRow(ctx, `select coalesce(array_agg(transactionid::text), '{}') `+locks+
			` and transactionid::text = any($1)`, writing).Scan(&writing)
	}
	return err
}
