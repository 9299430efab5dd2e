package filter

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCompileErrors(t *testing.T) {
	t.Parallel()
	tests := []struct{ allow, want string }{
		// Names.
		{`row.custmer_id == user.id`, `4: table public.orders has no column "custmer_id"; did you mean "customer_id"?`},
		{`row.nothing == 1`, `4: table public.orders has no column "nothing"`},
		{`row.id == user.idd && row.id == user.xyz`, "15: there is no claim \"idd\"; did you mean \"id\"?\n37: there is no claim \"xyz\"; declare it under claims"},
		{`row.team_id in user.team`, `20: there is no claim "team"; did you mean "teams"?`},
		{`row.id == params.x`, `17: the channel's name has no parameter {x}`},
		// Types.
		{`row.id == "x"`, `10: cannot apply == to bigint and text`},
		{`"x" == row.id`, `0: cannot apply == to text and bigint`},
		{`row.id == user.role`, `0: cannot apply == to bigint and text`},
		{`row.email == 5`, `13: cannot apply == to text and bigint`},
		{`row.email != 1.5`, `13: cannot apply != to text and numeric`},
		{`row.active == "true"`, `14: cannot apply == to boolean and text`},
		{`row.org_id == user.id`, `0: cannot apply == to uuid and bigint`},
		{`row.due == row.deleted_at`, `0: cannot apply == to date and timestamptz`},
		{`row.org_id == "abc"`, `14: "abc" is not a uuid`},
		{`row.status == "drfat"`, `14: "drfat" is not a label of order_status; did you mean "draft"?`},
		{`row.status in ["open", "payd", 5]`, "23: \"payd\" is not a label of order_status; did you mean \"paid\"?\n31: cannot apply in to order_status and a list with bigint"},
		{`row.status == user.mood`, `0: cannot apply == to order_status and mood`},
		{`user.status == "drfat" && row.id == 1`, `15: "drfat" is not a label of order_status; did you mean "draft"?`},
		{`row.deleted_at > "yesterday"`, `17: "yesterday" is not a timestamp with time zone, write 2026-01-31T12:00:00Z`},
		// Order.
		{`row.email < "x"`, `0: cannot apply < to text and text (the order of text depends on its collation)`},
		{`row.status >= "open"`, `0: cannot apply >= to order_status and order_status; list the labels with in`},
		{`row.active > false`, `0: cannot apply > to boolean and boolean; there are == and !=`},
		{`row.id < null`, `0: cannot apply < to null; there are == null and != null`},
		// Arrays.
		{`row.tags == "x"`, `12: cannot apply == to text[] and text (a list can only stand behind in, or be compared with null)`},
		{`row.tags == row.tags`, `0: cannot apply == to text[] and text[] (a list can only stand behind in, or be compared with null)`},
		{`row.id in row.tags`, `0: cannot apply in to bigint and text[]`},
		{`row.id in row.customer_id`, `10: row.customer_id is bigint and not a list; in needs a list such as [1, 2], a claim or an array column`},
		{`row.id in 5`, `10: 5 is not a list; in needs a list such as [1, 2], a claim or an array column`},
		{`5 in row.id`, `5: row.id is bigint and not a list; in needs a list such as [1, 2], a claim or an array column`},
		{`5 in row.tags`, `0: cannot apply in to bigint and text[]`},
		{`"x" in row.statuses`, `0: "x" is not a label of order_status`},
		{`row.tags in user.roles`, `0: cannot apply in to text[] and text[] (a list can only stand behind in, or be compared with null)`},
		{`null in user.roles`, `0: null is in no list; write == null`},
		{`row.id == [1]`, `10: cannot apply == to bigint and a list`},
		// jsonb, opaque types, functions.
		{`row.meta == "x"`, `12: cannot apply == to jsonb and text; of jsonb write text(row.column.key)`},
		{`row.meta.k == "x"`, `0: write text(row.meta.k): a value below jsonb is compared as text`},
		{`row.id.k == 1`, `0: row.id is bigint: only jsonb has keys below it`},
		{`text(row.id.k) == "x"`, `5: row.id is bigint: only jsonb has keys below it`},
		{`row.place == row.place`, `0: cannot apply == to point and point (point can only be compared with null)`},
		{`lower(row.id) == "x"`, `6: lower() takes text, and row.id is bigint`},
		{`lower(row.tags) == "x"`, `6: lower() takes text, and row.tags is text[]`},
		{`lower(user.id) == "x"`, `6: lower() takes text, and user.id is bigint`},
		// Conditions and values.
		{`row.id`, `0: row.id is bigint and not a condition; compare it, for example row.id == ...`},
		{`!row.tags`, `1: row.tags is text[] and not a condition; compare it, for example row.tags == ...`},
		{`lower(row.email)`, `0: lower(row.email) is text and not a condition; compare it, for example lower(row.email) == ...`},
		{`row.active && 5`, `14: 5 is not a condition`},
		{`row.active || "x"`, `14: "x" is not a condition`},
		{`row.active || null`, `14: null is not a condition`},
		{`row.active && [1]`, `14: a list is not a condition`},
		{`(row.id == 1) == true`, `1: a condition is no value; join conditions with && and ||`},
		{`1 == 1`, `0: both sides of == are literals: nothing is compared`},
		{`null == null`, `0: both sides of == are literals: nothing is compared`},
		{`lower("A") == "a"`, `0: both sides of == are literals: nothing is compared`},
		{`1 in [1, 2]`, `0: both sides of in are literals: nothing is compared`},
		// Negation over values that may be equal although they differ.
		{`row.handle != "x"`, `0: values of row.handle that differ may be equal in Postgres (public.citext), so it cannot stand under != or !`},
		{`!(row.handle == user.role)`, `2: values of row.handle that differ may be equal in Postgres (public.citext), so it cannot stand under != or !`},
		{`!(row.id == 1 && row.handle in ["x"])`, `17: values of row.handle that differ may be equal in Postgres (public.citext), so it cannot stand under != or !`},
		{`lower(row.handle) != "x"`, `0: values of row.handle that differ may be equal in Postgres (public.citext), so it cannot stand under != or !`},
		// Constants.
		{`false`, `0: this is never true: nobody would get a row`},
		{`row.id == 1 && false`, `0: this is never true: nobody would get a row`},
		{`row.id == 1 || true`, `0: this is always true; if that is meant, write true`},
		{`!false`, `0: this is always true; if that is meant, write true`},
		{`!(row.id == 1 && !true)`, `0: this is always true; if that is meant, write true`},
		// All at once, in the order of the text.
		{`row.a == 1 || row.b == 2 && !(row.id == "x")`, "4: table public.orders has no column \"a\"\n18: table public.orders has no column \"b\"\n40: cannot apply == to bigint and text"},
		{`row.a == user.b`, "4: table public.orders has no column \"a\"\n14: there is no claim \"b\"; declare it under claims"},
	}
	for _, tt := range tests {
		p, problems := Compile(ruleOf(t, "", tt.allow))
		want := "allow " + strings.ReplaceAll(tt.want, "\n", "\nallow ") + "\n"
		if diff := cmp.Diff(want, shown(problems)); diff != "" || p != nil {
			t.Errorf("%s (-want +got):\n%s", tt.allow, diff)
		}
	}
}

