package filter

import (
	"bytes"
	"testing"
)

func TestProbe(t *testing.T) {
	t.Parallel()
	tests := []struct {
		allow, row string
		want       int
	}{
		{`row.id == user.id`, `id=1`, 1},
		{`row.id == user.id`, ``, 0},
		{`row.id == user.id`, `id=<missing>`, 0},
		{`row.id == user.id`, `id=x`, 0},
		{`row.id == user.id && row.title == user.tag`, `id=1`, 0},
		{`row.id == user.id && row.title == user.tag`, `id=1; title=`, 1},
		{`user.tag in row.tags`, `tags={a,b,a,NULL,"b","a b"}`, 3},
		{`user.tag in row.tags`, `tags={}`, 0},
		{`user.tag in row.tags`, `tags={NULL}`, 0},
		{`user.tag in row.tags`, `tags={a,b`, 0},
		{`user.id in row.team_ids && row.id == user.id`, `id=1; team_ids={1,2}`, 2},
		{`user.id in row.team_ids && row.id == user.id`, `team_ids={1,2}`, 0},
		{`row.active && row.id == user.id || user.admin`, `active=t; id=1`, 1},
		{`row.active && row.id == user.id || user.admin`, `active=f; id=1`, 0},
		{`row.active && row.id == user.id || user.admin`, `id=1`, 0},
		{`row.total > user.min_total`, ``, 1},
		{`lower(row.email) == user.email`, `email=É`, 1},
		{`text(row.meta.k) == user.email`, `meta={"k": null}`, 0},
	}
	for _, tt := range tests {
		p := compiled(t, "", tt.allow)
		l := layoutOf(t, p, relationOf(testTable()))
		im := p.NewImage()
		for range 2 { // the second time over what the first has left
			im.Load(l, rowOf(t, tt.row))
			got := im.Probe(0)
			if got != tt.want {
				t.Errorf("%s for %s: %d keys, want %d", tt.allow, tt.row, got, tt.want)
			}
			for i := range got {
				for j := range i {
					if bytes.Equal(im.Key(i), im.Key(j)) {
						t.Errorf("%s for %s: keys %d and %d are one", tt.allow, tt.row, i, j)
					}
				}
			}
		}
	}
}

// Parts of a key do not run into each other.
func TestCompositeKeysAreInjective(t *testing.T) {
	t.Parallel()
	p := compiled(t, "", `row.title == user.role && row.email == user.email && row.id == user.id`)
	l := layoutOf(t, p, relationOf(testTable()))
	im := p.NewImage()
	seen := map[string]string{}
	for _, row := range []string{
		`title=a; email=bc; id=1`, `title=ab; email=c; id=1`, `title=abc; email=; id=1`, `title=; email=abc; id=1`, `title=ab; email=; id=1`, `title=a; email=b; id=11`,
	} {
		im.Load(l, rowOf(t, row))
		if im.Probe(0) != 1 {
			t.Fatalf("%s has no key", row)
		}
		if other := seen[string(im.Key(0))]; other != "" {
			t.Errorf("%s and %s have one key", row, other)
		}
		seen[string(im.Key(0))] = row
	}
}

func TestUndecoded(t *testing.T) {
	t.Parallel()
	p := compiled(t, "", `row.active && row.id == user.id && text(row.meta.k) != user.role && user.tag in row.tags`)
	b := boundTo(t, p, `{"id":1,"tag":"a"}`, nil)
	l := layoutOf(t, p, relationOf(testTable()))
	im := p.NewImage()
	for _, tt := range []struct {
		row  string
		want bool
	}{
		{`active=t; id=1x`, true},
		{`active=t; id=1; tags={a}`, false},
		{`active=t; id=1; meta={"k"`, true},
		{`active=t; id=1; tags={a`, true},
		{`active=f; id=1x`, false}, // FALSE before it was asked for
		{`active=t; id=<missing>`, false},
		{``, false},
	} {
		im.Load(l, rowOf(t, tt.row))
		if b.Eval(im); im.Undecoded() != tt.want {
			t.Errorf("%s: undecoded %v, want %v", tt.row, im.Undecoded(), tt.want)
		}
	}
}

// Two arrays with escapes do not share a buffer.
func TestArraysOfOneRow(t *testing.T) {
	t.Parallel()
	const row = `tags={"a\"1","b\"2"}; statuses={"dr\aft"}; title=a"1`
	p := compiled(t, "", `row.title in row.tags && user.status in row.statuses && user.tag in row.tags && row.title in row.tags`)
	if got := judge(t, p, `{"status":"draft","tag":"b\"2"}`, row, nil); got != True {
		t.Errorf("got %d", got)
	}
}
