package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/change"
)

// A page takes the LSN in the transaction that reads its rows; a stream from there
// has everything that the transaction did not see.
func TestResumeFromBareLSN(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, itemsTable)
	r := startRelay(t, db, settings{channels: itemsChannels}.yaml())
	db.exec(t, insertItem(1))
	page := db.conn(t)
	for round := range 20 {
		rows, at := renderPage(t, page, func() { db.exec(t, insertItem(10+round)) })
		db.exec(t, insertItem(100+round))
		for _, s := range []*sse{
			openSSE(t, r.streamURL("items"), resumeAt(at)),
			openSSE(t, r.streamURL("items")+"&last_event_id="+at, nil),
			openSSE(t, r.streamURL("items")+"&lastEventId="+at, nil),
		} {
			if ready := s.nextReady(t); !ready.Resumed || ready.Position != at {
				t.Errorf("resume at %s: got %+v", at, ready)
			}
			for seen := false; !seen; {
				e := eventOf(t, s.next(t))
				if id := idOf(e); id == 100+round {
					seen = true
				} else if id == 10+round {
					rows[id] = true // which may also be on the page: the page's key tells
				}
			}
			s.close()
		}
		if !rows[10+round] {
			t.Fatalf("round %d: row %d is neither on the page nor on the stream from %s", round, 10+round, at)
		}
	}
}

// renderPage reads the rows in one transaction, with the LSN first; meanwhile runs
// between the two.
func renderPage(t *testing.T, conn *pgx.Conn, meanwhile func()) (ids map[int]bool, at string) {
	t.Helper()
	err := pgx.BeginTxFunc(t.Context(), conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
		if err := tx.QueryRow(t.Context(), "select pg_current_wal_lsn()::text").Scan(&at); err != nil {
			return err
		}
		meanwhile()
		rows, err := tx.Query(t.Context(), "select id from items")
		if err != nil {
			return err
		}
		list, err := pgx.CollectRows(rows, pgx.RowTo[int])
		ids = map[int]bool{}
		for _, id := range list {
			ids[id] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids, at
}

// wantFreshStart checks that a stream is told to forget its rows, goes on live,
// and that the id it got then resumes exactly.
func wantFreshStart(t *testing.T, db *database, s *sse, reason string, id int, channels ...string) {
	t.Helper()
	if ready := s.nextReady(t); ready.Resumed {
		t.Errorf("%s: got %+v", reason, ready)
	}
	s.wantReset(t, reason, channels...)
	db.exec(t, insertItem(id))
	s.wantRow(t, "insert", "items", id)
	s.close()
	db.exec(t, insertItem(id+1))
	s.reconnect(t)
	if !s.nextReady(t).Resumed {
		t.Errorf("after reset %s: not resumed at %s", reason, s.lastID)
	}
	s.wantRow(t, "insert", "items", id+1)
	s.close()
}

// Ids that are none get a reset in band: an HTTP error would end an EventSource for
// ever.
func TestMalformedIDs(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, itemsTable)
	r := startRelay(t, db, settings{channels: itemsChannels}.yaml())
	for i, id := range []string{
		"7", "0/", "/0", "x/y", "0/16B3748.", "0/16B3748.x", "0/16B3748.-1", "0/16B3748.+1", "0/16B3748.1.", "0/16B3748.1.SHOUT!",
		"0/16B3748.1.k7x2mq.z", "0 /1", "1/2/3", "0/16B3748.18446744073709551616", "100000000/0", "0/16B3748\tx", "Größe",
		`{"id":1}`, "undefined", "null", strings.Repeat("9", 300), strings.Repeat("A", 60000),
	} {
		t.Run(fmt.Sprintf("%.20q", id), func(t *testing.T) {
			s := openSSE(t, r.streamURL("items", "item/1"), resumeAt(id))
			s.header.Del("Last-Event-ID")
			wantFreshStart(t, db, s, "unknown-id", 1000+10*i, "item/1", "items")
			p := r.poll(t, id, "25s", "items")
			if len(p.Events) != 1 || p.Events[0].Event != "reset" || p.Events[0].Reason != "unknown-id" || p.Events[0].Channel != "items" {
				t.Errorf("long poll: got %+v", p)
			}
			db.exec(t, insertItem(1005+10*i))
			if p = r.poll(t, p.LastEventID, "25s", "items"); len(p.Events) != 1 || idOf(p.Events[0]) != 1005+10*i {
				t.Errorf("long poll after reset: got %+v", p)
			}
		})
	}
	// None and an empty one are a first connect.
	if e := openSSE(t, r.streamURL("items")+"&last_event_id=", http.Header{"Last-Event-Id": {""}}).next(t); e.event != "ready" || strings.Contains(e.data, "true") {
		t.Errorf("an empty id: got %+v", e)
	}
}

// An id from before what the log still has is expired, and only that.
func TestExpiredIDs(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, itemsTable, "create table bulk (id bigserial primary key, body text)")
	r := startRelay(t, db, settings{log: "max_bytes: 1MiB", channels: itemsChannels + "  bulk: {table: public.bulk, allow: public}\n"}.yaml())
	s := openSSE(t, r.streamURL("items", "item/1"), nil)
	s.nextReady(t)
	bare := db.walEnd(t)
	db.exec(t, insertItem(1))
	s.wantRow(t, "insert", "items", 1)
	s.wantRow(t, "insert", "item/1", 1)
	s.close()
	fillLog(t, db, r, positionOf(t, s.lastID).Commit)

	s.reconnect(t)
	wantFreshStart(t, db, s, "expired", 2, "item/1", "items")
	other := openSSE(t, r.streamURL("items"), resumeAt(bare.String()))
	wantFreshStart(t, db, other, "expired", 4, "items")
	if n := r.metric(t, `walrelay_resets_total{reason="expired"}`); n != 3 {
		t.Errorf("walrelay_resets_total counts %v expired, want 3", n)
	}
}

