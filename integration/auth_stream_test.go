package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/replication"
)

// Rows of private tables are nowhere in the log's directory, in whatever way they came, nor
// are the names of their columns. A second log, which is given all of them, has them all:
// so they would have been found. What else both have is at the same positions: ids do not
// depend on which tables are private.
func TestAuthStreamPrivate(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key, body text)",
		"create table session (sid text primary key, secret_payload text)",
		"create table whole (sid text, secret_whole text); alter table whole replica identity full",
		"create table parts (sid text, day int, secret_part text, primary key (sid, day)) partition by range (day)",
		"create table parts_1 partition of parts for values from (1) to (2); create table parts_2 partition of parts for values from (2) to (3)",
		"create table members (id int primary key, password text)")
	dir, dirAll := tempDir(t), tempDir(t)
	all := startWatched(t, db, db.name+"_all", dirAll, channelTable("items"), channelTable("session"), channelTable("whole"), channelTable("parts"), channelTable("members"))
	w := startWatched(t, db, db.name, dir, channelTable("items"), privateTable("session"), privateTable("whole"), privateTable("parts"),
		replication.TableSpec{Schema: "public", Name: "members", Private: true})

	var tokens, controls []string
	token := func() string {
		tokens = append(tokens, fmt.Sprintf("credential-%d-%d", len(tokens), rand.Uint64()))
		return tokens[len(tokens)-1]
	}
	control := func() string {
		controls = append(controls, fmt.Sprintf("control-%d-%d", len(controls), rand.Uint64()))
		return controls[len(controls)-1]
	}
	insert := func() string {
		return fmt.Sprintf("; insert into items values (%d, '%s')", len(controls), control())
	}
	const large = "(select string_agg(md5(n::text), '') from generate_series(1, 60000) n)" // more than max_event_bytes, and than a batch
	for _, sql := range []string{
		fmt.Sprintf("insert into session values ('%s', '%s')", token(), token()),
		fmt.Sprintf("update session set secret_payload = '%s'", token()) + insert(),
		fmt.Sprintf("update session set sid = '%s'", token()) + insert(),
		fmt.Sprintf("insert into session values ('large', '%s' || ", token()) + large + ")" + insert(),
		fmt.Sprintf("update session set sid = '%s' where sid = 'large'", token()),
		"delete from session" + insert(),
		fmt.Sprintf("insert into whole values ('w', '%s')", token()) + insert(),
		fmt.Sprintf("update whole set secret_whole = '%s'", token()),
		"delete from whole" + insert(),
		fmt.Sprintf("insert into parts values ('a', 1, '%s'), ('b', 2, '%s')", token(), token()) + insert(),
		fmt.Sprintf("update parts set day = 3 - day, secret_part = '%s'", token()),
		"truncate session, items, parts" + insert(),
		fmt.Sprintf("insert into members values (1, '%s')", token()) + insert(),
		fmt.Sprintf("insert into session values ('s', '%s'); alter table session add secret_more text; update session set secret_more = '%s'", token(), token()) + insert(),
		"truncate session; truncate whole" + insert(),
		"insert into items values (100, 'before')" + fmt.Sprintf("; insert into session values ('t', '%s')", token()) + insert(),
	} {
		db.exec(t, sql)
	}
	one, both := w.logged(t, db), all.logged(t, db)
	var want []string
	for _, line := range both {
		at, rest, _ := strings.Cut(line, " ")
		if rest == "truncate session items parts" || rest == "truncate items session parts" || strings.HasPrefix(rest, "truncate items") {
			want = append(want, at+" truncate items")
		} else if strings.Contains(rest, " items ") {
			want = append(want, line)
		}
	}
	wantLines(t, "logged", one, want)
	if n := len(w.observed()); n < 15 {
		t.Errorf("%d changes were observed: %q", n, w.observed())
	}
	for _, line := range w.observed() {
		if strings.Contains(line, "items") || strings.Contains(line, "members") || strings.Contains(line, "parts_") {
			t.Errorf("observed: %s", line)
		}
	}
	w.stop()
	all.stop()
	if got := foundIn(t, dir, append(slices.Clone(tokens), "secret_")); len(got) > 0 {
		t.Errorf("in the log: %q", got)
	}
	wantLines(t, "controls in the log", foundIn(t, dir, controls), controls)
	var small []string // the large row is told without its value
	for i, text := range tokens {
		if i != 4 {
			small = append(small, text)
		}
	}
	wantLines(t, "credentials in the log that is given them", foundIn(t, dirAll, append(small, "secret_")), append(small, "secret_"))
}

