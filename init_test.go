package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/config"
	"github.com/walrelay/walrelay/replication"
)

// Whatever a name consists of, YAML gives it back, on one line.
func TestYAMLText(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	parts := []string{"a", "Z", "0", "_", "-", " ", ": ", " #", "'", `"`, `\`, "\n", "\t", "\u2028", "\x01", "é", "😀", "$", "{", "[", "!", "&", "*", "true", "null", "==", ",", "%", "@", "."}
	for _, s := range append([]string{"true", "no", "null", "~", "1", "1e5", "0x1", "-", "a: b", "2026-01-01", "row.user_id == user.id", `row."User Id" == user.id`}, random(rnd, parts, 4_000)...) {
		text := yamlText(s)
		var list struct{ L []any }
		if err := yaml.Unmarshal([]byte("l: ["+text+", x]"), &list); err != nil || len(list.L) != 2 || list.L[0] != s || strings.Contains(text, "\n") {
			t.Fatalf("%q is written %s and read as %#v, %v", s, text, list.L, err)
		}
		var alone map[string]any
		if err := yaml.Unmarshal([]byte("k: "+text+" # why"), &alone); err != nil || alone["k"] != s {
			t.Fatalf("%q is written %s and read as %#v, %v", s, text, alone["k"], err)
		}
	}
}

// random joins up to 6 of the parts, n times.
func random(rnd *rand.Rand, parts []string, n int) []string {
	out := make([]string, n)
	for i := range out {
		for range 1 + rnd.IntN(6) {
			out[i] += parts[rnd.IntN(len(parts))]
		}
	}
	return out
}

// A schema of strange names becomes a file that says just these names.
func TestInitNames(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	parts := []string{"a", "Z", "9", "_", " ", ": ", " #", "'", `"`, `\`, "\n", "é", "$", "${x}", "{", "!", ".", "true"}
	bigint := &change.Type{Name: "bigint", Kind: change.KindInt}
	for range 300 {
		names := random(rnd, parts, 8)
		names[6] = "c" + names[6] // none of blanks only
		s := &schema{database: names[0]}
		for i, name := range names {
			t := &schemaTable{schema: []string{"public", names[7]}[i%2], name: name, table: &replication.Table{Key: []string{names[6]}, Columns: []replication.TableColumn{
				{Name: names[6], Type: bigint, Published: true}, {Name: names[5] + "x", Type: bigint, Published: true}}}}
			t.owners = []string{names[6]}
			if i == 3 {
				t.unfit = []string{"x\ny"}
			}
			s.tables = append(s.tables, t)
		}
		s.users = s.tables[0]
		text := s.yaml()
		decided := strings.ReplaceAll(text, "\n    # allow: ", "\n    allow: ")
		cfg, err := config.Parse("f", []byte(decided), func(name string) (string, bool) { return "postgres://app@db/shop", name == "DATABASE_URL" })
		if err != nil {
			t.Fatalf("%q: %v\n%s", names, err, text)
		}
		var got, want []string
		for _, c := range cfg.Channels {
			got = append(got, fmt.Sprintf("%q.%q %q", c.Schema, c.Table, c.Columns))
		}
		for i, table := range s.tables {
			if i != 3 {
				want = append(want, fmt.Sprintf("%q.%q %q", table.schema, table.name, []string{names[6], names[5] + "x"}))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s(-want +got):\n%s", text, diff)
		}
	}
}

// Which table is that of the users, and which column of others points to one.
func TestInitGuesses(t *testing.T) {
	t.Parallel()
	bigint := &change.Type{Name: "bigint", Kind: change.KindInt}
	uuid := &change.Type{Name: "uuid"}
	table := func(name string, typ *change.Type, columns ...string) *schemaTable {
		out := &schemaTable{schema: "public", name: name, table: &replication.Table{Key: []string{"id"}, Columns: []replication.TableColumn{{Name: "id", Type: typ}}}}
		for _, c := range columns {
			out.table.Columns = append(out.table.Columns, replication.TableColumn{Name: strings.TrimSuffix(c, "!"), Type: bigint, NotNull: strings.HasSuffix(c, "!")})
		}
		return out
	}
	refer := func(from *schemaTable, to *schemaTable, columns ...string) *schemaTable {
		for _, c := range columns {
			from.refs = append(from.refs, reference{c, to.oid, "id"})
		}
		return from
	}
	accounts, users, user := table("accounts", uuid), table("Users", bigint), table("user", &change.Type{Name: "point"})
	accounts.oid, users.oid, user.oid = 1, 2, 3
	posts := refer(table("posts", bigint, "editor", "author!", "owner_id"), users, "editor", "author", "owner_id")
	carts := table("carts", bigint, "user_id") // without a foreign key
	bills := refer(table("bills", bigint, "user_id", "payer"), users, "payer")
	keys := refer(table("keys", bigint, "account_id"), accounts, "account_id")
	other := table("other", bigint, "account_id")
	s := &schema{tables: []*schemaTable{accounts, users, user, posts, carts, bills, keys, other}}
	s.findUsers()
	if s.users != users {
		t.Fatalf("users is %v", s.users)
	}
	people := table("people", bigint) // as many foreign keys as users, and a name that says less
	people.oid = 4
	s.tables = append([]*schemaTable{refer(table("a", bigint), people, "w", "x", "y", "z")}, append(s.tables, people)...)
	if s.users = nil; len(posts.refs)+len(bills.refs) != 4 {
		t.Fatal("not as many")
	}
	if s.findUsers(); s.users != users {
		t.Errorf("users is %v", s.users)
	}
	for _, table := range s.tables {
		table.findOwners(s.users)
	}
	for table, want := range map[*schemaTable]string{accounts: "", users: "id", posts: "owner_id author editor", carts: "user_id", bills: "payer", keys: "", other: ""} {
		if got := strings.Join(table.owners, " "); got != want {
			t.Errorf("%s: %s, want %s", table.name, got, want)
		}
	}
}
