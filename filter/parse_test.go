package filter

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParsePrintsCanonically(t *testing.T) {
	tests := []struct{ src, want string }{
		// The filters of design/filter.md.
		{`row.customer_id == user.id`, ``},
		{`row.status != "draft" && (row.customer_id == user.id || row.team_id in user.teams)`, ``},
		{`row.org_id == user.org && row.deleted_at == null && row.total >= 100 && (user.role == "admin" || user.tag in row.tags || row.customer_id == user.id)`, ``},
		{`row.org_id == user.org && (user.role in ["admin", "owner"] || row.assignee_id == user.id)`, ``},
		{`params.room_id in user.rooms`, ``},
		{`text(row.meta.region) == user.region || user.role == "admin"`, ``},
		{`lower(row.email) == lower(user.email)`, ``},
		{`true`, ``},
		{`!row.archived`, ``},
		// Words for operators, blanks, quotes, parentheses.
		{`not row.a and row.b or row.c`, `!row.a && row.b || row.c`},
		{"\trow . a==1\r\n||row.b<2 ", `row.a == 1 || row.b < 2`},
		{`row.a == 'it\'s "so"'`, `row.a == "it's \"so\""`},
		{`((row.a)) == (5)`, `row.a == 5`},
		{`(row.a && row.b) && row.c`, `row.a && row.b && row.c`},
		{`row.a || (row.b || row.c) || row.d`, `row.a || row.b || row.c || row.d`},
		{`row.a && (row.b || row.c)`, ``},
		{`(row.a && row.b) || row.c`, `row.a && row.b || row.c`},
		{`(row.a == row.b) == (row.c || true)`, `(row.a == row.b) == (row.c || true)`},
		{`!row.a == row.b`, `!(row.a == row.b)`},
		{`!(row.a && row.b)`, ``},
		{`!!(row.x in user.y)`, ``},
		{`lower((row.a == row.b))`, ``},
		// Names.
		{`row.in == user.and && params.not != row.true`, ``},
		{`row."Order Date" > row.'b'`, `row."Order Date" > row.b`},
		{`row.größe <= 1`, ``},
		{`row.meta.a."b-c".d == null`, ``},
		// Literals.
		{`row.a in [1, -2, 3.50, "x", true, false, null]`, ``},
		{`row.a == -0.10`, ``},
		{`row.a == "\u00e9\u{1f600}\\\n\r\t\u0001"`, `row.a == "é😀\\\n\r\t\u0001"`},
		{"row.a == \"\u202ehidden\"", `row.a == "\u202ehidden"`},
		{"row.a == \"\\u{e0001}\"", `row.a == "\u{e0001}"`},
		{`[1] == row.a`, ``},
	}
	for _, tt := range tests {
		n, err := Parse(tt.src)
		if err != nil {
			t.Errorf("Parse(%q): %v", tt.src, err)
			continue
		}
		want := tt.want
		if want == "" {
			want = tt.src
		}
		if got := n.String(); got != want {
			t.Errorf("Parse(%q) prints %q, want %q", tt.src, got, want)
		}
		checkRoundTrip(t, n)
	}
}

