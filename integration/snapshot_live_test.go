package integration

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/pgtemp"
)

// snapshotted is a client of one channel that sends snapshots: what it has is exact from the
// first id on, and every event must fit.
type snapshotted struct {
	*sse
	rows      rowView
	paging    bool
	frames    int // of the last snapshot
	snapshots int
	events    []string
	resets    []string
	end       string
}

// snapshotsOf opens a stream that must begin with ready and a snapshot.
func (r *relay) snapshotsOf(t testing.TB, channel string) *snapshotted {
	t.Helper()
	return &snapshotted{sse: openSSE(t, r.streamURL(channel), nil), rows: rowView{}}
}

// take does what a frame asks for, and checks that it may come here.
func (s *snapshotted) take(t testing.TB, f frame) {
	t.Helper()
	var e channelEvent
	if f.hasData {
		f.decode(t, &e)
	}
	switch f.event {
	case "snapshot":
		s.page(t, &e)
	case "insert", "update", "delete":
		r := e.row(t, f.event)
		if _, has := s.rows[r.Key.String()]; has == (f.event == "insert") || s.paging {
			t.Errorf("%s of transaction %d does not fit: has the row %v, in a snapshot %v: %s", f.event, e.Tx.XID, has, s.paging, f.data)
		}
		s.events = append(s.events, fmt.Sprintf("%s %s", f.event, strings.TrimSpace(r.Key.String())))
		s.rows.apply(r)
	case "reset":
		s.resets = append(s.resets, e.Reason)
		clear(s.rows)
	case "end":
		s.end = e.Reason
	}
	if s.snapshots == 0 && f.hasID && f.event != "ready" || s.paging && f.hasID {
		t.Errorf("an id before the snapshot is complete: %s %s", f.event, f.id)
	}
}

func (s *snapshotted) page(t testing.TB, e *channelEvent) {
	t.Helper()
	if e.First {
		clear(s.rows)
		s.paging, s.frames = true, 0
	}
	if !s.paging {
		t.Fatal("a snapshot goes on that has not begun")
	}
	s.frames++
	for _, text := range e.Rows {
		row := rowOf(t, text)
		key := row.only("id").String()
		if s.rows[key] != nil {
			t.Errorf("a snapshot has row %s twice", key)
		}
		s.rows[key] = row
	}
	if e.Last {
		s.paging = false
		s.snapshots++
	}
}

// until takes frames until ok.
func (s *snapshotted) until(t testing.TB, ok func() bool) {
	t.Helper()
	for !ok() {
		f, more := s.nextFrame(t)
		if !more {
			t.Fatalf("%s: the stream ended (%q)", s.url, s.end)
		}
		s.take(t, f)
	}
}

// complete takes frames until the client is complete up to an LSN. It comes back where
// walrelay asks it to.
func (s *snapshotted) complete(t testing.TB, upTo change.LSN) {
	t.Helper()
	for s.snapshots == 0 || s.paging || s.lastID == "" || positionOf(t, s.lastID).Less(change.Before(upTo)) {
		f, more := s.nextFrame(t)
		if !more {
			s.comeBack(t)
			continue
		}
		s.take(t, f)
	}
}

// comeBack begins again, or goes on where it was.
func (s *snapshotted) comeBack(t testing.TB) {
	t.Helper()
	s.paging, s.end = false, ""
	s.reconnect(t)
}

// wantTable compares with the table.
func (s *snapshotted) wantTable(t testing.TB, db *database, query string) {
	t.Helper()
	s.complete(t, db.walEnd(t))
	want := rowView{}
	for line := range strings.Lines(db.value(t, "select coalesce(string_agg(to_jsonb(r)::text, E'\\n'), '') from ("+query+") r")) {
		row := rowOf(t, []byte(line))
		want[row.only("id").String()] = row
	}
	if diff := s.rows.differ(want, ""); diff != nil {
		t.Errorf("the client's rows are not those of the table:\n%.2000s", strings.Join(diff, "\n"))
	}
}

const snapshotItems = `
  items: {table: public.items, allow: public, snapshot: {max_rows: 20000}}
`

func snapshotRelay(t testing.TB, db *database, channels string) *relay {
	t.Helper()
	return startRelay(t, db, settings{http: "heartbeat: 200ms", channels: channels}.yaml())
}

