package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/replication"
)

// schema is what init writes down of a database.
type schema struct {
	database string
	// users is the table of the users; nil when none looks so.
	users *schemaTable
	// tables in the order of the file.
	tables []*schemaTable
}

// schemaTable is one table.
type schemaTable struct {
	schema, name string
	oid          uint32
	table        *replication.Table
	// refs are the foreign keys of one column.
	refs []reference
	// owners are the columns that seem to say whose row it is, the best guess first.
	owners []string
	// unfit is why it cannot be published, with the fix; needs what the guessed rule takes.
	unfit, needs []string
}

// reference is a foreign key of one column.
type reference struct {
	column string
	to     uint32
	// toColumn is the column there.
	toColumn string
}

func (t *schemaTable) fullName() string { return t.schema + "." + t.name }

// usable counts the tables that have a channel.
func (s *schema) usable() int {
	n := 0
	for _, t := range s.tables {
		if len(t.unfit) == 0 {
			n++
		}
	}
	return n
}

const schemaTablesSQL = `
select c.oid, n.nspname::text, c.relname::text
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence <> 't'
   and n.nspname not like 'pg\_%' and n.nspname <> 'information_schema'
   and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
 order by n.nspname <> 'public', n.nspname, c.relname`

const referencesSQL = `
select k.conrelid, a.attname::text, k.confrelid, f.attname::text
  from pg_constraint k
  join pg_attribute a on a.attrelid = k.conrelid and a.attnum = k.conkey[1]
  join pg_attribute f on f.attrelid = k.confrelid and f.attnum = k.confkey[1]
 where k.contype = 'f' and cardinality(k.conkey) = 1 and k.conparentid = 0
 order by k.conrelid, a.attnum`

// bookkeeping are tables that tools keep for themselves.
var bookkeeping = []string{
	"schema_migrations", "ar_internal_metadata", "knex_migrations", "knex_migrations_lock", "flyway_schema_history", "django_migrations",
	"_prisma_migrations", "alembic_version", "goose_db_version", "typeorm_metadata", "__drizzle_migrations", "__EFMigrationsHistory",
	"databasechangelog", "databasechangeloglock", "spatial_ref_sys",
}

// schemaOf reads the schema and guesses who owns the rows.
func schemaOf(ctx context.Context, conn *pgx.Conn) (*schema, error) {
	s := &schema{}
	if err := conn.QueryRow(ctx, "select current_database()").Scan(&s.database); err != nil {
		return nil, fmt.Errorf("init: read the database's name: %w", err)
	}
	if err := s.readTables(ctx, conn); err != nil {
		return nil, err
	}
	if _, err := s.preflight(ctx, conn); err != nil {
		return nil, err
	}
	s.findUsers()
	for _, t := range s.tables {
		t.findOwners(s.users)
	}
	findings, err := s.preflight(ctx, conn)
	if err != nil {
		return nil, err
	}
	s.judge(findings)
	return s, nil
}

func (s *schema) readTables(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, schemaTablesSQL)
	if err != nil {
		return fmt.Errorf("init: list tables: %w", err)
	}
	s.tables, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*schemaTable, error) {
		t := &schemaTable{}
		return t, row.Scan(&t.oid, &t.schema, &t.name)
	})
	if err != nil {
		return fmt.Errorf("init: list tables: %w", err)
	}
	s.tables = slices.DeleteFunc(s.tables, func(t *schemaTable) bool { return slices.Contains(bookkeeping, t.name) })
	return s.readReferences(ctx, conn)
}

