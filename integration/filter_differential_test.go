package integration

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/filter"
	"github.com/walrelay/walrelay/replication"
)

const (
	diffTables = 8
	diffRows   = 400
	// diffFilters is how many filters are made, without WALRELAY_TEST_FILTERS.
	diffFilters = 1800
	// maxDifferences end the test of a table. The first of each rule is shown.
	maxDifferences = 2000
)

// TestFilterDifferential compares package filter with Postgres: random rules over random rows, for
// random users and parameters. The rows come from the stream, in the text that pgoutput sends.
// filter_oracle_test.go says in SQL what each rule means, and Postgres evaluates that for all rows.
// Then for every rule, user and row
//
//   - Binding.Eval is what Postgres says: TRUE, FALSE or NULL,
//   - the index finds it exactly when Postgres says TRUE,
//   - Binding.SQL, run with its arguments by Postgres, gives all rows that are TRUE, and maybe others,
//   - a row of which some columns are missing is never judged otherwise than the whole row,
//     it is at most Open,
//   - Explain shows what Eval says,
//   - two users in one group, and two rows that do not differ, have the same verdict,
//
// and Bind refuses nobody who may see a row.
//
// WALRELAY_TEST_SEED repeats a run, WALRELAY_TEST_FILTERS makes it longer.
func TestFilterDifferential(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, diffDDL...)
	g := newGenerator(t, db)
	seed := g.Uint64()
	tables := dealTables(g, diffTables)
	for _, table := range tables {
		db.exec(t, table.ddl())
	}
	db.exec(t, "create publication everything for all tables")
	stream := openStream(t, db)
	catalog := connectWith(t, db, valueSettings)
	for _, table := range tables {
		copyInto(t, catalog, table.name, table.copyText(diffRows))
	}
	db.exec(t, "select pg_logical_emit_message(true, 'end', '')")
	images := map[string]*diffImages{}
	stream.rows(t, catalog, func(rel *change.Relation, row []change.Value) {
		if images[rel.Name] == nil {
			images[rel.Name] = &diffImages{rel: rel}
		}
		images[rel.Name].add(row)
	})
	// The subtests are done when Run returns.
	tally := &diffTally{}
	agree := t.Run("table", func(t *testing.T) {
		for i, table := range tables {
			t.Run(table.name, func(t *testing.T) {
				t.Parallel()
				table.generator = &generator{rand.New(rand.NewPCG(seed, uint64(i))), g.version}
				newDiffRun(t, db, table, images[table.name], tally).run(filterCount(t) / len(tables))
			})
		}
	})
	if agree {
		tally.check(t)
	}
}

func filterCount(t *testing.T) int {
	t.Helper()
	text := os.Getenv("WALRELAY_TEST_FILTERS")
	if text == "" {
		return diffFilters
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("WALRELAY_TEST_FILTERS: %v", err)
	}
	return n
}

func copyInto(t *testing.T, conn *pgx.Conn, table, text string) {
	t.Helper()
	if _, err := conn.PgConn().CopyFrom(t.Context(), strings.NewReader(text), "copy "+table+" from stdin"); err != nil {
		t.Fatalf("fill %s: %v", table, err)
	}
}

// diffImages are the rows of a table as the stream sent them, in the order of their ids.
type diffImages struct {
	rel  *change.Relation
	rows [][]change.Value
}

// add copies a row.
func (d *diffImages) add(row []change.Value) {
	row = slices.Clone(row)
	for i := range row {
		row[i].Text = bytes.Clone(row[i].Text)
	}
	d.rows = append(d.rows, row)
}

// diffRun tests the rules of one table.
type diffRun struct {
	t      *testing.T
	table  *diffTable
	images *diffImages
	schema *filter.Table
	claims []filter.Claim
	// oracle asks what the rules mean. prefilter has the settings of walrelay's own
	// connections, where a name without its schema is not found.
	oracle, prefilter *pgx.Conn
	tally             *diffTally
	own               diffCounts
	differences       int
}

func newDiffRun(t *testing.T, db *database, table *diffTable, images *diffImages, tally *diffTally) *diffRun {
	t.Helper()
	r := &diffRun{t: t, table: table, images: images, tally: tally}
	r.oracle = connectWith(t, db, valueSettings)
	var err error
	if r.prefilter, err = replication.Connect(t.Context(), db.url()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.prefilter.Close(context.WithoutCancel(t.Context())) })
	for i, row := range images.rows {
		if string(row[0].Text) != strconv.Itoa(i) {
			t.Fatalf("row %d of the stream has the id %s", i, row[0].Text)
		}
	}
	r.schema = &filter.Table{Name: "public." + table.name}
	for i, c := range images.rel.Columns {
		column := filter.Column{Name: c.Name, Type: c.Type, Identity: true, NotNull: i == 0}
		if i > 0 {
			column.NotNull, column.Loose = table.columns[i-1].notNull, table.columns[i-1].kind.loose
		}
		r.schema.Columns = append(r.schema.Columns, column)
	}
	// A rule finds its columns by their names.
	table.Shuffle(len(r.schema.Columns), func(i, k int) {
		r.schema.Columns[i], r.schema.Columns[k] = r.schema.Columns[k], r.schema.Columns[i]
	})
	for _, c := range diffClaims {
		r.claims = append(r.claims, filter.Claim{Name: c.name, Type: r.declared(c)})
	}
	return r
}

