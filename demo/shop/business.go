package shop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// goods are sold here; prices in cents.
var goods = []struct {
	name  string
	price int
}{
	{"figs", 480}, {"fennel", 190}, {"sourdough", 520}, {"burrata", 650}, {"olives", 390}, {"tomatoes", 340},
	{"lemons", 210}, {"goat cheese", 560}, {"honey", 720}, {"cider", 450}, {"eggs", 380}, {"basil", 180},
}

// basket is a random order: its lines and its total in euros.
func basket() (items []string, total string) {
	cents := 0
	for _, i := range rand.Perm(len(goods))[:1+rand.IntN(3)] {
		n := 1 + rand.IntN(3)
		items = append(items, fmt.Sprintf("%d × %s", n, goods[i].name))
		cents += n * goods[i].price
	}
	return items, fmt.Sprintf("%d.%02d", cents/100, cents%100)
}

// business is the simulated trade.
type business struct {
	store *store
	log   *slog.Logger
	// pace is the mean time between two steps.
	pace    time.Duration
	running atomic.Bool
}

const (
	openOrders = 14  // business places orders until so many are open
	oldOrders  = 5   // and removes finished ones beyond so many
	stride     = 100 // of a courier in one step, in units of the map
	// The shop's own place on the map.
	homeX, homeY = 500, 300
)

// run trades until ctx ends.
func (b *business) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		wait := b.pace/2 + rand.N(b.pace)
		if b.running.Load() {
			if err := b.step(ctx); err != nil && ctx.Err() == nil {
				b.log.Warn("shop: business step failed; trying again in a second", "cause", err)
				wait = time.Second
			}
		}
		timer.Reset(wait)
	}
}

// step does one thing: something happens to an order or a shopping list, or a courier moves.
func (b *business) step(ctx context.Context) error {
	if rand.IntN(5) == 0 {
		return b.shelve(ctx)
	}
	if rand.IntN(5) < 2 {
		if done, err := b.move(ctx); done || err != nil {
			return err
		}
	}
	if done, err := b.trade(ctx); done || err != nil {
		return err
	}
	_, err := b.move(ctx)
	return err
}

// trade does something to an order. done is false when there was nothing to do.
func (b *business) trade(ctx context.Context) (done bool, err error) {
	var open, old int
	err = b.store.pool.QueryRow(ctx, `select count(*) filter (where status not in ('delivered', 'cancelled')),
		count(*) filter (where status in ('delivered', 'cancelled')) from orders`).Scan(&open, &old)
	if err != nil {
		return false, err
	}
	switch {
	case old > oldOrders && rand.IntN(2) == 0:
		return b.forOne(ctx, `status in ('delivered', 'cancelled') order by changed_at`, b.store.remove)
	case open < openOrders && rand.IntN(openOrders) > open/2:
		return true, b.store.place(ctx, 1)
	case rand.IntN(25) == 0:
		return b.forOne(ctx, `status in ('placed', 'paid') order by random()`, b.store.cancel)
	}
	return b.forOne(ctx, ripe, b.store.advance)
}

// ripe finds the order that goes on next. Nothing is packed long before a courier is
// there to take it.
const ripe = `status = 'packed' and (select count(*) from orders where status = 'on_the_way') < (select count(*) from couriers)
	or status = 'paid' and (select count(*) from orders where status = 'packed') < 3
	or status = 'placed' and (select count(*) from orders where status = 'paid') < 4
	order by status <> 'packed', changed_at + random() * interval '20 s'`

// forOne does something to the first order that a condition finds. done is false
// when there is none, or when somebody at the page was faster.
func (b *business) forOne(ctx context.Context, where string, do func(context.Context, int64) error) (done bool, err error) {
	var id int64
	err = b.store.pool.QueryRow(ctx, `select id from orders where `+where+` limit 1`).Scan(&id)
	if err != nil {
		return false, ignoreNoRows(err)
	}
	err = do(ctx, id)
	if errors.Is(err, errNoOrder) || errors.Is(err, errFinished) || errors.Is(err, errNoCourier) {
		return false, nil
	}
	return true, err
}

// errand is where a courier goes: to a customer, or home.
type errand struct {
	courier    int64
	x, y       int
	toX, toY   int
	order      *int64
	atCustomer bool
}

// move lets a courier go a step. done is false when all are at home.
func (b *business) move(ctx context.Context) (done bool, err error) {
	var e errand
	err = b.store.pool.QueryRow(ctx, `select c.id, c.x, c.y, coalesce(h.x, $1), coalesce(h.y, $2), o.id
		from couriers c
		left join orders o on o.courier_id = c.id and o.status = 'on_the_way'
		left join customers h on h.id = o.customer_id
		where o.id is not null or (c.x, c.y) <> ($1, $2)
		order by random() limit 1`, homeX, homeY).Scan(&e.courier, &e.x, &e.y, &e.toX, &e.toY, &e.order)
	if err != nil {
		return false, ignoreNoRows(err)
	}
	e.step()
	return true, b.walk(ctx, e)
}

// step goes towards the destination.
func (e *errand) step() {
	dx, dy := float64(e.toX-e.x), float64(e.toY-e.y)
	if far := math.Hypot(dx, dy); far > stride {
		e.x += int(math.Round(dx / far * stride))
		e.y += int(math.Round(dy / far * stride))
		return
	}
	e.x, e.y = e.toX, e.toY
	e.atCustomer = e.order != nil
}

// walk stores a step; one that ends at the customer's door delivers the order in
// the same transaction.
func (b *business) walk(ctx context.Context, e errand) error {
	return pgx.BeginFunc(ctx, b.store.pool, func(tx pgx.Tx) error {
		if e.atCustomer {
			var status string
			err := tx.QueryRow(ctx, `select status::text from orders where id = $1 for update`, *e.order).Scan(&status)
			if err != nil || status != "on_the_way" { // somebody at the page was faster
				return ignoreNoRows(err)
			}
			if err := deliver(ctx, tx, *e.order); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `update couriers set x = $2, y = $3 where id = $1 and (x, y) <> ($2, $3)`, e.courier, e.x, e.y)
		return err
	})
}

func ignoreNoRows(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	return err
}
