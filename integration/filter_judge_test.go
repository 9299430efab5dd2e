package integration

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/filter"
)

// judge compares the package's verdicts with Postgres's.
func (r *diffRun) judge(rule *diffRule) {
	r.t.Helper()
	program := r.compile(rule.where, rule.allow, rule)
	layout, err := program.For(r.images.rel)
	if err != nil {
		r.t.Fatalf("%s: %v", rule, err)
	}
	j := &diffJudgement{diffRun: r, rule: rule, program: program, layout: layout, image: program.NewImage(), reads: map[string]bool{}}
	for _, condition := range []*diffCondition{rule.where, rule.allow} {
		filter.Walk(r.parse(condition), func(n filter.Node) {
			switch n := n.(type) {
			case *filter.Row:
				j.reads[n.Column] = true
			case *filter.User:
				j.readsUser = true
			}
		})
	}
	for u := range rule.users {
		j.bindings = append(j.bindings, j.bind(u))
	}
	j.index()
	for i, row := range r.images.rows {
		j.whole(i, row)
		if r.table.IntN(4) == 0 {
			j.masked(i, row)
		}
	}
	j.groups()
	for u, b := range j.bindings {
		if b != nil {
			j.sql(u, b)
		}
	}
}

// diffJudgement compares the verdicts for one rule.
type diffJudgement struct {
	*diffRun
	rule    *diffRule
	program *filter.Program
	layout  *filter.Layout
	image   *filter.Image
	// reads are the names of the columns that the rule reads.
	reads     map[string]bool
	readsUser bool
	// bindings by user; nil: refused.
	bindings []*filter.Binding
	// postings has the users by disjunct and key.
	postings []map[string][]int
	mask     []change.Value
	differs  int
}

// bind is nil for somebody who is refused. Then no row may be TRUE for him, and the reason
// is nothing in a row.
func (j *diffJudgement) bind(u int) *filter.Binding {
	claims, err := filter.ParseClaims(j.claims, []byte(j.rule.json[u]))
	if err != nil {
		j.t.Fatalf("%s: %v", j.rule.json[u], err)
	}
	b, err := j.program.Bind(claims, j.rule.users[u].params)
	var refused *filter.RefusedError
	switch {
	case err == nil:
		j.own.bound++
		if !j.readsUser {
			if b, err = j.program.Bind(nil, j.rule.users[u].params); err != nil {
				j.t.Fatalf("%s: bind nobody: %v", j.rule, err)
			}
		}
		return b
	case !errors.As(err, &refused):
		j.t.Fatalf("%s\nclaims: %s\nparameters: %q\nbind: %v", j.rule, j.rule.json[u], j.rule.users[u].params, err)
	case strings.Contains(refused.Expr, "row."):
		j.t.Errorf("%s\nrefused because of the row: %s", j.rule, refused.Expr)
	}
	j.own.refused++
	if row := slices.Index(j.rule.want[u], filter.True); row >= 0 {
		j.differ(u, row, err.Error())
	}
	return nil
}

// index makes the index that package channel has: users by disjunct and key.
func (j *diffJudgement) index() {
	for d := range j.program.Disjuncts() {
		postings := map[string][]int{}
		for u, b := range j.bindings {
			if b == nil {
				continue
			}
			for _, key := range b.Postings(d) {
				postings[key] = append(postings[key], u)
				j.own.postings++
				if key == "" {
					j.own.keyless++
				}
			}
		}
		j.postings = append(j.postings, postings)
	}
}

// match are the users for whom the index finds the row in the image.
func (j *diffJudgement) match() []bool {
	matched := make([]bool, len(j.bindings))
	if j.image.Once() != filter.True {
		return matched
	}
	for d, postings := range j.postings {
		for k := range j.image.Probe(d) {
			for _, u := range postings[string(j.image.Key(k))] {
				matched[u] = matched[u] || j.bindings[u].Residual(d, j.image) == filter.True
			}
		}
	}
	return matched
}

// whole judges a row with all columns.
func (j *diffJudgement) whole(i int, row []change.Value) {
	j.image.Load(j.layout, row)
	var matched []bool
	if i%2 == 0 { // which way comes first must not matter to what the image remembers
		matched = j.match()
	}
	same := i > 0 && !j.layout.Differ(j.images.rows[i-1], row)
	for u, b := range j.bindings {
		want := j.rule.want[u]
		if b != nil {
			if got := b.Eval(j.image); got != want[i] {
				j.differ(u, i, "Eval is "+truthName(got))
			}
			if i%64 == u {
				j.explain(u, i)
			}
		}
		if same {
			j.own.same++
			if want[i] != want[i-1] {
				j.differ(u, i, "Differ is false for this row and the one before")
			}
		}
	}
	if i%2 != 0 {
		matched = j.match()
	}
	for u, b := range j.bindings {
		if b != nil && matched[u] != (j.rule.want[u][i] == filter.True) {
			j.differ(u, i, fmt.Sprintf("the index says %t", matched[u]))
		}
	}
	if j.image.Undecoded() {
		j.differ(0, i, "Undecoded")
	}
}

// explain compares what a person is told with Postgres.
func (j *diffJudgement) explain(u, i int) {
	told := filter.True
	for _, s := range j.bindings[u].Explain(j.image) {
		if s.Depth == 0 {
			told = min(told, s.Truth)
		}
	}
	if told != j.rule.want[u][i] {
		j.differ(u, i, "Explain says "+truthName(told))
	}
}

