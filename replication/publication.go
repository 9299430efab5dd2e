package replication

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Publication is what the catalog says of a publication.
type Publication struct {
	Name                             string
	AllTables                        bool
	Insert, Update, Delete, Truncate bool
	ViaRoot                          bool
	Generated                        bool // publish_generated_columns = stored (Postgres 18)
	Owned                            bool
	// Schemas are those whose tables it has as TABLES IN SCHEMA.
	Schemas []string
	Tables  []PublishedTable
}

// PublishedTable is one table of a publication.
type PublishedTable struct {
	Schema, Name string
	RowFilter    bool
	// ColumnList are the columns that a column list names; nil without one.
	ColumnList []string
}

func (p *Publication) table(spec TableSpec) *PublishedTable {
	for i := range p.Tables {
		if p.Tables[i].Schema == spec.Schema && p.Tables[i].Name == spec.Name {
			return &p.Tables[i]
		}
	}
	return nil
}

// readPublication returns nil when there is none of the name.
func readPublication(ctx context.Context, conn *pgx.Conn, name string, version int) (*Publication, error) {
	p := &Publication{Name: name}
	generated := "false"
	if version >= 180000 {
		generated = "pubgencols = 's'"
	}
	err := conn.QueryRow(ctx, `select puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot, `+generated+`, pg_has_role(pubowner, 'USAGE')
		from pg_publication where pubname = $1`, name).
		Scan(&p.AllTables, &p.Insert, &p.Update, &p.Delete, &p.Truncate, &p.ViaRoot, &p.Generated, &p.Owned)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read publication %s: %w", name, err)
	}
	filter := "false, null::text[]"
	if version >= 150000 {
		if err := conn.QueryRow(ctx, `select coalesce(array_agg(n.nspname::text order by n.nspname), '{}') from pg_publication p
			join pg_publication_namespace pn on pn.pnpubid = p.oid join pg_namespace n on n.oid = pn.pnnspid where p.pubname = $1`, name).Scan(&p.Schemas); err != nil {
			return nil, fmt.Errorf("read schemas of publication %s: %w", name, err)
		}
		filter = `t.rowfilter is not null, (select t.attnames::text[] from pg_publication_rel pr join pg_publication p on p.oid = pr.prpubid
			where p.pubname = t.pubname and pr.prattrs is not null and pr.prrelid = format('%I.%I', t.schemaname, t.tablename)::regclass)`
	}
	rows, err := conn.Query(ctx, `select t.schemaname, t.tablename, `+filter+` from pg_publication_tables t where t.pubname = $1 order by 1, 2`, name)
	if err != nil {
		return nil, fmt.Errorf("read tables of publication %s: %w", name, err)
	}
	p.Tables, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (t PublishedTable, err error) {
		return t, row.Scan(&t.Schema, &t.Name, &t.RowFilter, &t.ColumnList)
	})
	if err != nil {
		return nil, fmt.Errorf("read tables of publication %s: %w", name, err)
	}
	return p, nil
}

// learnColumnLists notes which columns a publication that somebody else made publishes.
func (p *Preflight) learnColumnLists(t Target) {
	for _, spec := range t.Tables {
		table := p.Tables[spec.fullName()]
		if table == nil || p.Publication == nil {
			continue
		}
		if pt := p.Publication.table(spec); pt != nil && pt.ColumnList != nil {
			for i, c := range table.Columns {
				table.Columns[i].Published = slices.Contains(pt.ColumnList, c.Name)
			}
		}
	}
}

