package filter

import (
	"strings"
	"testing"

	"github.com/walrelay/walrelay/change"
)

func TestSQL(t *testing.T) {
	t.Parallel()
	const claims = `{"id":42,"teams":[7,8],"role":"a","roles":["a","b\"c\\",null],"min_total":"7.50","status":"paid","allowed":["open","paid"],"admin":true,"since":"2026-01-31T12:00:00Z","day":"infinity"}`
	tests := []struct{ allow, claims, want string }{
		// Every class and operator.
		{`row.id == user.id`, claims, `"id" = $1::bigint [42]`},
		{`user.id != row.id`, claims, `$1::bigint <> "id" [42]`},
		{`row.total > user.min_total`, claims, `"total" > $1::numeric [7.5]`},
		{`row.id < user.min_total`, `{"min_total":"7.00"}`, `"id" < $1::bigint [7]`},
		{`row.id < 5`, claims, `"id" < $1::bigint [5]`},
		{`!(row.id < 5)`, claims, `"id" >= $1::bigint [5]`},
		{`row.total <= 99999999999999999999`, claims, `"total" <= $1::numeric [99999999999999999999]`},
		{`row.title == user.role`, claims, `"title" = $1::text [a]`},
		{`row.title != user.role`, claims, `"title" <> $1::text [a]`},
		{`row.status == user.status`, claims, `"status" = $1::public.order_status [paid]`},
		{`row.status in user.allowed`, claims, `"status" = ANY($1::public.order_status[]) [{"open","paid"}]`},
		{`user.status in row.statuses`, claims, `$1::public.order_status = ANY("statuses") [paid]`},
		{`row.active == user.admin`, claims, `"active" = $1::boolean [t]`},
		{`row.active`, claims, `"active" []`},
		{`!row.active`, claims, `NOT "active" []`},
		{`row.active == false`, claims, `NOT "active" []`},
		{`false != row.active`, claims, `"active" []`},
		{`row.active in [true, null]`, claims, `"active" = ANY($1::boolean[]) [{"t",NULL}]`},
		{`row.deleted_at >= user.since`, claims, `"deleted_at" >= $1::timestamptz [2026-01-31 12:00:00+00]`},
		{`row.due == user.day`, claims, `"due" = $1::date [infinity]`},
		{`row.org_id == "0D7B2F3C-9F3B-4C43-8F0E-3F1F0C5F9A11"`, claims, `"org_id" = $1::uuid [0d7b2f3c-9f3b-4c43-8f0e-3f1f0c5f9a11]`},
		// Lists.
		{`row.id in user.teams`, claims, `"id" = ANY($1::bigint[]) [{"7","8"}]`},
		{`!(row.id in user.teams)`, claims, `"id" <> ALL($1::bigint[]) [{"7","8"}]`},
		{`row.total in [1, 2.50]`, claims, `"total" = ANY($1::numeric[]) [{"1","2.5"}]`},
		{`row.title in user.roles`, claims, `"title" = ANY($1::text[]) [{"a","b\"c\\",NULL}]`},
		{`user.role in row.tags`, claims, `$1::text = ANY("tags") [a]`},
		{`!("x" in row.tags)`, claims, `$1::text <> ALL("tags") [x]`},
		// NULL and empty lists on our side decide.
		{`row.id == user.id`, `{}`, `FALSE []`},
		{`row.id != user.id`, `{}`, `FALSE []`},
		{`row.id in user.teams`, `{}`, `FALSE []`},
		{`row.id in user.teams`, `{"teams":[]}`, `FALSE []`},
		{`!(row.id in user.teams)`, `{"teams":[]}`, `TRUE []`},
		{`!(row.id in user.teams)`, `{}`, `FALSE []`},
		{`user.role in row.tags`, `{}`, `FALSE []`},
		{`!(user.role in row.tags)`, `{}`, `TRUE []`},
		// NULL tests.
		{`row.email == null`, claims, `"email" IS NULL []`},
		{`!(row.meta == null)`, claims, `"meta" IS NOT NULL []`},
		{`row.pair == null`, claims, `"pair" IS NOT DISTINCT FROM NULL []`},
		{`row.pair != null`, claims, `"pair" IS DISTINCT FROM NULL []`},
		// Columns beside columns.
		{`row.id == row.team_id`, claims, `"id" = "team_id" []`},
		{`row.title == row.email`, claims, `"title" = "email" COLLATE "C" []`},
		{`row.title in row.tags`, claims, `"title" = ANY("tags" COLLATE "C") []`},
		{`row.title != row.code`, claims, `TRUE []`},
		{`row.id in row.team_ids`, claims, `"id" = ANY("team_ids") []`},
		// char(n).
		{`row.code == "ab"`, claims, `"code" = $1::bpchar [ab]`},
		{`row.code in user.roles`, `{"roles":["a"]}`, `"code" = ANY($1::bpchar[]) [{"a"}]`},
		{`row.code != "ab"`, claims, `"code" <> $1::text [ab]`},
		// What Postgres does in another way is not asked.
		{`row.handle == user.role`, claims, `TRUE []`},
		{`lower(row.email) == user.role`, claims, `TRUE []`},
		{`text(row.meta.k) == user.role && row.id == user.id`, claims, `"id" = $1::bigint [42]`},
		{`text(row.meta.k) == user.role || row.id == user.id`, claims, `TRUE []`},
		{`text(row.meta.k) == null`, claims, `TRUE []`},
		// Labels that the enum may not have.
		{`row.status == user.status`, `{"status":"gone"}`, `TRUE []`},
		{`row.status in user.allowed`, `{"allowed":["open","gone"]}`, `TRUE []`},
		{`!(row.status in user.allowed)`, `{"allowed":["open",null]}`, `"status" <> ALL($1::public.order_status[]) [{"open",NULL}]`},
		// Structure and parts of the user.
		{`row.id == 1 && (row.team_id == 2 || row.visits == 3 && row.active)`, claims, `("id" = $1::bigint AND ("team_id" = $2::bigint OR ("visits" = $3::bigint AND "active"))) [1 2 3]`},
		{`!(row.id == 1 && row.active)`, claims, `("id" <> $1::bigint OR NOT "active") [1]`},
		{`row.id == 1 && (row.active && (row.archived && row.visits == 2))`, claims, `("id" = $1::bigint AND "active" AND "archived" AND "visits" = $2::bigint) [1 2]`},
		{`row.id == 1 || user.role == "a"`, claims, `TRUE []`},
		{`row.id == 1 || user.role == "b"`, claims, `"id" = $1::bigint [1]`},
		{`row.id == 1 && (user.id == 42 || row.active)`, claims, `"id" = $1::bigint [1]`},
		{`row.id == 1 && (user.teams == null || row.active)`, claims, `("id" = $1::bigint AND "active") [1]`},
		{`true`, claims, `TRUE []`},
	}
	for _, tt := range tests {
		b := boundTo(t, compiled(t, "", tt.allow), tt.claims, nil)
		sql, args := b.SQL()
		if got := sql + " [" + strings.Join(args, " ") + "]"; got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.allow, got, tt.want)
		}
	}
}

