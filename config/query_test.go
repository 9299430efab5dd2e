package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestParseQuery(t *testing.T) {
	for text, want := range map[string]string{
		"select 1": `first "select" [select] [] second 0`,
		"(SELECT a.b, :user::int FROM \"T 1\" a)":      `first "select" [T 1 a b from int select] [user@13] second 0`,
		"select :user, :session->>'x' -- :usr":         `first "select" [select] [user@7 session@14] second 0`,
		"select ':user', 'it''s :user', e'\\' :user'":  `first "select" [select] [] second 0`,
		"select $$ ':user $$, $a$ $$ :user $a$, :user": `first "select" [select] [user@39] second 0`,
		"select a[1:n], a[:user:2], x:=3, y::text":     `first "select" [a select text x y] [user@17] second 0`,
		"/* a /* b */ :user */ with x as (select 1)":   `first "with" [as select with x] [] second 0`,
		"select 1; -- done\n/* x */ ;":                 `first "select" [select] [] second 0`,
		"select 1;\nselect 2":                          `first "select" [select] [] second 10`,
		"select 'a;b', \"c;d\", $$;$$":                 `first "select" [c;d select] [] second 0`,
		"select $1":                                    `first "select" [select] [] second 0 numbered 8`,
		"select a$1":                                   `first "select" [a$1 select] [] second 0`,
		"select :12, : x":                              `first "select" [select x] [] second 0`,
		"select é, Ünder":                              `first "select" [select é ünder] [] second 0`,
		"select 'x":                                    `first "select" [select] [] second 0 a string at 7`,
		"select e'\\'":                                 `first "select" [select] [] second 0 a string at 8`,
		"select $x$ $$":                                `first "select" [select] [] second 0 a string at 7`,
		"select \"x":                                   `first "select" [select] [] second 0 a name in double quotes at 7`,
		"select /* /* */":                              `first "select" [select] [] second 0 a comment at 7`,
		"":                                             `first "" [] [] second 0`,
		"select * from t":                              `first "select" [* from select t] [] second 0`,
	} {
		q := parseQuery(text)
		var params []string
		for _, p := range q.params {
			params = append(params, fmt.Sprintf("%s@%d", p.name, p.at))
		}
		got := fmt.Sprintf("first %q %v %v second %d", q.first, slices.Sorted(maps.Keys(q.words)), params, q.second)
		if q.numbered > 0 {
			got += fmt.Sprint(" numbered ", q.numbered)
		}
		if q.unclosed != "" {
			got += fmt.Sprintf(" %s at %d", q.unclosed, q.end)
		}
		if got != want {
			t.Errorf("%q:\ngot  %s\nwant %s", text, got, want)
		}
	}
	if q := parseQuery("  select 1 ; -- x"); q.text != "select 1" {
		t.Errorf("text %q", q.text)
	}
	var nothing *query
	if nothing.has("x") || nothing.reads("user") {
		t.Error("no query has words")
	}
}

// It neither panics nor hangs, and its places are within the text.
func FuzzParseQuery(f *testing.F) {
	for _, s := range []string{djangoClaims, deviseClaims, "select $a$ e'\\", "/*/**/", ":user[:session", "\xff:\xc3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q := parseQuery(text)
		for _, p := range q.params {
			if !strings.HasPrefix(text[p.at:], ":"+p.name) {
				t.Fatalf("%q: no :%s at %d", text, p.name, p.at)
			}
		}
		if q.second < 0 || q.second >= max(1, len(text)) || q.end < 0 || q.end > len(text) || !strings.Contains(text, q.text) {
			t.Fatalf("%q: %+v", text, q)
		}
	})
}
