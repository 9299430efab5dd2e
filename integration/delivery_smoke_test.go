package integration

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

// The whole way once: subscribe, rows of every kind, resume, drain, resume on the
// next process. Also what runs on every version of Postgres on every push.
func TestSmoke(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id bigint primary key, name text, price numeric)")
	r := startRelay(t, db, settings{http: "heartbeat: 1s", channels: "  items: {table: public.items, allow: public}\n"}.yaml())
	s := openSSE(t, r.streamURL("items"), nil)
	if ready := s.nextReady(t); ready.Resumed || len(ready.Channels) != 1 || ready.Channels[0] != "items" || lsn(t, ready.Position) == 0 {
		t.Errorf("ready: got %+v", ready)
	}

	db.exec(t, "insert into items values (1, 'Größe \"7\"', 12.50)", "update items set price = 13 where id = 1", "delete from items where id = 1")
	xid := uint32(0)
	for _, want := range []struct{ event, data string }{
		{"insert", `{"channel":"items","op":"insert","key":{"id":1},"row":{"id":1,"name":"Größe \"7\"","price":12.50},"tx":{"xid":`},
		{"update", `{"channel":"items","op":"update","key":{"id":1},"row":{"id":1,"name":"Größe \"7\"","price":13},"tx":{"xid":`},
		{"delete", `{"channel":"items","op":"delete","key":{"id":1},"tx":{"xid":`},
	} {
		f := s.next(t)
		if f.event != want.event || !strings.HasPrefix(f.data, want.data) {
			t.Errorf("got %s %s, want %s %s…", f.event, f.data, want.event, want.data)
		}
		e := eventOf(t, f)
		if age := time.Since(e.Tx.At); e.Tx.XID <= xid || age < -time.Minute || age > 5*time.Minute {
			t.Errorf("%s: transaction %d at %v comes after %d", f.event, e.Tx.XID, e.Tx.At, xid)
		}
		xid = e.Tx.XID
	}

	s.close()
	db.exec(t, "insert into items values (2, 'while away', 1)")
	s.reconnect(t)
	if ready := s.nextReady(t); !ready.Resumed {
		t.Errorf("after a cut: got %+v", ready)
	}
	s.wantRow(t, "insert", "items", 2)

	if got := r.terminate(t); got.code != 0 {
		t.Errorf("after SIGTERM: exit code %d, want 0; last line: %s", got.code, got.lastLine)
	}
	frames := s.waitEnd(t)
	if last := frames[len(frames)-1]; last.event != "end" || eventOf(t, last).Reason != "draining" || last.hasID || last.retry == 0 {
		t.Errorf("the last frame of the drained stream: %+v", last)
	}
	db.exec(t, "insert into items values (3, 'while down', 1)")
	r.start(t)
	r.waitReady(t)
	s.reconnect(t)
	if ready := s.nextReady(t); !ready.Resumed {
		t.Errorf("after a restart: got %+v", ready)
	}
	s.wantRow(t, "insert", "items", 3)
}

// Ready is sent only when the subscription is in place: what a page then does
// always comes to it.
func TestReadyMeansSubscribed(t *testing.T) {
	t.Parallel()
	const workers, rounds = 4, 50
	db := newDatabase(t, "create table items (id bigint primary key, name text)")
	r := startRelay(t, db, settings{channels: `
  items: {table: public.items, allow: public}
  "item/{id}": {table: public.items, where: row.id == params.id, allow: public}
`}.yaml())
	var wait sync.WaitGroup
	for worker := range workers {
		conn := db.conn(t)
		random := rand.New(rand.NewPCG(1, uint64(worker)))
		wait.Go(func() {
			for round := range rounds {
				id := worker*1000 + round
				channel := []string{"items", fmt.Sprintf("item/%d", id)}[random.IntN(2)]
				delay := time.Duration(random.Int64N(int64(2 * time.Millisecond)))
				err := readyRound(t, r.streamURL(channel), id, func() error {
					time.Sleep(delay) // so that the write meets any moment after ready
					_, err := conn.Exec(t.Context(), insertItem(id))
					return err
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
}

// readyRound opens a stream, writes at ready, and waits for the row.
func readyRound(t *testing.T, url string, id int, write func() error) error {
	var seen bool
	var failed error
	err := newRawClient(url).read(t.Context(), "", unlimited, func(f frame) bool {
		switch {
		case f.event == "ready":
			failed = write()
		case f.hasData:
			seen = seen || strings.Contains(f.data, fmt.Sprintf(`"key":{"id":%d}`, id))
		}
		return !seen && failed == nil
	})
	switch {
	case failed != nil:
		return failed
	case !seen:
		return fmt.Errorf("row %d, written at ready, has not come: %w", id, err)
	}
	return nil
}
