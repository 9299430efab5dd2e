package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/config"
	"github.com/walrelay/walrelay/replication"
)

// docTables are tables for the worked examples of docs/rules.md.
func docTables() map[string]*replication.Table {
	types := map[string]*change.Type{
		"bigint": {Name: "bigint", Kind: change.KindInt}, "text": {Name: "text"}, "uuid": {Name: "uuid"},
		"numeric": {Name: "numeric", Kind: change.KindNumeric}, "timestamptz": {Name: "timestamp with time zone", Kind: change.KindTimestampTZ},
		"jsonb": {Name: "jsonb", Kind: change.KindJSONB}, "status": {Name: "public.order_status", Labels: []string{"draft", "placed"}},
		"text[]": {Name: "text[]", Kind: change.KindArray, Elem: &change.Type{Name: "text"}, Delim: ','},
	}
	tables := map[string]*replication.Table{}
	for name, columns := range map[string]string{
		"orders": "id bigint, customer_id bigint, team_id bigint, org_id uuid, status status, total numeric", "order_events": "id bigint, order_id bigint, customer_id bigint, kind text, at timestamptz",
		"posts": "id bigint, title text, published_at timestamptz", "tasks": "id bigint, title text, org_id uuid, assignee_id bigint",
		"alerts": "id bigint, text text, tags text[], deleted_at timestamptz", "messages": "id bigint, room_id bigint, author bigint, body text", "incidents": "id bigint, title text, meta jsonb",
	} {
		t := &replication.Table{Schema: "public", Name: name, Key: []string{"id"}}
		for _, c := range strings.Split(columns, ", ") {
			name, typ, _ := strings.Cut(c, " ")
			t.Columns = append(t.Columns, replication.TableColumn{Name: name, Type: types[typ], NotNull: true, Published: true})
		}
		tables["public."+name] = t
	}
	return tables
}

// Every configuration in docs/rules.md is one, and the worked examples have the plans that
// it names.
func TestRulesDocument(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	var examples *config.Config
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(doc), -1) {
		text := block[1]
		if !strings.Contains(text, "channels:") {
			text = "claims: {id: bigint, teams: \"bigint[]\"}\nchannels:\n  orders:\n    table: orders\n" + text
		}
		cfg, err := config.Parse("rules.md", []byte("postgres: {url: postgres://app@db/shop}\nauth: [{anonymous: {}}]\n"+text), nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if examples == nil || len(cfg.Channels) > len(examples.Channels) {
			examples = cfg
		}
	}
	rules, problems, warnings := compileRules(examples, docTables())
	if len(problems.Problems) > 0 || len(warnings) > 0 || len(rules) != 8 {
		t.Fatalf("%d rules, %v, %v", len(rules), problems, warnings)
	}
	for _, rule := range rules {
		line := "| `" + rule.Channel.Name + "` | `" + strings.Join(rule.Program.Plan(), "`, `") + "` |\n"
		if !strings.Contains(string(doc), line) {
			t.Errorf("the document does not have\n%s", line)
		}
	}
}
