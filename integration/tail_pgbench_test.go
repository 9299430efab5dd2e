package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/change"
)

const pgbenchChannels = `
  accounts: {table: public.pgbench_accounts, allow: public}
  tellers: {table: public.pgbench_tellers, allow: public}
  branches: {table: public.pgbench_branches, allow: public}
  history: {table: public.pgbench_history, allow: public}
`

// pgbench runs on its four tables while walrelay is killed again and again, and
// `walrelay tail` gets every committed change exactly once, in commit order. What
// was committed is told by the database: by a slot of its own, by pgbench's own
// history, by the sums, and by the tables as they are at the end.
//
// WALRELAY_TEST_PGBENCH_SECONDS sets the time (5); then walrelay is killed ten times
// instead of twice.
func TestPgbenchTail(t *testing.T) {
	t.Parallel()
	seconds, kills := 5, 2
	if text := os.Getenv("WALRELAY_TEST_PGBENCH_SECONDS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("WALRELAY_TEST_PGBENCH_SECONDS is %q, not a number of seconds", text)
		}
		seconds, kills = n, 10
	}
	db := newDatabase(t)
	runPgbench(t, db, "-i", "-s", "1", "-q").wait(t)
	db.exec(t, "alter table pgbench_history replica identity full")
	r := startRelay(t, db, settings{channels: pgbenchChannels}.yaml())
	o := newOracle(t, db)
	// Its output goes to a file: there is much of it.
	output := filepath.Join(t.TempDir(), "tail")
	cmd := r.command(t, "-c", `exec "$0" "$@" >"$OUTPUT"`, walrelay(t), "tail", "-c", r.config, "--json", "accounts", "tellers", "branches", "history")
	cmd.Path, cmd.Args[0], cmd.Env = "/bin/sh", "sh", append(cmd.Env, "OUTPUT="+output)
	tail := startProcess(t, cmd)
	tail.stderr.waitFor(t, "^tail: live at ")

	bench := runPgbench(t, db, "-n", "-c", "4", "-T", strconv.Itoa(seconds))
	pace := time.NewTicker(time.Duration(seconds) * time.Second / time.Duration(kills+1))
	defer pace.Stop()
	for range kills {
		<-pace.C
		r.kill9(t)
		r.start(t)
		r.waitReady(t)
	}
	got := bench.wait(t)
	if got.code != 0 {
		t.Fatalf("pgbench: exit code %d: %s", got.code, got.stderr)
	}
	transactions := pgbenchCount(t, got.stdout)
	db.exec(t, "insert into pgbench_history (tid, bid, aid, delta) values (-1, -1, -1, 0)") // the last row
	events := benchEvents(t, output)
	checkBenchOrder(t, o.read(t), events)
	checkBenchSums(t, db, events, transactions)
	checkBenchTables(t, db, events)
	t.Logf("%d transactions of pgbench in %d s, %d kills, %d events, each once and in commit order", transactions, seconds, kills, len(events))
	for _, line := range tail.stderr.lines() {
		t.Log(line)
	}
}

// runPgbench starts pgbench, that of the machine: servers of other versions come
// without.
func runPgbench(t *testing.T, db *database, args ...string) *process {
	t.Helper()
	path, err := exec.LookPath("pgbench")
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pgbench"); err != nil && len(found) > 0 {
		path, err = found[len(found)-1], nil
	}
	if err != nil {
		t.Fatalf("pgbench is missing; install it with `sudo apt-get install postgresql-contrib` (or postgresql): %v", err)
	}
	return startProcess(t, exec.Command(path, append(args, db.url())...))
}

// pgbenchCount is how many transactions pgbench says that it committed.
func pgbenchCount(t *testing.T, report string) (n int) {
	t.Helper()
	for line := range strings.Lines(report) {
		if _, err := fmt.Sscanf(line, "number of transactions actually processed: %d", &n); err == nil {
			return n
		}
	}
	t.Fatalf("pgbench does not say how many transactions it committed:\n%s", report)
	return 0
}

// benchEvent is what the checks need of one line of tail.
type benchEvent struct {
	ID      string
	Channel string
	Op      string
	Row     struct {
		Aid, Tid, Bid                int
		Abalance, Tbalance, Bbalance int
		Delta                        int
	}
	Tx struct{ XID uint32 }

	at change.Position
}

// benchEvents reads what tail wrote, up to the last row.
func benchEvents(t *testing.T, path string) (events []benchEvent) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	in := bufio.NewReaderSize(file, 1<<20)
	var line []byte
	for deadline := time.Now().Add(4 * patience); time.Now().Before(deadline); {
		part, err := in.ReadBytes('\n')
		line = append(line, part...)
		switch {
		case err == io.EOF: // tail has not written more yet
			time.Sleep(20 * time.Millisecond)
			continue
		case err != nil:
			t.Fatal(err)
		}
		var e benchEvent
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		e.at = positionOf(t, e.ID)
		events, line = append(events, e), line[:0]
		if e.Row.Tid == -1 {
			return events
		}
	}
	t.Fatalf("the last row has not come; %d events have", len(events))
	return nil
}