// Nothing of a transaction, nor of a later one, is given to the log before the watcher has
// seen what the transaction does to sessions, however the stream is cut; what it sees is
// complete and in commit order.
func TestAuthStreamOrder(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id bigserial primary key, body text)", "create table session (sid bigserial primary key)", "create table member (id bigserial primary key)")
	w := startWatched(t, db, db.name, tempDir(t), channelTable("items"), privateTable("session"), sharedTable("member"))
	const writers, each = 4, 60
	done := make(chan error, writers)
	for n := range writers {
		conn := db.conn(t)
		go func() {
			for i := range each {
				sql := "insert into items (body) select repeat('x', 300) from generate_series(1, 20); insert into session default values; insert into items (body) values ('y'); "
				if (i+n)%3 == 0 {
					sql += "insert into member default values; insert into items (body) values ('z')"
				}
				if _, err := conn.Exec(context.Background(), sql); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range writers {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		db.exec(t, "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = '"+db.name+"' and active")
	}
	lines := w.logged(t, db)
	if n := strings.Count(strings.Join(lines, "\n"), "insert items"); n != writers*(each*21+each/3) {
		t.Errorf("%d rows logged", n)
	}
	seen, last, appended := map[change.Position]bool{}, change.Position{}, change.Position{}
	sessions, members := 0, 0
	for _, e := range w.all() {
		if e.observed == "" {
			appended = e.at
			continue
		}
		if seen[e.at] {
			last = e.at // sent again
			continue
		}
		seen[e.at] = true
		if e.at.Less(last) {
			t.Fatalf("observed %s at %s after %s", e.observed, e.at, last)
		}
		last = e.at
		if e.at.Commit <= appended.Commit {
			t.Fatalf("%s at %s was observed after the log was given %s", e.observed, e.at, appended)
		}
		switch {
		case strings.HasPrefix(e.observed, "insert session "):
			sessions++
		case strings.HasPrefix(e.observed, "insert member "):
			members++
		default:
			t.Errorf("observed: %s", e.observed)
		}
	}
	if sessions != writers*each || members != writers*each/3 {
		t.Errorf("observed %d of %d sessions, %d of %d members", sessions, writers*each, members, writers*each/3)
	}
	if n := w.missed.Load(); n != 1 {
		t.Errorf("changes are said to have been missed %d times: a lost connection loses nothing", n)
	}
}

// TRUNCATE of several tables reaches each who may know of it.
func TestAuthStreamTruncate(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key)", "create table member (id int primary key)", "create table session (sid int primary key, member int references member)", "create table other (id int primary key)")
	w := startWatched(t, db, db.name, tempDir(t), channelTable("items"), sharedTable("member"), privateTable("session"))
	db.exec(t, "alter publication "+db.name+" add table other") // by hand: nobody needs it
	w.waitStreaming(t)
	db.exec(t,
		"truncate items, session, other, member",
		"truncate session",
		"truncate other",
		"truncate member cascade",
		"truncate items",
		"begin; insert into items values (1); truncate session; insert into other values (1); insert into items values (2); commit")
	lines := w.logged(t, db)
	wantLines(t, "logged", sortWords(withoutPositions(lines)), []string{"truncate items member", "truncate member", "truncate items", "insert items 1", "insert items 2"})
	wantLines(t, "observed", sortWords(w.observed()), []string{"truncate member session", "truncate session", "truncate member session", "truncate session"})
	if n := len(lines); n == 5 && (!strings.Contains(lines[3], ".0 ") || !strings.Contains(lines[4], ".3 ")) {
		t.Errorf("positions: %q", lines[3:])
	}
}

// sortWords sorts the words behind the first of lines that tell of a TRUNCATE.
func sortWords(lines []string) (out []string) {
	for _, line := range lines {
		if words := strings.Fields(line); words[0] == "truncate" {
			slices.Sort(words[1:])
			line = strings.Join(words, " ")
		}
		out = append(out, line)
	}
	return out
}

// A private table stays private under another name, under which the stream has it now or
// had it then.
func TestAuthStreamRenamed(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key)", "create table session (sid text primary key)")
	dir := tempDir(t)
	w := startWatched(t, db, db.name, dir, channelTable("items"), privateTable("session"))
	before := db.walsender(t)
	// At one commit: the tables are looked at every few seconds, and a session that began behind the
	// rename would know nobody by the new name.
	db.exec(t, "insert into session values ('before')", "alter table session rename to renamed; insert into renamed values ('within')")
	wantLines(t, "logged", w.logged(t, db), nil)
	wantLines(t, "observed", w.observed(), []string{"insert session before", "insert renamed within"})
	w.streamsAgain(t, db, before) // without it: there is none of the name
	db.exec(t, "insert into renamed values ('missing')")
	wantLines(t, "logged of a table that is not there", w.logged(t, db), nil)
	w.stop()

	db.exec(t, "insert into renamed values ('away')", "alter table renamed rename to again", "alter publication "+db.name+" drop table again")
	db.exec(t, "alter publication "+db.name+" add table again", "insert into again values ('back')")
	w = startWatched(t, db, db.name, dir, channelTable("items"), privateTable("again"))
	db.exec(t, "insert into items values (1)")
	wantLines(t, "logged", withoutPositions(w.logged(t, db)), []string{"insert items 1"})
	if got := w.observed(); len(got) < 2 || got[len(got)-1] != "insert again back" || !slices.Contains(got, "insert renamed away") {
		t.Errorf("observed: %q", got)
	}
	w.stop()
	wantLines(t, "in the log", foundIn(t, dir, []string{"before", "within", "missing", "away"}), nil)
}

