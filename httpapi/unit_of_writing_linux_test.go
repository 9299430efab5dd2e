package httpapi

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/channel"
	"github.com/walrelay/walrelay/eventlog"
	"github.com/walrelay/walrelay/filter"
)

// unitLog is an event log in memory.
type unitLog struct {
	mu      sync.Mutex
	builder *change.Builder
	batches []*change.Batch
	bounds  eventlog.Bounds
	changed chan struct{}
	commit  change.LSN
}

func newUnitLog() *unitLog {
	l := &unitLog{changed: make(chan struct{}), commit: 0x100, bounds: eventlog.Bounds{Floor: change.Before(0x100), Last: change.Before(0x100), WAL: 0x100,
		Lineage: eventlog.Lineage{SystemID: "1", Timeline: 1, Generation: 1}}}
	l.builder = change.NewBuilder(l.bounds.Last, l.bounds.WAL)
	return l
}

func (l *unitLog) Next(after change.Position) (*change.Batch, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.batches {
		if after.Less(b.Last) {
			return b, nil
		}
	}
	return nil, nil
}

func (l *unitLog) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

func (l *unitLog) Bounds() eventlog.Bounds {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bounds
}

func (l *unitLog) InMemory() change.Position { return l.Bounds().Floor }
func (l *unitLog) Since(string) change.LSN   { return 0 }
func (l *unitLog) SinceVersion() uint64      { return 0 }
func (l *unitLog) History() []eventlog.Ended { return nil }

// tx logs a transaction of rows, one for each room, in one batch.
func (l *unitLog) tx(rel *change.Relation, body string, rooms ...int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.builder.Begin(change.Tx{Commit: l.commit, XID: uint32(l.commit)})
	for i, room := range rooms {
		l.builder.Row(change.Insert, rel, tuple(fmt.Sprint(int(l.commit)*1000+i), fmt.Sprint(room), body), false)
	}
	l.commit += 0x10
	l.builder.Commit(l.commit)
	b := l.builder.Seal(time.Now())
	l.batches = append(l.batches, b)
	l.bounds.Last, l.bounds.WAL = b.Last, b.WAL
	close(l.changed)
	l.changed = make(chan struct{})
}

// tuple is a new row as the stream has it.
func tuple(values ...string) []byte {
	out := []byte{'N', 0, byte(len(values))}
	for _, v := range values {
		out = append(append(out, 't', byte(len(v)>>24), byte(len(v)>>16), byte(len(v)>>8), byte(len(v))), v...)
	}
	return out
}

// roomRule has the rows of a room for each of its users.
func roomRule(t *testing.T, rel *change.Relation) (*channel.Rule, []filter.Claim) {
	t.Helper()
	bigint, err := filter.ParseType("bigint")
	if err != nil {
		t.Fatal(err)
	}
	claims := []filter.Claim{{Name: "room", Type: bigint}}
	src := filter.Source{Table: &filter.Table{Name: rel.FullName()}, Claims: claims}
	for _, c := range rel.Columns {
		src.Table.Columns = append(src.Table.Columns, filter.Column{Name: c.Name, Type: c.Type, Identity: c.Identity})
	}
	if src.Allow, err = filter.Parse("row.room == user.room"); err != nil {
		t.Fatal(err)
	}
	program, problems := filter.Compile(src)
	for _, p := range problems {
		if !p.Warning {
			t.Fatal(p.Msg)
		}
	}
	return &channel.Rule{Name: "mine", Schema: rel.Schema, Table: rel.Name, Program: program}, claims
}

// writesWorld is a hub, shards, and subscribers on sockets that keep writes apart.
type writesWorld struct {
	t      *testing.T
	log    *unitLog
	hub    Hub
	rel    *change.Relation
	claims []filter.Claim
	shards []*shard
}

func newWritesWorld(t *testing.T, shards int) *writesWorld {
	t.Helper()
	id := &change.Type{OID: 20, Name: "bigint", Kind: change.KindInt}
	w := &writesWorld{t: t, log: newUnitLog(), rel: &change.Relation{ID: 1, OID: 7, Schema: "public", Name: "t", Identity: 'f', Key: []int{0}, Columns: []change.Column{
		{Name: "id", Identity: true, Type: id}, {Name: "room", Identity: true, Type: id}, {Name: "body", Identity: true, Type: &change.Type{OID: 25, Name: "text"}}}}}
	rule, claims := roomRule(t, w.rel)
	w.claims = claims
	hub := channel.New(channel.Options{Log: w.log, Rules: []*channel.Rule{rule}, QueueBytes: 64 << 20})
	w.hub = FromHub(hub)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = hub.Run(ctx) })
	for range shards {
		s, err := newShard(shardOptions{heartbeat: time.Hour, writeTimeout: time.Hour, log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		w.shards = append(w.shards, s)
		running.Go(s.poll)
		running.Go(func() { s.run(ctx) })
	}
	t.Cleanup(func() { cancel(); running.Wait() })
	return w
}

// subscribe opens the stream of a user of a room on a shard, and gives the other end of its socket.
func (w *writesWorld) subscribe(shard, room int, lastID string) *writes {
	w.t.Helper()
	user, err := filter.ParseClaims(w.claims, fmt.Appendf(nil, `{"room":%d}`, room))
	if err != nil {
		w.t.Fatal(err)
	}
	var sub Subscriber
	for late := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) { // the hub may be starting
		if sub, err = w.hub.Subscribe(w.t.Context(), channel.Request{Channels: []string{"mine"}, User: user, LastEventID: lastID}); err == nil {
			break
		}
		if time.Now().After(late) {
			w.t.Fatal(err)
		}
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { unix.Close(pair[1]) })
	st := &stream{sub: &leash{Subscriber: sub}, encoding: sse{}, release: func(string) {}, traffic: newServer(w.t, Options{Hub: newFakeHub()}).metrics.traffic[kindSSE]}
	if !w.shards[shard].adopt(&conn{st: st, fd: pair[0], framing: chunked}) {
		w.t.Fatal("a shard takes no connection")
	}
	return &writes{w.t, pair[1]}
}

