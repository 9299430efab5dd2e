package filter

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBindErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		where, allow, claims string
		params               map[string]string
		want                 string
	}{
		{`row.id == params.p`, ``, `{}`, nil, `parameter p: it is missing`},
		{`row.id == params.p`, ``, `{}`, map[string]string{"p": "x"}, `parameter p: it is not a bigint`},
		{`row.id == params.p`, ``, `{}`, map[string]string{"p": "7"}, ``},
		{`row.status == params.p`, ``, `{}`, map[string]string{"p": "payd"}, `parameter p: it is not a label of order_status`},
		{`row.id == params.p`, `params.p in user.teams`, `{"teams":[8]}`, map[string]string{"p": "7"}, `not allowed: params.p in user.teams is not true`},
		{`row.id == params.p`, `params.p in user.teams`, `{}`, map[string]string{"p": "7"}, `not allowed: params.p in user.teams is not true`},
		{`row.id == params.p`, `params.p in user.teams`, `{"teams":[7,8]}`, map[string]string{"p": "7"}, ``},
		{`row.id == params.p`, `!(user.role == "x" || user.admin)`, `{"admin":true,"role":"y"}`, map[string]string{"p": "7"}, `not allowed: !user.admin is not true`},
		{``, `user.role == "admin"`, `{}`, nil, `not allowed: user.role == "admin" is not true`},
		{``, `row.active && user.role == "admin"`, `{"role":"x"}`, nil, `not allowed: user.role == "admin" is not true`},
		{
			``, `row.id == user.id && user.role == "a" || row.active && user.admin && user.role == "b" || row.id == 1 && user.role == "a"`, `{"id":1,"role":"c"}`, nil,
			`not allowed: user.role == "a" || user.admin && user.role == "b" is not true`,
		},
		{``, `row.id == user.id && user.role == "a" || row.id in user.teams`, `{"role":"c"}`, nil, ``},
		{``, `row.id in user.teams`, `{"teams":[]}`, nil, ``},
	}
	for _, tt := range tests {
		var params []string
		if strings.Contains(tt.where, "params.p") {
			params = append(params, "p")
		}
		b, err := compiled(t, tt.where, tt.allow, params...).Bind(claimsOf(t, tt.claims), tt.params)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != tt.want || (b == nil) != (err != nil) {
			t.Errorf("%s && %s for %s: %v, %q, want %q", tt.where, tt.allow, tt.claims, b, got, tt.want)
		}
	}
}

func TestBindNobody(t *testing.T) {
	t.Parallel()
	if _, err := compiled(t, `row.active`, ``).Bind(nil, nil); err != nil {
		t.Error(err)
	}
	var e *ClaimError
	if _, err := compiled(t, ``, `row.id == user.id || row.active`).Bind(nil, nil); !errors.As(err, &e) || e.Claim != "id" {
		t.Errorf("nobody is bound where a claim is read: %v", err)
	}
}

