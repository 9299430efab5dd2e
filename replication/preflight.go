package replication

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/nearest"
)

// Server is what the preflight learned of the server.
type Server struct {
	Version            int // server_version_num, for example 150018
	VersionText        string
	Database, Role     string
	MaxSlotWALKeepSize int64 // bytes, -1 = unlimited
	MayCreate          bool  // the role may create publications in the database
}

// Preflight is the result of looking at everything that replication needs, before
// the first byte. Nothing was changed.
type Preflight struct {
	Server      Server
	Findings    Findings
	Tables      map[string]*Table // by schema.name; nil where the table is missing
	Publication *Publication      // nil where it is missing
	Slot        *Slot             // nil where it is missing
}

// Target is what the configuration asks of the database.
type Target struct {
	URL         string
	Slot        string
	Publication string
	Tables      []TableSpec
}

// minVersion is Postgres 14: logical messages in pgoutput.
const minVersion = 140000

// Check reads settings, role, tables, publication and slot and lists what is wrong.
// The error is one of talking to the server, not a finding.
func Check(ctx context.Context, conn *pgx.Conn, t Target) (*Preflight, error) {
	p := &Preflight{Tables: map[string]*Table{}}
	if err := p.checkServer(ctx, conn); err != nil {
		return nil, err
	}
	if p.Server.Version < minVersion {
		return p, nil
	}
	for _, spec := range t.Tables {
		table, err := readTable(ctx, conn, spec.Schema, spec.Name)
		if err != nil {
			return nil, err
		}
		p.Tables[spec.fullName()] = table
		known := len(p.Findings)
		if err := p.checkTable(ctx, conn, spec, table); err != nil {
			return nil, err
		}
		for i := range p.Findings[known:] {
			f := &p.Findings[known+i]
			f.Table = spec.fullName()
			if f.Ref == nil {
				f.Ref = spec.Ref
			}
		}
	}
	var err error
	if p.Publication, err = readPublication(ctx, conn, t.Publication, p.Server.Version); err != nil {
		return nil, err
	}
	p.learnColumnLists(t)
	p.checkPublication(t)
	p.checkAncestors(t)
	p.checkMayPublish(t)
	if p.Slot, _, err = readSlot(ctx, conn, t.Slot); err != nil {
		return nil, err
	}
	return p, p.checkSlot(ctx, conn, t)
}

const serverSQL = `
select current_setting('server_version_num')::int, current_setting('server_version'), current_database(), current_user,
       current_setting('wal_level'), pg_is_in_recovery(),
       (select rolsuper or rolreplication from pg_roles where rolname = current_user)
         or exists (select from pg_roles r where r.rolname = 'rds_replication' and pg_has_role(r.oid, 'MEMBER')),
       current_setting('max_wal_senders')::int,
       (select setting::bigint * case when setting::bigint < 0 then 1 else 1048576 end from pg_settings where name = 'max_slot_wal_keep_size'),
       has_database_privilege(current_database(), 'CREATE')`

func (p *Preflight) checkServer(ctx context.Context, conn *pgx.Conn) error {
	s := &p.Server
	var walLevel string
	var recovery, mayReplicate bool
	var senders int
	err := conn.QueryRow(ctx, serverSQL).Scan(&s.Version, &s.VersionText, &s.Database, &s.Role, &walLevel, &recovery, &mayReplicate, &senders, &s.MaxSlotWALKeepSize, &s.MayCreate)
	if err != nil {
		return fmt.Errorf("read server settings: %w", err)
	}
	fs := &p.Findings
	if s.Version < minVersion {
		fs.add(Error, "server", "Postgres "+s.VersionText+" is older than 14, the oldest that walrelay supports", "upgrade the server")
	}
	if recovery {
		fs.add(Error, "server", "it is a standby: publications and slots live on the primary", "point postgres.url at the primary")
	}
	if walLevel != "logical" {
		fs.add(Error, "wal_level", fmt.Sprintf("it is %q, logical replication needs logical", walLevel), "ALTER SYSTEM SET wal_level = logical; then restart Postgres (managed servers: the parameter rds.logical_replication, cloudsql.logical_decoding or the like)")
	}
	if senders == 0 {
		fs.add(Error, "max_wal_senders", "it is 0, so nobody can stream", "ALTER SYSTEM SET max_wal_senders = 10; then restart Postgres")
	}
	if !mayReplicate {
		fs.add(Error, "role "+s.Role, "it may not use replication", "ALTER ROLE "+quoteIdent(s.Role)+" REPLICATION;")
	}
	return nil
}