// fillLog writes to the table bulk until the log has dropped everything up to at.
func fillLog(t *testing.T, db *database, r *relay, at change.LSN) {
	t.Helper()
	for deadline := time.Now().Add(patience); r.metric(t, "walrelay_log_floor_lsn") <= float64(at); {
		if time.Now().After(deadline) {
			t.Fatalf("the log has dropped nothing after %v", patience)
		}
		db.exec(t, "insert into bulk (body) select (select string_agg(md5(random()::text), '') from generate_series(1, 300 + n)) from generate_series(1, 30) n")
	}
}

// With other rules a client may have rows that it could not get now: it starts
// afresh. With the same rules in other words it does not.
func TestChangedRules(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id bigint primary key, name text, price numeric)")
	config := func(columns string) string {
		return settings{channels: "  other: {table: public.items, allow: public}\n  items: {table: public.items, columns: " + columns + ", allow: public}\n"}.yaml()
	}
	r := startRelay(t, db, config("[id, name]"))
	s := openSSE(t, r.streamURL("items"), nil)
	s.nextReady(t)
	db.exec(t, "insert into items values (1, 'a', 1)")
	if e := s.wantRow(t, "insert", "items", 1); len(e.Row) != 2 {
		t.Errorf("got %v", e.Row)
	}
	other := openSSE(t, r.streamURL("other"), nil)
	other.nextReady(t)
	restart := func(config string) {
		r.terminate(t)
		r.writeConfig(t, config)
		r.start(t)
		r.waitReady(t)
	}

	restart("# nothing that matters\n" + config(`["id","name"]`))
	s.reconnect(t)
	if !s.nextReady(t).Resumed {
		t.Error("with the same columns in other words: not resumed")
	}

	restart(config("[id, name, price]"))
	s.reconnect(t)
	if ready := s.nextReady(t); ready.Resumed {
		t.Errorf("with another column: got %+v", ready)
	}
	s.wantReset(t, "view", "items")
	db.exec(t, "insert into items values (2, 'b', 2.50)")
	if e := s.wantRow(t, "insert", "items", 2); len(e.Row) != 3 {
		t.Errorf("got %v", e.Row)
	}
	s.reconnect(t)
	if !s.nextReady(t).Resumed {
		t.Error("after the reset: not resumed")
	}
	other.reconnect(t)
	if !other.nextReady(t).Resumed {
		t.Error("a channel whose rule did not change: not resumed")
	}
	other.wantRow(t, "insert", "other", 2)
	// An id of other channels is none of this stream's.
	wrong := openSSE(t, r.streamURL("items"), resumeAt(other.lastID))
	if wrong.nextReady(t).Resumed {
		t.Error("with the id of another channel: resumed")
	}
	wrong.wantReset(t, "view", "items")
}

// TRUNCATE reaches every channel of the table as a reset in its place.
func TestTruncate(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, itemsTable)
	r := startRelay(t, db, settings{channels: itemsChannels}.yaml())
	s := openSSE(t, r.streamURL("items"), nil)
	s.nextReady(t)
	db.exec(t, insertItem(1)+"; truncate items; "+insertItem(2))
	s.wantRow(t, "insert", "items", 1)
	s.wantReset(t, "truncate", "items")
	s.wantRow(t, "insert", "items", 2)
}
