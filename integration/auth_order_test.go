package integration

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/change"
)

// TestAuthOrder: sessions end while rows are committed, some in the very transaction. What
// a stream got is a beginning of its rows that ends before its session's DELETE, by the
// database's own account of the order; streams of other sessions have all of them.
func TestAuthOrder(t *testing.T) {
	t.Parallel()
	const victims, witnesses = 24, 2
	db := newDatabase(t, plainSchema)
	r := startAuthRelay(t, db, plainAuth.with(func(s *authSettings) { s.limits = "per_user: 1000, " + manyFailures }).yaml())
	oracle := newOracle(t, db)
	var dying, lasting []*sse
	var ids []string
	for range victims {
		ids = append(ids, db.newSession(t, 1))
		dying = append(dying, r.signedIn(t, sid(ids[len(ids)-1]), "notes"))
	}
	for range witnesses {
		lasting = append(lasting, r.signedIn(t, sid(db.newSession(t, 1)), "notes"), r.signedIn(t, sid(db.newSession(t, 2)), "notes"))
	}

	random := rand.New(rand.NewPCG(testSeed(t), 5))
	writers := []*noteWriter{db.writeNotes(t, 1, 2), db.writeNotes(t, 2, 1)}
	conn := db.conn(t)
	got := make([][]told, victims)
	end := func(i int) {
		got[i] = toldOf(t, dying[i].ended(t, "signed_out"))
		r.wantOutcome(t, "401", sid(ids[i]), "notes")
	}
	pending := []int{}
	for i, id := range ids {
		script(t, endSession(conn, i, id))
		if pending = append(pending, i); random.IntN(3) > 0 {
			continue // the next comes at once
		}
		for ; len(pending) > 0; pending = pending[1:] {
			end(pending[0])
		}
	}
	for _, i := range pending {
		end(i)
	}
	for _, w := range writers {
		w.finish(t)
	}
	target := db.mark(t)
	changes := oracle.read(t)
	ends := map[string]change.Position{}
	for _, c := range changes {
		if c.op == "delete" && c.table == "sessions" {
			ends[c.before["id"]] = c.at
		}
	}
	if len(ends) != victims {
		t.Fatalf("the oracle has %d deleted sessions, want %d", len(ends), victims)
	}
	for i, s := range lasting {
		user := i%2 + 1
		want := notesOf(changes, user)
		got := toldOf(t, s.waitComplete(t, target))
		wantPrefix(t, fmt.Sprintf("a stream of user %d that goes on", user), got, want)
		if len(got) < len(want) || len(want) < victims {
			t.Errorf("a stream of user %d that goes on: %d notes of %d", user, len(got), len(want))
		}
	}
	want, notes := notesOf(changes, 1), 0
	for i, got := range got {
		wantPrefix(t, fmt.Sprintf("session %d", i), got, want)
		if notes += len(got); len(got) > 0 && !got[len(got)-1].at.Less(change.Before(ends[ids[i]].Commit)) {
			t.Errorf("session %d (%s) was deleted at %v; its stream has %v", i, orders[i%len(orders)].name, ends[ids[i]], got[len(got)-1])
		}
	}
	if notes == 0 {
		t.Error("no stream got a note before its session ended: this tests nothing")
	}
}

// orders are ways of ending a session beside a note; ID stands for the session.
var orders = []struct {
	name string
	sql  []string
}{
	{"deleted before the row", []string{"begin; delete from sessions where id = 'ID'; " + lateNote + "; commit"}},
	{"deleted after the row", []string{"begin; " + lateNote + "; delete from sessions where id = 'ID'; commit"}},
	{"deleted in the transaction before", []string{"delete from sessions where id = 'ID'", lateNote, lateNote}},
	{"deleted in the transaction before, sent at once", []string{"begin; delete from sessions where id = 'ID'; commit; begin; " + lateNote + "; commit"}},
	{"deleted among many rows", []string{"begin; insert into notes (user_id, body) select 1, 'late' from generate_series(1, 300); delete from sessions where id = 'ID'; insert into notes (user_id, body) select 1, 'late' from generate_series(1, 300); commit"}},
	{"deleted in a savepoint", []string{"begin; savepoint a; " + lateNote + "; delete from sessions where id = 'ID'; release a; " + lateNote + "; commit"}},
}

const lateNote = "insert into notes (user_id, body) values (1, 'late')"

// manyFailures lifts a limit that polling tests would reach.
const manyFailures = "failed_per_ip: 100000/min"

// endSession ends a session in the i-th of the orders.
func endSession(conn *pgx.Conn, i int, id string) (steps []step) {
	for _, sql := range orders[i%len(orders)].sql {
		steps = append(steps, step{conn, strings.ReplaceAll(sql, "ID", id)})
	}
	return steps
}

// TestAuthLargeTransaction: a transaction that is too large to be held together ends a
// session in its middle. Nothing from there on is on the session's stream.
func TestAuthLargeTransaction(t *testing.T) {
	t.Parallel()
	const half = 4000
	db := newDatabase(t, plainSchema)
	r := startAuthRelay(t, db, plainAuth.yaml())
	id := db.newSession(t, 1)
	s, lasting := r.signedIn(t, sid(id), "notes"), r.signedIn(t, sid(db.newSession(t, 1)), "notes")
	many := fmt.Sprintf("insert into notes (user_id, body) select 1, repeat('x', 200) from generate_series(1, %d)", half)
	db.exec(t, "begin; "+many+"; delete from sessions where id = '"+id+"'; "+many+"; commit")
	for _, n := range toldOf(t, s.ended(t, "signed_out")) {
		if n.at.Index >= half {
			t.Fatalf("the stream got change %d of the transaction, the session's end is change %d", n.at.Index, half)
		}
	}
	r.wantOutcome(t, "401", sid(id), "notes")
	if got := len(toldOf(t, lasting.waitComplete(t, db.mark(t)))); got != 2*half {
		t.Errorf("another session's stream got %d notes, want %d", got, 2*half)
	}
}