// checkTable refuses tables whose publication would break the application's own
// writes, and columns that do not exist or that old tuples do not carry.
func (p *Preflight) checkTable(ctx context.Context, conn *pgx.Conn, spec TableSpec, t *Table) error {
	subject := "table " + spec.fullName()
	if t == nil {
		hint, err := similarTable(ctx, conn, spec)
		fix := ""
		if hint == "" {
			fix = "create it, or correct the name"
		}
		p.Findings.add(Error, subject, "it does not exist, or the role may not see its schema"+hint, fix)
		return err
	}
	if problem := t.unpublishable(); problem != "" {
		p.Findings.add(Error, subject, problem, "")
		return nil
	}
	p.checkIdentity(subject, spec, t)
	if err := p.checkPartitioning(ctx, conn, subject, spec, t); err != nil {
		return err
	}
	if t.Heirs {
		p.Findings.add(Warning, subject, "other tables inherit from it: their rows, which a SELECT shows with its own, are not in the channel", "")
	}
	p.checkGenerated(subject, spec, t)
	for _, use := range spec.Uses {
		if f, bad := t.checkUse(subject, spec, use); bad {
			p.Findings = append(p.Findings, f)
		}
	}
	if t.RLS {
		p.Findings.add(Warning, subject, "it has row level security, which walrelay does not apply: the rules of its channels alone decide who sees a row", "")
	}
	return nil
}

func (t *Table) unpublishable() string {
	switch {
	case t.Kind != 'r' && t.Kind != 'p':
		return "it is no table (a view, foreign table or the like): its changes are not in the WAL; name the tables below it"
	case t.Persists == 'u':
		return "it is UNLOGGED: its changes are not in the WAL (ALTER TABLE … SET LOGGED makes them so)"
	case t.Persists == 't':
		return "it is temporary: its changes are not in the WAL"
	}
	return ""
}

// checkIdentity: a table without a usable replica identity must never be
// published, because Postgres then refuses the application's UPDATE and DELETE.
func (p *Preflight) checkIdentity(subject string, spec TableSpec, t *Table) {
	full := "ALTER TABLE " + spec.quoted() + " REPLICA IDENTITY FULL;"
	switch {
	case t.Identity == 'f':
		if len(t.Key) == 0 {
			p.Findings.add(Warning, subject, "it has no primary key: the whole row serves as its key in events", "ALTER TABLE "+spec.quoted()+" ADD PRIMARY KEY (…);")
		}
		return
	case len(t.IdentityColumns) == 0 && t.Identity == 'n':
		p.Findings.add(Error, subject, "its replica identity is NOTHING: once it is published, Postgres refuses the application's UPDATE and DELETE", "ALTER TABLE "+spec.quoted()+" REPLICA IDENTITY DEFAULT; (needs a primary key) or "+full)
		return
	case len(t.IdentityColumns) == 0 && t.Identity == 'i':
		p.Findings.add(Error, subject, "the index of its replica identity is gone: once it is published, Postgres refuses the application's UPDATE and DELETE", "ALTER TABLE "+spec.quoted()+" REPLICA IDENTITY DEFAULT; (needs a primary key) or "+full)
		return
	case len(t.IdentityColumns) == 0 && len(t.Key) > 0:
		p.Findings.add(Error, subject, "its primary key is DEFERRABLE, which Postgres does not take for a replica identity: once it is published, Postgres refuses the application's UPDATE and DELETE", full)
		return
	case len(t.IdentityColumns) == 0:
		p.Findings.add(Error, subject, "it has no primary key and so no replica identity: once it is published, Postgres refuses the application's UPDATE and DELETE", "ALTER TABLE "+spec.quoted()+" ADD PRIMARY KEY (…); or "+full)
		return
	case len(t.Key) == 0:
		p.Findings.add(Warning, subject, "it has no primary key: the whole row serves as its key in events, and a DELETE carries only the replica identity", "ALTER TABLE "+spec.quoted()+" ADD PRIMARY KEY (…);")
	}
	for _, k := range t.Key {
		if !slices.Contains(t.IdentityColumns, k) {
			p.Findings.add(Error, subject, fmt.Sprintf("its replica identity does not carry the primary key column %q, so a DELETE could not be told to clients", k), "ALTER TABLE "+spec.quoted()+" REPLICA IDENTITY DEFAULT; or an identity index that contains the primary key")
			return
		}
	}
}

