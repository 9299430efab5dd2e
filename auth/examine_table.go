package auth

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/nearest"
)

// facts are what the catalog says of a table.
type facts struct {
	OID          uint32
	Kind         string // pg_class.relkind
	Persists     string // pg_class.relpersistence
	Identity     string // pg_class.relreplident
	Hides        bool   // row level security applies to the role
	Schema, Name string
	Usage        bool // of the schema
	columns      []columnFacts
	// indexes are the names of their columns; an expression is empty.
	indexes [][]string
}

type columnFacts struct {
	Name          string
	TypeOID       uint32
	TypeName      string
	BaseName      string // below domains
	Category      string // pg_type.typcategory
	Readable      bool
	NotNull       bool
	Deterministic bool // of the collation
	Identity      bool // in old tuples, FULL aside
	Primary       int  // the place in the primary key, from 1; 0: not in it
}

const factsSQL = `
select c.oid, c.relkind::text, c.relpersistence::text, c.relreplident::text, pg_catalog.row_security_active(c.oid), n.nspname::text, c.relname::text,
       pg_catalog.has_schema_privilege(n.oid, 'USAGE')
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where n.nspname = $1 and c.relname = $2`

// columnFactsSQL: a deferrable primary key is no replica identity.
const columnFactsSQL = `
with recursive base(attnum, oid) as (
  select a.attnum, a.atttypid from pg_catalog.pg_attribute a where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
   union all
  select b.attnum, t.typbasetype from base b join pg_catalog.pg_type t on t.oid = b.oid where t.typtype = 'd')
select a.attname::text, a.atttypid, pg_catalog.format_type(a.atttypid, null), pg_catalog.format_type(t.oid, null), t.typcategory::text,
       pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT'), a.attnotnull, coalesce(l.collisdeterministic, true),
       exists (select from pg_catalog.pg_index i where i.indrelid = a.attrelid and i.indimmediate and i.indisvalid and a.attnum = any ((i.indkey::int2[])[:i.indnkeyatts - 1])
                  and case c.relreplident when 'd' then i.indisprimary when 'i' then i.indisreplident else false end),
       coalesce((select pg_catalog.array_position((i.indkey::int2[])[:i.indnkeyatts - 1], a.attnum) from pg_catalog.pg_index i where i.indrelid = a.attrelid and i.indisprimary), 0)
  from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
  join base b on b.attnum = a.attnum join pg_catalog.pg_type t on t.oid = b.oid and t.typtype <> 'd'
  left join pg_catalog.pg_collation l on l.oid = a.attcollation
 where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
 order by a.attnum`

// indexFactsSQL: partial indexes are taken for useful, since their condition may be that of
// where.
const indexFactsSQL = `
select pg_catalog.array_agg(coalesce(a.attname::text, '') order by k.n)
  from pg_catalog.pg_index i, pg_catalog.unnest(i.indkey::int2[]) with ordinality k(attnum, n)
  left join pg_catalog.pg_attribute a on a.attrelid = $1 and a.attnum = k.attnum
 where i.indrelid = $1 and i.indisvalid and k.n <= i.indnkeyatts
 group by i.indexrelid`

// facts returns nil when there is no such table: package replication says so.
func (x *examiner) facts(ctx context.Context, schema, name string) (*facts, error) {
	rows, err := x.conn.Query(ctx, factsSQL, schema, name)
	if err != nil {
		return nil, err
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*facts, error) {
		f := &facts{}
		return f, row.Scan(&f.OID, &f.Kind, &f.Persists, &f.Identity, &f.Hides, &f.Schema, &f.Name, &f.Usage)
	})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	f := found[0]
	if rows, err = x.conn.Query(ctx, columnFactsSQL, f.OID); err != nil {
		return nil, err
	}
	if f.columns, err = pgx.CollectRows(rows, pgx.RowToStructByPos[columnFacts]); err != nil {
		return nil, err
	}
	if rows, err = x.conn.Query(ctx, indexFactsSQL, f.OID); err != nil {
		return nil, err
	}
	f.indexes, err = pgx.CollectRows(rows, pgx.RowTo[[]string])
	return f, err
}

func (f *facts) fullName() string { return f.Schema + "." + f.Name }

func (f *facts) quoted() string { return quotedTable(f.Schema, f.Name) }

func (f *facts) subject() string { return "table " + f.fullName() }

func (f *facts) column(name string) *columnFacts {
	if i := slices.IndexFunc(f.columns, func(c columnFacts) bool { return c.Name == name }); i >= 0 {
		return &f.columns[i]
	}
	return nil
}