func TestCompileBothExpressions(t *testing.T) {
	t.Parallel()
	_, problems := Compile(ruleOf(t, `row.a == 1 && row.id == "x"`, `row.c == user.id`))
	want := "where 4: table public.orders has no column \"a\"\nwhere 24: cannot apply == to bigint and text\nallow 4: table public.orders has no column \"c\"\n"
	if diff := cmp.Diff(want, shown(problems)); diff != "" {
		t.Error(diff)
	}
}

func TestCompilePublic(t *testing.T) {
	t.Parallel()
	s := ruleOf(t, `row.customer_id == user.id && user.role == "x"`, ``)
	s.Public = true
	_, problems := Compile(s)
	want := "where 19: the channel is public: there is no user\nwhere 30: the channel is public: there is no user\n"
	if diff := cmp.Diff(want, shown(problems)); diff != "" {
		t.Error(diff)
	}
}

func TestNondeterministicCollation(t *testing.T) {
	t.Parallel()
	s := ruleOf(t, `row.title != "x"`, `row.title == "y" || row.title != null`)
	for i := range s.Table.Columns {
		s.Table.Columns[i].Loose = s.Table.Columns[i].Name == "title"
	}
	_, problems := Compile(s)
	want := "where 0: values of row.title that differ may be equal in Postgres (its collation is not deterministic), so it cannot stand under != or !\n"
	if diff := cmp.Diff(want, shown(problems)); diff != "" {
		t.Error(diff)
	}
}