func TestSQLBothExpressions(t *testing.T) {
	t.Parallel()
	b, err := compiled(t, `row.active || row.id == params.p`, `row.team_id == 1`, "p").Bind(nil, map[string]string{"p": "5"})
	if err != nil {
		t.Fatal(err)
	}
	if sql, args := b.SQL(); sql != `(("active" OR "id" = $1::bigint) AND "team_id" = $2::bigint)` || len(args) != 2 {
		t.Error(sql, args)
	}
}

// Names cannot break out of their quotes, and a domain over an enum has no operators.
func TestSQLNamesAndDomains(t *testing.T) {
	t.Parallel()
	domain := *orderStatus
	domain.Name, domain.Base = "public.status_domain", orderStatus.Name
	s := ruleOf(t, ``, `row."a\" or true --" == 1 && row.d == "open" && "open" in row.ds`)
	s.Table = &Table{Name: "public.t", Columns: []Column{
		{Name: `a" or true --`, Type: testTypes["bigint"]},
		{Name: "d", Type: &domain},
		{Name: "ds", Type: &change.Type{Name: "x", Kind: change.KindArray, Elem: &domain, Delim: ','}},
	}}
	p, problems := Compile(s)
	if p == nil {
		t.Fatal(shown(problems))
	}
	b, err := p.Bind(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if sql, _ := b.SQL(); sql != `"a"" or true --" = $1::bigint` {
		t.Error(sql)
	}
}
