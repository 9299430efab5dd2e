package replication

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/jackc/pgx/v5"
)

// membership is what the tables of a target are to the publication at one moment.
// Immutable.
type membership struct {
	target Target
	// members says of each table that exists, schema.name, how it is a member. The text
	// changes when the table was made anew, when it was taken out of the publication and
	// put back, and when what the publication publishes was altered, be it back to what
	// it was: changes made in between are not in the stream. It changes, too, when the
	// table ceases to be Private: the log has nothing of before.
	members map[string]string
	// fitness says what else decides whether a table may be a member.
	fitness map[string]string
}

func (m *membership) equal(o *membership) bool {
	return maps.Equal(m.members, o.members) && maps.Equal(m.fitness, o.fitness)
}

// ofPublication stands in a member's text before what identifies the publication.
const ofPublication = " of publication "

// membersSQL takes the names of the tables' schemas, of the tables, and of the
// publication. An xmin is that of the last change of a catalog row.
const membersSQL = `
select w.schema || '.' || w.name,
       format('table %s%s', c.oid, coalesce((
         select format(', member %s.%s` + ofPublication + `%s.%s', r.oid, r.xmin, p.oid, p.xmin)
           from pg_publication p join pg_publication_rel r on r.prpubid = p.oid
          where p.pubname = $3 and r.prrelid = c.oid), '')),
       format('%s %s %s', c.relreplident, exists (select from pg_index i where i.indrelid = c.oid and (i.indisprimary or i.indisreplident)),
         c.relkind = 'r' and exists (select from pg_inherits h where h.inhparent = c.oid))
  from unnest($1::text[], $2::text[]) w(schema, name)
  join pg_namespace n on n.nspname = w.schema
  join pg_class c on c.relnamespace = n.oid and c.relname = w.name`

func readMembership(ctx context.Context, conn *pgx.Conn, t Target) (*membership, error) {
	schemas, names, private := make([]string, len(t.Tables)), make([]string, len(t.Tables)), map[string]bool{}
	for i, spec := range t.Tables {
		schemas[i], names[i], private[spec.fullName()] = spec.Schema, spec.Name, spec.Private
	}
	m := &membership{target: t, members: map[string]string{}, fitness: map[string]string{}}
	rows, err := conn.Query(ctx, membersSQL, schemas, names, t.Publication)
	if err == nil {
		var table, member, fit string
		_, err = pgx.ForEachRow(rows, []any{&table, &member, &fit}, func() error {
			if private[table] {
				member = "private " + member
			}
			m.members[table], m.fitness[table] = member, fit
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read how tables are members of publication %s: %w", t.Publication, err)
	}
	return m, nil
}

// rejoined reports whether a table is a member now, but not the one that it was when
// the log went on last, or none that the log knew of; nil: it knew of nothing.
func (m *membership) rejoined(table string, was map[string]string) bool {
	now := m.members[table]
	return was != nil && strings.Contains(now, "member") && now != was[table]
}

// lookAtMembership ends the session when somebody has altered the publication or its
// tables since that began: what this means for the log is for the next one to find out.
func (s *Source) lookAtMembership(ctx context.Context, conn *pgx.Conn) error {
	was := s.membership.Load()
	if was == nil {
		return nil
	}
	now, err := readMembership(ctx, conn, was.target)
	if err == nil && !now.equal(was) && s.membership.Load() == was {
		poke(s.altered)
	}
	return err
}

// awaitAltered returns when somebody has altered the publication, when tables have joined
// the target that the session has not, or when ctx ends.
func (s *Source) awaitAltered(ctx context.Context) error {
	select {
	case <-s.altered: // of a session before: it is over already
	default:
	}
	for s.membership.Load().target.covers(*s.target.Load()) {
		select {
		case <-s.altered:
			return fmt.Errorf("publication %s or a table of it was altered or made anew: looking at all of it again", s.o.Publication)
		case <-s.retargeted:
		case <-ctx.Done():
			return nil
		}
	}
	return errJoining
}
