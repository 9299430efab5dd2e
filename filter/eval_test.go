package filter

import "testing"

// Each construct, with claims and a row, against what SQL says. Open is for columns that
// are not there.
func TestEval(t *testing.T) {
	t.Parallel()
	const org = "0d7b2f3c-9f3b-4c43-8f0e-3f1f0c5f9a11"
	const f2 = `row.status != "draft" && (row.customer_id == user.id || row.team_id in user.teams)`
	tests := []struct {
		allow, claims, row string
		want               Truth
	}{
		{`row.customer_id == user.id`, `{"id":42}`, `customer_id=42`, True},
		{`row.customer_id == user.id`, `{"id":42}`, `customer_id=43`, False},
		{`row.customer_id == user.id`, `{"id":42}`, ``, Unknown},
		{`row.customer_id == user.id`, `{}`, `customer_id=42`, Unknown},
		{`row.customer_id == user.id`, `{}`, `customer_id=<missing>`, Unknown},
		{`row.customer_id == user.id`, `{"id":42}`, `customer_id=<missing>`, Open},
		{`row.customer_id == user.id`, `{"id":42}`, `customer_id=<unchanged>`, Open},
		{`row.customer_id == user.id`, `{"id":42}`, `customer_id=<omitted>`, Open},
		{`row.customer_id == user.id`, `{"id":42}`, `customer_id=4x`, Open},
		{f2, `{"id":1,"teams":[7,8]}`, `status=open; team_id=8`, True},
		{f2, `{"id":1,"teams":[7,8]}`, `status=draft; team_id=8`, False},
		{f2, `{"id":1,"teams":[7,8]}`, `team_id=8`, Unknown},
		{f2, `{"id":1,"teams":[7,8]}`, `status=open; customer_id=<missing>; team_id=9`, Open},
		{f2, `{"id":1,"teams":[7,8]}`, `status=open; customer_id=<missing>; team_id=8`, True},
		{
			`row.org_id == user.org && row.deleted_at == null && row.total >= 100 && (user.role == "admin" || user.tag in row.tags || row.customer_id == user.id)`,
			`{"org":"` + org + `","role":"x","tag":"b c"}`, `org_id=` + org + `; total=100.00; tags={a,"b c"}`, True,
		},

		// NULL.
		{`row.email == null`, `{}`, ``, True},
		{`row.email == null`, `{}`, `email=x`, False},
		{`row.email == null`, `{}`, `email=<missing>`, Open},
		{`row.email != null`, `{}`, `email=<missing>`, Open},
		{`null != row.email`, `{}`, `email=`, True},
		{`!(row.email == null)`, `{}`, ``, False},
		{`row.place == null`, `{}`, `place=(1,2)`, False},
		{`row.meta == null`, `{}`, `meta={}`, False},
		{`text(row.meta.k) == null`, `{}`, `meta={}`, True},
		{`text(row.meta.k) == null`, `{}`, ``, True},
		{`text(row.meta.k) == null`, `{}`, `meta={"k": 1}`, False},
		{`text(row.meta.k) == null`, `{}`, `meta={"k"`, Open},
		{`row.tags == null`, `{}`, `tags={}`, False},
		{`row.tags == null`, `{}`, `tags={a`, Open},
		{`user.teams == null || row.id == 1`, `{}`, `id=2`, True},
		{`user.teams == null || row.id == 1`, `{"teams":[]}`, `id=2`, False},
		{`row.status != "draft"`, `{}`, ``, Unknown},
		{`!(row.team_id == 5)`, `{}`, ``, Unknown},
		{`!(row.team_id == 5)`, `{}`, `team_id=6`, True},
		{`row.total < 5.0 || user.id == 42`, `{"id":42}`, ``, True},
		{`row.total < 5.0 && user.id == 1`, `{"id":42}`, ``, False},

		// in: x = ANY(list).
		{`row.id in user.teams`, `{"teams":[7,8]}`, `id=8`, True},
		{`row.id in user.teams`, `{"teams":[7,8]}`, `id=9`, False},
		{`row.id in user.teams`, `{"teams":[7,null]}`, `id=7`, True},
		{`row.id in user.teams`, `{"teams":[7,null]}`, `id=9`, Unknown},
		{`row.id in user.teams`, `{"teams":[]}`, ``, False},
		{`row.id in user.teams`, `{"teams":[7]}`, ``, Unknown},
		{`row.id in user.teams`, `{}`, `id=7`, Unknown},
		{`row.id in user.teams`, `{"teams":[]}`, `id=<missing>`, False},
		{`row.id in user.teams`, `{"teams":[7]}`, `id=<missing>`, Open},
		{`row.id in user.teams`, `{"teams":[null]}`, `id=<missing>`, Unknown},
		{`row.id in user.teams`, `{}`, `id=<missing>`, Unknown},
		{`!(row.id in user.teams)`, `{"teams":[7,8]}`, `id=9`, True},
		{`!(row.id in user.teams)`, `{"teams":[7,8]}`, `id=8`, False},
		{`!(row.id in user.teams)`, `{"teams":[7,null]}`, `id=9`, Unknown},
		{`!(row.id in user.teams)`, `{"teams":[]}`, ``, True},
		{`!(row.id in user.teams)`, `{"teams":[]}`, `id=<missing>`, True},
		{`!(row.id in user.teams)`, `{"teams":[7]}`, ``, Unknown},
		{`!(row.id in user.teams)`, `{"teams":[7,null]}`, `id=<missing>`, Unknown},
		{`!(row.id in user.teams)`, `{"teams":[7]}`, `id=<missing>`, Open},
		{`!(row.id in user.teams)`, `{}`, `id=7`, Unknown},
		{`user.tag in row.tags`, `{"tag":"a"}`, `tags={b,a,a}`, True},
		{`user.tag in row.tags`, `{"tag":"a"}`, `tags={b,NULL}`, Unknown},
		{`user.tag in row.tags`, `{"tag":""}`, `tags={b,NULL}`, Unknown},
		{`user.tag in row.tags`, `{"tag":"a"}`, `tags=<missing>`, Open},
		{`user.tag in row.tags`, `{}`, `tags=<missing>`, Unknown},
		{`user.tag in row.tags`, `{}`, `tags={}`, False},
		{`user.tag in row.tags`, `{"tag":"a"}`, `tags={a,b`, Open},
		{`!(user.tag in row.tags)`, `{}`, `tags=<missing>`, Open},
		{`!(user.tag in row.tags)`, `{}`, `tags={}`, True},
		{`!(user.tag in row.tags)`, `{"tag":"a"}`, `tags=<missing>`, Open},
		{`!(user.tag in row.tags)`, `{"tag":"a"}`, ``, Unknown},
		{`"a" in row.tags`, `{}`, `tags={{b},{a}}`, True},
		{`row.title in row.tags`, `{}`, `title=a; tags={a}`, True},
		{`row.id in [1, null]`, `{}`, `id=1`, True},
		{`row.id in [1, null]`, `{}`, `id=2`, Unknown},
		{`!(row.id in [1, null])`, `{}`, `id=2`, Unknown},
		{`row.total in [1, 2.50]`, `{}`, `total=2.5`, True},
		{`!(user.role in user.roles) || row.id == 1`, `{"role":"a"}`, `id=2`, Unknown},

		// Values.
		{`row.total == 5`, `{}`, `total=5.000`, True},
		{`row.total == row.id`, `{}`, `total=5.0; id=5`, True},
		{`row.total < 10`, `{}`, `total=9.99`, True},
		{`row.total > 10`, `{}`, `total=NaN`, True},
		{`5 >= row.id`, `{}`, `id=5`, True},
		{`!(row.id < 5)`, `{}`, `id=5`, True},
		{`!(row.id <= 5)`, `{}`, `id=5`, False},
		{`!(row.id > 5)`, `{}`, `id=5`, True},
		{`!(row.id >= 5)`, `{}`, `id=5`, False},
		{`row.code == "ab"`, `{}`, `code=ab   `, True},
		{`row.email == "ab"`, `{}`, `email=ab `, False},
		{`lower(row.email) == lower(user.email)`, `{"email":"ÀB"}`, `email=àB`, True},
		{`lower(row.email) == "àb"`, `{}`, `email=ÀB`, True},
		{`lower(row.email) == "ab"`, `{}`, ``, Unknown},
		{`lower(text(row.meta.k)) in ["eu"]`, `{}`, `meta={"k": "EU"}`, True},
		{`text(row.meta.a.b) == "x"`, `{}`, `meta={"a": {"b": "x"}}`, True},
		{`row.org_id == "0D7B2F3C-9F3B-4C43-8F0E-3F1F0C5F9A11"`, `{}`, `org_id=` + org, True},
		{`row.deleted_at > "2026-01-31T12:00:00+02:00"`, `{}`, `deleted_at=2026-01-31 10:00:00.000001+00`, True},
		{`row.deleted_at >= user.since`, `{"since":"infinity"}`, `deleted_at=infinity`, True},
		{`row.due < user.day`, `{"day":"2026-01-01"}`, `due=0044-03-15 BC`, True},
		{`row.status == user.status`, `{"status":"paid"}`, `status=paid`, True},
		{`user.status in row.statuses`, `{"status":"paid"}`, `statuses={open,paid}`, True},

		// Conditions without an operator, constants.
		{`row.active`, `{}`, `active=t`, True},
		{`row.active`, `{}`, `active=f`, False},
		{`row.active`, `{}`, ``, Unknown},
		{`row.active`, `{}`, `active=<missing>`, Open},
		{`!row.active`, `{}`, `active=f`, True},
		{`!!row.active`, `{}`, `active=t`, True},
		{`row.active == true && row.archived != true`, `{}`, `active=t; archived=f`, True},
		{`row.active == user.admin`, `{"admin":true}`, `active=t`, True},
		{`user.admin || row.active`, `{"admin":true}`, ``, True},
		{`!user.admin && row.active`, `{"admin":false}`, `active=t`, True},
		{`true`, `{}`, ``, True},
		{`row.active && true`, `{}`, `active=t`, True},
		{`row.active || false || !true`, `{}`, `active=f`, False},
		{`!(row.active && row.archived)`, `{}`, `active=f`, True},
		{`!(row.active && row.archived)`, `{}`, `active=t`, Unknown},
		{`!(row.active || row.archived)`, `{}`, `active=f; archived=f`, True},
	}
	for _, tt := range tests {
		if got := judge(t, compiled(t, "", tt.allow), tt.claims, tt.row, nil); got != tt.want {
			t.Errorf("%s with %s and %s: %d, want %d", tt.allow, tt.claims, tt.row, got, tt.want)
		}
	}
}

func TestEvalBothExpressions(t *testing.T) {
	t.Parallel()
	p := compiled(t, `row.id == params.id && row.active`, `row.customer_id == user.id`, "id")
	for row, want := range map[string]Truth{
		`id=7; active=t; customer_id=1`: True, `id=8; active=t; customer_id=1`: False,
		`id=7; active=f; customer_id=1`: False, `id=7; active=t; customer_id=2`: False,
	} {
		if got := judge(t, p, `{"id":1}`, row, map[string]string{"id": "07"}); got != want {
			t.Errorf("%s: %d, want %d", row, got, want)
		}
	}
	if got := judge(t, compiled(t, "", ""), `{}`, ``, nil); got != True {
		t.Errorf("a rule without expressions is %d", got)
	}
}
