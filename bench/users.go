package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// ordersTable has two columns for who may see an order, with few and with many values, so that
// the same WAL serves few and many users, and each change goes to one user either way. team_id
// and region_id are the same for rules with two ways to a row. version counts the changes of a
// row: their sum is what a user must get.
const ordersTable = `create table orders(id bigint primary key, customer_id bigint not null, shop_id bigint not null, team_id bigint not null, region_id bigint not null,
		status text not null, total numeric(10,2) not null, payload text not null, version int not null);
	alter table orders replica identity full`

// few is the number of users to compare with.
const few = 10

// ordersSQL makes transactions of 5 new orders and updates of up to 5 earlier ones.
func ordersSQL(changes, users int) string {
	return fmt.Sprintf(`do $$ begin for i in 0..%d loop
		insert into orders select id, c, c %% %d, c, c %% %d, 'open', 12.50, rpad('order '||id, 100, 'x'), 1
			from (select i*5+k as id, (i*5+k)::bigint*7919 %% %d as c from generate_series(1, 5) k) o;
		update orders set status = 'paid', total = total + 1, version = version + 1
			where id = any(array(select 1 + (i*5+k)::bigint*48271 %% (i*5+5) from generate_series(1, 5) k));
		commit; end loop; end $$`, max(changes/10-1, 0), few, few, users)
}

// crowd is a number of users with the rule that lets them see their orders.
type crowd struct {
	name  string
	users int
	// where and allow are the rule, column the one that says whose an order is.
	where, allow, column string
	// each: every user has a goroutine, as in the daemon; else few goroutines look after all.
	each bool
}

// crowds are the pairs to compare: the same rule with few and with many users.
func (l *lab) crowds() [][2]crowd {
	f1 := func(column string) string { return "row." + column + " == user.id" }
	f2 := func(column, team string) string {
		return "row." + column + " == user.id || row." + team + " in user.teams"
	}
	var pairs [][2]crowd
	for _, f := range []struct {
		name, where, few, many string
		each                   bool
	}{
		{"F1", "", f1("shop_id"), f1("customer_id"), false},
		{"F2", `row.status != "draft"`, f2("shop_id", "region_id"), f2("customer_id", "team_id"), false},
		{"F1, a goroutine each", "", f1("shop_id"), f1("customer_id"), true},
	} {
		pairs = append(pairs, [2]crowd{{f.name, few, f.where, f.few, "shop_id", f.each}, {f.name, l.users, f.where, f.many, "customer_id", f.each}})
	}
	return pairs
}

// manyUsers compares few and many users on the way from the WAL to their frames.
func (l *lab) manyUsers(ctx context.Context) error {
	if err := l.cluster.Exec(ctx, `drop table if exists orders`, ordersTable,
		`create publication users_bench for table orders with (publish_via_partition_root = true)`); err != nil {
		return err
	}
	if _, err := l.load(ctx, ordersSQL(l.changes, l.users)); err != nil {
		return fmt.Errorf("users: load: %w", err)
	}
	defer func() {
		_ = l.cluster.Exec(context.WithoutCancel(ctx), `select pg_drop_replication_slot('base')`) // the cluster goes anyway
	}()
	for _, pair := range l.crowds() {
		if err := l.compareCrowds(ctx, pair); err != nil {
			return fmt.Errorf("users: %s: %w", pair[0].name, err)
		}
	}
	return nil
}

// passage is what it cost to bring all changes to all users of a crowd.
type passage struct {
	changes int
	took    time.Duration
	cpu     float64 // seconds of this process
	mallocs uint64
}

// compareCrowds takes turns, and changes who begins: both meet the machine as it is.
func (l *lab) compareCrowds(ctx context.Context, pair [2]crowd) error {
	var passages [2][]passage
	for round := range l.rounds {
		for turn := range pair {
			i := (round + turn) % 2
			p, err := l.passage(ctx, pair[i])
			if err != nil {
				return fmt.Errorf("%d users: %w", pair[i].users, err)
			}
			passages[i] = append(passages[i], p)
		}
	}
	reportCrowds(pair, passages)
	return nil
}

func reportCrowds(pair [2]crowd, passages [2][]passage) {
	var rates, cpu, mallocs [2][]float64
	for i := range passages {
		for _, p := range passages[i] {
			n := float64(p.changes)
			rates[i] = append(rates[i], n/p.took.Seconds())
			cpu[i] = append(cpu[i], p.cpu/n*1e6)
			mallocs[i] = append(mallocs[i], float64(p.mallocs)/n)
		}
	}
	var ratio, cpuRatio []float64
	for i := range rates[0] {
		ratio = append(ratio, rates[1][i]/rates[0][i])
		cpuRatio = append(cpuRatio, cpu[0][i]/cpu[1][i])
	}
	fmt.Printf("users  %s: x%.2f with %d users of what it is with %d (%.0f against %.0f changes/s of %d; %.2f against %.2f us CPU/change, x%.2f; %.2f against %.2f allocations/change)\n",
		pair[0].name, median(ratio), pair[1].users, pair[0].users, median(rates[1]), median(rates[0]), passages[0][0].changes,
		median(cpu[1]), median(cpu[0]), median(cpuRatio), median(mallocs[1]), median(mallocs[0]))
}

// passage brings all changes from a copy of the slot to the users of a crowd.
func (l *lab) passage(ctx context.Context, c crowd) (p passage, err error) {
	want, err := l.ordersOf(ctx, c)
	if err != nil {
		return p, err
	}
	if err := l.copySlot(ctx, "users"); err != nil {
		return p, err
	}
	dir, err := os.MkdirTemp(l.dir, "users")
	if err != nil {
		return p, err
	}
	defer os.RemoveAll(dir)
	runtime.GC()
	d, err := newDelivery(l.cluster.URL("postgres"), filepath.Join(dir, "log"), c, want)
	if err != nil {
		return p, err
	}
	if l.profiles != "" {
		if d.profile, err = os.Create(filepath.Join(l.profiles, fmt.Sprintf("users-%s-%d.pprof", strings.NewReplacer(",", "", " ", "-").Replace(c.name), c.users))); err != nil {
			return p, errors.Join(err, d.events.Close())
		}
	}
	if p, err = d.run(ctx); err != nil {
		return p, err
	}
	for _, n := range want {
		p.changes += n
	}
	return p, nil
}

// ordersOf is the number of changes that each user of a crowd must get.
func (l *lab) ordersOf(ctx context.Context, c crowd) ([]int, error) {
	conn, err := l.cluster.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, strings.ReplaceAll(`select COLUMN, sum(version) from orders group by COLUMN`, "COLUMN", c.column))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	want := make([]int, c.users)
	for rows.Next() {
		var user, n int
		if err := rows.Scan(&user, &n); err != nil {
			return nil, err
		}
		want[user] = n
	}
	return want, rows.Err()
}