// checkPublication reports what ensurePublication cannot or must not mend by itself.
func (p *Preflight) checkPublication(t Target) {
	pub, fs := p.Publication, &p.Findings
	if pub == nil {
		return
	}
	subject, name := "publication "+t.Publication, quoteIdent(t.Publication)
	if pub.AllTables {
		fs.add(Error, subject, "it is FOR ALL TABLES: every change of the database would be logged, and tables without a primary key could not be updated any more", "DROP PUBLICATION "+name+"; walrelay creates one with exactly the tables it needs")
		return
	}
	if len(pub.Schemas) > 0 {
		var schemas []string
		for _, schema := range pub.Schemas {
			schemas = append(schemas, quoteIdent(schema))
		}
		fs.add(Error, subject, "it has TABLES IN SCHEMA "+strings.Join(schemas, ", ")+": every change there would be logged, tables without a primary key could not be updated any more, and nobody would notice that a table was missing for a while",
			"ALTER PUBLICATION "+name+" DROP TABLES IN SCHEMA "+strings.Join(schemas, ", ")+"; walrelay adds exactly the tables it needs")
		return
	}
	if !pub.Insert || !pub.Update || !pub.Delete || !pub.Truncate {
		fs.add(Error, subject, "it does not publish all of insert, update, delete and truncate, so clients would keep stale rows", "ALTER PUBLICATION "+name+" SET (publish = 'insert, update, delete, truncate');")
	}
	if !pub.ViaRoot {
		p.checkPartitions(t, subject, name)
	}
	for _, spec := range t.Tables {
		if pt := pub.table(spec); pt != nil {
			if pt.RowFilter {
				fs.add(Error, subject, "it has a row filter on "+spec.fullName()+": rows that leave it would vanish unseen", "ALTER PUBLICATION "+name+" DROP TABLE "+spec.quoted()+"; walrelay adds it again without one")
			}
			if problem := p.columnListProblem(spec, pt.ColumnList); problem != "" {
				fs.add(Error, subject, "it has a column list on "+spec.fullName()+", "+problem, "ALTER PUBLICATION "+name+" DROP TABLE "+spec.quoted()+"; walrelay adds it again without one")
			}
		}
	}
	p.checkExtraTables(t, subject, name)
}

// columnListProblem is what speaks against a column list; nil is none. Channels have any
// column, today or tomorrow. The watcher needs but a few, and large ones that change with
// every request are better left out.
func (p *Preflight) columnListProblem(spec TableSpec, list []string) string {
	t := p.Tables[spec.fullName()]
	if list == nil || t == nil {
		return ""
	}
	if !spec.Private || t.Identity == 'f' {
		return "which makes Postgres refuse UPDATEs when the replica identity is not in it"
	}
	for _, name := range t.IdentityColumns {
		if !slices.Contains(list, name) {
			return fmt.Sprintf("which lacks %q of its replica identity, so that Postgres refuses the application's UPDATE and DELETE", name)
		}
	}
	for _, use := range spec.Uses {
		if use.Watched && !slices.Contains(list, use.Column) {
			return fmt.Sprintf("which lacks %q, which auth reads", use.Column)
		}
	}
	return ""
}

func (p *Preflight) checkPartitions(t Target, subject, name string) {
	for _, spec := range t.Tables {
		if table := p.Tables[spec.fullName()]; table != nil && table.Kind == 'p' {
			p.Findings.add(Error, subject, "it publishes partitions under their own names, but "+spec.fullName()+" is configured", "ALTER PUBLICATION "+name+" SET (publish_via_partition_root = true);")
			return
		}
	}
}

func (p *Preflight) checkExtraTables(t Target, subject, name string) {
	for _, spec := range t.Tables {
		if p.Tables[spec.fullName()] == nil { // misspelt perhaps: then this table may be the one that is meant
			return
		}
	}
	for _, pt := range p.Publication.Tables {
		wanted := slices.ContainsFunc(t.Tables, func(s TableSpec) bool { return s.Schema == pt.Schema && s.Name == pt.Name })
		if !wanted {
			q := quoteIdent(pt.Schema) + "." + quoteIdent(pt.Name)
			p.Findings.add(Warning, subject, "it contains "+pt.Schema+"."+pt.Name+", which neither channels nor auth use: its changes are decoded for nothing", "ALTER PUBLICATION "+name+" DROP TABLE "+q+";")
		}
	}
}

