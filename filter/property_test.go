package filter

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/walrelay/walrelay/change"
)

// bindings are a few random bindings of a program, with the claims they came from; refused
// ones are nil.
func (g generator) bindings(t *testing.T, p *Program, n int) (bs []*Binding, claims []string, params []map[string]string) {
	t.Helper()
	for range n {
		json, values := g.claims(), g.params(p)
		b, err := p.Bind(claimsOf(t, json), values)
		var refused *RefusedError
		if err != nil && !errors.As(err, &refused) {
			t.Fatalf("Bind(%s, %v): %v", json, values, err)
		}
		bs, claims, params = append(bs, b), append(claims, json), append(params, values)
	}
	return bs, claims, params
}

// rules calls check with random programs and a layout for the test table.
func (g generator) rules(t *testing.T, n, depth int, check func(p *Program, s Source, l *Layout)) {
	t.Helper()
	made := 0
	for range 3 * n {
		p, s, ok := g.rule(t, depth)
		if !ok {
			continue
		}
		l := layoutOf(t, p, relationOf(s.Table))
		check(p, s, l)
		if t.Failed() {
			return
		}
		if made++; made == n {
			return
		}
	}
	t.Fatalf("only %d of %d random rules compile", made, 3*n)
}

// The index finds exactly the rows and bindings for which the filter is TRUE.
func TestIndexEqualsEval(t *testing.T) {
	t.Parallel()
	g := newGenerator(1)
	hits, pairs, refused, scans, keyed := 0, 0, 0, 0, 0
	g.rules(t, 800, 4, func(p *Program, s Source, l *Layout) {
		bs, claims, _ := g.bindings(t, p, 4)
		im := p.NewImage()
		for range 12 {
			row := g.row(false)
			im.Load(l, row)
			for i, b := range bs {
				if b == nil {
					refused++
					continue
				}
				pairs++
				want := b.Eval(im) == True
				if got := indexed(t, p, b, im); got != want {
					t.Errorf("%v && %v\nclaims %s\nrow %s\nplan %s\nthe index says %v, the evaluation %v",
						s.Where, s.Allow, claims[i], rowText(row), strings.Join(p.Plan(), "\n"), got, want)
					return
				}
				if want {
					hits++
				}
				if b.Scan() {
					scans++
				}
				if len(p.disjuncts[0].keys) > 0 {
					keyed++
				}
			}
		}
	})
	if hits < pairs/20 || refused == 0 || scans == 0 || keyed == 0 {
		t.Errorf("the test is weak: %d pairs, %d hits, %d refused, %d with a scan, %d with a key", pairs, hits, refused, scans, keyed)
	}
}

// A refused binding would have been TRUE for no row.
func TestRefusedIsNeverTrue(t *testing.T) {
	t.Parallel()
	g := newGenerator(2)
	refused := 0
	g.rules(t, 500, 3, func(p *Program, s Source, l *Layout) {
		for range 3 {
			json, params := g.claims(), g.params(p)
			if _, err := p.Bind(claimsOf(t, json), params); err == nil {
				continue
			}
			refused++
			for range 10 {
				row := g.row(true)
				if got := naive(s, p, claimsOf(t, json), params, row); got == True {
					t.Errorf("%v && %v is refused to %s and TRUE for %s", s.Where, s.Allow, json, rowText(row))
					return
				}
			}
		}
	})
	if refused < 50 {
		t.Errorf("the test is weak: %d refused", refused)
	}
}

// Bindings of one group cannot be told apart by any row.
func TestGroupsShareVerdicts(t *testing.T) {
	t.Parallel()
	g := newGenerator(3)
	shared, different := 0, 0
	g.rules(t, 500, 4, func(p *Program, s Source, l *Layout) {
		bs, claims, params := g.bindings(t, p, 6)
		im := p.NewImage()
		var rows [][]change.Value
		for range 20 {
			rows = append(rows, g.row(false))
		}
		first := map[string]int{}
		for i, b := range bs {
			if b == nil {
				continue
			}
			j, again := first[b.Group()]
			if !again {
				first[b.Group()] = i
				continue
			}
			shared++
			if claims[i] != claims[j] {
				different++
			}
			for _, row := range rows {
				im.Load(l, row)
				if x, y := b.Eval(im) == True, bs[j].Eval(im) == True; x != y {
					t.Errorf("%v && %v\nrow %s\n%s %v: %v\n%s %v: %v\nin one group", s.Where, s.Allow, rowText(row),
						claims[i], params[i], x, claims[j], params[j], y)
					return
				}
			}
		}
	})
	if different < 100 {
		t.Errorf("the test is weak: %d pairs in one group, %d of different claims", shared, different)
	}
}

// What a filter says of a row with columns that are not known stays true once they are.
func TestUnknownColumnsDecideNothing(t *testing.T) {
	t.Parallel()
	g := newGenerator(4)
	counts := [True + 1]int{}
	g.rules(t, 300, 3, func(p *Program, s Source, l *Layout) {
		bs, claims, _ := g.bindings(t, p, 3)
		im, filled := p.NewImage(), p.NewImage()
		for range 10 {
			row := g.row(false)
			im.Load(l, row)
			for i, b := range bs {
				if b == nil {
					continue
				}
				verdict := b.Eval(im)
				counts[verdict]++
				for range 6 {
					full := g.fill(row)
					filled.Load(l, full)
					if got := b.Eval(filled); got == Open || verdict != Open && (got == True) != (verdict == True) {
						t.Errorf("%v && %v\nclaims %s\nrow    %s is %d\nfilled %s is %d", s.Where, s.Allow, claims[i], rowText(row), verdict, rowText(full), got)
						return
					}
				}
			}
		}
	})
	if slices.Min(counts[:]) < 200 {
		t.Errorf("the test is weak: verdicts %v", counts)
	}
}

// fill gives values to what is not known in a row.
func (g generator) fill(row []change.Value) []change.Value {
	full := g.row(true)
	for i, v := range row {
		if v.Kind == change.Null || v.Kind == change.Text && string(v.Text) != "{not a value" {
			full[i] = v
		}
	}
	return full
}

// Pushing negation down, folding constants and the order of terms change no verdict.
func TestEvalEqualsTheText(t *testing.T) {
	t.Parallel()
	g := newGenerator(5)
	counts := [True + 1]int{}
	g.rules(t, 400, 4, func(p *Program, s Source, l *Layout) {
		bs, claims, params := g.bindings(t, p, 3)
		im := p.NewImage()
		for range 10 {
			row := g.row(true)
			im.Load(l, row)
			for i, b := range bs {
				if b == nil {
					continue
				}
				got := b.Eval(im)
				counts[got]++
				if want := naive(s, p, claimsOf(t, claims[i]), params[i], row); got != want {
					t.Errorf("%v && %v\nclaims %s, %v\nrow %s\nis %d, the text says %d", s.Where, s.Allow, claims[i], params[i], rowText(row), got, want)
					return
				}
			}
		}
	})
	if counts[Open] > 0 || min(counts[False], counts[Unknown], counts[True]) < 500 {
		t.Errorf("the test is weak: verdicts %v", counts)
	}
}

func rowText(row []change.Value) string {
	var b strings.Builder
	for i, v := range row {
		b.WriteString(strings.TrimSuffix(testColumns[2*i], "!") + "=")
		if v.Kind == change.Text {
			b.WriteString(string(v.Text) + " ")
		} else {
			b.WriteString(map[change.ValueKind]string{change.Null: "NULL", change.Missing: "?", change.Unchanged: "?u", change.Omitted: "?x"}[v.Kind] + " ")
		}
	}
	return b.String()
}
