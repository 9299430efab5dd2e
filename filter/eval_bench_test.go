package filter

import (
	"fmt"
	"testing"

	"github.com/walrelay/walrelay/change"
)

// The three filters that the design measured, with a user and a row that match.
var measured = []struct{ name, allow, row string }{
	{"F1", `row.customer_id == user.id`, `customer_id=42`},
	{
		"F2", `row.status != "draft" && (row.customer_id == user.id || row.team_id in user.teams)`,
		`status=open; customer_id=7; team_id=12`,
	},
	{
		"F3", `row.org_id == user.org && row.deleted_at == null && row.total >= 100 && (user.role == "admin" || user.tag in row.tags || row.customer_id == user.id)`,
		`org_id=0d7b2f3c-9f3b-4c43-8f0e-3f1f0c5f9a11; total=129.90; tags={new,urgent,"two words"}; customer_id=7`,
	},
}

const measuredUser = `{"id": 42, "teams": [10, 11, 12], "org": "0d7b2f3c-9f3b-4c43-8f0e-3f1f0c5f9a11", "role": "member", "tag": "urgent"}`

// prepare binds a measured filter.
func prepare(tb testing.TB, allow, row string) (*Program, *Binding, *Layout, []change.Value) {
	tb.Helper()
	p := compiled(tb, "", allow)
	b := boundTo(tb, p, measuredUser, nil)
	l := layoutOf(tb, p, relationOf(testTable()))
	return p, b, l, rowOf(tb, row)
}

// BenchmarkEval evaluates the whole filter: for a row as it comes (decode), and for one whose columns
// another subscriber has asked for already (again).
func BenchmarkEval(b *testing.B) {
	for _, f := range measured {
		p, bound, l, row := prepare(b, f.allow, f.row)
		im := p.NewImage()
		b.Run(f.name+"/decode", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				im.Load(l, row)
				if bound.Eval(im) != True {
					b.Fatal("not TRUE")
				}
			}
		})
		b.Run(f.name+"/again", func(b *testing.B) {
			b.ReportAllocs()
			im.Load(l, row)
			for b.Loop() {
				if bound.Eval(im) != True {
					b.Fatal("not TRUE")
				}
			}
		})
	}
}

// BenchmarkIndex is what an index does for a row: Load, Once, and per disjunct the probes, each looked up
// in a map of n subscribers, and the residuals of those that are found.
func BenchmarkIndex(b *testing.B) {
	for _, f := range measured {
		for _, n := range []int{10, 10_000} {
			p, bound, l, row := prepare(b, f.allow, f.row)
			index := make([]map[string]*Binding, p.Disjuncts())
			for d := range index {
				index[d] = map[string]*Binding{}
				for i := range n {
					index[d][fmt.Sprintf("somebody else %d", i)] = bound
				}
				for _, key := range bound.Postings(d) {
					index[d][key] = bound
				}
			}
			im := p.NewImage()
			b.Run(fmt.Sprintf("%s/%d", f.name, n), func(b *testing.B) {
				b.ReportAllocs()
				hits := 0
				for b.Loop() {
					im.Load(l, row)
					if im.Once() == True {
						hits += matches(p, im, index)
					}
				}
				if hits == 0 {
					b.Fatal("no match")
				}
			})
		}
	}
}

func matches(p *Program, im *Image, index []map[string]*Binding) int {
	hits := 0
	for d := range p.Disjuncts() {
		for i := range im.Probe(d) {
			if found := index[d][string(im.Key(i))]; found != nil && found.Residual(d, im) == True {
				hits++
			}
		}
	}
	return hits
}

// BenchmarkBind is a subscription: claims to keys and group.
func BenchmarkBind(b *testing.B) {
	for _, f := range measured {
		p := compiled(b, "", f.allow)
		user := claimsOf(b, measuredUser)
		b.Run(f.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Bind(user, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	for _, f := range measured {
		s := ruleOf(b, "", f.allow)
		b.Run(f.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if p, _ := Compile(s); p == nil {
					b.Fatal("does not compile")
				}
			}
		})
	}
}

// Evaluating rows allocates nothing, whatever the filter reads.
func TestEvaluationDoesNotAllocate(t *testing.T) {
	filters := measured[:len(measured):len(measured)]
	filters = append(filters, struct{ name, allow, row string }{
		"texts and arrays",
		`lower(row.email) == lower(user.email) || text(row.meta.k) in user.roles || user.tag in row.tags && !(row.id in user.teams) || user.status in row.statuses && row.due < user.day`,
		`id=1; email=ÀB; meta={"k": "a\nb"}; tags={"a\"b",c,urgent,urgent}; statuses={draft}; due=2026-01-31`,
	})
	for _, f := range filters {
		p, b, l, row := prepare(t, f.allow, f.row)
		im := p.NewImage()
		allocs := testing.AllocsPerRun(100, func() {
			im.Load(l, row)
			b.Eval(im)
			im.Load(l, row)
			if im.Once() != True {
				return
			}
			for d := range p.Disjuncts() {
				for i := range im.Probe(d) {
					im.Key(i)
				}
				b.Residual(d, im)
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations per row", f.name, allocs)
		}
	}
}