func (s *schema) readReferences(ctx context.Context, conn *pgx.Conn) error {
	byOID := map[uint32]*schemaTable{}
	for _, t := range s.tables {
		byOID[t.oid] = t
	}
	rows, err := conn.Query(ctx, referencesSQL)
	if err != nil {
		return fmt.Errorf("init: list foreign keys: %w", err)
	}
	var oid uint32
	var ref reference
	_, err = pgx.ForEachRow(rows, []any{&oid, &ref.column, &ref.to, &ref.toColumn}, func() error {
		if t := byOID[oid]; t != nil {
			t.refs = append(t.refs, ref)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("init: list foreign keys: %w", err)
	}
	return nil
}

// ownerUse marks what is found about a guessed rule.
type ownerUse struct{}

// preflight reads the tables as walrelay would, with the guessed rules.
func (s *schema) preflight(ctx context.Context, conn *pgx.Conn) (replication.Findings, error) {
	target := replication.Target{Slot: "walrelay", Publication: "walrelay"}
	for _, t := range s.tables {
		spec := replication.TableSpec{Schema: t.schema, Name: t.name}
		if len(t.owners) > 0 {
			spec.Uses = []replication.ColumnUse{{Column: t.owners[0], Read: true, Compared: true, Ref: ownerUse{}}}
		}
		target.Tables = append(target.Tables, spec)
	}
	p, err := replication.Check(ctx, conn, target)
	if err != nil {
		return nil, err
	}
	if len(p.Tables) == 0 && len(s.tables) > 0 { // a server that cannot be used
		return nil, &replication.PreflightError{Findings: p.Findings.Errors()}
	}
	for _, t := range s.tables {
		t.table = p.Tables[t.fullName()]
	}
	s.tables = slices.DeleteFunc(s.tables, func(t *schemaTable) bool { return t.table == nil }) // dropped meanwhile
	return p.Findings, nil
}

// usersNames are names of tables of users, the likeliest first.
var usersNames = []string{"users", "user", "accounts", "account", "members", "member", "profiles", "profile", "people", "person", "customers", "customer"}

// findUsers takes the table of that sort with the most foreign keys to its key.
func (s *schema) findUsers() {
	most := -1
	for _, name := range usersNames {
		for _, t := range s.tables {
			if strings.ToLower(t.name) != name || t.userKey() == "" {
				continue
			}
			if n := s.referrers(t); n > most {
				s.users, most = t, n
			}
		}
	}
}

// userKey is the column of the primary key where a claim can have its type, else empty.
func (t *schemaTable) userKey() string {
	if t.table == nil || len(t.table.Key) != 1 || claimTypeOf(t.column(t.table.Key[0])) == "" {
		return ""
	}
	return t.table.Key[0]
}

func (t *schemaTable) column(name string) *replication.TableColumn {
	for i := range t.table.Columns {
		if t.table.Columns[i].Name == name {
			return &t.table.Columns[i]
		}
	}
	return nil
}

// referrers counts the foreign keys to a table's key.
func (s *schema) referrers(to *schemaTable) int {
	n := 0
	for _, t := range s.tables {
		for _, r := range t.refs {
			if r.to == to.oid && r.toColumn == to.userKey() {
				n++
			}
		}
	}
	return n
}

// claimTypeOf is the type of a claim that holds a column's values, empty for none.
func claimTypeOf(c *replication.TableColumn) string {
	if c == nil || c.Loose {
		return ""
	}
	switch name := c.Type.BaseName(); {
	case c.Type.Kind == change.KindInt:
		return "bigint"
	case c.Type.Kind == change.KindNumeric:
		return "numeric"
	case name == "uuid":
		return "uuid"
	case name == "text", strings.HasPrefix(name, "character varying"):
		return "text"
	}
	return ""
}

// findOwners finds the columns that point to the user whose row it is.
func (t *schemaTable) findOwners(users *schemaTable) {
	if users == nil {
		return
	}
	key := users.userKey()
	if t == users {
		t.owners = []string{key}
		return
	}
	for _, r := range t.refs {
		if r.to == users.oid && r.toColumn == key && !slices.Contains(t.owners, r.column) {
			t.owners = append(t.owners, r.column)
		}
	}
	if named := t.column(singular(users.name) + "_id"); len(t.owners) == 0 && named != nil && claimTypeOf(named) == claimTypeOf(users.column(key)) {
		t.owners = []string{named.Name}
	}
	slices.SortStableFunc(t.owners, func(a, b string) int { return t.ownerRank(a, users) - t.ownerRank(b, users) })
}

// ownerNames are what columns with the owner of a row are called, besides user_id for
// users; the likeliest first.
var ownerNames = []string{"user_id", "owner_id", "customer_id", "account_id", "member_id", "profile_id"}

// ownerRank orders columns by how likely they say whose row it is.
func (t *schemaTable) ownerRank(column string, users *schemaTable) int {
	if column == singular(users.name)+"_id" {
		return -1
	}
	if i := slices.Index(ownerNames, column); i >= 0 {
		return i
	}
	if t.column(column).NotNull {
		return len(ownerNames)
	}
	return len(ownerNames) + 1
}

// singular is one of what a table is called after: user for users.
func singular(name string) string {
	name = strings.ToLower(name)
	if name == "people" {
		return "person"
	}
	return strings.TrimSuffix(name, "s")
}

// judge sorts what the preflight found by table.
func (s *schema) judge(findings replication.Findings) {
	for _, f := range findings.Errors() {
		for _, t := range s.tables {
			if t.fullName() != f.Table {
				continue
			}
			text := f.Problem
			if f.Fix != "" {
				text += "; fix: " + f.Fix
			}
			if _, guessed := f.Ref.(ownerUse); guessed {
				t.needs = append(t.needs, text)
			} else {
				t.unfit = append(t.unfit, text)
			}
		}
	}
}
