package integration

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/channel"
	"github.com/walrelay/walrelay/eventlog"
	"github.com/walrelay/walrelay/fault"
	"github.com/walrelay/walrelay/pgtemp"
)

// arm says what is to happen to the next process that is started, see package
// fault; "" for nothing.
func (r *relay) arm(plan string) { r.env = append(r.env, "WALRELAY_FAULT="+plan) }

// armed is a point and the number of times that it is to be reached.
type armed struct {
	point fault.Point
	times int
}

func (p armed) String() string { return fmt.Sprintf("%s:%d", p.point, p.times) }

// with is the plan for package fault.
func (p armed) with(action string) string { return action + ":" + p.String() }

// wantKilled waits for the end of a process that must come by SIGKILL: the point it
// was armed for was reached.
func (r *relay) wantKilled(t testing.TB) {
	t.Helper()
	r.wait(t)
	if status, ok := r.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		t.Fatalf("walrelay was to be killed where it was armed, but: %v\n%s", r.cmd.ProcessState, r.stderr)
	}
}

// restless is a faultRun's log: segments of 256 KiB, the oldest goes when there are
// 4 MiB.
const restless = "max_bytes: 4MiB"

// maxBehind is how much WAL, in bytes, the writers of a faultRun write beyond the
// slowest subscriber, so that the retention of a restless log never passes one.
const maxBehind = 3 << 19

// faultRun is a database that is written to all the time, a walrelay to be ended in
// any way, subscribers that always come back, and the database's own account.
type faultRun struct {
	db        *database
	relay     *relay
	oracle    *oracle
	writers   *writers
	followers []*returning
	following sync.WaitGroup
	target    atomic.Uint64 // of the followers
	// confirmed is the slot's, when afterDeath looked last. It must not go back.
	confirmed change.LSN
}

// newFaultRun starts everything. prepare may change the relay before its first start.
func newFaultRun(t *testing.T, seed uint64, prepare func(*relay)) *faultRun {
	t.Helper()
	db := newDatabaseOn(t, newCluster(t, pgtemp.Options{}), resumeTables, "alter table notes alter body set storage plain")
	u := &faultRun{db: db, relay: newRelay(t, db, settings{http: "heartbeat: 100ms, limits: {queue: 64KiB}", log: restless, channels: resumeChannels}.yaml())}
	prepare(u.relay)
	u.relay.start(t)
	u.relay.waitReady(t)
	u.oracle = newOracle(t, db)
	t.Cleanup(u.following.Wait)
	for i := range 8 {
		u.follow(t, newReturning(u.relay, rand.New(rand.NewPCG(seed, uint64(i))), i < 3))
	}
	u.write(t, seed)
	return u
}

// follow subscribes for the first time, and from then on in the background.
func (u *faultRun) follow(t *testing.T, f *returning) {
	t.Helper()
	f.target = &u.target
	if err := f.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.publish()
	u.followers = append(u.followers, f)
	u.following.Go(func() { f.follow(t.Context()) })
	t.Cleanup(func() { // says why, where the test only says that nothing moves any more
		if _, err := f.seen(); err != nil && t.Failed() {
			t.Logf("%s: %v", f.client.path, err)
		}
	})
}

// write starts two writers of small transactions and one of large ones.
func (u *faultRun) write(t *testing.T, seed uint64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	u.writers = &writers{cancel: cancel, grown: make(chan struct{}, 1)}
	for i := range 3 {
		conn := u.db.conn(t)
		random := rand.New(rand.NewPCG(seed, uint64(10000+i)))
		transaction, pause := func() error {
			return randomTransaction(t.Context(), conn, random, func() string { return randomChange(random, i, 2) })
		}, 6
		if i == 2 {
			transaction, pause = func() error { return largeTransaction(t.Context(), conn, random) }, 200
		}
		u.writers.wg.Go(func() {
			for u.awaitSlowest(ctx, conn) && u.writers.count(transaction()) {
				time.Sleep(time.Duration(random.IntN(pause)) * time.Millisecond)
			}
		})
	}
	t.Cleanup(func() { cancel(); u.writers.wg.Wait() })
}

// count takes the end of a transaction and tells whether to go on.
func (w *writers) count(err error) bool {
	if errors.Is(err, errTakeBack) {
		return true
	}
	if err != nil {
		w.failed.CompareAndSwap(nil, &err)
		w.cancel()
		return false
	}
	w.committed.Add(1)
	select {
	case w.grown <- struct{}{}:
	default:
	}
	return true
}

