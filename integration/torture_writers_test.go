package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// tortureWriters is how many connections write.
const tortureWriters = 6

// scribes write until they are told to stop. Their statements follow from the seed;
// how they meet does not.
type scribes struct {
	t       *torture
	stopped chan struct{}
	once    sync.Once
	wait    sync.WaitGroup
	// failed is an error that no fault explains: a statement of ours is wrong.
	failed atomic.Pointer[error]
}

// scribe is one of them, with rows of its own.
type scribe struct {
	*scribes
	number int
	random *rand.Rand
	conn   *pgx.Conn // nil: none just now
	bulk   int       // bulk transactions so far
}

func (tt *torture) startScribes() *scribes {
	w := &scribes{t: tt, stopped: make(chan struct{})}
	for i := range tortureWriters {
		s := &scribe{scribes: w, number: i, random: tt.weather.now().random(actorScribe + i)}
		w.wait.Go(s.run)
	}
	return w
}

// stop lets every transaction end: what is committed later nobody would wait for. It
// may be called again.
func (w *scribes) stop() error {
	w.once.Do(func() { close(w.stopped) })
	w.wait.Wait()
	if err := w.failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (s *scribe) run() {
	defer s.disconnect()
	for s.pause(s.mean(20 * time.Millisecond)) {
		if s.conn == nil && !s.connect() {
			continue
		}
		err := s.transaction()
		if s.random.IntN(60) == 0 && !s.conn.IsClosed() {
			s.sample()
		}
		switch {
		case err == nil:
			s.t.tally().commits.Add(1)
		case errors.Is(err, errTakeBack):
			s.t.tally().aborts.Add(1)
		case s.conn.IsClosed():
			s.disconnect()
		default:
			s.t.tally().aborts.Add(1)
			s.judge(err)
		}
	}
}

// judge ignores the errors that concurrent writers have.
func (s *scribe) judge(err error) {
	for _, state := range []string{"23505", "40P01", "55P03"} { // unique, deadlock, lock timeout
		if strings.Contains(err.Error(), state) {
			return
		}
	}
	err = fmt.Errorf("writer %d: %w", s.number, err)
	s.failed.CompareAndSwap(nil, &err)
}

// pause waits; false: it is time to stop.
func (s *scribe) pause(d time.Duration) bool {
	select {
	case <-s.stopped:
		return false
	case <-time.After(d):
		return true
	}
}

// mean is a random duration around d.
func (s *scribe) mean(d time.Duration) time.Duration {
	return min(time.Duration(s.random.ExpFloat64()*float64(d)), 10*d)
}

// connect fails while Postgres is away. Not through the proxy: it is walrelay that
// suffers.
func (s *scribe) connect() bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := s.t.db.cluster.ConnTo(ctx, s.t.db.name)
	if err != nil {
		return false
	}
	if _, err := conn.Exec(ctx, "set lock_timeout = '1s'; set deadlock_timeout = '100ms'; set statement_timeout = '20s'"); err != nil {
		_ = conn.Close(ctx) // Postgres went away again
		return false
	}
	s.conn = conn
	return true
}

func (s *scribe) disconnect() {
	if s.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = s.conn.Close(ctx) // Postgres may be gone
		s.conn = nil
	}
}

// transaction makes one of any kind.
func (s *scribe) transaction() error {
	switch n := s.random.IntN(1000); {
	case n < 700:
		return s.do(s.some(1 + s.random.IntN(6))...)
	case n < 780:
		return s.do(append(s.some(1+s.random.IntN(6)), takeBack)...)
	case n < 850:
		return s.do(s.savepoints()...)
	case n < 880:
		return s.long()
	case n < 960:
		return s.do(s.several())
	case n < 966:
		return s.do(s.oversize())
	case n < 968:
		s.t.tally().bulks.Add(1)
		return s.do(s.thousands())
	case n < 976:
		return s.do(s.ddl()...)
	case n < 984:
		return s.do(s.truncate()...)
	}
	return s.do(s.statement())
}

// takeBack, as the last statement, rolls back.
const takeBack = ""

