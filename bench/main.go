// Bench measures walrelay against Postgres' own consumer, in one run on one machine,
// and prints ratios:
//
//	go run ./bench [-only bulk,small,latency,users,revoke,storm,fanout,peerstorm] [-rounds 3] [-rows 1000000] [-tx 200000] [-latency 15s]
//		[-users 10000] [-changes 300000] [-sessions 2000] [-touches 2000] [-logouts 300] [-connections 5000] [-missed 100000] [-shared 200] [-rate 500] [-calm 5s] [-profiles DIR]
//		[-n 1000,5000] [-duration 3s] [-servers floor,nchan,walrelay] [-loads single,burst,saturated] [-window 16] [-foreign 0.1]
//
// It starts a throw-away cluster and builds walrelay itself.
//
//   - bulk: one transaction of -rows rows, from the start of the process to the last
//     event at one SSE subscriber, against pg_recvlogical --plugin=pgoutput -f /dev/null
//     on a copy of the same slot;
//   - small: -tx transactions of one row, the same way;
//   - latency: from the commit to the event at one subscriber, at 100 tx/s, against the receipt of the
//     same rows by a bare replication consumer;
//   - users: from the WAL to the frames of -users users who see their own rows, against 10
//     users, with the same -changes, each of which goes to one of them. In one process,
//     without HTTP. Every user must get its rows, and no more;
//   - revoke: -sessions streams of signed-in users are open, of ten times as many sessions in
//     the table, while the application touches rows of it at random -touches times a second:
//     from a logout (by turns a DELETE and an UPDATE) to the end of its stream at the client,
//     -logouts times. After each, a row of its user is committed: the bench fails where a
//     client gets one, or is ended without a logout;
//   - storm: -connections SSE clients drop at once, -missed changes happen while they
//     are away, all come back at once with their last ids while -rate rows a second
//     flow: time and CPU until all have what they missed, against one client that
//     comes back over the same changes. Once with a channel for each client, once with
//     one for all of which each misses -shared rows. Every client checks that it gets
//     every row once, in order; the bench fails where that is not so;
//   - fanout: each event goes to all of -n clients (1,000 and 5,000): walrelay with Postgres as its
//     source, a bare epoll server that writes each event as it comes (the floor) and nchan, where
//     it is installed, side by side: events per CPU second of the server, under 50 messages a second,
//     60 in groups of 10 (transactions of 10 rows), and as many as are delivered. Every client checks
//     that it gets every message once, in order;
//   - peerstorm: -connections clients of walrelay and of nchan drop at once and come back with their last
//     ids, while 10 messages a second flow: time until all have what they missed.
//
// These run only when -only names them, and fail where a limit is not kept:
//
//   - soak [-soak 30m] [-load 0.5] [-soak-rate 0] [-soak-clients 1000]: a long time at a part of what the
//     machine can, with clients that stay and others that come and go (closed tabs, HTTP/1 and HTTP/2,
//     long polls, naps, clients that never read, sign-ins and logouts), each of which checks what it gets:
//     whether memory, goroutines and descriptors stay the same, and go when all have gone;
//   - idle [-idle 10000] [-idle-kinds public,response,h2c,sessions]: PSS of an idle connection, and what of
//     the heap it is;
//   - slow [-healthy 1000] [-stalled 1000] [-slow-for 15s]: COMMIT to event at clients that read, alone and
//     beside 1 and -stalled clients that never do, until these are ended; memory meanwhile;
//   - usershttp [-users 10000] [-http-changes 200000]: changes a second with -users users against 10, each with a
//     session and a stream, the same rows committed as fast as Postgres goes.
//
// Both consumers of bulk, small and users read WAL that is already there. Compare within one
// run only: the machine's speed drifts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/walrelay/walrelay/pgtemp"
)