func TestParams(t *testing.T) {
	t.Parallel()
	tests := []struct {
		where, allow string
		params       []string
		want         string // types or problems
	}{
		{`row.id == params.p`, ``, []string{"p"}, `p bigint`},
		{`params.p == row.title`, ``, []string{"p"}, `p text`},
		{`row.code == params.p`, ``, []string{"p"}, `p text`},
		{`row.total == params.p`, ``, []string{"p"}, `p numeric`},
		{`row.team_id == params.p`, ``, []string{"p"}, `p integer`},
		{`row.team_id == params.p && row.id == params.p`, ``, []string{"p"}, `p bigint`},
		{`row.id == params.p && row.team_id == params.p`, ``, []string{"p"}, `p bigint`},
		{`row.total == params.p && row.team_id == params.p`, ``, []string{"p"}, `p numeric`},
		{`row.status == params.p`, ``, []string{"p"}, `p order_status`},
		{`params.p in row.team_ids`, ``, []string{"p"}, `p bigint`},
		{``, `params.p in user.roles`, []string{"p"}, `p text`},
		{``, `params.p == user.org`, []string{"p"}, `p uuid`},
		{`row.email == lower(params.p)`, ``, []string{"p"}, `p text`},
		{`lower(row.email) == params.p`, ``, []string{"p"}, `p text`},
		{`text(row.meta.k) == params.p`, ``, []string{"p"}, `p text`},
		{`row.id == params.a && row.title == params.b`, ``, []string{"b", "a"}, `b text, a bigint`},
		{`row.total > params.p`, ``, []string{"p numeric"}, `p numeric`},
		{`row.total == params.p`, ``, []string{"p bigint"}, `p bigint`},
		{`row.total > params.p`, ``, []string{"p"}, `where 12: the type of params.p is not known: compare it with a column or a claim by == or in, or declare it under params`},
		{`row.id == params.p && row.title == params.p`, ``, []string{"p"}, `where 35: params.p is compared with text here and with bigint elsewhere; it can only have one type`},
		{`row.id == params.p`, `row.title == params.p`, []string{"p"}, `allow 13: params.p is compared with text here and with bigint elsewhere; it can only have one type`},
		{`row.id == params.p`, ``, []string{"p text"}, `where 0: cannot apply == to bigint and text`},
		{`row.id == 1`, ``, []string{"p"}, `where 0: no column or claim binds the parameter {p}; compare it with one, for example row.p == params.p`},
		{``, `row.id == 1 && params.p == "x"`, []string{"p text"}, `allow 0: no column or claim binds the parameter {p}; compare it with one, for example row.p == params.p`},
		{`row.id == params.pp`, ``, []string{"p"}, `where 0: no column or claim binds the parameter {p}; compare it with one, for example row.p == params.p; where 17: the channel's name has no parameter {pp}`},
		{`row.place == params.p`, ``, []string{"p"}, `where 13: params.p cannot be compared with point (point can only be compared with null)`},
		{`row.tags == params.p`, ``, []string{"p"}, `where 12: params.p cannot be compared with text[] (a list can only stand behind in, or be compared with null)`},
		{`params.p in row.id`, ``, []string{"p"}, `where 0: params.p cannot be compared with bigint, which is no list`},
		{`row.id in params.p`, ``, []string{"p bigint[]"}, `where 0: parameter "p" is declared as bigint[]; a parameter is one value`},
	}
	for _, tt := range tests {
		p, problems := Compile(ruleOf(t, tt.where, tt.allow, tt.params...))
		got := strings.ReplaceAll(strings.TrimSuffix(shown(problems), "\n"), "\n", "; ")
		if p != nil {
			var types []string
			for _, param := range p.Params() {
				types = append(types, param.Name+" "+param.Type.Name)
			}
			got = strings.Join(types, ", ")
		}
		if got != tt.want {
			t.Errorf("%s && %s with %v\n got %s\nwant %s", tt.where, tt.allow, tt.params, got, tt.want)
		}
	}
}
