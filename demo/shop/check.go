package shop

import (
	"context"
	"hash/fnv"

	"github.com/jackc/pgx/v5"
)

// account is what one table holds: the number of its rows and the sum of their
// checksums, which does not depend on their order. static/digest.js computes the
// same from the rows that the page has.
type account struct {
	Count int    `json:"count"`
	Sum   uint32 `json:"sum"`
}

func (a *account) add(row string) {
	h := fnv.New32a()
	h.Write([]byte(row)) // a hash returns no errors
	a.Count++
	a.Sum += h.Sum32()
}

// accounts are those of all tables at one moment.
type accounts struct {
	LSN       string  `json:"lsn"`
	Customers account `json:"customers"`
	Couriers  account `json:"couriers"`
	Orders    account `json:"orders"`
}

// check reads the accounts. A row is its columns in text form with | between
// them, money in cents and times in milliseconds since 1970.
func (s *store) check(ctx context.Context) (accounts, error) {
	var a accounts
	lsn, err := s.snapshot(ctx, func(tx pgx.Tx) error {
		for _, table := range []struct {
			account *account
			sql     string
		}{
			{&a.Customers, `select concat_ws('|', id, name, street, x, y, points) from customers`},
			{&a.Couriers, `select concat_ws('|', id, name, x, y) from couriers`},
			{&a.Orders, `select concat_ws('|', id, customer_id, coalesce(courier_id, 0), status, array_to_string(items, ','),
				(total * 100)::bigint, (extract(epoch from placed_at) * 1000)::bigint,
				(extract(epoch from changed_at) * 1000)::bigint) from orders`},
		} {
			found, err := tx.Query(ctx, table.sql)
			if err != nil {
				return err
			}
			var row string
			if _, err := pgx.ForEachRow(found, []any{&row}, func() error { table.account.add(row); return nil }); err != nil {
				return err
			}
		}
		return nil
	})
	a.LSN = lsn
	return a, err
}