// Changes of private tables come again when the slot was confirmed before, though the log
// is complete behind them. That is no other past; a table that becomes public is complete
// from then on.
func TestAuthStreamComesAgain(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key)", "create table session (sid int primary key)")
	dir := tempDir(t)
	w := startWatched(t, db, db.name, dir, channelTable("items"), privateTable("session"))
	db.exec(t, "insert into items values (1)")
	w.logged(t, db)
	db.exec(t, "select pg_copy_logical_replication_slot('"+db.name+"', '"+db.name+"_old')") // as of a crash before the confirmation
	for id := range 10 {
		db.exec(t, fmt.Sprintf("insert into session values (%d)", id))
	}
	end := db.walEnd(t)
	eventually(t, func() string {
		if b := w.log.Bounds(); b.Durable < end {
			return "the log is complete up to " + b.Durable.String()
		}
		return ""
	})
	w.stop()

	w = startWatched(t, db, db.name+"_old", dir, channelTable("items"), privateTable("session"))
	db.exec(t, "insert into items values (2)")
	if got := withoutPositions(w.logged(t, db)); !slices.Equal(got, []string{"insert items 1", "insert items 2"}) {
		t.Errorf("logged: %q", got)
	}
	if got := w.observed(); len(got) != 10 {
		t.Errorf("observed: %q", got)
	}
	db.exec(t, "select pg_copy_logical_replication_slot('"+db.name+"_old', '"+db.name+"_public')")
	db.exec(t, "insert into session values (20)")
	end = db.walEnd(t)
	eventually(t, func() string {
		if b := w.log.Bounds(); b.Durable < end {
			return "the log is complete up to " + b.Durable.String()
		}
		return ""
	})
	w.stop()

	w = startWatched(t, db, db.name+"_public", dir, channelTable("items"), sharedTable("session"))
	db.exec(t, "insert into session values (21)", "insert into items values (3)")
	if got := withoutPositions(w.logged(t, db)); !slices.Equal(got, []string{"insert items 1", "insert items 2", "insert session 21", "insert items 3"}) {
		t.Errorf("logged: %q", got)
	}
	if b := w.log.Bounds(); b.Lineage.Generation != 1 {
		t.Errorf("the log has begun anew: %+v", w.log.History())
	}
	if since := w.log.Since("public.session"); since < end || since > db.walEnd(t) {
		t.Errorf("the table is complete since %s, the log ended at %s when it became public", since, end)
	}
	if since := w.log.Since("public.items"); since != 0 {
		t.Errorf("the other table is complete since %s", since)
	}
}

// A table becomes private, and public again, while the Source runs.
func TestAuthStreamRetarget(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key)", "create table session (sid int primary key)")
	w := startWatched(t, db, db.name, tempDir(t), channelTable("items"), channelTable("session"))
	if n := w.missed.Load(); n != 1 {
		t.Errorf("a new log: %d", n)
	}
	retarget := func(specs ...replication.TableSpec) {
		t.Helper()
		before := db.walsender(t)
		if err := w.Retarget(t.Context(), replication.Target{URL: db.url(), Slot: db.name, Publication: db.name, Tables: specs}); err != nil {
			t.Fatal(err)
		}
		w.streamsAgain(t, db, before)
	}
	db.exec(t, "insert into session values (1)")
	retarget(channelTable("items"), privateTable("session"))
	if n := w.missed.Load(); n != 2 {
		t.Errorf("a table that is watched now: %d", n)
	}
	db.exec(t, "insert into session values (2)", "insert into items values (1)")
	retarget(channelTable("items"), sharedTable("session"))
	if n, since := w.missed.Load(), w.log.Since("public.session"); n != 3 || since == 0 {
		t.Errorf("a table that is public now: %d, complete since %s", n, since)
	}
	db.exec(t, "insert into session values (3)")
	wantLines(t, "logged", withoutPositions(w.logged(t, db)), []string{"insert session 1", "insert items 1", "insert session 3"})
	got := w.observed()
	if len(got) > 0 && got[0] == "insert session 1" { // sent again: the slot had not been confirmed beyond it
		got = got[1:]
	}
	wantLines(t, "observed", slices.Compact(got), []string{"insert session 2", "insert session 3"})
}

