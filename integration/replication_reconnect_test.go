package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/walrelay/walrelay/pgtemp"
)

// However the connection ends, the stream goes on where it was, and the log says so
// in one line when it is lost and one when it is back.
func TestReplicationReconnect(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, pgtemp.Options{})
	db := newDatabaseOn(t, cluster, "create table items (id int primary key, body text)")
	p := newProxy(t, fmt.Sprintf("127.0.0.1:%d", cluster.Port()))
	r := newRelay(t, db, standard(publicTables("items")))
	r.env = append(r.env, "DATABASE_URL="+p.url(t, db))
	r.start(t)
	r.waitReady(t)
	s := r.live(t, "items")
	restart := func(mode pgtemp.Mode) func() {
		return func() {
			if err := cluster.Stop(t.Context(), mode); err != nil {
				t.Fatal(err)
			}
			r.waitUnready(t, `"check":"postgres"`)
			if err := cluster.StartAgain(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	id := 0
	for i, test := range []struct {
		name string
		cut  func()
	}{
		{"walsender ended", func() {
			db.exec(t, "select pg_terminate_backend(active_pid) from pg_replication_slots where active")
		}},
		{"all connections ended", func() {
			db.exec(t, "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'walrelay'")
		}},
		{"fast restart", restart(pgtemp.Fast)},
		{"immediate restart", restart(pgtemp.Immediate)},
		{"crash", func() {
			if err := cluster.Kill(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := cluster.StartAgain(t.Context()); err != nil {
				t.Fatal(err)
			}
		}},
		{"cut in the middle of a message", func() { p.cutStreams(100_000) }},
		{"cut in the middle of a message header", func() { p.cutStreams(3) }},
	} {
		first := id
		insert := func(n int) {
			for range n {
				db.exec(t, fmt.Sprintf("insert into items select n, repeat('x', 10000) from generate_series(%d, %d) n", id, id+19))
				id += 20
			}
		}
		insert(3)
		test.cut()
		insert(3)
		r.stderr.waitCount(t, "replication is back", i+1)
		insert(1)
		for want := first; want < id; want++ {
			if f := s.next(t); !strings.Contains(f.data, fmt.Sprintf(`"row":{"id":%d,`, want)) {
				t.Fatalf("%s: got %s %s %.80s, want row %d", test.name, f.event, f.id, f.data, want)
			}
		}
		r.waitReady(t)
		if lost := strings.Count(r.stderr.String(), "replication lost"); lost != i+1 {
			t.Fatalf("%s: %d lines of %d say that replication is lost:\n%s", test.name, lost, i+1, r.stderr)
		}
	}
}

// A server that is gone without a word, behind a firewall that forgot the
// connection, is noticed after twice wal_sender_timeout.
func TestReplicationReconnectSilence(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, pgtemp.Options{Settings: map[string]string{"wal_sender_timeout": "1s"}})
	db := newDatabaseOn(t, cluster, "create table items (id int primary key)")
	p := newProxy(t, fmt.Sprintf("127.0.0.1:%d", cluster.Port()))
	r := newRelay(t, db, standard(publicTables("items")))
	r.env = append(r.env, "DATABASE_URL="+p.url(t, db))
	r.start(t)
	r.waitReady(t)
	s := r.live(t, "items")
	p.silenceStreams()
	db.exec(t, "insert into items values (1)")
	r.stderr.waitFor(t, "replication lost.*has not answered")
	wantLines(t, "afterwards", s.told(t, db, "items", "insert into items values (2)"), []string{
		`1.0 items insert {"id":1} {"id":1}`,
		`2.0 items insert {"id":2} {"id":2}`,
	})
	if n := strings.Count(r.stderr.String(), "replication lost"); n != 1 {
		t.Errorf("lost %d times:\n%s", n, r.stderr)
	}
}

// Walrelay serves from its log while Postgres is away, also when it starts
// meanwhile.
func TestReplicationPostgresAway(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, pgtemp.Options{})
	db := newDatabaseOn(t, cluster, "create table items (id int primary key)")
	stop := func() {
		if err := cluster.Stop(t.Context(), pgtemp.Fast); err != nil {
			t.Fatal(err)
		}
	}
	again := func() {
		if err := cluster.StartAgain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	r := newRelay(t, db, standard(publicTables("items")))
	r.start(t) // for the first time, with nothing in its log
	r.stderr.waitFor(t, "cannot stream yet, trying again.*connect to Postgres at 127.0.0.1")
	r.waitUnready(t, `"check":"postgres"`)
	if status, _ := r.admin(t, "/healthz"); status != 200 {
		t.Errorf("/healthz: %d", status)
	}
	if frames := openSSE(t, r.streamURL("items"), nil).waitEnd(t); len(frames) != 1 || frames[0].event != "end" || !strings.Contains(frames[0].data, "starting") || frames[0].retry == 0 {
		t.Errorf("a subscriber before the first contact with Postgres got %+v", frames)
	}
	again()
	r.waitReady(t)
	s := r.live(t, "items")
	db.exec(t, "insert into items values (1)", "insert into items values (2)")
	first := s.next(t)
	s.next(t)

	stop()
	r.waitUnready(t, `"check":"postgres"`)
	r.kill9(t)
	r.start(t) // with Postgres away, and two rows in its log
	r.waitUnready(t, `"check":"postgres"`)
	resumed := r.resumed(t, first.id, "items")
	if f := resumed.next(t); !strings.Contains(f.data, `"row":{"id":2}`) {
		t.Errorf("got %s %s, want row 2", f.event, f.data)
	}
	live := r.live(t, "items")
	again()
	r.waitReady(t)
	db.exec(t, "insert into items values (3)", "delete from items where id = 3")
	mark := endMark(t, db, "items")
	for name, s := range map[string]*sse{"resumed": resumed, "live": live} {
		wantLines(t, name, s.readTo(t, mark), []string{`1.0 items insert {"id":3} {"id":3}`, `2.0 items delete {"id":3}`})
	}
}

// waitUnready waits until /readyz answers 503 with a reason.
func (r *relay) waitUnready(t testing.TB, reason string) {
	t.Helper()
	eventually(t, func() string {
		status, body, err := r.get(r.adminAt + "/readyz")
		if err != nil || status != 503 || !strings.Contains(body, reason) {
			return fmt.Sprintf("/readyz: %d %s %v, want 503 with %s", status, body, err, reason)
		}
		return ""
	})
}

// waitCount waits until the text occurs n times.
func (tr *transcript) waitCount(t testing.TB, text string, n int) {
	t.Helper()
	eventually(t, func() string {
		if got := strings.Count(tr.String(), text); got < n {
			return fmt.Sprintf("%q occurs %d times of %d in:\n%s", text, got, n, tr)
		}
		return ""
	})
}
