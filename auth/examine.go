package auth

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/filter"
	"github.com/walrelay/walrelay/finding"
)

// Severity of a Finding.
type Severity = finding.Severity

// A Warning is worth knowing, an Error stops serve.
const (
	Warning = finding.Warning
	Error   = finding.Error
)

// Finding is one thing that the database says of the entries.
type Finding struct {
	Severity Severity
	// Subject is what it is about: table public.session, claims of auth.0.
	Subject string
	// Problem is one sentence without a full stop.
	Problem string
	// Fix is what to do, as SQL where SQL does it. Empty when there is nothing to do.
	Fix string
	// Key is where it stands in the configuration: auth.0.store.table.
	Key string
}

func (f Finding) String() string { return finding.Line(f.Subject, f.Problem, f.Fix) }

// Examination is what the database says of the entries before anybody is looked up.
type Examination struct {
	Findings []Finding
	// Unlogged are tables, schema.name, of which the WAL tells nothing. They must not be
	// published, and sessions that read them are polled (Options.Unlogged).
	Unlogged []string
	// Relations are the unlogged tables as Sessions.Learn takes them, by schema.name: no
	// stream announces them.
	Relations map[string]*change.Relation
}

// Examine looks at the tables and queries of the entries as look-ups do, with their settings
// and rights. Nothing is changed. Tables that do not exist, replica identities, publications
// and columns are for package replication to judge, but for unlogged tables. The error is one
// of talking to the server, not a finding.
func Examine(ctx context.Context, url string, entries []Entry, declared []filter.Claim) (*Examination, error) {
	cfg, err := lookupConfig(url)
	if err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, cfg.ConnConfig)
	if err != nil {
		return nil, fmt.Errorf("examine the tables of auth: connect: %w", connectError(err))
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	x := &examiner{conn: conn, declared: declared, out: &Examination{Relations: map[string]*change.Relation{}}}
	if err := conn.QueryRow(ctx, "select pg_catalog.quote_ident(current_user)").Scan(&x.role); err != nil {
		return nil, fmt.Errorf("examine the tables of auth: %w", serverError(ctx, err))
	}
	for _, e := range entries {
		if e.Session == nil {
			continue
		}
		if err := x.entry(ctx, e.Key, e.Session); err != nil {
			return nil, fmt.Errorf("examine the tables of %s: %w", e.Key, serverError(ctx, err))
		}
	}
	return x.out, nil
}

// examiner goes through the entries.
type examiner struct {
	conn     *pgx.Conn
	role     string // as SQL
	declared []filter.Claim
	out      *Examination
	// of the entry
	key   string
	e     *SessionEntry
	store *facts
}

func (x *examiner) add(s Severity, subject, key, problem, fix string) {
	f := Finding{Severity: s, Subject: subject, Problem: problem, Fix: fix, Key: x.key + key}
	if !slices.Contains(x.out.Findings, f) {
		x.out.Findings = append(x.out.Findings, f)
	}
}

func (x *examiner) entry(ctx context.Context, key string, e *SessionEntry) error {
	x.key, x.e, x.store = key, e, nil
	if err := x.timezone(ctx); err != nil {
		return err
	}
	if e.Store != nil {
		if err := x.storeTable(ctx); err != nil {
			return err
		}
	}
	for i, d := range e.Depends {
		if err := x.dependTable(ctx, i, d); err != nil {
			return err
		}
	}
	return x.claims(ctx)
}

// try runs statements in a read only transaction that is rolled back, and says what the
// server says.
func (x *examiner) try(ctx context.Context, statements ...statement) (results [][][][]byte, problem *sqlProblem, err error) {
	begin := []statement{{sql: "begin isolation level repeatable read read only"}}
	results, rerr := runRaw(ctx, x.conn.PgConn(), append(begin, statements...)...)
	if _, err := x.conn.PgConn().Exec(ctx, "rollback").ReadAll(); err != nil {
		return nil, nil, err
	}
	if rerr == nil {
		return results[1:], nil, nil
	}
	if p := problemOf(rerr); p != nil {
		return nil, p, nil
	}
	return nil, nil, rerr
}

// timezone: Postgres may not know what Go knows.
func (x *examiner) timezone(ctx context.Context) error {
	if x.e.Timezone == "" {
		return nil
	}
	_, problem, err := x.try(ctx, statement{sql: "select pg_catalog.set_config('TimeZone', $1, true)", args: [][]byte{[]byte(x.e.Timezone)}})
	if problem != nil {
		x.add(Error, x.key, ".timezone", fmt.Sprintf("Postgres knows no time zone %q", x.e.Timezone), "a name of select name from pg_timezone_names")
	}
	return err
}
