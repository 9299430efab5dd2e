package integration

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/change"
)

// How much happens. A round ends in a quiet point.
const (
	convergenceRounds       = 6
	convergenceWriters      = 4
	convergenceTransactions = 60 // of each writer in a round
	convergenceClients      = 36
)

// convergence is a run: random writers, and clients of random users who come and go.
type convergence struct {
	db      *database
	relay   *relay
	random  *rand.Rand
	conn    *pgx.Conn
	oracle  *oracle
	clients []*convergenceClient

	// For the audit: what clients got, and was lost before an id followed; snapshot rows
	// by audience.
	ended       []*span
	loose       []span
	snapshotted map[string]map[string]bool
	journals    map[string]*journal
	commits     map[uint32]change.LSN

	events, resets, reasons                     map[string]int
	reconnects, snapshots, snapshotRows, ends   int
	fetches, quiet, compared, rows, become, out int
	audited, alike                              int
}

// Whatever happens to rows, and to the connections: at every quiet point each client's view,
// which it has built by its events alone, is what SQL says of its user. And no event was sent that
// was not due, twice, in another order, or torn off its transaction: the journal that triggers
// wrote has the rows as they were at each commit, and Postgres judges them by rules that were
// written in SQL by hand.
func TestConvergence(t *testing.T) {
	t.Parallel()
	seed := testSeed(t)
	c := newConvergence(t, seed)
	var writers []*convergenceWriter
	for i := range convergenceWriters {
		writers = append(writers, newConvergenceWriter(t, c.db, seed, uint64(i)))
	}
	for round := range convergenceRounds {
		c.round(t, writers, round)
		if t.Failed() {
			return
		}
	}
	c.auditAll(t)
	c.report(t, writers)
}

func newConvergence(t *testing.T, seed uint64) *convergence {
	t.Helper()
	db := newDatabase(t, convergenceSQL()...)
	c := &convergence{db: db, random: rand.New(rand.NewPCG(seed, 1)), conn: db.conn(t),
		snapshotted: map[string]map[string]bool{}, events: map[string]int{}, resets: map[string]int{}, reasons: map[string]int{}}
	c.relay = startRelay(t, db, convergenceConfig())
	c.oracle = newOracle(t, db)
	for range convergenceClients {
		c.join(t)
	}
	return c
}

// join adds a client with a random user and random channels.
func (c *convergence) join(t testing.TB) {
	t.Helper()
	cl := &convergenceClient{test: c, number: len(c.clients), user: randomUser(c.random), audiences: map[string]audienceKey{}}
	for len(cl.audiences) == 0 || c.random.IntN(2) == 0 {
		ch := pick(c.random, convergenceChannels)
		a := audienceKey{channel: ch, user: cl.user}
		if ch.params > 0 {
			a.param = 1 + c.random.Int64N(ch.params)
		}
		if a.allowed() {
			cl.audiences[a.name()] = a
		}
	}
	cl.connect(t)
	c.clients = append(c.clients, cl)
}

// round writes while clients come and go, and compares when all is quiet.
func (c *convergence) round(t *testing.T, writers []*convergenceWriter, round int) {
	t.Helper()
	done, failed := startWriting(t, writers, convergenceTransactions)
	for busy := true; busy; {
		select {
		case <-done:
			busy = false
		default:
			c.disturb(t)
		}
	}
	if err := failed(); err != nil {
		t.Fatal(err)
	}
	if round == convergenceRounds/2 {
		c.relay.kill9(t)
		c.relay.start(t)
		c.relay.waitReady(t)
	}
	c.compareAll(t)
}

// disturb lets something happen to one client.
func (c *convergence) disturb(t *testing.T) {
	t.Helper()
	cl := pick(c.random, c.clients)
	n := c.random.IntN(100)
	switch {
	case cl.away && n < 90:
	case cl.away || n < 8:
		cl.comeBack(t)
	case n < 10:
		cl.cut()
		cl.away = true
	case n < 13:
		cl.startAfresh(t)
	case n < 17:
		c.change(t, cl)
	default:
		cl.drain(t, 1+c.random.IntN(40))
	}
}

// change lets a client go on with other claims, unless these refuse it.
func (c *convergence) change(t *testing.T, cl *convergenceClient) {
	t.Helper()
	u := randomUser(c.random)
	for _, a := range cl.audiences {
		a.user = u
		if !a.allowed() {
			c.out++
			return
		}
	}
	c.become++
	cl.becomes(t, u)
}

