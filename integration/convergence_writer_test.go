package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// convergenceWriter writes random transactions. Its statements follow from the seed, how it
// meets the others does not.
type convergenceWriter struct {
	random *rand.Rand
	conn   *pgx.Conn

	commits, rollbacks, truncates int
}

func newConvergenceWriter(t testing.TB, db *database, seed, number uint64) *convergenceWriter {
	t.Helper()
	w := &convergenceWriter{random: rand.New(rand.NewPCG(seed, 1000+number)), conn: db.conn(t)}
	if _, err := w.conn.Exec(t.Context(), "set deadlock_timeout = '50ms'; set lock_timeout = '5s'"); err != nil {
		t.Fatal(err)
	}
	return w
}

// startWriting lets each write so many transactions. done is closed behind the last one; then
// failed gives an error that is none of those that concurrent writers have.
func startWriting(t testing.TB, writers []*convergenceWriter, transactions int) (done chan struct{}, failed func() error) {
	t.Helper()
	ctx := t.Context()
	done = make(chan struct{})
	t.Cleanup(func() { <-done })
	errs := make([]error, len(writers))
	var all sync.WaitGroup
	for i, w := range writers {
		all.Go(func() {
			for n := 0; n < transactions && errs[i] == nil; n++ {
				errs[i] = w.transaction(ctx)
			}
		})
	}
	go func() {
		all.Wait()
		close(done)
	}()
	return done, func() error {
		<-done
		return errors.Join(errs...)
	}
}

// transaction writes one, and takes some back.
func (w *convergenceWriter) transaction(ctx context.Context) error {
	tx, err := w.conn.Begin(ctx)
	if err != nil {
		return err
	}
	for range 1 + w.random.IntN(5) {
		if err := w.some(ctx, tx); err != nil {
			w.rollbacks++
			return errors.Join(expectedConflict(err), tx.Rollback(ctx))
		}
	}
	if w.random.IntN(8) == 0 {
		w.rollbacks++
		return tx.Rollback(ctx)
	}
	if err := tx.Commit(ctx); err != nil {
		w.rollbacks++
		return expectedConflict(err)
	}
	w.commits++
	return nil
}

// expectedConflict takes the errors for nothing that concurrent writers have.
func expectedConflict(err error) error {
	if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) {
		switch pg.Code {
		case "23505", "40P01", "55P03": // unique, deadlock, lock timeout
			return nil
		}
	}
	return err
}

// some is a statement, or some in a savepoint, which may be rolled back.
func (w *convergenceWriter) some(ctx context.Context, tx pgx.Tx) error {
	if w.random.IntN(6) > 0 {
		_, err := tx.Exec(ctx, w.statement())
		return err
	}
	sub, err := tx.Begin(ctx)
	if err != nil {
		return err
	}
	for range 1 + w.random.IntN(3) {
		if _, err := sub.Exec(ctx, w.statement()); err != nil {
			return errors.Join(sub.Rollback(ctx), expectedConflict(err))
		}
	}
	if w.random.IntN(2) == 0 {
		return sub.Rollback(ctx)
	}
	return sub.Commit(ctx)
}

// convergenceIDs is how many ids a table has: few, so that rows are met again.
const convergenceIDs = 60

func (w *convergenceWriter) statement() string {
	r := w.random
	table := pick(r, convergenceTables)
	where := fmt.Sprintf("id = %d", 1+r.IntN(convergenceIDs))
	switch n := r.IntN(400); {
	case n < 1:
		w.truncates++
		return "truncate " + table
	case n < 120:
		return w.insert(table)
	case n < 160:
		return "delete from " + table + " where " + where
	case n < 190: // another key
		return fmt.Sprintf("update %s set id = %d where %s", table, 1+r.IntN(convergenceIDs), where)
	case n < 210: // another key, and maybe another audience
		return fmt.Sprintf("update %s set id = %d, %s where %s", table, 1+r.IntN(convergenceIDs), w.assignment(table), where)
	case n < 230: // nothing changes
		return fmt.Sprintf("update %s set id = id where id %% 7 = %d", table, r.IntN(7))
	case n < 260: // many at once
		return fmt.Sprintf("update %s set %s where id %% 9 = %d", table, w.assignment(table), r.IntN(9))
	}
	return fmt.Sprintf("update %s set %s where %s", table, w.assignment(table), where)
}