// awaitSlowest waits until the slowest follower is close enough; false when ctx has
// ended.
func (u *faultRun) awaitSlowest(ctx context.Context, conn *pgx.Conn) bool {
	for ctx.Err() == nil {
		var end int64
		if err := conn.QueryRow(context.WithoutCancel(ctx), "select pg_current_wal_insert_lsn() - '0/0'").Scan(&end); err != nil {
			return u.writers.count(fmt.Errorf("ask how far the WAL goes: %w", err))
		}
		slowest := change.LSN(end)
		for _, f := range u.followers {
			slowest = min(slowest, f.position().Commit)
		}
		if change.LSN(end)-slowest < maxBehind {
			return true
		}
		time.Sleep(5 * time.Millisecond)
	}
	return false
}

// largeTransaction is one of several batches: 100 to 250 rows of 4 kB come, a part of
// them changes, and some of an earlier one go. The text does not compress.
func largeTransaction(ctx context.Context, conn *pgx.Conn, random *rand.Rand) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		n := 100 + random.IntN(150)
		for _, sql := range []string{
			"delete from notes where id >= 1000 and id % 3 = 0",
			fmt.Sprintf(`insert into notes select n, 0, (select string_agg(md5(random()::text), '') from generate_series(1, 125) where n > 0)
			               from generate_series(1000, %d) n on conflict (id) do update set body = excluded.body, item = notes.item + 1`, 1000+n),
			fmt.Sprintf("update notes set item = item + 1 where id between 1000 and %d", 1000+n/4),
		} {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return nil
	})
}

// returning is a follower whose position others may ask for at any time.
type returning struct {
	*follower
	steady bool // is only cut off when walrelay ends

	mu      sync.Mutex
	at      change.Position // of lastID
	readies int             // connections on which it was told that it goes on where it was
	gaveUp  error
}

// newReturning has channels chosen at random; a steady one has all rows.
func newReturning(r *relay, random *rand.Rand, steady bool) *returning {
	f := newFollower(r, random)
	if steady {
		f.channels = []*oracleChannel{
			{name: "items", table: "items", columns: []string{"id", "room", "body"}},
			{name: "notes", table: "notes", columns: []string{"id", "item", "body"}},
		}
		f.client = newRawClient(r.streamURL("items", "notes"))
	}
	return &returning{follower: f, steady: steady}
}

// follow comes back until it is complete up to the target.
func (f *returning) follow(ctx context.Context) {
	for f.err == nil && ctx.Err() == nil {
		limit := unlimited
		if !f.steady && f.target.Load() == 0 && f.random.IntN(3) > 0 {
			limit = f.random.IntN(200_000)
		}
		f.held = nil
		err := f.client.read(ctx, f.lastID, limit, func(in frame) bool {
			in.data = shortened(in.data)
			more := f.frame(in)
			f.publish()
			if in.event == "ready" && more {
				f.mu.Lock()
				f.readies++
				f.mu.Unlock()
			}
			return more
		})
		f.resumes++
		if f.done() {
			return
		}
		if err != nil && !errors.Is(err, errCut) {
			time.Sleep(time.Duration(f.random.IntN(50)) * time.Millisecond) // walrelay is away
		}
	}
}

// shortened has a checksum in place of a long body: comparing and keeping all of it,
// with the race detector, would be most of what the test does.
func shortened(data string) string {
	before, rest, found := strings.Cut(data, `"body":"`)
	body, after, _ := strings.Cut(rest, `"`)
	if !found || len(body) < 1000 {
		return data
	}
	return before + `"body":"` + digest(body) + `"` + after
}

// digest is what shortened has of a long body.
func digest(body string) string {
	if len(body) < 1000 {
		return body
	}
	return fmt.Sprintf("%s %d %08x", body[:8], len(body), crc32.ChecksumIEEE([]byte(body)))
}

// publish makes known where the follower is.
func (f *returning) publish() {
	id, err := channel.ParseEventID(f.lastID)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at, f.gaveUp = id.At, errors.Join(f.err, err)
}

// seen is how far the follower is, and why it gave up if it did.
func (f *returning) seen() (change.Position, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at, f.gaveUp
}

// position is that of seen.
func (f *returning) position() change.Position {
	at, _ := f.seen()
	return at
}

// resumed is how often the follower was told that it goes on where it was.
func (f *returning) resumed() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.readies
}

// ahead are the followers that have seen what comes after a position.
func (u *faultRun) ahead(of change.Position) (out []*returning) {
	for _, f := range u.followers {
		if of.Less(f.position()) {
			out = append(out, f)
		}
	}
	return out
}