// do runs the statements in one transaction.
func (s *scribe) do(statements ...string) error {
	return s.slowly(0, statements...)
}

// slowly waits about so long between two statements. It is never cut off between
// statement and answer: nobody would know whether something is still to come.
func (s *scribe) slowly(wait time.Duration, statements ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	return pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		for _, statement := range statements {
			if statement == takeBack {
				return errTakeBack
			}
			if _, err := tx.Exec(ctx, statement); err != nil {
				return fmt.Errorf("%.100s: %w", statement, err)
			}
			if wait > 0 {
				s.pause(s.mean(wait))
			}
		}
		return nil
	})
}

// own is the key of a row of this writer.
func (s *scribe) own() int {
	return s.random.IntN(tortureKeys/tortureWriters)*tortureWriters + s.number
}

func (s *scribe) some(n int) (statements []string) {
	for range n {
		statements = append(statements, s.statement())
	}
	return statements
}

// statement is one small change.
func (s *scribe) statement() string {
	r := s.random
	id, id2, room, body := s.own(), s.own(), r.IntN(tortureRooms), s.body()
	table := []string{"items", "items", "items", "notes", "notes", "wide", "scratch"}[r.IntN(7)]
	columns, values, set := "id, room, body", fmt.Sprintf("%d, %d, %s", id, room, body), fmt.Sprintf("room = %d", room)
	switch table {
	case "notes":
		columns, set = "id, item, body", fmt.Sprintf("item = %d", room)
	case "scratch":
		columns, values = "id, room", fmt.Sprintf("%d, %d", id, room)
	}
	if table != "scratch" && r.IntN(2) == 0 { // else a body outside of the row is not sent
		set += ", body = " + body
	}
	switch r.IntN(10) {
	case 0, 1, 2, 3:
		return fmt.Sprintf("insert into %s (%s) values (%s) on conflict do nothing", table, columns, values)
	case 4, 5, 6:
		return fmt.Sprintf("update %s set %s where id = %d", table, set, id)
	case 7:
		return fmt.Sprintf("update %s set id = %d where id = %d and not exists (select from %s where id = %d)", table, id2, id, table, id2)
	case 8:
		return fmt.Sprintf("delete from %s where id = %d", table, id)
	}
	channel := []string{"items", "notes", "bulk", fmt.Sprintf("room/%d", room), fmt.Sprintf("note/%d", id), fmt.Sprintf("hall/%d", room), "nobody"}[r.IntN(7)]
	return fmt.Sprintf(`select pg_logical_emit_message(%v, 'walrelay:%s', '{"n":%d}')`, r.IntN(8) > 0, channel, id2)
}

// body is a text, or NULL, at times one that Postgres keeps outside of the row.
func (s *scribe) body() string {
	switch n := s.random.IntN(40); {
	case n == 0:
		return "null"
	case n < 3:
		return fmt.Sprintf("repeat('%c', %d)", 'a'+rune(s.random.IntN(26)), 2500+s.random.IntN(3000))
	case n < 6:
		return `'ä "quoted" \back'`
	}
	return fmt.Sprintf("'%s'", strings.Repeat(string('a'+rune(s.random.IntN(26))), s.random.IntN(120)))
}

// savepoints takes back a part, or two of them, one in the other.
func (s *scribe) savepoints() []string {
	out := append(s.some(1+s.random.IntN(3)), "savepoint a")
	out = append(out, s.some(1+s.random.IntN(3))...)
	if s.random.IntN(2) == 0 {
		out = append(append(out, "savepoint b"), s.some(2)...)
		out = append(out, []string{"rollback to b", "release b"}[s.random.IntN(2)])
		out = append(out, s.some(1)...)
	}
	out = append(out, []string{"rollback to a", "release a"}[s.random.IntN(2)])
	return append(out, s.some(1+s.random.IntN(3))...)
}

// long holds a transaction open while the others commit.
func (s *scribe) long() error {
	statements := s.some(3 + s.random.IntN(5))
	if s.random.IntN(5) == 0 {
		statements = append(statements, takeBack)
	}
	return s.slowly(150*time.Millisecond, statements...)
}