// storeTable examines the store.
func (x *examiner) storeTable(ctx context.Context) error {
	st := x.e.Store
	f, err := x.facts(ctx, st.Schema, st.Table)
	if f == nil || err != nil {
		return err
	}
	x.store = f
	used := x.storeColumns(f)
	x.unlogged(f, ".store.table", used)
	x.rights(f, ".store.table", used)
	if f.Hides {
		x.add(Warning, f.subject(), ".store.table", "it has row level security, which applies to role "+x.role+": rows that a policy hides are sessions that nobody has",
			"ALTER ROLE "+x.role+" BYPASSRLS; or a policy that lets "+x.role+" read it")
	}
	if c := f.column(st.Key); c != nil && !f.indexed(st) {
		x.add(Warning, f.subject(), ".store.key", fmt.Sprintf("no index begins with column %q: every sign-in reads the whole table", st.Key),
			"CREATE INDEX CONCURRENTLY ON "+f.quoted()+" ("+quoted(st.Key)+");")
	}
	return x.where(ctx, f)
}

// storeColumns are the columns that look-ups read.
func (x *examiner) storeColumns(f *facts) (out []string) {
	st := x.e.Store
	names := []string{st.Key}
	for _, w := range st.Where {
		names = append(names, w.Column)
	}
	if st.Expires != nil {
		names = append(names, st.Expires.Column)
	}
	if st.Data != nil {
		names = append(names, st.Data.Column)
	}
	fields := append([]string{x.e.User}, st.Watch...)
	for _, path := range x.e.Claims.Paths {
		fields = append(fields, path)
	}
	for _, name := range fields {
		if f.column(name) != nil || st.Data == nil && x.e.From == "" {
			names = append(names, name)
		}
	}
	for _, c := range f.columns {
		if c.Identity || c.Primary > 0 && f.Identity == "f" {
			names = append(names, c.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// indexed reports whether an index finds a key: before it only columns of where stand.
func (f *facts) indexed(st *Store) bool {
	return slices.ContainsFunc(f.indexes, func(columns []string) bool {
		for _, name := range columns {
			if name == st.Key {
				return true
			}
			if !slices.ContainsFunc(st.Where, func(w Equal) bool { return w.Column == name }) {
				return false
			}
		}
		return false
	})
}

// unlogged tables are not in the stream: nobody else looks for their columns.
func (x *examiner) unlogged(f *facts, key string, used []string) {
	if f.Persists != "u" {
		return
	}
	x.add(Warning, f.subject(), key, "it is UNLOGGED: its changes are not in the WAL, so that a logout is noticed only when the session is looked up again (revalidate: "+x.e.Revalidate.String()+")",
		"ALTER TABLE "+f.quoted()+" SET LOGGED;")
	if !slices.Contains(x.out.Unlogged, f.fullName()) {
		x.out.Unlogged = append(x.out.Unlogged, f.fullName())
		x.out.Relations[f.fullName()] = f.relation()
	}
	names := make([]string, len(f.columns))
	for i := range f.columns {
		names[i] = f.columns[i].Name
	}
	for _, name := range used {
		if f.column(name) == nil {
			x.add(Error, f.subject(), key, fmt.Sprintf("it has no column %q%s", name, nearest.Suggest(name, names)), "")
		}
	}
}

// rights: grants on columns are enough.
func (x *examiner) rights(f *facts, key string, used []string) {
	if !f.Usage {
		x.add(Error, f.subject(), key, "role "+x.role+" may not use schema "+f.Schema, "GRANT USAGE ON SCHEMA "+quoted(f.Schema)+" TO "+x.role+";")
	}
	var names, sql []string
	for _, name := range used {
		if c := f.column(name); c != nil && !c.Readable {
			names, sql = append(names, strconv.Quote(name)), append(sql, quoted(name))
		}
	}
	if len(names) > 0 {
		x.add(Error, f.subject(), key, "role "+x.role+" may not read "+strings.Join(names, ", "),
			"GRANT SELECT ("+strings.Join(sql, ", ")+") ON "+f.quoted()+" TO "+x.role+";")
	}
}

// where: a value that is not of its column's type would refuse everybody.
func (x *examiner) where(ctx context.Context, f *facts) error {
	for _, w := range x.e.Store.Where {
		if c := f.column(w.Column); c == nil || !c.Readable || !f.Usage {
			continue
		}
		var spell spellSQL
		spell.add(f.Schema, f.Name, w.Column, []byte(w.Value))
		_, problem, err := x.try(ctx, spell.statement())
		if err != nil {
			return err
		}
		if problem != nil {
			x.add(Error, f.subject(), ".store.where."+w.Column, fmt.Sprintf("%q is no value of column %q, which is of type %s", w.Value, w.Column, f.column(w.Column).TypeName), "")
		}
	}
	return nil
}

// dependTable examines a table of depends.
func (x *examiner) dependTable(ctx context.Context, i int, d Depend) error {
	f, err := x.facts(ctx, d.Schema, d.Table)
	if f == nil || err != nil {
		return err
	}
	key := fmt.Sprintf(".depends.%d", i)
	x.unlogged(f, key+".table", []string{d.Key})
	x.rights(f, key+".table", []string{d.Key})
	c := f.column(d.Key)
	if c == nil {
		return nil
	}
	if !c.Deterministic {
		x.add(Warning, f.subject(), key+".key", fmt.Sprintf("the collation of column %q takes texts for equal that are written differently: a change is noticed only by users that are written as in the row", d.Key), "")
	}
	if f.Persists == "p" && f.Identity != "f" && !c.Identity {
		x.add(Warning, f.subject(), key+".key", fmt.Sprintf("its replica identity does not carry column %q: a DELETE or UPDATE does not tell whose row it was, so that each has all sessions of %s looked up again", d.Key, x.key), f.identityFix(c))
	}
	return nil
}

// identityFix is the SQL with which old rows carry a column: an index with the primary key
// and the column, which must not be NULL, or the whole row.
func (f *facts) identityFix(c *columnFacts) string {
	full := "ALTER TABLE " + f.quoted() + " REPLICA IDENTITY FULL;"
	var key []columnFacts
	for _, c := range f.columns {
		if c.Primary > 0 {
			key = append(key, c)
		}
	}
	if len(key) == 0 || f.Kind != "r" {
		return full
	}
	slices.SortFunc(key, func(a, b columnFacts) int { return a.Primary - b.Primary })
	var columns []string
	for _, k := range key {
		columns = append(columns, quoted(k.Name))
	}
	index := quoted(identityIndexName(f.Name))
	sql := "CREATE UNIQUE INDEX CONCURRENTLY " + index + " ON " + f.quoted() + " (" + strings.Join(append(columns, quoted(c.Name)), ", ") + "); ALTER TABLE " + f.quoted() + " REPLICA IDENTITY USING INDEX " + index + ";"
	if !c.NotNull {
		sql = "ALTER TABLE " + f.quoted() + " ALTER COLUMN " + quoted(c.Name) + " SET NOT NULL; " + sql + " or, where it may be NULL: " + full
	}
	return sql
}

// identityIndexName is a name of at most 63 bytes.
func identityIndexName(table string) string {
	const suffix = "_walrelay_identity"
	return strings.ToValidUTF8(table[:min(len(table), 63-len(suffix))], "") + suffix
}

// relation is what a stream would announce if the table were in one.
func (f *facts) relation() *change.Relation {
	rel := &change.Relation{ID: 1, OID: f.OID, Schema: f.Schema, Name: f.Name, Identity: 'd', Key: make([]int, 0)}
	for _, c := range f.columns {
		rel.Columns = append(rel.Columns, change.Column{Name: c.Name, Identity: c.Primary > 0, NotNull: c.NotNull, Type: c.typ()})
	}
	for n := 1; ; n++ {
		i := slices.IndexFunc(f.columns, func(c columnFacts) bool { return c.Primary == n })
		if i < 0 {
			break
		}
		rel.Key = append(rel.Key, i)
	}
	if len(rel.Key) == 0 { // the key column stands for the row
		rel.Identity = 'f'
	}
	return rel
}

var kindsOfTypes = map[string]change.Kind{
	"boolean": change.KindBool, "smallint": change.KindInt, "integer": change.KindInt, "bigint": change.KindInt,
	"real": change.KindFloat, "double precision": change.KindFloat, "numeric": change.KindNumeric, "date": change.KindDate,
	"timestamp without time zone": change.KindTimestamp, "timestamp with time zone": change.KindTimestampTZ,
	"json": change.KindJSON, "jsonb": change.KindJSONB,
}

// typ is as much of the type as look-ups need.
func (c columnFacts) typ() *change.Type {
	t := &change.Type{OID: c.TypeOID, Name: c.TypeName, Kind: kindsOfTypes[c.BaseName]}
	if c.BaseName != c.TypeName {
		t.Base = c.BaseName
	}
	if elem, ok := strings.CutSuffix(c.BaseName, "[]"); ok {
		t.Kind, t.Delim, t.Elem = change.KindArray, ',', &change.Type{Name: elem, Kind: kindsOfTypes[elem]}
	}
	return t
}
