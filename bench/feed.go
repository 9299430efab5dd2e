package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// feed writes rows to the table of that name: each user's rows are numbered from 1 in
// commit order, so that whoever reads them sees what is missing or doubled. Safe for
// concurrent use.
type feed struct {
	mu   sync.Mutex // held over a transaction: commits come in the order of calls
	conn *pgx.Conn
	// rows is the number of rows of each user, total their sum.
	rows  []int64
	total int64
	// pick chooses the user of the n-th row.
	pick   func(n int) int
	picked int
}

// feedTable has rows of about 200 bytes; its key is what clients look at.
const feedTable = `create table feed(user_id int, n bigint, body text not null, primary key (user_id, n))`

const feedChannels = `  feed:
    table: public.feed
    allow: public
  "user/{user_id}":
    table: public.feed
    where: row.user_id == params.user_id
    allow: public
`

// feedPrefix is how the data of a row begins on the channel of one user.
func feedPrefix(user int) string {
	return fmt.Sprintf(`{"channel":"user/%d","op":"insert","key":{"user_id":%d,"n":`, user, user)
}

func newFeed(ctx context.Context, conn *pgx.Conn, users int, pick func(n int) int) (*feed, error) {
	// Without the setting a commit waits up to 200 ms for the WAL writer before it is sent.
	_, err := conn.Exec(ctx, `truncate feed; set synchronous_commit = on`)
	return &feed{conn: conn, rows: make([]int64, users), pick: pick}, err
}

// add commits a transaction of n rows, and one more of each user in extra.
func (f *feed) add(ctx context.Context, n int, extra ...int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	users, numbers := make([]int32, 0, n+len(extra)), make([]int64, 0, n+len(extra))
	row := func(user int) {
		f.rows[user]++
		users, numbers = append(users, int32(user)), append(numbers, f.rows[user])
	}
	for range n {
		row(f.pick(f.picked))
		f.picked++
	}
	for _, user := range extra {
		row(user)
	}
	f.total += int64(len(users))
	_, err := f.conn.Exec(ctx, `insert into feed select u, n, rpad('row '||n, 100, 'x') from unnest($1::int[], $2::bigint[]) as t(u, n)`, users, numbers)
	return err
}

// count gives the rows of each user and their sum.
func (f *feed) count() (rows []int64, total int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]int64(nil), f.rows...), f.total
}

// mark gives an LSN between what was committed before and after, and the counts there.
func (f *feed) mark(ctx context.Context) (lsn string, rows []int64, total int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	err = f.conn.QueryRow(ctx, `select pg_current_wal_insert_lsn()::text`).Scan(&lsn)
	return lsn, append([]int64(nil), f.rows...), f.total, err
}

// probe is a row whose way is timed.
type probe struct{ sent, committed, arrived time.Time }

// flow adds rows at a rate until stopped, tick by tick in one transaction, and with
// each a probe: a row of a user of its own, whose client never goes away.
type flow struct {
	feed   *feed
	user   int // of the probes
	rate   int // rows a second
	every  time.Duration
	probes []probe
	stop   func() error
}

const flowTick = 10 * time.Millisecond

// startFlow starts adding; stop ends it, after which probes may be read.
func startFlow(ctx context.Context, f *feed, user, rate int) *flow {
	return startFlowEvery(ctx, flowTick, f, user, rate)
}

// startFlowEvery is startFlow with another time between two transactions.
func startFlowEvery(ctx context.Context, every time.Duration, f *feed, user, rate int) *flow {
	ctx, cancel := context.WithCancel(ctx)
	w := &flow{feed: f, user: user, rate: rate, every: every}
	ended := make(chan error, 1)
	quit := make(chan struct{})
	go func() { ended <- w.run(ctx, quit) }()
	w.stop = sync.OnceValue(func() error {
		close(quit) // a transaction that has begun is finished
		defer cancel()
		return <-ended
	})
	return w
}

func (w *flow) run(ctx context.Context, quit <-chan struct{}) error {
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	perTick := int(time.Duration(w.rate) * w.every / time.Second)
	for {
		select {
		case <-quit:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		p := probe{sent: time.Now()}
		if err := w.feed.add(ctx, max(perTick-1, 0), w.user); err != nil {
			return fmt.Errorf("add rows: %w", err)
		}
		p.committed = time.Now()
		w.probes = append(w.probes, p)
	}
}