// declared is a type as package config declares it.
func (r *diffRun) declared(c diffClaim) filter.Type {
	typ, err := filter.ParseType(c.config)
	if err != nil {
		r.t.Fatalf("type %s: %v", c.config, err)
	}
	return typ
}

// diffRule is a rule with the users that ask for it.
type diffRule struct {
	diffFilter
	// inferred are the parameters that have no type declared.
	inferred map[string]bool
	users    []*diffUser
	// json are their claims.
	json []string
	// want is Postgres's verdict by user and row.
	want [][]filter.Truth
}

// rulesAtOnce are evaluated by one statement.
const rulesAtOnce = 50

func (r *diffRun) run(filters int) {
	for filters > 0 && r.differences < maxDifferences {
		n := min(filters, rulesAtOnce)
		filters -= n
		rules := make([]*diffRule, n)
		for i := range rules {
			rules[i] = r.rule()
		}
		r.ask(rules)
		for _, rule := range rules {
			r.judge(rule)
		}
	}
	r.tally.add(&r.own)
}

func (r *diffRun) rule() *diffRule {
	rule := &diffRule{diffFilter: r.table.filter(), inferred: map[string]bool{}}
	for _, p := range rule.params() {
		rule.inferred[p.name] = r.table.IntN(2) == 0 && rule.inferable(p.name)
	}
	rule.users = []*diffUser{r.table.user(rule.inferred)}
	for r.table.IntN(3) == 0 {
		rule.users = append(rule.users, r.table.another(rule.users[0], rule.inferred))
	}
	for _, u := range rule.users {
		rule.json = append(rule.json, r.table.json(u))
	}
	return rule
}

// sql is the whole filter for one user.
func (f diffFilter) sql(u *diffUser) string {
	switch {
	case f.where == nil:
		return f.allow.sql(u)
	case f.allow == nil:
		return f.where.sql(u)
	}
	return "(" + f.where.sql(u) + " and " + f.allow.sql(u) + ")"
}

// ask has Postgres evaluate the rules.
func (r *diffRun) ask(rules []*diffRule) {
	r.t.Helper()
	var terms []string
	for _, rule := range rules {
		for _, u := range rule.users {
			terms = append(terms, rule.sql(u))
		}
	}
	verdicts := r.verdicts(terms)
	for _, rule := range rules {
		rule.want, verdicts = verdicts[:len(rule.users)], verdicts[len(rule.users):]
		for _, want := range rule.want {
			r.own.count(want)
		}
	}
}

// verdicts are what Postgres says of each condition for each row.
func (r *diffRun) verdicts(conditions []string) [][]filter.Truth {
	r.t.Helper()
	sql := "select array[" + strings.Join(conditions, ",\n") + "]::boolean[] from public." + r.table.name + " order by id"
	result := r.oracle.PgConn().ExecParams(r.t.Context(), sql, nil, nil, nil, nil).Read()
	if result.Err != nil || len(result.Rows) != len(r.images.rows) {
		r.t.Fatalf("the oracle: %d rows, error: %v\n%s", len(result.Rows), result.Err, sql)
	}
	out := make([][]filter.Truth, len(conditions))
	for _, row := range result.Rows {
		for i, v := range strings.Split(strings.Trim(string(row[0]), "{}"), ",") {
			out[i] = append(out[i], map[string]filter.Truth{"t": filter.True, "f": filter.False, "NULL": filter.Unknown}[v])
		}
	}
	return out
}

// compile refuses nothing: the generator makes rules that are right.
func (r *diffRun) compile(where, allow *diffCondition, rule *diffRule) *filter.Program {
	r.t.Helper()
	program, problems := filter.Compile(r.source(where, allow, rule))
	for _, p := range problems {
		if !p.Warning {
			r.t.Fatalf("%s\n%s\nrefused at %d of part %d: %s", r.table.ddl(), rule, p.Pos, p.Part, p.Msg)
		}
	}
	return program
}

func (r *diffRun) source(where, allow *diffCondition, rule *diffRule) filter.Source {
	s := filter.Source{Where: r.parse(where), Allow: r.parse(allow), Table: r.schema, Claims: r.claims}
	for _, p := range (diffFilter{where, allow}).params() {
		param := filter.Parameter{Name: p.name}
		if !rule.inferred[p.name] {
			param.Type = r.declared(p)
		}
		s.Params = append(s.Params, param)
	}
	return s
}

func (r *diffRun) parse(c *diffCondition) filter.Node {
	if c == nil {
		return nil
	}
	n, err := filter.Parse(c.String())
	if err != nil {
		r.t.Fatalf("%s: %v", c, err)
	}
	return n
}

func (rule *diffRule) String() string {
	return fmt.Sprintf("where: %v\nallow: %v", rule.where, rule.allow)
}