// masked judges a row of which some columns are not known. TRUE and FALSE must then be
// certain, and unknown may not become TRUE. A column that the rule does not read must not
// matter.
func (j *diffJudgement) masked(i int, row []change.Value) {
	unread := j.table.IntN(4) == 0
	odds := 2 + j.table.IntN(4)
	j.mask = append(j.mask[:0], row...)
	for c := range j.mask {
		if unread && !j.reads[j.images.rel.Columns[c].Name] || !unread && j.table.IntN(odds) == 0 {
			j.mask[c] = change.Value{Kind: []change.ValueKind{change.Unchanged, change.Missing, change.Omitted}[j.table.IntN(3)]}
		}
	}
	j.image.Load(j.layout, j.mask)
	matched := j.match()
	for u, b := range j.bindings {
		if b == nil {
			continue
		}
		got, want := b.Eval(j.image), j.rule.want[u][i]
		j.own.masked[got]++
		certain := unread || got == filter.True || got == filter.False
		if certain && got != want || got == filter.Unknown && want == filter.True || matched[u] != (got == filter.True) {
			j.differ(u, i, fmt.Sprintf("with columns missing (%s): Eval is %s, the index says %t", kindsOf(j.mask), truthName(got), matched[u]))
		}
	}
}

// groups: users that no row can tell apart have the same rows.
func (j *diffJudgement) groups() {
	for u, b := range j.bindings {
		for v := range u {
			if b == nil || j.bindings[v] == nil || b.Group() != j.bindings[v].Group() {
				continue
			}
			j.own.grouped++
			for i := range j.images.rows {
				if (j.rule.want[u][i] == filter.True) != (j.rule.want[v][i] == filter.True) {
					j.differ(u, i, fmt.Sprintf("the same group as user %d: %s", v, j.rule.json[v]))
				}
			}
		}
	}
}

// sql runs the condition that snapshots read by.
func (j *diffJudgement) sql(u int, b *filter.Binding) {
	condition, args := b.SQL()
	params := make([][]byte, len(args))
	for i, arg := range args {
		params[i] = []byte(arg)
	}
	sql := "select id from public." + j.table.name + " where " + condition
	result := j.prefilter.PgConn().ExecParams(j.t.Context(), sql, params, nil, nil, nil).Read()
	if result.Err != nil {
		j.differ(u, 0, fmt.Sprintf("SQL: %v\n%s\narguments: %q", result.Err, sql, args))
		return
	}
	fetched := make([]bool, len(j.images.rows))
	for _, row := range result.Rows {
		i, err := strconv.Atoi(string(row[0]))
		if err != nil {
			j.t.Fatal(err)
		}
		fetched[i] = true
	}
	visible := 0
	for i, want := range j.rule.want[u] {
		if want != filter.True {
			continue
		}
		visible++
		if !fetched[i] {
			j.differ(u, i, fmt.Sprintf("SQL does not fetch it:\n%s\narguments: %q", sql, args))
		}
	}
	j.own.sql(condition, len(result.Rows), visible)
}

// differ reports a difference.
func (j *diffJudgement) differ(u, row int, what string) {
	j.differences++
	if j.differs++; j.differs > 1 {
		return // one for a rule tells enough
	}
	user := j.rule.users[u]
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\nparameters: %q, inferred: %v\nclaims: %s\nrow:", j.table.ddl(), j.rule, user.params, j.rule.inferred, j.rule.json[u])
	for i, v := range j.images.rows[row] {
		if v.Kind == change.Null {
			fmt.Fprintf(&b, "\n  %s: null", j.images.rel.Columns[i].Name)
		} else {
			fmt.Fprintf(&b, "\n  %s: %q", j.images.rel.Columns[i].Name, v.Text)
		}
	}
	fmt.Fprintf(&b, "\nPostgres: %s\nwalrelay: %s\n%s", truthName(j.rule.want[u][row]), what, j.smallest(u, row))
	j.t.Error(b.String())
}

// smallest is the smallest part of the rule for which Eval is not what Postgres says.
func (j *diffJudgement) smallest(u, row int) string {
	var parts []*diffCondition
	for _, c := range []*diffCondition{j.rule.where, j.rule.allow} {
		if c != nil {
			parts = append(parts, c.subconditions()...)
		}
	}
	slices.SortStableFunc(parts, func(a, b *diffCondition) int { return len(a.String()) - len(b.String()) })
	claims, err := filter.ParseClaims(j.claims, []byte(j.rule.json[u]))
	if err != nil {
		return err.Error()
	}
	for _, c := range parts {
		sql := c.sql(j.rule.users[u])
		want := j.verdicts([]string{sql})[0][row]
		program, _ := filter.Compile(j.source(nil, c, j.rule))
		if program == nil {
			continue // a parameter has lost what gave it its type
		}
		got := "refused"
		b, err := program.Bind(claims, j.rule.users[u].params)
		if err == nil {
			layout, err := program.For(j.images.rel)
			if err != nil {
				return err.Error()
			}
			im := program.NewImage()
			im.Load(layout, j.images.rows[row])
			got = truthName(b.Eval(im))
		}
		if got != truthName(want) && (err == nil || want == filter.True) {
			return fmt.Sprintf("smallest part: %s is %s, and for Postgres %s: %s", c, got, truthName(want), sql)
		}
	}
	return "Eval of every part is what Postgres says"
}

func truthName(t filter.Truth) string {
	return [...]string{filter.False: "FALSE", filter.Unknown: "NULL", filter.Open: "open", filter.True: "TRUE"}[t]
}

// kindsOf are the kinds of a row's values, a letter each.
func kindsOf(row []change.Value) string {
	var b strings.Builder
	for _, v := range row {
		b.WriteByte(byte(v.Kind))
	}
	return b.String()
}