type settings struct {
	only                              string // names of measurements
	rows, tx, rounds                  int
	latency                           time.Duration
	users, changes                    int
	sessions, touches, logouts        int
	connections, missed, shared, rate int
	calm                              time.Duration
	profiles                          string
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == floorCommand {
		exitOn(serveFloor(os.Args[2], int(os.Stdin.Fd())))
		return
	}
	if len(os.Args) == 3 && os.Args[1] == responseCommand {
		exitOn(serveResponses(os.Args[2]))
		return
	}
	var s settings
	flag.IntVar(&s.rows, "rows", 1_000_000, "rows of the one large transaction")
	flag.IntVar(&s.tx, "tx", 200_000, "transactions of one row")
	flag.IntVar(&s.rounds, "rounds", 3, "rounds; medians are printed")
	flag.DurationVar(&s.latency, "latency", 15*time.Second, "length of the latency measurement")
	flag.StringVar(&s.only, "only", names(func(m measurement) bool { return m.usual }), "what to measure, of "+names(func(measurement) bool { return true }))
	flag.IntVar(&s.users, "users", 10_000, "users with rows of their own")
	flag.IntVar(&s.changes, "changes", 300_000, "changes of their rows")
	flag.IntVar(&s.sessions, "sessions", 2000, "sessions with a stream, of ten times as many")
	flag.IntVar(&s.touches, "touches", 2000, "rows of sessions that are updated each second")
	flag.IntVar(&s.logouts, "logouts", 300, "sessions that are revoked, at most -sessions")
	flag.IntVar(&s.connections, "connections", 5000, "clients of the storm")
	flag.IntVar(&s.missed, "missed", 100_000, "changes while the storm's clients are away")
	flag.IntVar(&s.shared, "shared", 200, "how many of them are in the channel that all clients share")
	flag.IntVar(&s.rate, "rate", 500, "rows a second during the storm, at least 100")
	flag.DurationVar(&s.calm, "calm", 5*time.Second, "time before the storm")
	flag.StringVar(&s.profiles, "profiles", "", "directory for CPU profiles of the storms and the users; none by default")
	for _, m := range measurements {
		if m.options != nil {
			m.options.flags(flag.CommandLine)
		}
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exitOn(bench(ctx, s))
}

// floorCommand makes this program the server that others are compared with: see floor.
const floorCommand = "floor-server"

func exitOn(err error) {
	if err != nil {
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
	if err := s.check(); err != nil {
		return err
	}
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
	return l.measureAll(ctx)
}

// measureAll runs what -only names, in the order of the table.
func (l *lab) measureAll(ctx context.Context) error {
	for _, m := range measurements {
		if slices.Contains(strings.Split(l.only, ","), m.name) {
			if err := m.run(l, ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// check finds settings that would measure nothing, or something else.
func (s settings) check() error {
	for name := range strings.SplitSeq(s.only, ",") {
		i := slices.IndexFunc(measurements, func(m measurement) bool { return m.name == name })
		if i < 0 {
			return fmt.Errorf("-only: %q is no measurement here; name some of %s", name, names(func(measurement) bool { return true }))
		}
		if o := measurements[i].options; o != nil {
			if err := o.check(); err != nil {
				return err
			}
		}
	}
	if s.rounds < 1 || s.rows < 1 || s.tx < 1 || s.connections < 1 || s.missed < 1 || s.shared < 1 || s.rate < 100 || s.users < few || s.changes < 1 {
		return errors.New("-users must be at least 10, -rounds, -rows, -tx, -changes, -connections, -missed and -shared at least 1, -rate at least 100")
	}
	if s.logouts < 1 || s.logouts > s.sessions || s.touches < 0 {
		return errors.New("-logouts must be at least 1 and at most -sessions, -touches not negative")
	}
	return nil
}

func (l *lab) bulk(ctx context.Context) error {
	return l.ingest(ctx, "bulk", l.rows, fmt.Sprintf(`insert into items(user_id,status,price,payload)
		select i%%1000,'open',(i%%9999)/100.0,rpad('row '||i,100,'x') from generate_series(1,%d) i`, l.rows))
}

func (l *lab) small(ctx context.Context) error {
	return l.ingest(ctx, "small", l.tx, fmt.Sprintf(`do $$ begin for i in 1..%d loop
		insert into items(user_id,status,price,payload) values (i%%1000,'new',9.99,rpad('row '||i,100,'x')); commit; end loop; end $$`, l.tx))
}

func median[T int64 | float64 | time.Duration](v []T) T {
	slices.Sort(v)
	return v[len(v)/2]
}
