package auth

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/walrelay/walrelay/filter"
	"github.com/walrelay/walrelay/nearest"
)

// claims compares what the entry gives with what is declared.
func (x *examiner) claims(ctx context.Context) error {
	src := x.e.Claims
	switch {
	case src.SQL != "":
		return x.claimsSQL(ctx)
	case len(src.Paths) > 0:
		x.names(slices.Sorted(maps.Keys(src.Paths)))
	default:
		x.names([]string{"id"})
	}
	return nil
}

func (x *examiner) subject() string { return "claims of " + x.key }

// claimsSQL has the query described, and runs it for nobody: rights are looked at only then.
func (x *examiner) claimsSQL(ctx context.Context) error {
	c, err := parseClaimsSQL(x.e.Claims.SQL)
	if err != nil {
		x.add(Error, x.subject(), ".claims", err.Error(), "")
		return nil
	}
	columns, problem, err := x.describe(ctx, c)
	if err != nil {
		return err
	}
	if problem == nil {
		_, problem, err = x.try(ctx, statement{sql: c.wrapped(), args: c.args(nil, nil)})
		if err != nil {
			return err
		}
	}
	if columns != nil {
		x.columns(columns)
	}
	if problem != nil {
		x.failing(problem)
	}
	return nil
}

// resultColumn is one of the query's.
type resultColumn struct {
	name string
	// category is pg_type.typcategory, or 0 of types that to_jsonb writes in its own way.
	category byte
	typ      string
}

// describe asks what the query gives without running it.
func (x *examiner) describe(ctx context.Context, c *claimsSQL) ([]resultColumn, *sqlProblem, error) {
	d, err := x.conn.PgConn().Prepare(ctx, "", c.inner, nil)
	if err != nil {
		if p := problemOf(err); p != nil {
			return nil, p, nil
		}
		return nil, nil, err
	}
	return x.resultColumns(ctx, d.Fields)
}

func (x *examiner) resultColumns(ctx context.Context, fields []pgconn.FieldDescription) ([]resultColumn, *sqlProblem, error) {
	oids := make([]uint32, len(fields))
	for i := range fields {
		oids[i] = fields[i].DataTypeOID
	}
	types := map[uint32]resultColumn{}
	rows, err := x.conn.Query(ctx, `select oid, case when typname in ('money', 'json', 'jsonb', 'oid', 'xid', 'cid') or typname like 'reg%' or typtype = 'c' then '' else typcategory::text end,
		pg_catalog.format_type(oid, null) from pg_catalog.pg_type where oid = any ($1::oid[])`, oids)
	if err != nil {
		return nil, nil, err
	}
	var oid uint32
	var category, name string
	_, err = pgx.ForEachRow(rows, []any{&oid, &category, &name}, func() error {
		c := resultColumn{typ: name}
		if category != "" {
			c.category = category[0]
		}
		types[oid] = c
		return nil
	})
	out := make([]resultColumn, len(fields))
	for i := range fields {
		out[i] = types[oids[i]]
		out[i].name = fields[i].Name
	}
	return out, nil, err
}

// columns compares the query's columns with the declaration.
func (x *examiner) columns(columns []resultColumn) {
	var names []string
	checks := x.e.Check != "" && x.e.Check != "none"
	for _, c := range columns {
		switch {
		case slices.Contains(names, c.name):
			x.add(Error, x.subject(), ".claims", fmt.Sprintf("two columns are called %q", c.name), "give each a name with AS")
			continue
		case c.name == checkColumn && !checks:
			x.add(Warning, x.subject(), ".claims", "it has a column _check, and nothing is compared with it", "check: django-auth-hash or devise-salt")
		case c.name != checkColumn:
			x.fits(c)
		}
		names = append(names, c.name)
	}
	if checks && !slices.Contains(names, checkColumn) {
		x.add(Error, x.subject(), ".check", "check: "+x.e.Check+" compares with a column _check, which the query does not have", "add the column with the password's hash to the query, AS _check")
	}
	x.names(slices.DeleteFunc(names, func(n string) bool { return n == checkColumn }))
}

// names compares the names of claims with the declared ones.
func (x *examiner) names(names []string) {
	known := make([]string, len(x.declared))
	for i, d := range x.declared {
		known[i] = d.Name
		if d.Required && !slices.Contains(names, d.Name) {
			x.add(Error, x.subject(), ".claims", fmt.Sprintf("claim %q is declared as required, and they do not have it: nobody is let in%s", d.Name, nearest.Suggest(d.Name, names)), "")
		}
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			x.add(Warning, x.subject(), ".claims", fmt.Sprintf("claim %q is not declared, so that no rule can read it%s", name, nearest.Suggest(name, known)), "")
		}
	}
}

// fits compares a column's type with the declared one: a claim that is not of its type
// refuses the user.
func (x *examiner) fits(c resultColumn) {
	i := slices.IndexFunc(x.declared, func(d filter.Claim) bool { return d.Name == c.name })
	if i < 0 || c.category == 0 {
		return
	}
	d := x.declared[i].Type
	array := c.category == 'A'
	fix := ""
	switch {
	case d.List != array && d.List:
		fix = "array[" + c.name + "], or array_agg over the rows"
	case d.List != array:
		fix = "declare it as " + d.Name + "[], or give one value"
	case array:
		return
	case (d.Class == filter.ClassBool) != (c.category == 'B'), c.category == 'N' && d.Class != filter.ClassNumber:
		fix = "CAST(… AS " + d.Name + ") in the query"
	default:
		return
	}
	x.add(Error, x.subject(), ".claims", fmt.Sprintf("column %q is of type %s, and the claim is declared as %s: nobody is let in", c.name, c.typ, d.Name), fix)
}

// failing is a query that Postgres refuses. That it fails for nobody alone is no problem:
// it may divide by what nobody has.
func (x *examiner) failing(p *sqlProblem) {
	fix := ""
	switch {
	case p.code == "42501":
		fix = "GRANT SELECT ON the tables that the query reads TO " + x.role + ";"
		if table, ok := strings.CutPrefix(p.text, "permission denied for table "); ok {
			fix = "GRANT SELECT ON " + quoted(table) + " TO " + x.role + "; (or of the columns that the query reads)"
		}
	case p.code == "25006":
		x.add(Error, x.subject(), ".claims", "the query writes or locks rows, and look-ups are read only", "a query that only reads")
		return
	case p.code == "42P18", p.code == "42883", p.code == "42804":
		fix = "say of what type the user is, as in :user::int"
	case p.code[:2] != "42":
		return
	}
	x.add(Error, x.subject(), ".claims", p.Error(), fix)
}
