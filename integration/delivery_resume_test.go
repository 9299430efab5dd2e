package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/channel"
)

// The tables and channels of the resume tests. items knows whole old rows, notes
// only old keys.
const (
	resumeTables = `
		create table items (id bigint primary key, room int not null, body text);
		alter table items replica identity full;
		create table notes (id bigint primary key, item bigint, body text)`
	resumeChannels = `
  items: {table: public.items, allow: public}
  "room/{room}": {table: public.items, columns: [id, body], where: row.room == params.room, allow: public}
  notes: {table: public.notes, allow: public}
  "note/{id}": {table: public.notes, columns: [body], where: row.id == params.id, allow: public}
`
	resumeRooms = 5
	resumeKeys  = 40 // rows of each table that exist at a time, at most
)

// Fifty subscribers lose their connections at any byte, walrelay ends in every way
// and comes back, rows are written all the time, and queues are so small that they
// overflow at every burst: every subscriber gets exactly what the database recorded.
func TestResumeIsExact(t *testing.T) {
	t.Parallel()
	seed := testSeed(t)
	db := newDatabase(t, resumeTables)
	r := startRelay(t, db, settings{http: "heartbeat: 1s, limits: {queue: 2KiB}", channels: resumeChannels}.yaml())
	o := newOracle(t, db)

	followers := make([]*follower, 50)
	var following sync.WaitGroup
	t.Cleanup(following.Wait)
	var target atomic.Uint64
	for i := range followers {
		f := newFollower(r, rand.New(rand.NewPCG(seed, uint64(i))))
		f.target = &target
		if err := f.begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		followers[i] = f
		following.Go(func() { f.follow(t.Context()) })
	}
	writers := startWriters(t, db, 3, seed)
	random := rand.New(rand.NewPCG(seed, 1000))
	for i := range 6 {
		writers.wait(t, 60+random.IntN(60))
		if i%2 == 0 {
			r.kill9(t)
		} else if got := r.terminate(t); got.code != 0 {
			t.Errorf("after SIGTERM: exit code %d; last line: %s", got.code, got.lastLine)
		}
		writers.wait(t, random.IntN(30))
		r.start(t)
		r.waitReady(t)
	}
	writers.wait(t, 60)
	writers.stop(t)
	target.Store(uint64(db.mark(t)))
	following.Wait()
	overflows, passes := r.metric(t, "walrelay_queue_overflows_total"), r.metric(t, "walrelay_catch_up_passes_total")

	changes := o.read(t)
	t.Logf("%d changes in %d transactions", len(changes), writers.committed.Load())
	events, resumes := 0, 0
	for i, f := range followers {
		if t.Failed() && i > 3 {
			break // a few tell enough
		}
		f.check(t, changes)
		events += len(f.got)
		resumes += f.resumes
	}
	t.Logf("%d events to %d subscribers over %d resumes; the last process had %v overflows and %v catch-up passes", events, len(followers), resumes, overflows, passes)
}

// testSeed is where a test's random numbers begin: WALRELAY_TEST_SEED, or always the
// same. It is logged.
func testSeed(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(20261120)
	if text := os.Getenv("WALRELAY_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("WALRELAY_TEST_SEED: %v", err)
		}
	}
	t.Logf("WALRELAY_TEST_SEED=%d", seed)
	return seed
}

// follower is a subscriber that is cut off again and again.
type follower struct {
	client   *rawClient
	random   *rand.Rand
	channels []*oracleChannel // in the order of the configuration
	target   *atomic.Uint64   // an LSN: complete up to there it is done; 0: not known yet

	lastID  string
	held    []string // events of a position whose last has not come yet
	got     []expected
	resumes int
	err     error // why it gave up
}

