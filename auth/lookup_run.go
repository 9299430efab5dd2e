package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/walrelay/walrelay/change"
)

// beginSQL: the first query after it takes the snapshot.
const beginSQL = "begin isolation level repeatable read read only"

// lookup reads session and claims, see lookups.
func (p *postgres) lookup(ctx context.Context, s *source, q question) (found, error) {
	b := s.bound.Load()
	if b.err != nil {
		return found{}, &NotReadyError{Cause: b.err}
	}
	l := &look{source: s, bound: b, q: q, view: view{payload: q.payload}}
	if !s.asksPostgres() {
		err := l.withoutPostgres()
		return l.out, err
	}
	err := p.with(ctx, func(pg *pgconn.PgConn) error {
		l.pg = pg
		return l.run(ctx)
	})
	if _, refused := ReasonOf(err); err != nil && !refused {
		err = fmt.Errorf("look up a session of %s: %w", s.key, err)
	}
	return l.out, err
}

// look is one look-up.
type look struct {
	source *source
	bound  *binding
	q      question
	pg     *pgconn.PgConn
	view   view
	out    found
}

func (l *look) withoutPostgres() error {
	if err := l.takeUser(); err != nil {
		return err
	}
	l.out.claims = l.plainClaims()
	return nil
}

// run needs the row before it can ask for the claims: two round trips, or one without store.
func (l *look) run(ctx context.Context) error {
	begin := []statement{{sql: beginSQL}, {sql: snapshotSQL}}
	if l.bound.store != nil {
		if err := l.readStore(ctx, begin); err != nil {
			return err
		}
		begin = nil
	}
	if err := l.takeUser(); err != nil {
		return err
	}
	return l.readClaims(ctx, begin)
}

// readStore reads the row of the session.
func (l *look) readStore(ctx context.Context, begin []statement) error {
	s, t := l.source, l.bound.store
	statements := append(begin, s.storeSQL(t, l.q.key))
	spell := len(t.where) > 0 && t.canonical.Load() == nil
	if spell {
		statements = append(statements, s.whereSQL())
	}
	results, err := run(ctx, l.pg, statements...)
	if err != nil {
		return err
	}
	if l.out.snapshot, err = readSnapshot(results[1]); err != nil {
		return err
	}
	if spell {
		t.canonical.Store(texts(results[3]))
	}
	return l.takeRow(t, results[2])
}

// texts are the values of the one row.
func texts(rows [][][]byte) *[]string {
	out := make([]string, len(rows[0]))
	for i, v := range rows[0] {
		out[i] = string(v)
	}
	return &out
}

// takeRow projects the row as one from the WAL.
func (l *look) takeRow(t *storeTable, rows [][][]byte) error {
	s := l.source
	switch len(rows) {
	case 0:
		return refuse(NoRow, "the store has no such session")
	case 1:
	default:
		return fmt.Errorf("table %s has two rows with one key: %s.store.key must name a column that is unique, with what where says", t.rel.FullName(), s.key)
	}
	r, v, err := s.project(t, tupleOf(t, rows[0]), l.q.payload, l.q.now)
	if err != nil {
		return err
	}
	l.view, l.out.row = v, &r
	switch {
	case !r.fits:
		return fmt.Errorf("table %s: Postgres takes values for equal that are written differently, so that changes of a column of %s.store.where could not be judged: write the value as it stands in the table", t.rel.FullName(), s.key)
	case !r.expires.IsZero() && !l.q.now.Before(r.expires):
		return refuse(Expired, "the session's time is over")
	}
	return nil
}

// tupleOf is a row of storeSQL as the stream would send it; what was not read is missing.
func tupleOf(t *storeTable, texts [][]byte) []change.Value {
	values := slices.Repeat([]change.Value{{Kind: change.Missing}}, len(t.rel.Columns))
	for n, i := range t.columns() {
		values[i] = change.Value{Kind: change.Text, Text: texts[n]}
		if texts[n] == nil {
			values[i] = change.Value{Kind: change.Null}
		}
	}
	return values
}