// unpublished are the tables that the publication lacks and that may be in it.
func (p *Preflight) unpublished(t Target) []TableSpec {
	var out []TableSpec
	for _, spec := range t.Tables {
		unfit := slices.ContainsFunc(p.Findings, func(f Finding) bool { return f.Severity == Error && f.Table == spec.fullName() })
		if !unfit && (p.Publication == nil || p.Publication.table(spec) == nil) {
			out = append(out, spec)
		}
	}
	return out
}

// publicationSQL is what brings the publication to exactly the tables asked for;
// empty when it is there already.
func (p *Preflight) publicationSQL(t Target) []string {
	options := "publish = 'insert, update, delete, truncate', publish_via_partition_root = true"
	if p.Server.Version >= 180000 {
		options += ", publish_generated_columns = stored"
	}
	name := quoteIdent(t.Publication)
	var missing []string
	for _, spec := range p.unpublished(t) {
		missing = append(missing, p.published(spec))
	}
	if p.Publication == nil {
		return []string{"CREATE PUBLICATION " + name + " FOR TABLE " + strings.Join(missing, ", ") + " WITH (" + options + ");"}
	}
	var out []string
	if p.Server.Version >= 180000 && !p.Publication.Generated { // before tables are added: FULL with an unpublished generated column breaks UPDATE
		out = append(out, "ALTER PUBLICATION "+name+" SET (publish_generated_columns = stored);")
	}
	if len(missing) > 0 {
		out = append(out, "ALTER PUBLICATION "+name+" ADD TABLE "+strings.Join(missing, ", ")+";")
	}
	return out
}

// published is how a publication names a table: without ONLY the tables that inherit
// from it would come along, whose replica identity nobody has looked at.
func (p *Preflight) published(spec TableSpec) string {
	if t := p.Tables[spec.fullName()]; t != nil && t.Heirs {
		return "ONLY " + spec.quoted()
	}
	return spec.quoted()
}

// checkMayPublish reports SQL that somebody else has to run.
func (p *Preflight) checkMayPublish(t Target) {
	sql := p.publicationSQL(t)
	if len(sql) == 0 || len(p.Findings.Errors()) > 0 { // the SQL may change with what is mended
		return
	}
	var lacks []string
	if p.Publication == nil && !p.Server.MayCreate {
		lacks = append(lacks, "CREATE on database "+p.Server.Database)
	}
	if p.Publication != nil && !p.Publication.Owned {
		lacks = append(lacks, "ownership of the publication")
	}
	for _, spec := range t.Tables {
		if !p.Tables[spec.fullName()].Owned && (p.Publication == nil || p.Publication.table(spec) == nil) {
			lacks = append(lacks, "ownership of table "+spec.fullName())
		}
	}
	if len(lacks) == 0 {
		return
	}
	what := "it does not exist and role "
	if p.Publication != nil {
		what = "it lacks tables or settings and role "
	}
	p.Findings.add(Error, "publication "+t.Publication, what+p.Server.Role+" may not mend that (lacks "+strings.Join(lacks, ", ")+")",
		"as a superuser or the owner of the tables run: "+strings.Join(sql, " "))
}

// ensurePublication creates or extends the publication; where the role may not, the
// error has the SQL for somebody who may.
func (p *Preflight) ensurePublication(ctx context.Context, conn *pgx.Conn, t Target) (changed []string, err error) {
	for _, sql := range p.publicationSQL(t) {
		if _, err := conn.Exec(ctx, sql); err != nil {
			if state := sqlState(err); state == "42501" || state == "25006" { // insufficient_privilege, read_only_sql_transaction
				return changed, &PermanentError{"prepare publication " + t.Publication, err, "as the owner of the tables (or a superuser) run: " + strings.Join(p.publicationSQL(t)[len(changed):], " ")}
			}
			return changed, fmt.Errorf("prepare publication %s (%s): %w", t.Publication, sql, err)
		}
		changed = append(changed, sql)
	}
	return changed, nil
}