// compareAll waits until every client that is there has all that was committed, and compares
// their views with the tables.
func (c *convergence) compareAll(t *testing.T) {
	t.Helper()
	c.quiet++
	end := c.db.walEnd(t)
	c.mark(t)
	want := map[string]rowView{}
	for _, cl := range c.clients {
		if cl.away {
			continue
		}
		cl.follow(t, end)
		for name, a := range cl.audiences {
			if want[a.String()] == nil {
				want[a.String()] = c.selected(t, a)
			}
			mayMiss := ""
			if a.channel.table == "tasks" || a.channel.table == "messages" {
				mayMiss = convergenceToast[a.channel.table]
			}
			c.compared++
			c.rows += len(want[a.String()])
			if diff := cl.views[name].differ(want[a.String()], mayMiss); diff != nil {
				t.Errorf("quiet point %d, client %d: %s\n%s", c.quiet, cl.number, a, diff)
			}
		}
	}
}

// mark sends a message on each channel that somebody has, so that nobody has to wait for a
// heartbeat.
func (c *convergence) mark(t *testing.T) {
	t.Helper()
	names := map[string]bool{}
	for _, cl := range c.clients {
		for name := range cl.audiences {
			names[name] = true
		}
	}
	if _, err := c.conn.Exec(t.Context(), `select pg_logical_emit_message(true, 'walrelay:'||name, '"quiet"') from unnest($1::text[]) name`,
		slices.Collect(maps.Keys(names))); err != nil {
		t.Fatal(err)
	}
}

// fetch is what a page does that has no snapshot: it reads the rows itself, once all is
// visible that was committed before.
func (c *convergence) fetch(t testing.TB, a audienceKey) rowView {
	t.Helper()
	c.fetches++
	running := "select array_agg(transactionid::text) from pg_locks where locktype = 'transactionid' and mode = 'ExclusiveLock'"
	var xids []string
	if err := c.conn.QueryRow(t.Context(), running).Scan(&xids); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		var left []string
		if err := c.conn.QueryRow(t.Context(), running+" and transactionid::text = any($1)", xids).Scan(&left); err != nil {
			t.Fatal(err)
		}
		if len(left) > 0 {
			return fmt.Sprintf("transactions %v still run", left)
		}
		return ""
	})
	return c.selected(t, a)
}

// selected is what SQL says of an audience.
func (c *convergence) selected(t testing.TB, a audienceKey) rowView {
	t.Helper()
	query := fmt.Sprintf("select to_jsonb(r)::text from %s r where %s", a.channel.table, a.where())
	rows, err := c.conn.Query(t.Context(), query)
	if err != nil {
		t.Fatalf("%v\n%s", err, query)
	}
	defer rows.Close()
	out := rowView{}
	for rows.Next() {
		var text []byte
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		row := rowOf(t, text)
		out[row.only(a.channel.keys()...).String()] = row.only(a.channel.sent()...)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%v\n%s", err, query)
	}
	return out
}

// shown notes a row of a snapshot.
func (c *convergence) shown(a audienceKey, row seenRow) {
	key := a.String()
	if c.snapshotted[key] == nil {
		c.snapshotted[key] = map[string]bool{}
	}
	c.snapshotted[key][row.String()] = true
}

// report logs how much happened, and fails if too little did.
func (c *convergence) report(t *testing.T, writers []*convergenceWriter) {
	t.Helper()
	var commits, rollbacks, truncates int
	for _, w := range writers {
		commits, rollbacks, truncates = commits+w.commits, rollbacks+w.rollbacks, truncates+w.truncates
	}
	t.Logf("%d commits, %d rollbacks, %d truncates; %d clients: %d reconnects, %d snapshots with %d rows, %d fetches, %d users changed (%d channels noticed nothing, %d were refused), %d streams ended by walrelay",
		commits, rollbacks, truncates, len(c.clients), c.reconnects, c.snapshots, c.snapshotRows, c.fetches, c.become, c.alike, c.out, c.ends)
	for _, line := range c.relay.stderr.lines() {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") {
			t.Log(line)
		}
	}
	t.Logf("events %v, resets %v, ends %v; %d quiet points, %d views with %d rows compared; %d events audited in %d spans", c.events, c.resets, c.reasons, c.quiet, c.compared, c.rows, c.audited, len(c.ended))
	for what, n := range map[string]int{"snapshots": c.snapshots, "reconnects": c.reconnects, "truncates": c.resets["truncate"], "changes of users": c.become,
		"inserts": c.events["insert"], "updates": c.events["update"], "deletes": c.events["delete"], "rows at quiet points": c.rows} {
		if n == 0 {
			t.Errorf("no %s: the test tells nothing", what)
		}
	}
}