// checkBenchOrder compares with what the database's own slot has recorded, change by
// change.
func checkBenchOrder(t *testing.T, want []recorded, got []benchEvent) {
	t.Helper()
	for i := range max(len(want), len(got)) {
		if i >= len(want) || i >= len(got) {
			t.Fatalf("%d events, the database recorded %d changes", len(got), len(want))
		}
		w, g := want[i], got[i]
		if g.at != w.at || g.Tx.XID != w.xid || g.Op != w.op || "pgbench_"+g.Channel != w.table {
			t.Fatalf("event %d is %s %s at %v in transaction %d, the database recorded %s %s at %v in transaction %d",
				i, g.Op, g.Channel, g.at, g.Tx.XID, w.op, w.table, w.at, w.xid)
		}
		if i > 0 && !got[i-1].at.Less(g.at) {
			t.Fatalf("event %d: %v comes after %v", i, g.at, got[i-1].at)
		}
	}
}

// checkBenchSums checks what pgbench's transactions do: each changes one account,
// teller and branch by the delta that it writes to the history.
func checkBenchSums(t *testing.T, db *database, events []benchEvent, transactions int) {
	t.Helper()
	events = events[:len(events)-1] // without the last row, which is ours
	if len(events) != 4*transactions {
		t.Fatalf("%d events of %d transactions, want four each", len(events), transactions)
	}
	accounts, tellers, branches := map[int]int{}, map[int]int{}, map[int]int{}
	sum := 0
	for i := 0; i < len(events); i += 4 {
		a, l, b, h := events[i], events[i+1], events[i+2], events[i+3]
		for n, e := range events[i : i+4] {
			if want := []string{"accounts", "tellers", "branches", "history"}[n]; e.Channel != want || e.Tx.XID != a.Tx.XID {
				t.Fatalf("transaction %d: change %d is of %s in transaction %d", a.Tx.XID, n, e.Channel, e.Tx.XID)
			}
		}
		delta := h.Row.Delta
		accounts[a.Row.Aid] += delta
		tellers[l.Row.Tid] += delta
		branches[b.Row.Bid] += delta
		sum += delta
		if a.Row.Aid != h.Row.Aid || a.Row.Abalance != accounts[a.Row.Aid] || l.Row.Tbalance != tellers[l.Row.Tid] || b.Row.Bbalance != branches[b.Row.Bid] {
			t.Fatalf("transaction %d: the balances do not follow from the ones before: %+v %+v %+v %+v", a.Tx.XID, a.Row, l.Row, b.Row, h.Row)
		}
	}
	got := db.value(t, `select format('%s %s %s %s %s', (select count(*) from pgbench_history where tid > 0), (select sum(delta) from pgbench_history),
		(select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers), (select sum(bbalance) from pgbench_branches))`)
	if want := fmt.Sprintf("%d %d %d %d %d", transactions, sum, sum, sum, sum); got != want {
		t.Errorf("the database has %s (rows of history, sums of delta and of the balances), the events give %s", got, want)
	}
}

// checkBenchTables rebuilds the tables from the events.
func checkBenchTables(t *testing.T, db *database, events []benchEvent) {
	t.Helper()
	accounts := map[int]int{}
	history := map[[4]int]int{}
	for _, e := range events {
		switch e.Channel {
		case "accounts":
			accounts[e.Row.Aid] = e.Row.Abalance
		case "history":
			history[[4]int{e.Row.Tid, e.Row.Bid, e.Row.Aid, e.Row.Delta}]++
		}
	}
	conn := db.conn(t)
	rows, err := conn.Query(t.Context(), "select aid, abalance from pgbench_accounts")
	if err != nil {
		t.Fatal(err)
	}
	var aid, balance int
	if _, err := pgx.ForEachRow(rows, []any{&aid, &balance}, func() error {
		if accounts[aid] != balance { // those that no event named are 0
			return fmt.Errorf("account %d has %d, the events give %d", aid, balance, accounts[aid])
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	rows, err = conn.Query(t.Context(), "select tid, bid, aid, delta from pgbench_history")
	if err != nil {
		t.Fatal(err)
	}
	var row [4]int
	if _, err := pgx.ForEachRow(rows, []any{&row[0], &row[1], &row[2], &row[3]}, func() error {
		history[row]--
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for row, n := range history {
		if n != 0 {
			t.Fatalf("history row %v: %d more in the events than in the table", row, n)
		}
	}
}
