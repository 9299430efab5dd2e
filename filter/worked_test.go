package filter

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The worked examples of the design.
var workedExamples = []struct {
	name, columns, where, allow string
	params                      []string
	plan, warnings              string
	// sql is for a user and, below it, its arguments.
	user, sql, args string
	bind            map[string]string
}{
	{
		name: "owner or team", columns: `id! bigint  status! order_status  customer_id bigint  team_id bigint`,
		where: `row.status != "draft"`, allow: `row.customer_id == user.id || row.team_id in user.teams`,
		plan: "once per change: row.status != \"draft\"\nhash[customer_id] U hash[team_id -> each of user.teams]",
		user: `{"id": 42, "teams": [7, 8]}`,
		sql:  `("status" <> $1::public.order_status AND ("customer_id" = $2::bigint OR "team_id" = ANY($3::bigint[])))`,
		args: `draft 42 {"7","8"}`,
	},
	{
		name: "parameter, admin", columns: `id! bigint  order_id bigint  customer_id bigint`, params: []string{"order_id"},
		where: `row.order_id == params.order_id`, allow: `user.role == "admin" || row.customer_id == user.id`,
		plan: "hash[order_id] (at subscribe: user.role == \"admin\") U hash[order_id; customer_id]",
		user: `{"id": 42, "role": "x"}`, bind: map[string]string{"order_id": "07"},
		sql: `("order_id" = $1::bigint AND "customer_id" = $2::bigint)`, args: `7 42`,
	},
	{
		name: "everybody", columns: `id! bigint  published_at timestamptz`,
		where: `row.published_at != null`, allow: `true`,
		plan: "once per change: row.published_at != null\nall",
		user: `{}`, sql: `"published_at" IS NOT NULL`,
	},
	{
		name: "tenant", columns: `id! bigint  org_id uuid  assignee_id bigint`,
		allow: `row.org_id == user.org && (user.role in ["admin", "owner"] || row.assignee_id == user.id)`,
		plan:  "hash[org_id] (at subscribe: user.role in [\"admin\", \"owner\"]) U hash[org_id; assignee_id]",
		user:  `{"org": "0D7B2F3C-9f3b-4c43-8f0e-3f1f0c5f9a11", "role": "owner"}`,
		sql:   `"org_id" = $1::uuid`, args: `0d7b2f3c-9f3b-4c43-8f0e-3f1f0c5f9a11`,
	},
	{
		name: "array column", columns: `id! bigint  deleted_at timestamptz  tags text[]`,
		where: `row.deleted_at == null`, allow: `user.tag in row.tags`,
		plan: "once per change: row.deleted_at == null\nhash[each of tags]",
		user: `{"tag": "a\"b\\"}`, sql: `("deleted_at" IS NULL AND $1::text = ANY("tags"))`, args: `a"b\`,
	},
	{
		name: "membership", columns: `id! bigint  room_id bigint`, params: []string{"room_id"},
		where: `row.room_id == params.room_id`, allow: `params.room_id in user.rooms`,
		plan: "at subscribe: params.room_id in user.rooms\nhash[room_id]",
		user: `{"rooms": ["1", 2]}`, bind: map[string]string{"room_id": "2"}, sql: `"room_id" = $1::bigint`, args: `2`,
	},
	{
		name: "jsonb", columns: `id! bigint  meta jsonb`,
		allow: `text(row.meta.region) == user.region || user.role == "admin"`,
		plan:  "hash[text(meta.region)] U all (at subscribe: user.role == \"admin\")",
		user:  `{"region": "eu"}`, sql: `TRUE`,
	},
	{
		name: "residual", columns: `id! bigint  org_id uuid  total numeric`,
		allow: `row.org_id == user.org && row.total >= user.min_total`,
		plan:  "hash[org_id] then row.total >= user.min_total",
		user:  `{"org": "0d7b2f3c-9f3b-4c43-8f0e-3f1f0c5f9a11", "min_total": "7.50"}`,
		sql:   `("org_id" = $1::uuid AND "total" >= $2::numeric)`, args: `0d7b2f3c-9f3b-4c43-8f0e-3f1f0c5f9a11 7.5`,
	},
	{
		name: "F3", columns: `id! bigint  org_id uuid  deleted_at timestamptz  total numeric  tags text[]  customer_id bigint`,
		allow: `row.org_id == user.org && row.deleted_at == null && row.total >= 100 && (user.role == "admin" || user.tag in row.tags || row.customer_id == user.id)`,
		plan: "once per change: row.deleted_at == null\nonce per change: row.total >= 100\n" +
			`hash[org_id] (at subscribe: user.role == "admin") U hash[org_id; each of tags] U hash[org_id; customer_id]`,
		user: `{"id": 42, "org": "0d7b2f3c-9f3b-4c43-8f0e-3f1f0c5f9a11", "tag": "urgent"}`,
		sql:  `("org_id" = $1::uuid AND "deleted_at" IS NULL AND "total" >= $2::bigint AND ($3::text = ANY("tags") OR "customer_id" = $4::bigint))`,
		args: `0d7b2f3c-9f3b-4c43-8f0e-3f1f0c5f9a11 100 urgent 42`,
	},
	{
		name: "nothing to index", columns: `id! bigint  total numeric  customer_id bigint`,
		allow:    `row.total > user.min_total && row.customer_id != user.id`,
		plan:     "every audience then row.total > user.min_total && row.customer_id != user.id",
		warnings: "warning allow 0: no index path: nothing here says row == user, so every change of the table is tried for every audience (max_scan_audiences limits them): row.total > user.min_total && row.customer_id != user.id\nwarning allow 30: row.customer_id can be NULL, and NULL rows never match here; if they should, add `|| row.customer_id == null`\n",
		user:     `{"id": 42, "min_total": 1}`,
		sql:      `("total" > $1::bigint AND "customer_id" <> $2::bigint)`, args: `1 42`,
	},
	{
		name: "status for all or admin", columns: `id! bigint  status! order_status  org_id uuid`,
		allow: `row.status != "draft" && (row.org_id == user.org || user.role == "admin")`,
		plan:  "once per change: row.status != \"draft\"\nhash[org_id] U all (at subscribe: user.role == \"admin\")",
		user:  `{"role": "admin"}`, sql: `"status" <> $1::public.order_status`, args: `draft`,
	},
}

var workedClaims = `id bigint  teams bigint[]  role text  org uuid  tag text  rooms bigint[]  region text  min_total numeric`

func TestWorkedExamples(t *testing.T) {
	for _, tt := range workedExamples {
		t.Run(tt.name, func(t *testing.T) {
			s := ruleOf(t, tt.where, tt.allow, tt.params...)
			s.Table, s.Claims = tableOf(strings.Fields(tt.columns)), declare(workedClaims)
			p, problems := Compile(s)
			if p == nil {
				t.Fatal(shown(problems))
			}
			if diff := cmp.Diff(tt.warnings, shown(problems)); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.plan, strings.Join(p.Plan(), "\n")); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			user, err := ParseClaims(s.Claims, []byte(tt.user))
			if err != nil {
				t.Fatal(err)
			}
			b, err := p.Bind(user, tt.bind)
			if err != nil {
				t.Fatal(err)
			}
			sql, args := b.SQL()
			if diff := cmp.Diff(tt.sql+"\n"+tt.args, sql+"\n"+strings.Join(args, " ")); diff != "" {
				t.Errorf("SQL (-want +got):\n%s", diff)
			}
		})
	}
}