// insert makes one to three rows; those whose key is taken are left out.
func (w *convergenceWriter) insert(table string) string {
	var rows []string
	for range 1 + w.random.IntN(3) {
		values := make([]string, len(convergenceColumns[table]))
		for i, c := range convergenceColumns[table] {
			values[i] = c.value(w.random)
		}
		rows = append(rows, fmt.Sprintf("(%d, %s)", 1+w.random.IntN(convergenceIDs), strings.Join(values, ", ")))
	}
	names := []string{"id"}
	for _, c := range convergenceColumns[table] {
		names = append(names, c.name)
	}
	return fmt.Sprintf("insert into %s (%s) values %s on conflict do nothing", table, strings.Join(names, ", "), strings.Join(rows, ", "))
}

// assignment sets one or two columns.
func (w *convergenceWriter) assignment(table string) string {
	columns := convergenceColumns[table]
	first := w.random.IntN(len(columns))
	out := columns[first].name + " = " + columns[first].value(w.random)
	if second := w.random.IntN(len(columns)); second != first {
		out += ", " + columns[second].name + " = " + columns[second].value(w.random)
	}
	return out
}

// convergenceColumn is a column but id, with random values as literals.
type convergenceColumn struct {
	name  string
	value func(*rand.Rand) string
}

var convergenceColumns = map[string][]convergenceColumn{
	"orders": {
		{"customer_id", orNull(number(8))},
		{"team_id", orNull(number(5))},
		{"status", orNull(anyOf("'draft'", "'open'", "'paid'", "'void'"))},
		{"total", orNull(anyOf("12.50", "0", "50.00", "50", "-3.25", "79.99", "'NaN'", "100000000000000000001.5"))},
		{"body", orNull(someText)},
		{"deleted_at", anyOf("null", "null", "null", "'2026-11-20 10:00:00.5+00'", "'infinity'")},
	},
	"tasks": {
		{"org_id", anyOf(quoted(convergenceOrgs)...)},
		{"assignee_id", number(8)},
		{"state", anyOf("'open'", "'shared'", "'hidden'", "'done'")},
		{"title", orNull(anyOf("'eins'", "'Zwölf \"Boxkämpfer\"'", "E'zwei\\nZeilen'", "''"))},
		{"body", orNull(someText)},
	},
	"alerts": {
		{"owner", orNull(number(8))},
		{"severity", orNull(number(9))},
		{"tags", orNull(anyOf("'{}'", "'{red}'", "'{green,blau}'", "'{größe,red,null}'", "'{red,green,blau}'"))},
		{"meta", orNull(anyOf(`'{"region": "eu"}'`, `'{"region": "us", "n": 1.50}'`, `'{"region": "日本"}'`, `'{"region": {"of": "eu"}}'`, `'{"region": null}'`, `'[]'`, `'"eu"'`))},
		{"deleted_at", anyOf("null", "null", "null", "'2026-11-20 10:00:00+00'")},
		{"note", orNull(someText)},
	},
	"messages": {
		{"room_id", number(convergenceRooms)},
		{"author", orNull(number(8))},
		{"body", orNull(someText)},
	},
}

func number(n int) func(*rand.Rand) string {
	return func(r *rand.Rand) string { return fmt.Sprint(1 + r.IntN(n)) }
}

func anyOf(values ...string) func(*rand.Rand) string {
	return func(r *rand.Rand) string { return pick(r, values) }
}

func orNull(value func(*rand.Rand) string) func(*rand.Rand) string {
	return func(r *rand.Rand) string {
		if r.IntN(6) == 0 {
			return "null"
		}
		return value(r)
	}
}

func quoted(values []string) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = "'" + v + "'"
	}
	return out
}

// someText is short, or so long that it is stored outside of the row.
func someText(r *rand.Rand) string {
	if r.IntN(3) == 0 {
		return fmt.Sprintf("'short %d'", r.IntN(100))
	}
	return fmt.Sprintf("repeat('long %d ', 350)", r.IntN(100))
}