// Claims that were read when the declaration was another one must not be taken for others.
func TestBindClaimsOfAnotherDeclaration(t *testing.T) {
	t.Parallel()
	p := compiled(t, ``, `row.customer_id == user.id && row.title == user.role`)
	for _, declared := range []string{`role text  id bigint`, `id bigint`, `uid bigint  teams bigint[]  role text`, `id bigint  teams bigint[]  role uuid`, `id bigint  teams bigint[]  role text[]`} {
		user, err := ParseClaims(declare(declared), []byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		var e *ClaimError
		if b, err := p.Bind(user, nil); !errors.As(err, &e) {
			t.Errorf("claims declared as %s: %v, %v", declared, b, err)
		}
	}
	user, err := ParseClaims(declare(`id bigint  teams bigint[]  role text`), []byte(`{"id":1}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Bind(user, nil); err != nil {
		t.Errorf("the claims that are read are declared alike: %v", err)
	}
}

func TestBoundParams(t *testing.T) {
	t.Parallel()
	p := compiled(t, `row.id == params.b && row.org_id == params.a && row.active == params.c`, ``, "a", "b", "c")
	b, err := p.Bind(nil, map[string]string{"a": "0D7B2F3C-9F3B-4C43-8F0E-3F1F0C5F9A11", "b": "007", "c": "true", "d": "x"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range b.Params() {
		got = append(got, v.Name+" "+v.Type.Name+" "+v.Text)
	}
	want := []string{"a uuid 0d7b2f3c-9f3b-4c43-8f0e-3f1f0c5f9a11", "b bigint 7", "c boolean t"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestGroup(t *testing.T) {
	t.Parallel()
	const admins = `row.status != "draft" && (row.org_id == user.org || user.role == "admin")`
	const residual = `row.id == user.id && row.total >= user.min_total && row.title != user.role`
	tests := []struct {
		allow, a, b string
		same        bool
	}{
		{`row.id == user.id`, `{"id":1}`, `{"id":"1","role":"x"}`, true},
		{`row.id == user.id`, `{"id":1}`, `{"id":2}`, false},
		{`row.id == user.id`, `{"id":1}`, `{}`, false},
		{`row.total == user.min_total`, `{"min_total":1}`, `{"min_total":"1.0"}`, true},
		{admins, `{"role":"admin"}`, `{"role":"admin","id":5}`, true},
		{admins, `{"role":"admin"}`, `{"role":"x"}`, false},
		{`row.id in user.teams`, `{"teams":[1,2]}`, `{"teams":[2,1,1,null]}`, true},
		{`row.id in user.teams`, `{"teams":[1,2]}`, `{"teams":[1]}`, false},
		{`row.id in user.teams`, `{"teams":[]}`, `{}`, true},
		{`row.id in user.teams || row.id == 1`, `{"teams":[null]}`, `{}`, true},
		{residual, `{"id":1,"min_total":1,"role":"a"}`, `{"id":1,"min_total":2,"role":"a"}`, false},
		{residual, `{"id":1,"min_total":1,"role":"a"}`, `{"id":1,"min_total":"1.00","role":"a"}`, true},
		{residual, `{"min_total":1,"role":"a"}`, `{"min_total":2,"role":"b"}`, true}, // neither finds a row
		{`row.id == 1 && row.email != user.role && row.title != user.tag`, `{"role":"a"}`, `{"tag":"a"}`, false},
		{`!(row.id in user.teams)`, `{"teams":[1,2]}`, `{"teams":[2,1,2]}`, true},
		{`!(row.id in user.teams)`, `{"teams":[1]}`, `{"teams":[1,null]}`, false},
		{`!(row.id in user.teams)`, `{"teams":[]}`, `{}`, false},
		{`row.title != user.role`, `{"role":""}`, `{}`, false},
	}
	for _, tt := range tests {
		p := compiled(t, "", tt.allow)
		var groups []string
		for _, claims := range []string{tt.a, tt.b} {
			b := boundTo(t, p, claims, nil)
			groups = append(groups, b.Group())
		}
		if (groups[0] == groups[1]) != tt.same {
			t.Errorf("%s: %s and %s: one group must be %v\n%q\n%q", tt.allow, tt.a, tt.b, tt.same, groups[0], groups[1])
		}
	}
}

// Parameters are part of the group even where they leave no other trace: they are part
// of the events.
func TestGroupHasParams(t *testing.T) {
	t.Parallel()
	p := compiled(t, ``, `params.p in user.teams && row.active`, "p")
	groups := map[string]bool{}
	for _, v := range []string{"1", "01", "2"} {
		b := boundTo(t, p, `{"teams":[1,2]}`, map[string]string{"p": v})
		groups[b.Group()] = true
	}
	if len(groups) != 2 {
		t.Errorf("%d groups of 1, 01 and 2", len(groups))
	}
}

func TestPostings(t *testing.T) {
	t.Parallel()
	tests := []struct {
		allow, claims string
		want          int
		scan          bool
	}{
		{`row.id == user.id`, `{"id":1}`, 1, false},
		{`row.id == user.id`, `{}`, 0, false},
		{`row.id in user.teams`, `{"teams":[3,1,3,null,2]}`, 3, false},
		{`row.id in user.teams`, `{"teams":[]}`, 0, false},
		{`row.id in user.teams && row.customer_id == user.id`, `{"id":1,"teams":[1,2]}`, 2, false},
		{`row.id in user.teams && row.customer_id == user.id`, `{"teams":[1,2]}`, 0, false},
		{`user.role == "admin" || row.id == user.id`, `{"role":"admin"}`, 1, false},
		{`user.role == "admin" && row.active`, `{"role":"admin"}`, 1, false},
		{`row.total >= user.min_total`, `{"min_total":1}`, 1, true},
		{`user.role == "x" && row.total >= user.min_total || row.id == user.id`, `{"role":"y"}`, 0, false},
		{`!(row.id == user.id)`, `{"id":1}`, 1, true},
		{`row.title == user.tag && row.id != user.id`, `{"tag":"a"}`, 1, false},
	}
	for _, tt := range tests {
		b := boundTo(t, compiled(t, "", tt.allow), tt.claims, nil)
		if got := len(b.Postings(0)); got != tt.want || b.Scan() != tt.scan {
			t.Errorf("%s with %s: %d postings, scan %v, want %d, %v", tt.allow, tt.claims, got, b.Scan(), tt.want, tt.scan)
		}
	}
}
