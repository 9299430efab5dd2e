package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/walrelay/walrelay/change"
)

// wantResetTo subscribes at an id that cannot be resumed, and checks that the client
// is told so and is live then.
func (r *relay) wantResetTo(t testing.TB, id, reason string, channels ...string) *sse {
	t.Helper()
	s := openSSE(t, r.streamURL(channels...), http.Header{"Last-Event-Id": {id}})
	if f := s.next(t); f.event != "ready" || !strings.Contains(f.data, `"resumed":false`) {
		t.Fatalf("at %s: got %s %s instead of ready, not resumed", id, f.event, f.data)
	}
	for range channels {
		if f := s.next(t); f.event != "reset" || !strings.Contains(f.data, `"reason":"`+reason+`"`) {
			t.Fatalf("at %s: got %s %s instead of reset %s", id, f.event, f.data, reason)
		}
	}
	return s
}

// seen writes rows 1 to n and gives the ids of their events.
func seen(t testing.TB, db *database, s *sse, n int) (ids []string) {
	t.Helper()
	for i := 1; i <= n; i++ {
		db.exec(t, fmt.Sprintf("insert into items values (%d)", i))
		ids = append(ids, s.next(t).id)
	}
	return ids
}

func (d *database) waitConfirmed(t testing.TB, id string) {
	t.Helper()
	at := positionOf(t, id).Commit
	eventually(t, func() string {
		if got := d.confirmed(t); got <= at {
			return fmt.Sprintf("confirmed_flush_lsn is %s, not beyond %s", got, at)
		}
		return ""
	})
}

// waitSlotFree waits until the walsender has noticed that its client is gone.
func (d *database) waitSlotFree(t testing.TB) {
	t.Helper()
	eventually(t, func() string {
		return d.value(t, "select case when active then 'the slot is active' end from pg_replication_slots where slot_name = $1", d.name)
	})
}

// readiness is the body of /readyz as far as the slot goes.
type readiness struct {
	Ready   bool
	Reasons []struct{ Check, Message string }
	Slot    struct {
		Name, State, Error string
		AsOf               time.Time `json:"as_of"`
		WALStatus          string    `json:"wal_status"`
		Confirmed          string    `json:"confirmed_flush_lsn"`
		Retained           *int64    `json:"retained_bytes"`
		Budget             int64     `json:"budget_bytes"`
		BudgetFrom         string    `json:"budget_from"`
	}
}

// reason is the message of a check, empty when it is well.
func (r readiness) reason(check string) string {
	for _, reason := range r.Reasons {
		if reason.Check == check {
			return reason.Message
		}
	}
	return ""
}

// readiness is empty while nobody answers.
func (r *relay) readiness(t testing.TB) (out readiness) {
	t.Helper()
	_, body, err := r.get(r.adminAt + "/readyz")
	if err != nil {
		return out
	}
	if err := json.Unmarshal([]byte(body), &out); err != nil {
		t.Fatalf("/readyz: %v: %s", err, body)
	}
	return out
}

// waitReason waits until a check's message matches.
func (r *relay) waitReason(t testing.TB, check, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	var got string
	eventually(t, func() string {
		if got = r.readiness(t).reason(check); !re.MatchString(got) {
			return fmt.Sprintf("/readyz says of %s: %q, which does not match %q", check, got, pattern)
		}
		return ""
	})
	return got
}

// wantSlot waits for a state of the slot, and checks that the metric has it, and that
// readiness fails with the reason's pattern (empty: that it does not fail).
func (r *relay) wantSlot(t testing.TB, state, reason string) readiness {
	t.Helper()
	re := regexp.MustCompile("^" + state + ": " + reason)
	var got readiness
	eventually(t, func() string {
		got = r.readiness(t)
		message := got.reason("slot")
		if got.Slot.State != state || reason == "" && message != "" || reason != "" && (got.Ready || !re.MatchString(message)) {
			return fmt.Sprintf("/readyz: %+v, want the slot to be %s and a reason like %q", got, state, re)
		}
		if one, all := r.metric(t, `walrelay_slot_state{state="`+state+`"}`), r.metric(t, "walrelay_slot_state"); one != 1 || all != 1 {
			return fmt.Sprintf("walrelay_slot_state is %v for %s, %v for all", one, state, all)
		}
		return ""
	})
	return got
}

// wantServed checks that clients are served from the log, here from an id on that row 2
// follows.
func (r *relay) wantServed(t testing.TB, id string) {
	t.Helper()
	s := r.resumed(t, id, "items")
	s.wantRow(t, "insert", "items", 2)
	s.close()
}