// holdPublished starts walrelay, keeps a batch from the disk until a subscriber has
// seen all of it, and ends walrelay with end, which gives what the log has then. It
// returns the subscribers that are ahead of it.
func (u *faultRun) holdPublished(t *testing.T, random *rand.Rand, end func() eventlog.Bounds) []*returning {
	t.Helper()
	for range 5 { // the batch may be one without changes, which only moves the WAL end
		u.relay.arm(armed{fault.Published, 1 + random.IntN(20)}.with("hold"))
		u.relay.start(t)
		u.relay.stderr.waitFor(t, "held at published")
		var state struct{ Log struct{ Last string } }
		_, body := u.relay.admin(t, "/readyz")
		frame{data: body}.decode(t, &state)
		last := positionOf(t, state.Log.Last)
		eventually(t, func() string {
			for _, f := range u.followers {
				if !f.position().Less(last) {
					return ""
				}
			}
			return fmt.Sprintf("no client has come to %s, the end of what is published", last)
		})
		if out := u.ahead(end().Last); len(out) > 0 {
			return out
		}
	}
	t.Fatal("no client came ahead of the log")
	return nil
}

// loud is what a walrelay must not say that only went on where it was.
var loud = regexp.MustCompile(`(?m)^.*(level=ERROR|cannot be continued|reason=gap).*$`)

// afterDeath looks at the slot and at the log of a walrelay that has ended: nothing
// was confirmed to Postgres that the log does not have, the log is whole, nobody
// has lost anything. when says when for the message.
func (u *faultRun) afterDeath(t testing.TB, when string) eventlog.Bounds {
	t.Helper()
	u.db.waitSlotFree(t)
	confirmed := u.db.confirmed(t)
	b, err := lookAtLog(t, u.relay.logDir)
	switch {
	case err != nil:
		t.Fatalf("%s: the log that is left: %v", when, err)
	case b.Durable < confirmed:
		t.Fatalf("%s: the slot is confirmed up to %s, the log has only what is before %s", when, confirmed, b.Durable)
	case b.Lineage.Generation != 1:
		t.Fatalf("%s: the log is in generation %d, it must still be the first", when, b.Lineage.Generation)
	case confirmed < u.confirmed:
		t.Fatalf("%s: the slot was confirmed up to %s and is back at %s", when, u.confirmed, confirmed)
	}
	u.confirmed = confirmed
	if line := loud.FindString(u.relay.stderr.String()); line != "" {
		t.Fatalf("%s: walrelay had said: %s", when, line)
	}
	for _, f := range u.followers {
		if _, err := f.seen(); err != nil {
			t.Fatalf("%s: %s: %v", when, f.client.path, err)
		}
	}
	return b
}

// lookAtLog opens a copy of a log that nobody writes to and reads all of it. A
// directory that does not exist is a log that was never begun.
func lookAtLog(t testing.TB, dir string) (eventlog.Bounds, error) {
	t.Helper()
	aside, err := os.MkdirTemp(sharedDir(t), "log-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(aside)
	if err := os.CopyFS(aside, os.DirFS(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	l, err := eventlog.Open(eventlog.Options{Dir: aside, TailBytes: 1, CacheBytes: -1})
	if err != nil {
		return eventlog.Bounds{}, err
	}
	defer l.Close()
	b := l.Bounds()
	for at := b.Floor; at != b.Last; {
		batch, err := l.Next(at)
		if err != nil || batch == nil {
			return b, fmt.Errorf("from %s to %s: read after %s: %w", b.Floor, b.Last, at, err)
		}
		at = batch.Last
	}
	return b, nil
}

// finish ends the writers and compares what every follower got with what the
// database recorded.
func (u *faultRun) finish(t *testing.T) {
	t.Helper()
	u.relay.arm("")
	u.relay.start(t)
	u.relay.waitReady(t)
	u.writers.wait(t, 20)
	u.writers.stop(t)
	u.target.Store(uint64(u.db.mark(t)))
	u.following.Wait()
	if line := loud.FindString(u.relay.stderr.String()); line != "" {
		t.Errorf("the last walrelay said: %s", line)
	}
	compareAll(t, u.oracle.read(t), u.followers)
	t.Logf("%d transactions written", u.writers.committed.Load())
}

// compareAll compares what followers got with what the database recorded.
func compareAll(t *testing.T, changes []recorded, followers []*returning) {
	t.Helper()
	for _, r := range changes {
		if body, ok := r.after["body"]; ok {
			r.after["body"] = digest(body)
		}
	}
	events, resumes := 0, 0
	for _, f := range followers {
		f.check(t, changes)
		events += len(f.got)
		resumes += f.resumes
	}
	if events == 0 {
		t.Error("no events were compared")
	}
	t.Logf("%d changes recorded by Postgres; compared: %d events that came to %d subscribers over %d connections", len(changes), events, len(followers), resumes)
}

// tally counts what was done at which point, over parallel subtests.
type tally struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *tally) add(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[what]++
}

// String is the sum and its parts.
func (c *tally) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	total, parts := 0, []string{}
	for _, what := range slices.Sorted(maps.Keys(c.n)) {
		total += c.n[what]
		parts = append(parts, fmt.Sprintf("%s %d", what, c.n[what]))
	}
	return fmt.Sprintf("%d (%s)", total, strings.Join(parts, ", "))
}
