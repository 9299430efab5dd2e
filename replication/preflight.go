package replication

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

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
	Target      Target
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
	p := &Preflight{Target: t, Tables: map[string]*Table{}}
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
	p.markUnfit()
	if p.Slot, _, err = readSlot(ctx, conn, t.Slot); err != nil {
		return nil, err
	}
	return p, p.checkSlot(ctx, conn, t)
}

// markUnfit notes at the tables what is wrong with them.
func (p *Preflight) markUnfit() {
	for _, f := range p.Findings.Errors() {
		if t := p.Tables[f.Table]; t != nil && t.Unfit == "" {
			t.Unfit = f.Problem
		}
	}
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
	p.checkHeirs(subject, spec, t)
	p.checkGenerated(subject, spec, t)
	for _, use := range spec.Uses {
		p.checkUse(subject, t, use)
	}
	p.checkOldValues(subject, spec, t)
	if t.RLS && spec.Private {
		p.Findings.add(Warning, subject, "it has row level security: rows that it hides from role "+p.Server.Role+" are not found, and who needs one is not signed in", "")
	} else if t.RLS {
		p.Findings.add(Warning, subject, "it has row level security, which walrelay does not apply: the rules of its channels alone decide who sees a row", "")
	}
	return nil
}

// checkHeirs: changes of a table that inherits are in the WAL under its own name.
func (p *Preflight) checkHeirs(subject string, spec TableSpec, t *Table) {
	switch {
	case !t.Heirs:
	case spec.Watched:
		p.Findings.add(Error, subject, "other tables inherit from it: a SELECT shows their rows with its own, but what becomes of them is not seen, so that a session there would outlive its end", "ALTER TABLE … NO INHERIT "+spec.quoted()+";")
	default:
		p.Findings.add(Warning, subject, "other tables inherit from it: their rows, which a SELECT shows with its own, are not in the channel", "")
	}
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
// published, because Postgres then refuses the application's UPDATE and DELETE. Events
// need the primary key besides.
func (p *Preflight) checkIdentity(subject string, spec TableSpec, t *Table) {
	full := "ALTER TABLE " + spec.quoted() + " REPLICA IDENTITY FULL;"
	switch {
	case t.Identity == 'f':
		if len(t.Key) == 0 && !spec.Private {
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
	case spec.Private:
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
		case c.Generated != 0 && (p.Server.Version < 180000 || c.Generated == 'v') && !spec.Private:
			p.Findings.add(Warning, subject, fmt.Sprintf("the generated column %q is not in the stream of Postgres %s, so events do not have it", c.Name, p.Server.VersionText), "")
		}
	}
}

// checkUse: a column that rules name and the table does not have is reported by those who
// check rules.
func (p *Preflight) checkUse(subject string, t *Table, use ColumnUse) {
	c := t.column(use.Column)
	f := Finding{Severity: Error, Subject: subject, Ref: use.Ref}
	switch {
	case c == nil && use.Read:
		return
	case c == nil:
		names := make([]string, len(t.Columns))
		for i := range t.Columns {
			names[i] = t.Columns[i].Name
		}
		f.Problem = fmt.Sprintf("it has no column %q%s", use.Column, nearest.Suggest(use.Column, names))
	case use.Watched && !c.Published:
		f.Problem = fmt.Sprintf("auth reads the generated column %q, which is not in the stream of Postgres %s", use.Column, p.Server.VersionText)
		f.Fix = "name a column that is not generated"
	case use.Read && !c.Published:
		f.Problem = fmt.Sprintf("a rule reads the generated column %q, which is not in the stream of Postgres %s", use.Column, p.Server.VersionText)
		f.Fix = "compare the columns that it is made of"
	default:
		return
	}
	p.Findings = append(p.Findings, f)
}

// checkOldValues: rules judge a row as it was before a change by the columns of the
// replica identity.
func (p *Preflight) checkOldValues(subject string, spec TableSpec, t *Table) {
	compared, read := t.unseen(spec, true), t.unseen(spec, false)
	if len(compared) > 0 {
		p.Findings = append(p.Findings, Finding{Severity: Error, Subject: subject, Ref: compared[0].Ref, Fix: t.identityFix(spec, compared),
			Problem: "its replica identity does not carry " + namesOf(compared) + ", which a rule compares: a row that leaves the channel could not be told"})
	}
	if len(read) > 0 {
		p.Findings = append(p.Findings, Finding{Severity: Warning, Subject: subject, Ref: read[0].Ref, Fix: t.identityFix(spec, read),
			Problem: "its replica identity does not carry " + namesOf(read) + ", which a rule reads with identity: loose: rows that leave a user's view may stay on the screen"})
	}
}

// unseen are the columns that rules compare, or only read, and old tuples do not carry,
// each once.
func (t *Table) unseen(spec TableSpec, compared bool) []ColumnUse {
	var out []ColumnUse
	for _, use := range spec.Uses {
		c := t.column(use.Column)
		if use.Compared != compared || !use.Compared && !use.Read || c == nil || use.Read && !c.Published || slices.Contains(t.IdentityColumns, use.Column) {
			continue
		}
		if !slices.ContainsFunc(out, func(o ColumnUse) bool { return o.Column == use.Column }) {
			out = append(out, use)
		}
	}
	return out
}

// namesOf is column "a", or columns "a", "b".
func namesOf(uses []ColumnUse) string {
	names := make([]string, len(uses))
	for i, use := range uses {
		names[i] = strconv.Quote(use.Column)
	}
	if len(names) == 1 {
		return "column " + names[0]
	}
	return "columns " + strings.Join(names, ", ")
}

// identityFix is the SQL with which old tuples carry more columns: FULL or, where that
// writes large values to the WAL with every UPDATE, an index.
func (t *Table) identityFix(spec TableSpec, more []ColumnUse) string {
	full := "ALTER TABLE " + spec.quoted() + " REPLICA IDENTITY FULL;"
	columns := slices.Clone(t.IdentityColumns)
	for _, use := range more {
		columns = append(columns, use.Column)
	}
	sql, spared := t.identityIndex(spec, columns)
	if sql == "" {
		return full
	}
	return full + " or, where " + strings.Join(spared, ", ") + " may be large, which FULL writes to the WAL with every UPDATE: " + sql
}

// IdentityIndex is the SQL for a replica identity of the primary key and all columns that
// rules read, and the columns that it spares the WAL: those that may be large. It is empty
// when there are none, or no such index can be.
func (t *Table) IdentityIndex(spec TableSpec) (sql string, spared []string) {
	var columns []string
	for _, use := range spec.Uses {
		if use.Compared || use.Read {
			columns = append(columns, use.Column)
		}
	}
	return t.identityIndex(spec, columns)
}

func (t *Table) identityIndex(spec TableSpec, more []string) (sql string, spared []string) {
	columns := slices.Clone(t.Key)
	for _, name := range more {
		if t.column(name) != nil && !slices.Contains(columns, name) {
			columns = append(columns, name)
		}
	}
	var nullable []string
	for _, c := range t.Columns {
		switch carried := slices.Contains(columns, c.Name); {
		case c.Toastable && !carried:
			spared = append(spared, c.Name)
		case carried && !c.NotNull:
			nullable = append(nullable, "ALTER COLUMN "+quoteIdent(c.Name)+" SET NOT NULL")
		}
	}
	if len(spared) == 0 || len(t.Key) == 0 || t.Kind == 'p' {
		return "", nil
	}
	if len(nullable) > 0 {
		sql = "ALTER TABLE " + spec.quoted() + " " + strings.Join(nullable, ", ") + "; "
	}
	index := quoteIdent(indexName(spec.Name))
	return sql + "CREATE UNIQUE INDEX CONCURRENTLY " + index + " ON " + spec.quoted() + " (" + strings.Join(quoteAll(columns), ", ") + "); " +
		"ALTER TABLE " + spec.quoted() + " REPLICA IDENTITY USING INDEX " + index + ";", spared
}

// indexName is a name for a table's identity index, of at most 63 bytes.
func indexName(table string) string {
	const suffix, most = "_identity", 63
	if len(table) > most-len(suffix) {
		cut := most - len(suffix)
		for !utf8.RuneStart(table[cut]) {
			cut--
		}
		table = table[:cut]
	}
	return table + suffix
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