// wantGap checks that open streams are ended, that an id from before is told of the
// gap, and that all is live then.
func (r *relay) wantGap(t testing.TB, db *database, s *sse, id string, row int) {
	t.Helper()
	frames := s.waitEnd(t)
	if len(frames) == 0 || frames[len(frames)-1].event != "end" || eventOf(t, frames[len(frames)-1]).Reason != "gap" {
		t.Fatalf("the open stream got %+v, want end{gap}", frames)
	}
	r.waitReady(t)
	again := r.wantResetTo(t, id, "gap", "items")
	db.exec(t, fmt.Sprintf("insert into items values (%d)", row))
	again.wantRow(t, "insert", "items", row)
	if !strings.Contains(r.stderr.String(), "the event log cannot be continued: all clients get reset") {
		t.Errorf("the log does not tell of the gap:\n%s", r.stderr)
	}
	r.wantSlot(t, "streaming", "")
}

// startHoldable starts a walrelay that connects as a role of its own, which owns the
// tables; see hold.
func startHoldable(t testing.TB, db *database, config string) *relay {
	t.Helper()
	role := db.role(t, "replication in role pg_read_all_stats")
	db.exec(t, "grant create on database "+db.name+" to "+role, "alter table items owner to "+role)
	r := newRelay(t, db, config)
	r.as(db, role, "")
	r.start(t)
	r.waitReady(t)
	return r
}

// hold ends the stream and keeps it down, with the slot free, until release is
// called: the role may not use replication meanwhile.
func (r *relay) hold(t testing.TB, db *database) (release func()) {
	t.Helper()
	db.exec(t, "alter role "+db.roleName()+" noreplication",
		"select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = '"+db.name+"'")
	r.waitReason(t, "postgres", held)
	db.waitSlotFree(t)
	return func() { db.exec(t, "alter role "+db.roleName()+" replication") }
}

// held is what walrelay says while it is held.
const held = "it may not use replication"

// printedSQL is the statement that a message tells to run.
func printedSQL(t testing.TB, message string) string {
	t.Helper()
	m := regexp.MustCompile(`fix: (select [^;]*;)`).FindStringSubmatch(message)
	if m == nil {
		t.Fatalf("no SQL in %q", message)
	}
	return m[1]
}

// consumer streams from a slot as another program would.
type consumer struct{ conn *pgconn.PgConn }

// consume takes the database's slot. It confirms nothing by itself.
func (d *database) consume(t testing.TB) *consumer {
	t.Helper()
	c := &consumer{d.replication(t)}
	if err := pglogrepl.StartReplication(t.Context(), c.conn, d.name, 0, pglogrepl.StartReplicationOptions{
		PluginArgs: []string{"proto_version '1'", "publication_names '" + d.name + "'"},
	}); err != nil {
		t.Fatal(err)
	}
	return c
}

// replication is a replication connection, which is closed when the test ends.
func (d *database) replication(t testing.TB) *pgconn.PgConn {
	t.Helper()
	cfg, err := pgconn.ParseConfig(d.url())
	if err != nil {
		t.Fatal(err)
	}
	cfg.RuntimeParams["replication"] = "database"
	cfg.RuntimeParams["application_name"] = "another"
	conn, err := pgconn.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) }) // it may be closed already
	return conn
}

// confirm moves the slot on.
func (c *consumer) confirm(t testing.TB, at change.LSN) {
	t.Helper()
	if err := pglogrepl.SendStandbyStatusUpdate(t.Context(), c.conn, pglogrepl.StandbyStatusUpdate{WALWritePosition: pglogrepl.LSN(at)}); err != nil {
		t.Fatal(err)
	}
}

// stop lets go of the slot.
func (c *consumer) stop() {
	_ = c.conn.Close(context.Background()) // the server notices either way
}

// loseWAL writes WAL until the server has given the slot up, which walrelay must not
// be able to confirm. The cluster needs max_slot_wal_keep_size.
func (d *database) loseWAL(t testing.TB) {
	t.Helper()
	eventually(t, func() string {
		d.exec(t, "select pg_logical_emit_message(false, 'test', 'x')", "select pg_switch_wal()", "checkpoint")
		return d.value(t, "select case when wal_status <> 'lost' then 'wal_status is ' || wal_status end from pg_replication_slots where slot_name = $1", d.name)
	})
}

// writeWAL writes until the slot holds back so many percent of limit, in bytes; 0: of
// what the server allows.
func (d *database) writeWAL(t testing.TB, percent, limit int64) {
	t.Helper()
	conn := d.conn(t)
	for {
		var held, server int64
		if err := conn.QueryRow(t.Context(), `select (pg_current_wal_insert_lsn() - restart_lsn)::bigint, coalesce((pg_current_wal_lsn() - restart_lsn)::bigint + safe_wal_size, 0)
			from pg_replication_slots where slot_name = $1`, d.name).Scan(&held, &server); err != nil {
			t.Fatal(err)
		}
		if limit > 0 {
			server = limit
		}
		if held*100 >= percent*server {
			return
		}
		if _, err := conn.Exec(t.Context(), "select pg_logical_emit_message(false, 'test', repeat('x', 100000))"); err != nil {
			t.Fatal(err)
		}
	}
}

// stall stops the process, as a machine that hangs, until resume is called.
func (r *relay) stall(t testing.TB) (resume func()) {
	t.Helper()
	r.signal(t, syscall.SIGSTOP)
	return func() { r.signal(t, syscall.SIGCONT) }
}
