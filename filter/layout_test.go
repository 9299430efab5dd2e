package filter

import (
	"testing"

	"github.com/walrelay/walrelay/change"
)

// version is the test table's relation after edit.
func version(edit func(rel *change.Relation)) *change.Relation {
	rel := relationOf(testTable())
	edit(rel)
	return rel
}

// A table that is altered keeps its rules as long as columns compare in the same way.
func TestForVersions(t *testing.T) {
	t.Parallel()
	set := func(name string, typ *change.Type) func(*change.Relation) {
		return func(rel *change.Relation) { rel.Columns[rel.Column(name)].Type = typ }
	}
	renamed := &change.Type{OID: 16400, Name: "public.order_status", Labels: []string{"draught", "open", "paid"}}
	renamedArray := &change.Type{Name: "public.order_status[]", Kind: change.KindArray, Elem: renamed, Delim: ','}
	tests := []struct {
		name, allow string
		edit        func(*change.Relation)
		want        string
	}{
		{"same", `row.id == user.id`, func(*change.Relation) {}, ""},
		{"reordered", `row.id == user.id`, func(rel *change.Relation) { rel.Columns[0], rel.Columns[1] = rel.Columns[1], rel.Columns[0] }, ""},
		{"dropped", `row.id == user.id`, func(rel *change.Relation) { rel.Columns = rel.Columns[1:] }, `public.orders has no column "id" any more`},
		{"another dropped", `row.customer_id == user.id`, func(rel *change.Relation) { rel.Columns = rel.Columns[1:] }, ""},
		{"renamed", `row.id == user.id`, func(rel *change.Relation) { rel.Columns[0].Name = "Id" }, `public.orders has no column "id" any more`},
		{"wider", `row.id == user.id`, set("id", testTypes["numeric"]), ""},
		{"to text", `row.id == user.id`, set("id", testTypes["text"]), `column "id" of public.orders was bigint and is text now, which compares in another way`},
		{"enum to text", `row.status == "open"`, set("status", testTypes["text"]), `column "status" of public.orders was order_status and is text now, which compares in another way`},
		{"label renamed", `row.id == 1 && row.status != "draft"`, set("status", renamed), `column "status" of public.orders is order_status, which has no label "draft" but others that are new`},
		{"label in a list renamed", `row.status in ["open", null, "draft"]`, set("status", renamed), `column "status" of public.orders is order_status, which has no label "draft" but others that are new`},
		{"label in an array renamed", `"draft" in row.statuses`, set("statuses", renamedArray), `column "statuses" of public.orders is order_status[], which has no label "draft" but others that are new`},
		{"other label renamed", `row.status != "open" && user.status in row.statuses`, set("status", renamed), ""},
		{"label not added yet", `row.status != "draft"`, set("status", &change.Type{Name: "public.order_status", Labels: []string{"open", "paid"}}), ""},
		{"to an array", `row.id == user.id`, set("id", arrayOf("bigint")), `column "id" of public.orders was bigint and is bigint[] now, which compares in another way`},
		{"array of others", `user.tag in row.tags`, set("tags", arrayOf("bigint")), `column "tags" of public.orders was text[] and is bigint[] now, which compares in another way`},
		{"jsonb path", `text(row.meta.k) == user.role`, set("meta", testTypes["text"]), `column "meta" of public.orders was jsonb and is text now, which compares in another way`},
		{"to citext", `row.title == user.role`, set("title", testTypes["citext"]), ""},
		{"to citext under !=", `row.title != user.role`, set("title", testTypes["citext"]), `column "title" of public.orders is public.citext now, which cannot be judged under ! or !=`},
		{"to char(n)", `row.title == user.role`, set("title", testTypes["char"]), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := compiled(t, "", tt.allow).For(version(tt.edit))
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != tt.want || (l == nil) != (err != nil) {
				t.Errorf("got %v, %q\nwant %q", l, got, tt.want)
			}
		})
	}
}

// Rows of several versions may come in turn.
func TestVersionsInTurn(t *testing.T) {
	t.Parallel()
	p := compiled(t, "", `row.customer_id == user.id && user.tag in row.tags`)
	b := boundTo(t, p, `{"id":42,"tag":"x"}`, nil)
	before := version(func(*change.Relation) {})
	after := version(func(rel *change.Relation) {
		rel.Columns = []change.Column{
			{Name: "tags", Type: arrayOf("char")}, {Name: "new", Type: testTypes["bigint"]}, {Name: "customer_id", Type: testTypes["numeric"]},
		}
	})
	old, now := layoutOf(t, p, before), layoutOf(t, p, after)
	text := func(s string) change.Value { return change.Value{Kind: change.Text, Text: []byte(s)} }
	im := p.NewImage()
	for range 3 {
		im.Load(old, rowOf(t, `id=42; customer_id=42; tags={x}`))
		if b.Eval(im) != True || !indexed(t, p, b, im) {
			t.Error("the row before is not in")
		}
		im.Load(now, []change.Value{text(`{"x    "}`), text("1"), text("42.0")})
		if b.Eval(im) != True || !indexed(t, p, b, im) {
			t.Error("the row after is not in")
		}
		im.Load(now, []change.Value{text(`{"x    "}`), text("42"), text("1")})
		if b.Eval(im) != False || indexed(t, p, b, im) {
			t.Error("a row of somebody else is in")
		}
		im.Load(now, nil)
		if b.Eval(im) != Open || indexed(t, p, b, im) {
			t.Error("a row without columns decides something")
		}
	}
}

func TestDiffer(t *testing.T) {
	t.Parallel()
	l := layoutOf(t, compiled(t, `lower(row.title) == "x"`, `text(row.meta.k) == user.role || user.tag in row.tags`), relationOf(testTable()))
	tests := []struct {
		a, b string
		want bool
	}{
		{`title=a; meta={}`, `title=a; meta={}`, false},
		{`title=a; id=1`, `title=a; id=2`, false}, // not read
		{`title=a`, `title=b`, true},
		{`meta={}`, `meta={"k": 1}`, true},
		{`tags={a}`, `tags={b}`, true},
		{`title=`, ``, true},
		{`title=<missing>`, `title=<missing>`, true},
		{`title=<unchanged>`, `title=<unchanged>`, true},
		{`title=<omitted>`, `title=a`, true},
		{`id=<missing>`, ``, false},
	}
	for _, tt := range tests {
		if got := l.Differ(rowOf(t, tt.a), rowOf(t, tt.b)); got != tt.want {
			t.Errorf("%q and %q differ: %v, want %v", tt.a, tt.b, got, tt.want)
		}
	}
	if !l.Differ(nil, nil) {
		t.Error("rows without columns do not differ")
	}
}

func TestBlind(t *testing.T) {
	t.Parallel()
	l := layoutOf(t, compiled(t, ``, `row.id == user.id && text(row.meta.k) != null`), relationOf(testTable()))
	for row, want := range map[string]bool{
		`id=1; meta={}`: false, `id=1; meta=<omitted>`: true, `id=1; title=<omitted>`: false, `id=<missing>; meta=<unchanged>`: false,
	} {
		if got := l.Blind(rowOf(t, row)); got != want {
			t.Errorf("%s: blind %v, want %v", row, got, want)
		}
	}
}
