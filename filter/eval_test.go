package filter

import "testing"

func TestEval(t *testing.T) {
	const org = "0d7b2f3c-9f3b-4c43-8f0e-3f1f0c5f9a11"
	tests := []struct {
		allow, claims, row string
		want               Truth
	}{
		// The filters of filter.md.
		{`row.customer_id == user.id`, `{"id":42}`, `customer_id=42`, True},
		{`row.customer_id == user.id`, `{"id":42}`, `customer_id=43`, False},
		{`row.customer_id == user.id`, `{"id":42}`, ``, Unknown},
		{`row.customer_id == user.id`, `{}`, `customer_id=42`, Unknown},
		{`row.customer_id == user.id`, `{}`, `customer_id=<missing>`, Unknown},
		{`row.customer_id == user.id`, `{"id":42}`, `customer_id=<missing>`, Open},
		{`row.status != "draft" && (row.customer_id == user.id || row.team_id in user.teams)`, `{"id":1,"teams":[7,8]}`, `status=open; team_id=8`, True},
		{`row.status != "draft" && (row.customer_id == user.id || row.team_id in user.teams)`, `{"id":1,"teams":[7,8]}`, `status=draft; team_id=8`, False},
		{`row.status != "draft" && (row.customer_id == user.id || row.team_id in user.teams)`, `{"id":1,"teams":[7,8]}`, `team_id=8`, Unknown},
		{
			`row.org_id == user.org && row.deleted_at == null && row.total >= 100 && (user.role == "admin" || user.tag in row.tags || row.customer_id == user.id)`,
			`{"org":"` + org + `","role":"x","tag":"b c"}`, `org_id=` + org + `; total=100.00; tags={a,"b c"}`, True,
		},
	}
	for _, tt := range tests {
		if got := judge(t, compiled(t, "", tt.allow), tt.claims, tt.row, nil); got != tt.want {
			t.Errorf("%s with %s and %s: %d, want %d", tt.allow, tt.claims, tt.row, got, tt.want)
		}
	}
}