// takeUser finds out who it is, and what of the session the claims may read: of a cookie
// that holds its session all of it, which never changes.
func (l *look) takeUser() error {
	t := l.bound.store
	user := field{name: l.source.entry.User, column: -1}
	if t != nil {
		user = t.user
		text, _ := l.view.watched()
		l.out.session = []byte(text)
	} else if l.source.claims != nil && l.source.claims.session > 0 {
		l.out.session = marshal(l.q.payload)
	}
	if l.out.user, _ = l.view.text(user); l.out.user == "" {
		return refuse(NoUser, "nobody is signed in to the session")
	}
	return nil
}

// readClaims reads the claims, and the user in the spelling of each of Depends.
func (l *look) readClaims(ctx context.Context, begin []statement) error {
	s := l.source
	statements := append(begin, s.timezoneSQL())
	depends, claims := -1, -1
	if len(s.entry.Depends) > 0 {
		depends = len(statements)
		statements = append(statements, s.dependsSQL(l.out.user))
	}
	if s.claims != nil {
		claims = len(statements)
		statements = append(statements, statement{sql: s.claims.wrapped(), args: s.claims.args([]byte(l.out.user), l.out.session)})
	}
	results, err := run(ctx, l.pg, append(statements, statement{sql: "commit"})...)
	if err != nil {
		return err
	}
	if begin != nil {
		if l.out.snapshot, err = readSnapshot(results[1]); err != nil {
			return err
		}
	}
	if depends >= 0 {
		l.takeDepends(results[depends][0])
	}
	if claims < 0 {
		l.out.claims = l.plainClaims()
		return nil
	}
	return l.takeClaims(results[claims])
}

func (l *look) takeDepends(users [][]byte) {
	for i, user := range users {
		t := l.bound.depends[i]
		l.out.dependUsers = append(l.out.dependUsers, spelling(t.rel.Columns[t.key].Type, string(user)))
	}
}

// takeClaims reads the one row of the claims SQL. What was found before stays.
func (l *look) takeClaims(rows [][][]byte) error {
	s := l.source
	switch len(rows) {
	case 0:
		return refuse(NoClaims, "claims find nobody")
	case 1:
	default:
		return fmt.Errorf("%s.claims gives more than one row for one user: group them, or add limit 1", s.key)
	}
	object, err := parseObject(rows[0][0])
	if err != nil {
		return fmt.Errorf("%s.claims: the row is larger than claims can be", s.key)
	}
	if err := l.check(object); err != nil {
		return err
	}
	delete(object, checkColumn)
	l.out.claims = marshal(exact(object))
	return nil
}

// exactDigits are those that a float8 keeps, the number of JavaScript: a JSON number with
// more is not believed by who reads claims, so that one of Postgres's, which is exact, must
// be a string.
const exactDigits = 15

// exact makes strings of long numbers, at any depth.
func exact(v any) any {
	switch v := v.(type) {
	case json.Number:
		if len(v) > exactDigits {
			return v.String()
		}
	case []any:
		for i := range v {
			v[i] = exact(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = exact(v[name])
		}
	}
	return v
}

// checkColumn is the column of the claims SQL that `check:` compares with. It is no claim.
const checkColumn = "_check"

func (l *look) check(claims map[string]any) error {
	if c := l.source.entry.Check; c == "" || c == "none" {
		return nil
	}
	column, ok := claims[checkColumn]
	if !ok {
		return fmt.Errorf("%s.claims gives no column %s, with which check: %s compares", l.source.key, checkColumn, l.source.entry.Check)
	}
	text, _ := column.(string)
	return l.source.opener.Load().check(l.view.payload, text)
}

// plainClaims are those without SQL.
func (l *look) plainClaims() []byte {
	if len(l.source.entry.Claims.Paths) > 0 {
		return l.source.pathClaims(l.view)
	}
	return marshal(map[string]any{"id": json.RawMessage(marshal(l.out.user))})
}