func TestParseTree(t *testing.T) {
	src := `!(row.m.k >= 1.5) && (user.a in [2] || text(row.j.k) == params.p)`
	n, err := Parse(src)
	if err != nil {
		t.Fatal(err)
	}
	want := &And{Span{0, 65}, []Node{
		&Not{Span{0, 17}, &Compare{
			Span{2, 16}, Ge, &Row{Span{2, 9}, "m", []string{"k"}}, &Literal{Span{13, 16}, Decimal, "1.5"},
		}},
		&Or{Span{22, 64}, []Node{
			&In{Span{22, 35}, &User{Span{22, 28}, "a"}, &List{Span{32, 35}, []*Literal{{Span{33, 34}, Int, "2"}}}},
			&Compare{
				Span{39, 64}, Eq,
				&Call{Span{39, 52}, Text, &Row{Span{44, 51}, "j", []string{"k"}}},
				&Param{Span{56, 64}, "p"},
			},
		}},
	}}
	if diff := cmp.Diff(Node(want), n); diff != "" {
		t.Errorf("tree of %s (-want +got):\n%s", src, diff)
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct {
		src  string
		pos  Pos
		want string
	}{
		{``, 0, `the expression is empty`},
		{"  \n", 3, `the expression is empty`},
		{`row.a = 5`, 6, `unexpected "=" (use == to compare)`},
		{`row.a === 5`, 6, `unexpected "===" (use == to compare)`},
		{`row.a !== 5`, 6, `unexpected "!==" (use != to compare)`},
		{`row.a <> 5`, 6, `unexpected "<>" (use != to compare)`},
		{`row.a & row.b`, 6, `unexpected "&" (use && for and)`},
		{`row.a | row.b`, 6, `unexpected "|" (use || for or)`},
		{`row.a + 1 == 2`, 6, `unexpected "+" (there is no arithmetic)`},
		{`row.a - 1 == 2`, 6, `unexpected "-" (there is no arithmetic)`},
		{`row.a -1 == 2`, 6, `unexpected "-1" (there is no arithmetic)`},
		{`row.a AND row.b`, 6, `unexpected "AND" (use &&)`},
		{`row.a is null`, 6, `unexpected "is" (use == null or != null)`},
		{`row.a not in [1]`, 6, `unexpected "not" (write !(x in list))`},
		{`row.a < 1 < 2`, 10, `unexpected "<" (comparisons do not chain: join them with &&)`},
		{`row.a in user.b in user.c`, 16, `unexpected "in" (comparisons do not chain: join them with &&)`},
		{`row.a == 'x' "y"`, 13, `unexpected "y"; expected an operator such as == or &&, or the end`},
		{`row.a)`, 5, `unexpected ")" that closes nothing`},
		{`(row.a`, 6, `unexpected end of the expression; expected ")" after the expression in parentheses`},
		{`row.a == `, 9, `unexpected end of the expression; expected a value such as row.<column>, user.<claim>, params.<name> or a literal`},
		{`&& row.a`, 0, `unexpected "&&"; expected a value such as row.<column>, user.<claim>, params.<name> or a literal`},
		{`row.a && or`, 9, `unexpected "or"; expected a value such as row.<column>, user.<claim>, params.<name> or a literal`},
		{`status == 5`, 0, `unknown name "status" (a column is written row.status, a claim user.status, text in quotes)`},
		{`rows.status == 5`, 0, `unknown name "rows"; did you mean "row"?`},
		{`row.a == NULL`, 9, `unknown name "NULL"; did you mean "null"?`},
		{`upper(row.a) == 5`, 0, `unknown function "upper"; there are lower(...) and text(...)`},
		{`row == 5`, 4, `unexpected "=="; expected "." and the name of a column after "row"`},
		{`user`, 4, `unexpected end of the expression; expected "." and the name of a claim after "user"`},
		{`row.5 == 5`, 4, `unexpected "5"; expected the name of a column after row.`},
		{`row."" == 5`, 4, `unexpected ""; expected the name of a column after row.`},
		{`row.a. == 5`, 7, `unexpected "=="; expected the name of a key after "."`},
		{`row.a in []`, 10, `unexpected "]"; a list holds literals, and at least one`},
		{`row.a in [row.b]`, 10, `unexpected "row"; a list holds literals, and at least one`},
		{`row.a in [1 2]`, 12, `unexpected "2"; expected "]" after the list`},
		{`lower row.a`, 6, `unexpected "row"; expected "(" after lower`},
		{`text(row.a)`, 5, `text() takes a path into a jsonb column, such as text(row.meta.region)`},
		{`text("a")`, 5, `text() takes a path into a jsonb column, such as text(row.meta.region)`},
		{`row.a == 5abc`, 9, `malformed number "5abc" (write all digits, without an exponent)`},
		{`row.a == 1e5`, 9, `malformed number "1e5" (write all digits, without an exponent)`},
		{`row.a == 1.2.3`, 9, `malformed number "1.2.3" (write all digits, without an exponent)`},
		{`row.a == "x`, 9, `the string is not closed`},
		{`row.a == "x\`, 11, `the string is not closed`},
		{"row.a == \"x\ny\"", 9, `the string is not closed on its line (write \n for a line break)`},
		{"row.a == \"x\x01\"", 11, `control character '\x01' in a string (write \u0001)`},
		{`row.a == "\q"`, 10, `unknown escape "\\q" (there are \\ \" \' \n \r \t \uXXXX and \u{X})`},
		{`row.a == "\u12"`, 10, `\u needs four hexadecimal digits, or up to six in braces`},
		{`row.a == "\u{12"`, 10, `\u needs four hexadecimal digits, or up to six in braces`},
		{`row.a == "\u0000"`, 10, `text in Postgres cannot hold a NUL character`},
		{`row.a == "\ud83d"`, 10, `\ud83d is not a character (write \u{1f600} for those above \uffff)`},
		{"row.a == \"\xff\"", 10, `invalid UTF-8`},
		{"row.a == \xff", 9, `invalid UTF-8`},
		{"row.a == “x”", 9, "unexpected \"“\" (text is written in \"double\" or 'single' quotes)"},
		{`row.größe == §`, 15, `unexpected "§"`},
	}
	for _, tt := range tests {
		_, err := Parse(tt.src)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("Parse(%q) = %v, want an *Error", tt.src, err)
			continue
		}
		if e.Pos != tt.pos || e.Msg != tt.want {
			t.Errorf("Parse(%q)\n got %d: %s\nwant %d: %s", tt.src, e.Pos, e.Msg, tt.pos, tt.want)
		}
	}
}

func TestParseBounds(t *testing.T) {
	parens := func(n int) string { return strings.Repeat("(", n) + "row.a" + strings.Repeat(")", n) }
	nots := func(n int) string { return strings.Repeat("!", n) + "row.a" }
	list := func(n int) string { return "row.a in [1" + strings.Repeat(",1", n-1) + "]" }
	tests := []struct {
		name, src, want string
	}{
		{"bytes", "row.a" + strings.Repeat(" ", MaxBytes-5), ""},
		{"bytes over", "row.a" + strings.Repeat(" ", MaxBytes-4), "the expression is longer than 4096 bytes"},
		{"depth", nots(MaxDepth - 1), ""},
		{"depth over", nots(MaxDepth), "nested deeper than 32 levels"},
		{"nodes", list(MaxNodes - 3), ""},
		{"nodes over", list(MaxNodes - 2), "more than 256 operators and values in one expression"},
		{"wide and", "row.a" + strings.Repeat(" && row.a", MaxNodes-2), ""},
		{"parentheses", parens(maxNesting), ""},
		{"parentheses over", parens(maxNesting + 1), "nested deeper than 32 levels"},
		{"parentheses far over", strings.Repeat("(", MaxBytes), "nested deeper than 32 levels"},
		{"nots far over", strings.Repeat("!", MaxBytes), "nested deeper than 32 levels"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, err := Parse(tt.src)
			got := ""
			var e *Error
			if errors.As(err, &e) {
				got = e.Msg
			} else {
				checkRoundTrip(t, n)
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// checkRoundTrip fails when the canonical form of n parses to another tree.
func checkRoundTrip(t *testing.T, n Node) {
	t.Helper()
	s := n.String()
	if len(s) > MaxBytes { // escapes and blanks can make it longer than its source
		return
	}
	back, err := Parse(s)
	if err != nil {
		t.Fatalf("canonical form %q: %v", s, err)
	}
	if diff := cmp.Diff(n, back, cmpopts.IgnoreTypes(Span{})); diff != "" {
		t.Fatalf("canonical form %q gives another tree (-want +got):\n%s", s, diff)
	}
}

// checkSpans fails when a node lies outside of its parent.
func checkSpans(t *testing.T, n Node, within Span) {
	t.Helper()
	if n.Pos() < within.From || n.End() > within.To || n.Pos() >= n.End() {
		t.Fatalf("%T at [%d,%d) is not within [%d,%d)", n, n.Pos(), n.End(), within.From, within.To)
	}
	for _, c := range n.children(nil) {
		checkSpans(t, c, Span{n.Pos(), n.End()})
	}
}

func FuzzParse(f *testing.F) {
	for _, src := range []string{
		`row.status != "draft" && (row.customer_id == user.id || row.team_id in user.teams)`,
		`not text(row.meta."a b".region) == lower(user.r) or row.x in [1, -2.5, 'y\u{1f600}', null]`,
		`!!(row.a && row.b) == (params.x < 5)`,
		`((row.a`, `row.a == "\u00`, "row.größe == \xff",
	} {
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src string) {
		n, err := Parse(src)
		var e *Error
		switch {
		case err == nil:
			checkSpans(t, n, Span{0, Pos(len(src))})
			checkRoundTrip(t, n)
		case !errors.As(err, &e):
			t.Fatalf("Parse(%q) = %v, want an *Error", src, err)
		case e.Pos < 0 || int(e.Pos) > len(src) || e.Msg == "":
			t.Fatalf("Parse(%q): problem %q at %d", src, e.Msg, e.Pos)
		}
	})
}

func ExampleParse() {
	n, err := Parse(`not row.archived and row.team_id in user.teams`)
	fmt.Println(n, err)
	_, err = Parse(`row.status = "open"`)
	fmt.Println(err)
	// Output:
	// !row.archived && row.team_id in user.teams <nil>
	// at byte 11: unexpected "=" (use == to compare)
}
