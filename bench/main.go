// Bench measures walrelay against Postgres' own consumer, in one run on one machine,
// and prints ratios:
//
//	go run ./bench [-rows 1000000] [-tx 200000] [-rounds 3] [-latency 15s]
//
// It starts a throw-away cluster and builds walrelay itself.
//
//   - bulk: one transaction of -rows rows, from the start of the process to the last
//     event at one SSE subscriber, against pg_recvlogical --plugin=pgoutput -f /dev/null
//     on a copy of the same slot;
//   - small: -tx transactions of one row, the same way;
//   - latency: from the return of COMMIT to the event at one subscriber, at 100 tx/s.
//
// Both consumers read WAL that is already there. Compare within one run only: the
// machine's speed drifts.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"time"

	"github.com/walrelay/walrelay/pgtemp"
)

type settings struct {
	rows, tx, rounds int
	latency          time.Duration
}

func main() {
	var s settings
	flag.IntVar(&s.rows, "rows", 1_000_000, "rows of the one large transaction")
	flag.IntVar(&s.tx, "tx", 200_000, "transactions of one row")
	flag.IntVar(&s.rounds, "rounds", 3, "rounds; medians are printed")
	flag.DurationVar(&s.latency, "latency", 15*time.Second, "length of the latency measurement")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := bench(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// lab is what all measurements share.
type lab struct {
	settings
	cluster *pgtemp.Cluster
	dir     string
	binary  string
}

func bench(ctx context.Context, s settings) (err error) {
	l := &lab{settings: s}
	if l.dir, err = os.MkdirTemp("", "walrelay-bench"); err != nil {
		return err
	}
	defer os.RemoveAll(l.dir)
	l.binary = filepath.Join(l.dir, "walrelay")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", l.binary, ".").CombinedOutput(); err != nil {
		return fmt.Errorf("build walrelay (run bench from the project's root): %w\n%s", err, out)
	}
	l.cluster, err = pgtemp.Start(ctx, pgtemp.Options{Settings: map[string]string{
		"shared_buffers": "512MB", "max_wal_size": "8GB", "autovacuum": "off", "synchronous_commit": "off"}})
	if err != nil {
		return err
	}
	defer l.cluster.Close()
	if err := l.cluster.Exec(ctx, `create table items(id bigserial primary key, user_id int not null, status text not null,
		price numeric(10,2), payload text, updated_at timestamptz default now())`,
		`create publication bench for table items with (publish_via_partition_root = true)`); err != nil {
		return err
	}
	fmt.Printf("Postgres %d, %d rounds, medians\n", l.cluster.Version(), s.rounds)
	if err := l.ingest(ctx, "bulk", s.rows, fmt.Sprintf(`insert into items(user_id,status,price,payload)
		select i%%1000,'open',(i%%9999)/100.0,rpad('row '||i,100,'x') from generate_series(1,%d) i`, s.rows)); err != nil {
		return err
	}
	if err := l.ingest(ctx, "small", s.tx, fmt.Sprintf(`do $$ begin for i in 1..%d loop
		insert into items(user_id,status,price,payload) values (i%%1000,'new',9.99,rpad('row '||i,100,'x')); commit; end loop; end $$`, s.tx)); err != nil {
		return err
	}
	return l.latencies(ctx)
}

func median[T int64 | float64 | time.Duration](v []T) T {
	slices.Sort(v)
	return v[len(v)/2]
}