// A transaction that was decoded, and that nobody can see because it waits for a synchronous
// standby, is not in a snapshot taken meanwhile: it comes as a change, once, at once. It is the
// transaction with the highest id in one case, and one of several in the other.
func TestSnapshotOfStuckCommit(t *testing.T) {
	t.Parallel()
	for _, later := range []bool{false, true} {
		t.Run(fmt.Sprintf("later=%v", later), func(t *testing.T) {
			t.Parallel()
			db := newDatabaseOn(t, newCluster(t, pgtemp.Options{Settings: map[string]string{"synchronous_commit": "local", "synchronous_standby_names": "nobody"}}),
				"create table items (id int primary key, body text); alter table items replica identity full; insert into items values (1, 'a'), (2, 'b')")
			r := snapshotRelay(t, db, snapshotItems)
			watcher := r.snapshotsOf(t, "items")
			watcher.until(t, func() bool { return watcher.snapshots > 0 })
			writer := db.conn(t)
			committed := make(chan error, 1)
			go func() {
				_, err := writer.PgConn().Exec(t.Context(), `begin; set local synchronous_commit = on;
					update items set body = 'stuck' where id = 1; delete from items where id = 2; insert into items values (3, 'stuck'); commit`).ReadAll()
				committed <- err
			}()
			watcher.until(t, func() bool { return len(watcher.events) == 3 }) // decoded
			if later {
				db.exec(t, "insert into items values (4, 'later')")
				watcher.until(t, func() bool { return len(watcher.events) == 4 })
			}
			if n := db.value(t, "select count(*) from items where body = 'stuck'"); n != "0" {
				t.Fatal("the transaction is visible already: this tests nothing")
			}
			s := r.snapshotsOf(t, "items")
			s.complete(t, 0)
			if got := strings.Join(s.events, ", "); got != "update id=1, delete id=2, insert id=3" {
				t.Errorf("behind the snapshot came %q", got)
			}
			db.exec(t, "alter system set synchronous_standby_names = ''", "select pg_reload_conf()")
			if err := <-committed; err != nil {
				t.Fatal(err)
			}
			db.exec(t, "insert into items values (9, 'end')")
			for _, c := range []*snapshotted{watcher, s} {
				c.wantTable(t, db, "select * from items")
			}
			if n := len(s.events); n != 4 {
				t.Errorf("events %v", s.events)
			}
		})
	}
}

// Hundreds of snapshots while others write: what each client has fits together with what
// comes after it, event by event, and is the table in the end.
func TestSnapshotsWhileWriting(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key, n int, body text); alter table items replica identity full",
		"insert into items select i, 0, 'row '||i from generate_series(1, 300, 2) i")
	r := snapshotRelay(t, db, snapshotItems)
	stop := make(chan struct{})
	var writers sync.WaitGroup
	var commits atomic.Int64
	t.Cleanup(writers.Wait)
	ended := sync.OnceFunc(func() { close(stop) })
	t.Cleanup(ended)
	seed := testSeed(t)
	for w := range 3 {
		random, conn := rand.New(rand.NewPCG(seed, uint64(w))), db.conn(t)
		writers.Go(func() { // transactions of different lengths: ids end in another order than they began
			for {
				select {
				case <-stop:
					return
				case <-t.Context().Done():
					return
				default:
				}
				id := 1 + random.IntN(100)*3 + w // rows of its own: no locks
				sql := fmt.Sprintf(`insert into items values (%[1]d, 0, 'new') on conflict (id) do update set n = items.n + 1; delete from items where id = %[2]d; select pg_sleep(random() * 0.012)`, id, 1+random.IntN(100)*3+w)
				if _, err := conn.Exec(t.Context(), sql); err != nil {
					if t.Context().Err() == nil {
						t.Error(err)
					}
					return
				}
				commits.Add(1)
			}
		})
	}
	var clients []*snapshotted
	late := 0
	const rounds, each = 60, 4
	for range rounds {
		var these []*snapshotted
		for range each {
			these = append(these, r.snapshotsOf(t, "items"))
		}
		for _, s := range these {
			s.until(t, func() bool { return s.snapshots > 0 && s.lastID != "" })
			if len(s.events) > 0 {
				late++
			}
		}
		clients = append(clients, these...)
		if len(clients) <= 4*each {
			continue
		}
		for _, s := range clients[:each] { // they have seen enough to notice what does not fit
			s.until(t, func() bool { return len(s.events) >= 40 })
			s.close()
		}
		clients = clients[each:]
	}
	ended()
	writers.Wait()
	for _, s := range clients {
		s.wantTable(t, db, "select * from items")
	}
	t.Logf("%d snapshots beside %d commits, %d of them with changes of the same moment", rounds*each, commits.Load(), late)
}