// writes are those of a stream, one after the other: a packet each.
type writes struct {
	t  *testing.T
	fd int
}

// next is what the next write wrote.
func (w *writes) next() []byte {
	w.t.Helper()
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}}, 30_000); err != nil || n == 0 {
		w.t.Fatalf("nothing is written: %v", err)
	}
	p := make([]byte, 1<<20)
	n, err := unix.Read(w.fd, p)
	if err != nil || n == 0 {
		w.t.Fatalf("%d bytes, %v", n, err)
	}
	return p[:n]
}

// ready reads up to the event of that name.
func (w *writes) ready() (lastID string) {
	w.t.Helper()
	for {
		p := w.next()
		if _, after, ok := bytes.Cut(p, []byte("event: ready")); ok {
			_, id, _ := bytes.Cut(after, []byte("\nid: "))
			line, _, _ := bytes.Cut(id, []byte("\n"))
			return string(line)
		}
	}
}

func inserts(p []byte) int { return bytes.Count(p, []byte("event: insert\n")) }

// TestTransactionIsOneWrite: a commit is one write to each subscriber, whichever shard and view it has, and to
// nobody else.
func TestTransactionIsOneWrite(t *testing.T) {
	w := newWritesWorld(t, 2)
	const subs = 12 // in three rooms, some of them with the same view, on both shards
	streams := make([]*writes, subs)
	for i := range streams {
		streams[i] = w.subscribe(i%2, i%3, "")
		streams[i].ready()
	}
	for round := range 20 {
		w.log.tx(w.rel, fmt.Sprintf("round %d.", round), 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0) // 10 and 5, and nothing for room 2
		for i, s := range streams {
			want := []int{10, 5, 0}[i%3]
			if want == 0 {
				continue
			}
			p := s.next()
			if got := bytes.Count(p, fmt.Appendf(nil, `"round %d."`, round)); got != want || inserts(p) != want {
				t.Fatalf("round %d, subscriber %d: a write has %d rows of the transaction and %d in all, want %d", round, i, got, inserts(p), want)
			}
		}
	}
	w.log.tx(w.rel, "for the last room", 2)
	if p := streams[2].next(); inserts(p) != 1 {
		t.Errorf("who had nothing to get was written %q", p)
	}
}

// TestCaughtUpInWholeTransactions: what a subscriber missed comes in few writes, each of whole transactions.
func TestCaughtUpInWholeTransactions(t *testing.T) {
	w := newWritesWorld(t, 2)
	var ids [2]string
	for shard := range ids {
		ids[shard] = w.subscribe(shard, 7, "").ready()
	}
	const missed, rows = 30, 10
	for range missed {
		w.log.tx(w.rel, "missed", 7, 7, 7, 7, 7, 7, 7, 7, 7, 7)
	}
	for shard, id := range ids {
		s := w.subscribe(shard, 7, id)
		got, count := 0, 0
		for got < missed*rows {
			p := s.next()
			n := inserts(p)
			if n == 0 { // the opening and ready
				continue
			}
			count++
			if got += n; n%rows != 0 || !bytes.Contains(p[max(0, len(p)-80):], []byte("\nid: ")) {
				t.Errorf("a write has %d rows and ends with %q", n, p[max(0, len(p)-80):])
			}
		}
		if count > missed/2 {
			t.Errorf("%d transactions were %d writes", missed, count)
		}
	}
}

// TestLargeTransaction: a transaction that is larger than a write, and than a run, is as few of them as it can be.
func TestLargeTransaction(t *testing.T) {
	w := newWritesWorld(t, 2)
	streams := []*writes{w.subscribe(0, 7, ""), w.subscribe(1, 7, "")}
	for _, s := range streams {
		s.ready()
	}
	rooms := make([]int, 600)
	for i := range rooms {
		rooms[i] = 7
	}
	w.log.tx(w.rel, strings.Repeat("x", 1000), rooms...)
	for i, s := range streams {
		var all []byte
		count := 0
		for inserts(all) < len(rooms) {
			all = append(all, s.next()...)
			count++
		}
		if most := len(all)/gatherSize + 4; count > most || len(all) < 512<<10 {
			t.Errorf("subscriber %d: %d bytes in %d writes, want at most %d", i, len(all), count, most)
		}
	}
}
