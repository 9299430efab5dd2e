package replication

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// members says of each configured table that exists, schema.name, how it is a member
// of the publication: the text changes when the table was made anew, was taken out of
// the publication and put back, or when what the publication publishes was altered, be
// it back to what it was. Changes made in between are not in the stream.
type members map[string]string

// membersSQL takes the names of the tables' schemas, of the tables, and of the
// publication. Object ids are never given twice to what lives; xmin is that of the
// last change of the row.
const membersSQL = `
select w.schema || '.' || w.name,
       format('table %s%s', c.oid, coalesce((
         select format(', publication %s.%s, member %s.%s', p.oid, p.xmin, r.oid, r.xmin)
           from pg_publication p join pg_publication_rel r on r.prpubid = p.oid
          where p.pubname = $3 and r.prrelid = c.oid), '')),
       format('%s %s', c.relreplident, exists (select from pg_index i where i.indrelid = c.oid and (i.indisprimary or i.indisreplident)))
  from unnest($1::text[], $2::text[]) w(schema, name)
  join pg_namespace n on n.nspname = w.schema
  join pg_class c on c.relnamespace = n.oid and c.relname = w.name`

// readMembers gives the members, and what of the tables decides whether they may be
// members; a change of that is worth another preflight.
func readMembers(ctx context.Context, conn *pgx.Conn, t Target) (now, fitness members, err error) {
	schemas, names := make([]string, len(t.Tables)), make([]string, len(t.Tables))
	for i, spec := range t.Tables {
		schemas[i], names[i] = spec.Schema, spec.Name
	}
	now, fitness = members{}, members{}
	rows, err := conn.Query(ctx, membersSQL, schemas, names, t.Publication)
	if err == nil {
		var table, member, fit string
		_, err = pgx.ForEachRow(rows, []any{&table, &member, &fit}, func() error {
			now[table], fitness[table] = member, fit
			return nil
		})
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read how tables are members of publication %s: %w", t.Publication, err)
	}
	return now, fitness, nil
}
