package filter

import (
	"fmt"
	"strings"
	"testing"
)

func TestFingerprint(t *testing.T) {
	t.Parallel()
	base := func() Source { return ruleOf(t, `row.id == params.p`, `row.customer_id == user.id`, "p") }
	print := func(s Source) string {
		p, problems := Compile(s)
		if p == nil {
			t.Fatal(shown(problems))
		}
		return p.Fingerprint()
	}
	same := map[string]Source{"blanks": base(), "another column": base(), "wider": base(), "another claim": base()}
	edit := func(from map[string]Source, name string, change func(*Source)) {
		s := from[name]
		change(&s)
		from[name] = s
	}
	edit(same, "blanks", func(s *Source) { s.Where = parsed(t, ` (row.id)==params.p`) })
	edit(same, "another column", func(s *Source) {
		s.Table.Columns = append(s.Table.Columns, Column{Name: "more", Type: testTypes["text"]})
	})
	edit(same, "wider", func(s *Source) { s.Table.Columns[1].Type = testTypes["numeric"] })
	edit(same, "another claim", func(s *Source) { s.Claims = append(declare(`more text`), s.Claims...) })
	for name, s := range same {
		if print(s) != print(base()) {
			t.Errorf("%s: the fingerprint is another one", name)
		}
	}
	other := map[string]Source{"where": base(), "allow": base(), "no where": base(), "swapped": base(), "claim type": base(), "param type": base()}
	edit(other, "where", func(s *Source) { s.Where = parsed(t, `row.team_id == params.p`) })
	edit(other, "allow", func(s *Source) { s.Allow = parsed(t, `row.customer_id != user.id`) })
	edit(other, "no where", func(s *Source) { s.Where, s.Params = nil, nil })
	edit(other, "swapped", func(s *Source) { s.Where, s.Allow = s.Allow, s.Where })
	edit(other, "claim type", func(s *Source) { s.Claims = declare(`id numeric`) })
	edit(other, "param type", func(s *Source) { s.Params = []Parameter{{Name: "p", Type: Type{Class: ClassNumber, Name: "numeric"}}} })
	seen := map[string]string{print(base()): "the rule"}
	for name, s := range other {
		if twin := seen[print(s)]; twin != "" {
			t.Errorf("%s and %s have one fingerprint", name, twin)
		}
		seen[print(s)] = name
	}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	tests := []struct{ allow, want string }{
		{``, `all`},
		{`row.active && (row.archived || !(row.id == 1 && row.visits == 2))`, "once per change: row.active\nonce per change: row.archived || !(row.id == 1 && row.visits == 2)\nall"},
		{`!(row.id != user.id || user.role == "x")`, "at subscribe: !(user.role == \"x\")\nhash[id]"},
		{`row.active && row.id == user.id || row.id in user.teams`, `hash[id] (once per change: row.active) U hash[id -> each of user.teams]`},
		{`row.id in user.teams && user.tag in row.tags && lower(row.email) == lower(user.email)`, `hash[lower(email); id -> each of user.teams] then user.tag in row.tags`},
		{`row.id == user.id && (row.active || row.title != user.tag)`, `hash[id] (once per change: row.active) U hash[id] then row.title != user.tag`},
		{`row.title == user.tag || row.id == user.id && (user.admin || user.role == "x") && (row.active || row.archived)`,
			`hash[title] U hash[id] (at subscribe: user.admin || user.role == "x") (once per change: row.active || row.archived)`},
		{`row.id == user.id && row.team_id == user.id && row.total == user.min_total`, `hash[id; team_id; total]`},
		{`(row.id == user.id || user.admin) && (row.active || user.role == "x")`,
			`hash[id] (once per change: row.active) U hash[id] (at subscribe: user.role == "x") U all (at subscribe: user.admin) (once per change: row.active) U all (at subscribe: user.admin && user.role == "x")`},
	}
	for _, tt := range tests {
		if got := strings.Join(compiled(t, "", tt.allow).Plan(), "\n"); got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.allow, got, tt.want)
		}
	}
}

// A disjunction of too many parts is evaluated as a whole, and the keys beside it stay.
func TestPlanBound(t *testing.T) {
	t.Parallel()
	or := func(n int) string {
		terms := make([]string, n)
		for i := range terms {
			terms[i] = fmt.Sprintf("row.visits == user.id && row.id == %d", i)
		}
		return "(" + strings.Join(terms, " || ") + ")"
	}
	tests := []struct {
		allow string
		want  int
		scans bool
	}{
		{or(16), 16, false},
		{or(17), 1, true},
		{or(4) + " && " + or(4), 16, false},
		{or(4) + " && " + or(5), 4, false},
		{"row.title == user.role && " + or(17), 1, false},
		{or(17) + " || row.title == user.role", 1, true},
	}
	for _, tt := range tests {
		p := compiled(t, "", tt.allow)
		if got := p.Disjuncts(); got != tt.want || p.disjuncts[0].scans() != tt.scans {
			t.Errorf("%.60s...: %d disjuncts, want %d; %s", tt.allow, got, tt.want, p.Plan())
		}
		for row, want := range map[string]Truth{`visits=1; id=3; title=a`: True, `visits=2; id=3; title=b`: False} {
			if got := judge(t, p, `{"id":1,"role":"a"}`, row, nil); got != want && !strings.Contains(tt.allow, "&& (row") {
				t.Errorf("%.60s...: %s is %d, want %d", tt.allow, row, got, want)
			}
		}
	}
}

func FuzzCompile(f *testing.F) {
	for _, tt := range workedExamples {
		f.Add(tt.allow, `{"id":1,"teams":[1,null],"role":"admin"}`, "7")
	}
	f.Add(`!(row.handle == params.p || lower(text(row.meta.k)) in ["a", null]) && user.tag in row.tags`, `{}`, "é")
	f.Add(`row.id in user.teams && (row.total > 1.5 || !row.active) && params.p == row.status`, `{"teams":[]}`, "open")
	f.Fuzz(func(t *testing.T, allow, claims, param string) {
		n, err := Parse(allow)
		if err != nil {
			return
		}
		s := Source{Allow: n, Table: testTable(), Claims: testClaims, Params: []Parameter{{Name: "p"}}}
		if !strings.Contains(allow, "params") {
			s.Params = nil
		}
		p, problems := Compile(s)
		for _, problem := range problems {
			if problem.Pos < 0 || int(problem.Pos) > len(allow) || problem.Msg == "" || problem.Warning != (p != nil) {
				t.Fatalf("%q: problem %+v", allow, problem)
			}
		}
		if p == nil {
			if len(problems) == 0 {
				t.Fatalf("%q: no program and no problem", allow)
			}
			return
		}
		user, err := ParseClaims(testClaims, []byte(claims))
		if err != nil {
			return
		}
		b, err := p.Bind(user, map[string]string{"p": param})
		if err != nil {
			return
		}
		fuzzRows(t, p, b)
	})
}

// fuzzRows evaluates in every way.
func fuzzRows(t *testing.T, p *Program, b *Binding) {
	t.Helper()
	l := layoutOf(t, p, relationOf(testTable()))
	g, im := newGenerator(9), p.NewImage()
	for range 4 {
		im.Load(l, g.row(false))
		if verdict := b.Eval(im); indexed(t, p, b, im) != (verdict == True) {
			t.Fatalf("the index says something else than %d", verdict)
		}
		b.Explain(im)
	}
	sql, args := b.SQL()
	if n := strings.Count(sql, "::"); n != len(args) {
		t.Fatalf("%d parameters in %s, %d arguments", n, sql, len(args))
	}
	p.Plan()
	b.Params()
}