// Who watches is told when changes were not in the stream.
func TestAuthStreamMissed(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key)", "create table session (sid int primary key)")
	w := startWatched(t, db, db.name, tempDir(t), channelTable("items"), privateTable("session"))
	told := func(what string, want int64, sql ...string) {
		t.Helper()
		before := db.walsender(t)
		db.exec(t, sql...)
		w.streamsAgain(t, db, before)
		if n := w.missed.Load(); n != want {
			t.Errorf("%s: told %d times, not %d", what, n, want)
		}
	}
	terminate := "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = '" + db.name + "'"
	told("the connection was lost", 1, terminate)
	told("the table was taken out and put back", 2, "alter publication "+db.name+" drop table session", "alter publication "+db.name+" add table session")
	told("another was", 2, "alter publication "+db.name+" drop table items", "alter publication "+db.name+" add table items")
	db.exec(t, "do $$ begin loop begin perform pg_drop_replication_slot('"+db.name+"'); return; exception when object_in_use then "+
		"perform pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = '"+db.name+"'; end; end loop; end $$")
	eventually(t, func() string {
		if n, h := w.missed.Load(), w.log.History(); n != 3 || len(h) != 1 || h[0].Reason != "gap" {
			return fmt.Sprintf("the slot was dropped: told %d times; history %+v", n, h)
		}
		return ""
	})
}

// When the stream comes to a halt without a word, it shows: CaughtUp stands still.
func TestAuthStreamCaughtUp(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key, body text)", "create table session (sid int primary key)")
	w := startWatched(t, db, db.name, tempDir(t), channelTable("items"), privateTable("session"))
	caughtUp := func(behind time.Time) {
		t.Helper()
		eventually(t, func() string {
			if at := w.State().CaughtUp; !at.After(behind) {
				return fmt.Sprintf("it has caught up with %v, not %v", at, behind)
			}
			return ""
		})
	}
	caughtUp(time.Now()) // also when nothing happens
	goOn := db.stopWalsender(t)
	db.exec(t, "insert into session values (1)")
	halted := time.Now()
	eventually(t, func() string { // looks go on
		if at := w.State().Slot.At; at.Before(halted.Add(2 * time.Second)) {
			return fmt.Sprintf("the last look was at %v", at)
		}
		return ""
	})
	st := w.State()
	if st.CaughtUp.After(halted) || !st.Following() {
		t.Errorf("halted at %v, caught up with %v, following: %v", halted, st.CaughtUp, st.Following())
	}
	if got := w.observed(); len(got) > 0 {
		t.Errorf("observed: %q", got)
	}
	goOn()
	caughtUp(halted)
	wantLines(t, "observed", w.observed(), []string{"insert session 1"})
}

// A session that cannot be seen to end must not be let in: the log stays closed to tables
// that are private inside of others.
func TestAuthStreamPartition(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table parts (id int, day int, primary key (id, day)) partition by range (day)", "create table parts_1 partition of parts for values from (1) to (2)")
	target := replication.Target{URL: db.url(), Slot: db.name, Publication: db.name, Tables: []replication.TableSpec{channelTable("parts"), privateTable("parts_1")}}
	s := replication.New(replication.Options{Target: target, Log: &noLog{}, WALBudget: 1 << 30})
	err := s.Run(t.Context())
	var preflight *replication.PreflightError
	if !errors.As(err, &preflight) || len(preflight.Findings) != 1 || preflight.Findings[0].Table != "" || !strings.Contains(err.Error(), "public.parts_1: it is a partition of public.parts") {
		t.Errorf("got %v", err)
	}
}

// noLog is never written to.
type noLog struct{ sourceLog }

func (*noLog) Head() (change.Position, change.LSN) { return change.Position{}, 0 }
