package filter

import "testing"

func TestWarnings(t *testing.T) {
	t.Parallel()
	nullable := func(pos, name string) string {
		return "warning allow " + pos + ": row." + name + " can be NULL, and NULL rows never match here; if they should, add `|| row." + name + " == null`\n"
	}
	const scan = "no index path: nothing here says row == user, so every change of the table is tried for every audience (max_scan_audiences limits them): "
	tests := []struct{ allow, want string }{
		{`row.customer_id == user.id`, ``},
		{`row.title != "x"`, nullable("0", "title")},
		{`row.id != 5`, ``}, // NOT NULL
		{`row.title != "x" || row.title == null`, ``},
		{`row.title != null && row.title != "x"`, ``},
		{`!row.active`, nullable("1", "active")},
		{`!row.archived`, ``},
		{`!(row.title in ["x"])`, nullable("2", "title")},
		{`!(row.total < 5)`, nullable("2", "total")},
		{`row.total < 5`, ``},
		{`!!(row.total < 5)`, ``},
		{`lower(row.email) != "x" && row.email != "y"`, nullable("0", "email")},
		{`!(text(row.meta.k) == "x")`, nullable("2", "meta")},
		{`row.id == user.id && row.team_id != user.id`, nullable("21", "team_id")},
		{`row.total >= user.min_total`, "warning allow 0: " + scan + "row.total >= user.min_total\n"},
		{`row.active && (row.customer_id == user.id || row.total >= user.min_total && row.archived)`, "warning allow 45: " + scan + "row.total >= user.min_total\n"},
		{`row.active || user.role == "x"`, ``},
		{`!(row.id == user.id)`, "warning allow 2: " + scan + "!(row.id == user.id)\n"},
	}
	for _, tt := range tests {
		p, problems := Compile(ruleOf(t, "", tt.allow))
		if got := shown(problems); got != tt.want || p == nil {
			t.Errorf("%s\n got %s\nwant %s", tt.allow, got, tt.want)
		}
	}
}

func TestReadsWholeTable(t *testing.T) {
	t.Parallel()
	for allow, want := range map[string]bool{
		`row.id == user.id`: false,
		`true`:              false,
		`text(row.meta.k) == user.role || user.role == "admin"`:  true,
		`text(row.meta.k) == user.role && row.id == user.id`:     false,
		`text(row.meta.k) == user.role && user.role == "admin"`:  true,
		`row.id == user.id || user.role == "admin"`:              false,
		`row.id == user.id || lower(row.email) == user.email`:    true,
		`user.role == "admin"`:                                   false,
		`row.handle == user.role`:                                true,
		`row.title == user.role`:                                 false,
		`row.active && (lower(row.email) == "x" || row.id == 1)`: false,
	} {
		if got := compiled(t, "", allow).ReadsWholeTable(); got != want {
			t.Errorf("%s: %v, want %v", allow, got, want)
		}
	}
}