// checkGenerated: before 18 generated columns are not in the stream; on 18 they can
// be, and with FULL they must be, or UPDATE fails.
func (p *Preflight) checkGenerated(subject string, spec TableSpec, t *Table) {
	for _, c := range t.Columns {
		switch {
		case c.Generated == 'v' && t.Identity == 'f':
			p.Findings.add(Error, subject, fmt.Sprintf("REPLICA IDENTITY FULL with the virtual generated column %q: once it is published, Postgres refuses the application's UPDATE and DELETE", c.Name), "ALTER TABLE "+spec.quoted()+" REPLICA IDENTITY DEFAULT; (needs a primary key)")
		case c.Generated != 0 && (p.Server.Version < 180000 || c.Generated == 'v'):
			p.Findings.add(Warning, subject, fmt.Sprintf("the generated column %q is not in the stream of Postgres %s, so events do not have it", c.Name, p.Server.VersionText), "")
		}
	}
}

func (t *Table) checkUse(subject string, spec TableSpec, use ColumnUse) (Finding, bool) {
	c := t.column(use.Column)
	if c == nil {
		names := make([]string, len(t.Columns))
		for i := range t.Columns {
			names[i] = t.Columns[i].Name
		}
		return Finding{Severity: Error, Subject: subject, Problem: fmt.Sprintf("it has no column %q%s", use.Column, nearest.Suggest(use.Column, names)), Ref: use.Ref}, true
	}
	if use.Compared && !slices.Contains(t.IdentityColumns, use.Column) {
		fix := fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY FULL; or, with large TOASTed columns, CREATE UNIQUE INDEX CONCURRENTLY … ON %s (%s); "+
			"and ALTER TABLE %s REPLICA IDENTITY USING INDEX …; (all of its columns NOT NULL)",
			spec.quoted(), spec.quoted(), strings.Join(quoteAll(append(slices.Clone(t.Key), use.Column)), ", "), spec.quoted())
		return Finding{Severity: Error, Subject: subject, Fix: fix, Ref: use.Ref,
			Problem: fmt.Sprintf("its replica identity does not carry column %q, which a rule compares: a row that leaves the channel could not be told", use.Column)}, true
	}
	return Finding{}, false
}

func quoteAll(names []string) []string {
	for i, n := range names {
		names[i] = quoteIdent(n)
	}
	return names
}

func similarTable(ctx context.Context, conn *pgx.Conn, spec TableSpec) (string, error) {
	rows, err := conn.Query(ctx, `select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where c.relkind in ('r','p') and n.nspname not like 'pg\_%' and n.nspname <> 'information_schema'`)
	if err != nil {
		return "", fmt.Errorf("list tables: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return "", fmt.Errorf("list tables: %w", err)
	}
	return nearest.Suggest(spec.fullName(), names), nil
}

// Notes are what is worth knowing and fine when the walrelay of this configuration is
// running.
func (p *Preflight) Notes() []string {
	if p.Slot == nil || !p.Slot.Active {
		return nil
	}
	e := p.Slot.inUse()
	return []string{"slot " + e.Slot + ": it is in use by a process (" + e.holder() + "): fine when that is the walrelay of this configuration"}
}