// newFollower chooses channels at random.
func newFollower(r *relay, random *rand.Rand) *follower {
	f := &follower{random: random}
	pool := []*oracleChannel{{name: "items", table: "items", columns: []string{"id", "room", "body"}}}
	for room := range resumeRooms {
		pool = append(pool, &oracleChannel{name: fmt.Sprintf("room/%d", room), table: "items", columns: []string{"id", "body"}, bound: "room", param: fmt.Sprint(room)})
	}
	pool = append(pool, &oracleChannel{name: "notes", table: "notes", columns: []string{"id", "item", "body"}})
	for id := range resumeKeys {
		pool = append(pool, &oracleChannel{name: fmt.Sprintf("note/%d", id), table: "notes", columns: []string{"id", "body"}, bound: "id", param: fmt.Sprint(id)})
	}
	chosen := random.Perm(len(pool))[:1+random.IntN(8)]
	slices.Sort(chosen)
	var names []string
	for _, i := range chosen {
		f.channels = append(f.channels, pool[i])
		names = append(names, pool[i].name)
	}
	random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	f.client = newRawClient(r.streamURL(names...))
	return f
}

// begin subscribes for the first time and is cut off after ready.
func (f *follower) begin(ctx context.Context) error {
	if err := f.client.read(ctx, "", unlimited, func(frame frame) bool {
		f.lastID = frame.id
		return frame.event != "ready"
	}); !errors.Is(err, errCut) {
		return fmt.Errorf("first connection: %w", err)
	}
	return nil
}

// follow comes back until it is complete up to the target.
func (f *follower) follow(ctx context.Context) {
	for f.err == nil && ctx.Err() == nil {
		limit := f.random.IntN(6000)
		if f.random.IntN(4) == 0 || f.target.Load() != 0 {
			limit = unlimited
		}
		f.held = nil
		err := f.client.read(ctx, f.lastID, limit, f.frame)
		f.resumes++
		if f.done() {
			return
		}
		if err != nil && !errors.Is(err, errCut) {
			time.Sleep(time.Duration(f.random.IntN(50)) * time.Millisecond) // walrelay is away
		}
	}
}

func (f *follower) done() bool {
	target := change.LSN(f.target.Load())
	at, err := channel.ParseEventID(f.lastID)
	if err != nil {
		f.err = err
		return false
	}
	return target != 0 && !at.At.Less(change.Before(target))
}

var commitTime = regexp.MustCompile(`,"at":"[^"]*"\}\}$`)

// frame takes one frame and tells whether to read on.
func (f *follower) frame(in frame) bool {
	switch {
	case in.event == "ready" && strings.Contains(in.data, `"resumed":true`), in.event == "end", !in.hasID && !in.hasData:
		return true
	case in.event == "ready", in.event == "reset":
		f.err = fmt.Errorf("at %s: got %s %s", f.lastID, in.event, in.data)
		return false
	case in.hasData:
		f.held = append(f.held, in.event+" "+commitTime.ReplaceAllString(in.data, "}}"))
	}
	if in.hasID {
		f.commit(in.id)
	}
	return f.err == nil && !f.done()
}

// commit takes over what came with an id.
func (f *follower) commit(text string) {
	id, err := channel.ParseEventID(text)
	if err != nil {
		f.err = err
		return
	}
	if was, err := channel.ParseEventID(f.lastID); err != nil || id.At.Less(was.At) || id.Tag != was.Tag || len(f.held) > 0 && id.At == was.At {
		f.err = fmt.Errorf("id %s came after %s", text, f.lastID)
	}
	for i, text := range f.held {
		f.got = append(f.got, expected{at: id.At, last: i == len(f.held)-1, text: text})
	}
	f.held, f.lastID = nil, text
}

// check compares what came with what should have.
func (f *follower) check(t *testing.T, changes []recorded) {
	t.Helper()
	if f.err != nil {
		t.Errorf("%s: %v", f.client.path, f.err)
	}
	want := expectedOf(f.channels, changes)
	for i := range max(len(want), len(f.got)) {
		switch {
		case i >= len(want):
			t.Errorf("%s: event %d of %d is too much: %+v", f.client.path, i, len(want), f.got[i])
		case i >= len(f.got):
			t.Errorf("%s: event %d of %d is missing: %+v", f.client.path, i, len(want), want[i])
		case want[i] != f.got[i]:
			t.Errorf("%s: event %d of %d:\n got %+v\nwant %+v", f.client.path, i, len(want), f.got[i], want[i])
		default:
			continue
		}
		return // what follows is shifted
	}
}

