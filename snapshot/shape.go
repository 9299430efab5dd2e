package snapshot

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/change"
)

// shape is what the catalog says of a table, as far as reading it depends on that.
type shape struct {
	Kind         string // pg_class.relkind
	Schema, Name string
	RLS          bool
	// Files are the tables that hold the rows, and their files: TRUNCATE and rewriting forms
	// of ALTER TABLE give others.
	Files string
	// The columns without dropped ones.
	Columns   []string
	Numbers   []int16 // pg_attribute.attnum: a column made anew has another
	Types     []uint32
	Generated []bool
}

const shapeSQL = `
select c.relkind::text, n.nspname::text, c.relname::text, c.relrowsecurity,
       (select string_agg(format('%s %s', p.oid, p.relfilenode), ', ' order by p.oid) from pg_class p
         where p.oid = c.oid or p.oid in (select relid from pg_partition_tree(c.oid))),
       coalesce(array_agg(a.attname::text order by a.attnum) filter (where a.attnum is not null), '{}'),
       coalesce(array_agg(a.attnum order by a.attnum) filter (where a.attnum is not null), '{}'),
       coalesce(array_agg(a.atttypid order by a.attnum) filter (where a.attnum is not null), '{}'),
       coalesce(array_agg(a.attgenerated <> '' order by a.attnum) filter (where a.attnum is not null), '{}')
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
 where c.oid = $1
 group by c.oid, n.oid`

// readShape gives what the snapshot of the connection's transaction has, or outside of one
// what is now; nil when there is no such table.
func readShape(ctx context.Context, conn *pgx.Conn, oid uint32) (*shape, error) {
	rows, err := conn.Query(ctx, shapeSQL, oid)
	if err != nil {
		return nil, fmt.Errorf("read the table from the catalog: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByPos[shape])
	if err != nil {
		return nil, fmt.Errorf("read the table from the catalog: %w", err)
	}
	if len(found) == 0 {
		return nil, nil
	}
	return found[0], nil
}

// same reports whether a row of the one can be read with the other.
func (s *shape) same(o *shape) bool {
	return s.Schema == o.Schema && s.Name == o.Name && s.Files == o.Files &&
		slices.Equal(s.Columns, o.Columns) && slices.Equal(s.Numbers, o.Numbers) && slices.Equal(s.Types, o.Types)
}

// is reports whether the table is what the relation says. Generated columns may be left
// out of a relation.
func (s *shape) is(rel *change.Relation) bool {
	if s.Schema != rel.Schema || s.Name != rel.Name {
		return false
	}
	rest := rel.Columns
	for i, name := range s.Columns {
		switch {
		case len(rest) > 0 && rest[0].Name == name && rest[0].Type.OID == s.Types[i]:
			rest = rest[1:]
		case !s.Generated[i]:
			return false
		}
	}
	return len(rest) == 0
}

// quoted is the table's name in SQL, without the tables that inherit from it.
func (s *shape) quoted() string {
	name := pgx.Identifier{s.Schema, s.Name}.Sanitize()
	if s.Kind == "p" {
		return name
	}
	return "only " + name
}
