package filter

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	tests := []struct{ where, allow, claims, row, want string }{
		{
			`row.status != "draft"`, `row.customer_id == user.id || row.team_id in user.teams`, `{"id":42,"teams":[7,null]}`, `status=open; customer_id=43`,
			`where row.status != "draft" [row.status = "open"]: TRUE
allow row.customer_id == user.id || row.team_id in user.teams: UNKNOWN, row.team_id is NULL
  row.customer_id == user.id [row.customer_id = 43; user.id = 42]: FALSE
  row.team_id in user.teams [row.team_id = NULL; user.teams = [7, NULL]]: UNKNOWN, row.team_id is NULL
`,
		},
		{
			``, `!(row.active && row.id in user.teams) && !row.archived`, `{"teams":[1,null]}`, `active=t; id=3; archived=<unchanged>`,
			`allow !(row.active && row.id in user.teams) && !row.archived: UNKNOWN, user.teams has a NULL in it
  !(row.active && row.id in user.teams): UNKNOWN, user.teams has a NULL in it
    !row.active [row.active = true]: FALSE
    !(row.id in user.teams) [row.id = 3; user.teams = [1, NULL]]: UNKNOWN, user.teams has a NULL in it
  !row.archived [row.archived = ?]: OPEN, row.archived was not sent: an UPDATE did not touch it and it is stored apart (TOAST)
`,
		},
		{
			``, `text(row.meta.k) == user.role || lower(row.email) == "x" || row.id == 5 || row.place != null`, `{}`, `meta=<omitted>; email=<missing>; id=5x; place=(1,2)`,
			`allow text(row.meta.k) == user.role || lower(row.email) == "x" || row.id == 5 || row.place != null: TRUE
  text(row.meta.k) == user.role [text(row.meta.k) = ?; user.role = NULL]: UNKNOWN, user.role is NULL
  lower(row.email) == "x" [lower(row.email) = ?]: OPEN, lower(row.email) was not sent: it is not in the table's replica identity
  row.id == 5 [row.id = ?]: OPEN, row.id cannot be read: the server sent what is no bigint
  row.place != null [row.place = "(1,2)"]: TRUE
`,
		},
		{
			`text(row.meta.k) != null`, `user.tag in row.tags`, `{"tag":"b\"c"}`, `meta=<omitted>; tags={a,"b\"c"}`,
			`where text(row.meta.k) != null [text(row.meta.k) = ?]: OPEN, text(row.meta.k) was left out: the row is larger than max_event_bytes
allow user.tag in row.tags [user.tag = "b\"c"; row.tags = ["a", "b\"c"]]: TRUE
`,
		},
	}
	truths := [...]string{"FALSE", "UNKNOWN", "OPEN", "TRUE"}
	for _, tt := range tests {
		p := compiled(t, tt.where, tt.allow)
		b := boundTo(t, p, tt.claims, nil)
		l := layoutOf(t, p, relationOf(testTable()))
		im := p.NewImage()
		im.Load(l, rowOf(t, tt.row))
		var got strings.Builder
		for _, s := range b.Explain(im) {
			if s.Depth == 0 {
				got.WriteString(map[Part]string{Where: "where ", Allow: "allow "}[s.Part])
			}
			fmt.Fprintf(&got, "%s%s", strings.Repeat("  ", s.Depth), s.Expr)
			if s.Values != nil {
				fmt.Fprintf(&got, " [%s]", strings.Join(s.Values, "; "))
			}
			fmt.Fprintf(&got, ": %s", truths[s.Truth])
			if s.Reason != "" {
				fmt.Fprintf(&got, ", %s", s.Reason)
			}
			got.WriteString("\n")
		}
		if diff := cmp.Diff(tt.want, got.String()); diff != "" {
			t.Errorf("%s && %s (-want +got):\n%s", tt.where, tt.allow, diff)
		}
	}
}

func TestExplainShortensLists(t *testing.T) {
	t.Parallel()
	p := compiled(t, "", `row.id in user.teams`)
	b := boundTo(t, p, `{"teams":[1,2,3,4,5,6,7,8,9,10,11,12]}`, nil)
	l := layoutOf(t, p, relationOf(testTable()))
	im := p.NewImage()
	im.Load(l, rowOf(t, `id=1`))
	if got := b.Explain(im)[0].Values[1]; got != "user.teams = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ... (12 elements)]" {
		t.Error(got)
	}
}
