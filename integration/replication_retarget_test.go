package integration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/eventlog"
	"github.com/walrelay/walrelay/replication"
)

// walsender is the process that serves the slot; it changes with the session.
func (d *database) walsender(t testing.TB) (pid string) {
	t.Helper()
	eventually(t, func() string {
		if pid = d.value(t, "select coalesce(active_pid::text, '') from pg_replication_slots where slot_name = $1", d.name); pid == "" {
			return "nobody streams"
		}
		return ""
	})
	return pid
}

// published are the tables of the publication.
func (d *database) published(t testing.TB) string {
	t.Helper()
	return d.value(t, "select coalesce(string_agg(tablename, ' ' order by tablename), '') from pg_publication_tables where pubname = $1", d.name)
}

// streamsAgain waits for another session than the one of the walsender.
func (s *source) streamsAgain(t testing.TB, db *database, before string) {
	t.Helper()
	eventually(t, func() string {
		if now := db.walsender(t); now == before || s.State().Phase != replication.PhaseStreaming {
			return "the session goes on: " + string(s.State().Phase)
		}
		return ""
	})
}

// Tables that join do so in a new session, which loses nothing of those that stay;
// everything else leaves the session alone.
func TestReplicationRetarget(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table a (id int primary key)", "create table b (id int primary key)", "create table c (id int primary key)", "create table keyless (v int)")
	source := startSource(t, db, "a")
	first := db.walsender(t)
	retarget := func(target replication.Target) {
		t.Helper()
		if err := source.Retarget(t.Context(), target); err != nil {
			t.Fatal(err)
		}
	}

	stop, writing, last := make(chan struct{}), sync.WaitGroup{}, 0
	conn := db.conn(t)
	writing.Go(func() { // to a table that stays
		for ; ; last++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := conn.Exec(t.Context(), fmt.Sprintf("insert into a values (%d)", last)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	db.exec(t, "insert into b values (1)") // before it joins
	retarget(db.target("a", "b"))
	source.streamsAgain(t, db, first)
	if got := db.published(t); got != "a b" {
		t.Errorf("published: %s", got)
	}
	if a, b := source.log.Since("public.a"), source.log.Since("public.b"); a != 0 || b == 0 || b > db.walEnd(t) {
		t.Errorf("complete since: a %s, b %s", a, b)
	}
	second := db.walsender(t)
	wrong := db.target("a", "b", "c", "keyless", "missing")
	wrong.Tables[4].Ref = "line 7"
	var preflight *replication.PreflightError
	if err := source.Retarget(t.Context(), wrong); !errors.As(err, &preflight) || len(preflight.Findings) != 2 || preflight.Findings[1].Ref != "line 7" || !strings.Contains(preflight.Findings[0].Problem, "no primary key") {
		t.Errorf("a target that cannot be: %v", err)
	}
	elsewhere := db.target("a")
	elsewhere.Slot = "another"
	var permanent *replication.PermanentError
	if err := source.Retarget(t.Context(), elsewhere); !errors.As(err, &permanent) || permanent.Fix != "restart walrelay" {
		t.Errorf("another slot: %v", err)
	}
	rules := db.target("a", "b")
	rules.Tables[0].Uses = []replication.ColumnUse{{Column: "id", Read: true, Compared: true}}
	retarget(rules)               // only what rules read
	retarget(db.target("b"))      // a leaves
	retarget(db.target("b", "a")) // and comes back
	db.exec(t, "insert into b values (2)")
	if got := db.walsender(t); got != second {
		t.Error("the session was ended though no table joined")
	}
	if got := db.published(t); got != "a b" {
		t.Errorf("published after a table left: %s", got)
	}
	close(stop)
	writing.Wait()
	db.exec(t, "select pg_logical_emit_message(true, 'end', '')")
	rows := source.inserted(t, "end")
	if !slices.Equal(rows["b"], []string{"2"}) {
		t.Errorf("rows of the table that joined: %q", rows["b"])
	}
	if n := len(slices.Compact(rows["a"])); n != last || len(rows["a"]) != last {
		t.Errorf("%d rows, %d different ones, of %d that were written to the table that stayed", len(rows["a"]), n, last)
	}
}

// A target that changes while a session is being prepared is followed, too.
func TestReplicationRetargetEarly(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table a (id int primary key)", "create table b (id int primary key)")
	log, err := eventlog.Open(eventlog.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}()
	var s *replication.Source
	var seen [][]string
	s = replication.New(replication.Options{Target: db.target("a"), Log: sourceLog{log}, WALBudget: 1 << 30,
		OnTables: func(tables map[string]*replication.Table) error {
			var names []string
			for name := range tables {
				names = append(names, name)
			}
			slices.Sort(names)
			if seen = append(seen, names); len(seen) == 1 {
				return s.Retarget(t.Context(), db.target("a", "b"))
			}
			return nil
		}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	eventually(t, func() string {
		if st := s.State(); st.Phase != replication.PhaseStreaming || db.published(t) != "a b" {
			return "published: " + db.published(t)
		}
		return ""
	})
	db.exec(t, "insert into b values (1)")
	source := &source{Source: s, log: log}
	source.changes(t, log.Bounds().Floor, func(c *change.Change) bool { return c.Op != change.Insert })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if !slices.Equal(seen[0], []string{"public.a"}) || !slices.Equal(seen[len(seen)-1], []string{"public.a", "public.b"}) {
		t.Errorf("sessions began with %q", seen)
	}
}