// writers commit random transactions on connections of their own.
type writers struct {
	cancel    context.CancelFunc
	wg        sync.WaitGroup
	committed atomic.Int64
	grown     chan struct{} // has room for one
	failed    atomic.Pointer[error]
}

func startWriters(t *testing.T, db *database, n int, seed uint64) *writers {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &writers{cancel: cancel, grown: make(chan struct{}, 1)}
	for i := range n {
		conn := db.conn(t)
		random := rand.New(rand.NewPCG(seed, uint64(10000+i)))
		w.wg.Go(func() {
			for ctx.Err() == nil {
				err := randomTransaction(t.Context(), conn, random, func() string { return randomChange(random, i, n) })
				if errors.Is(err, errTakeBack) {
					continue
				}
				if err != nil {
					w.failed.CompareAndSwap(nil, &err)
					cancel()
					return
				}
				w.committed.Add(1)
				select {
				case w.grown <- struct{}{}:
				default:
				}
				time.Sleep(time.Duration(random.IntN(6)) * time.Millisecond) // a rate that a busy machine can follow
			}
		})
	}
	t.Cleanup(func() { cancel(); w.wg.Wait() })
	return w
}

// wait waits for n more commits.
func (w *writers) wait(t *testing.T, n int) {
	t.Helper()
	timeout := time.After(patience)
	for until := w.committed.Load() + int64(n); w.committed.Load() < until; {
		select {
		case <-w.grown:
		case <-timeout:
			t.Fatalf("writers: %d commits missing after %v (%v)", until-w.committed.Load(), patience, w.failed.Load())
		}
	}
}

func (w *writers) stop(t *testing.T) {
	t.Helper()
	w.cancel()
	w.wg.Wait()
	if err := w.failed.Load(); err != nil {
		t.Fatal(*err)
	}
}

var errTakeBack = errors.New("rolled back on purpose")

// randomTransaction commits 1 to 6 changes, or takes them back.
func randomTransaction(ctx context.Context, conn *pgx.Conn, random *rand.Rand, change func() string) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for range 1 + random.IntN(6) {
			if _, err := tx.Exec(ctx, change()); err != nil {
				return err
			}
		}
		if random.IntN(10) == 0 {
			return errTakeBack
		}
		return nil
	})
}

// randomChange is one statement. The writers have rows of their own, so that they
// never wait for each other.
func randomChange(random *rand.Rand, writer, writers int) string {
	table := []string{"items", "notes"}[random.IntN(2)]
	other := map[string]string{"items": "room", "notes": "item"}[table]
	own := func() int { return random.IntN(resumeKeys/writers)*writers + writer }
	id, id2, n := own(), own(), random.IntN(resumeRooms)
	body := strings.Repeat("x", random.IntN(200))
	switch random.IntN(9) {
	case 0, 1, 2, 3:
		return fmt.Sprintf("insert into %s values (%d, %d, '%s') on conflict do nothing", table, id, n, body)
	case 4, 5:
		return fmt.Sprintf("update %s set body = '%s', %s = %d where id = %d", table, body, other, n, id)
	case 6:
		return fmt.Sprintf("update %s set id = %d where id = %d and not exists (select from %s where id = %d)", table, id2, id, table, id2)
	case 7:
		return fmt.Sprintf("delete from %s where id = %d", table, id)
	}
	channel := []string{"items", "notes", fmt.Sprintf("room/%d", n), fmt.Sprintf("note/%d", id), "nobody"}[random.IntN(5)]
	return fmt.Sprintf(`select pg_logical_emit_message(true, 'walrelay:%s', '{"n":%d}')`, channel, id2)
}

// mark ends what came before: it writes something that no channel has and gives an
// LSN between, so that whoever is complete up to there has everything from before.
func (d *database) mark(t testing.TB) change.LSN {
	t.Helper()
	at := lsn(t, d.value(t, "select pg_current_wal_insert_lsn()"))
	d.exec(t, "select pg_logical_emit_message(true, 'mark', '')")
	return at
}