// several changes many rows in one statement.
func (s *scribe) several() string {
	mine := fmt.Sprintf("id %% %d = %d", tortureWriters, s.number)
	switch s.random.IntN(4) {
	case 0:
		return fmt.Sprintf("update items set room = (room + 1) %% %d where %s and room = %d", tortureRooms, mine, s.random.IntN(tortureRooms))
	case 1:
		return fmt.Sprintf("update notes set item = coalesce(item, 0) + 1 where %s and id < %d", mine, s.random.IntN(tortureKeys))
	case 2:
		return fmt.Sprintf("delete from scratch where %s", mine)
	}
	return fmt.Sprintf("insert into scratch select n, n %% %d from generate_series(0, %d) n where n %% %d = %d on conflict do nothing", tortureRooms, tortureKeys-1, tortureWriters, s.number)
}

// ddl changes the columns of wide, at times between two rows of one transaction.
func (s *scribe) ddl() []string {
	n := s.random.IntN(4)
	change := fmt.Sprintf("alter table wide drop column if exists x%d", n)
	switch s.random.IntN(3) {
	case 0:
		change = fmt.Sprintf("alter table wide add column if not exists x%d %s", n, []string{"int", "text"}[n%2])
	case 1:
		change = fmt.Sprintf("alter table wide add column if not exists x%d %s default '%d'", n, []string{"int", "text"}[n%2], s.random.IntN(100))
	}
	if s.random.IntN(200) == 0 {
		change = "alter table wide drop column if exists early" // what stands behind it moves
	}
	s.t.tally().ddl.Add(1)
	row := func(key int) string {
		return fmt.Sprintf("insert into wide (id, room, body) values (%d, %d, %s) on conflict (id) do update set room = excluded.room, body = excluded.body", key, s.random.IntN(tortureRooms), s.body())
	}
	return []string{row(s.own()), change, row(s.own())}[s.random.IntN(2):]
}

func (s *scribe) truncate() []string {
	s.t.tally().truncates.Add(1)
	row := func() string {
		return fmt.Sprintf("insert into scratch values (%d, %d) on conflict do nothing", s.own(), s.random.IntN(tortureRooms))
	}
	return []string{row(), "truncate scratch", row()}[s.random.IntN(2):]
}

// oversize writes a row above max_event_bytes.
func (s *scribe) oversize() string {
	s.t.tally().oversize.Add(1)
	body := fmt.Sprintf("repeat('%c', %d)", 'A'+rune(s.random.IntN(26)), tortureEvent+s.random.IntN(tortureEvent))
	if s.random.IntN(2) == 0 {
		return fmt.Sprintf("insert into notes values (%d, 0, %s) on conflict (id) do update set body = excluded.body", s.own(), body)
	}
	return fmt.Sprintf("insert into items values (%d, %d, %s) on conflict (id) do update set body = excluded.body, room = excluded.room", s.own(), s.random.IntN(tortureRooms), body)
}

// thousands changes so many rows in one transaction that they come in several batches,
// and keeps the table from growing.
func (s *scribe) thousands() string {
	s.bulk++
	const size = 10_000
	first := (s.number*100 + s.bulk%2) * size
	last := first + 2000 + s.random.IntN(3000)
	switch s.random.IntN(3) {
	case 0:
		return fmt.Sprintf("delete from bulk where id between %d and %d", first, first+size-1)
	case 1:
		return fmt.Sprintf("update bulk set part = part + 1 where id between %d and %d", first, last)
	}
	return fmt.Sprintf("insert into bulk select n, 0, md5(n::text) from generate_series(%d, %d) n on conflict (id) do update set part = bulk.part + 1", first, last)
}

// sample notes an LSN as a page would that is rendered now.
func (s *scribe) sample() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var at string
	if s.conn.QueryRow(ctx, "select pg_current_wal_lsn()::text").Scan(&at) == nil { // else Postgres goes away just now
		s.t.bareLSN.Store(&at)
	}
}
