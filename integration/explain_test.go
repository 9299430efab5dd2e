package integration

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// explains are a database and a configuration to ask explain about.
func explains(t *testing.T) (*database, *relay) {
	db := newDatabase(t,
		"create type status as enum ('draft', 'placed')",
		`create table orders (id bigint primary key, customer_id bigint, status status, tags text[], at timestamptz);
		 insert into orders values (7, 42, 'placed', '{a,b}', '2026-11-21 10:00+02'), (8, 43, 'draft', null, null), (9, null, null, '{a,NULL}', 'infinity')`,
		`create table "Line Items" (order_id bigint, "No" int, sku text, primary key ("No", order_id)); insert into "Line Items" values (7, 1, 'x'), (7, 2, 'it''s')`,
		"create table notes (slug text primary key, body text); insert into notes values ('{a}', 'x'), ('b', 'y')",
		"create table log (a int); alter table log replica identity full; insert into log values (1)")
	db.exec(t, "alter table orders replica identity full", `alter table "Line Items" replica identity full`)
	r := newRelay(t, db, standard(`claims: {id: bigint, role: text, ids: "bigint[]"}
channels:
  orders:
    table: orders
    where: row.status != "draft"
    allow: row.customer_id == user.id || user.role in row.tags
    snapshot: {}
  "items/{order}":
    table: public."Line Items"
    where: row.order_id == params.order
    allow: user.role == "admin"
  notes: {table: notes, allow: public}
  signed: {table: notes, allow: true}
  late: {table: orders, allow: row.at >= "2026-11-21T08:00:00Z" && row.at < "2027-01-01 00:00:00+00"}
  log: {table: log, allow: public}
`))
	return db, r
}

// explained is what explain prints; the first line says where the channel stands.
func (r *relay) explained(t testing.TB, args ...string) exit {
	t.Helper()
	var cmd *exec.Cmd = r.command(t, append([]string{"explain", "-c", r.config}, args...)...)
	out := startProcess(t, cmd).wait(t)
	out.stdout = strings.ReplaceAll(out.stdout, r.config, "walrelay.yaml")
	out.stderr = strings.ReplaceAll(out.stderr, r.config, "walrelay.yaml")
	return out
}

// The rule, each part's value for the row, the plan, and the verdict in words.
func TestExplain(t *testing.T) {
	t.Parallel()
	_, r := explains(t)
	for _, test := range []struct{ name, args, want string }{
		{"yes", `--channel orders --user {"id":42} --key 7`, `channel   orders of public.orders (walrelay.yaml:7:3)
user      {"id":42}
plan      once per change: row.status != "draft"
          hash[customer_id] U hash[each of tags]
row       public.orders with id = 7
index     way 1 of 2: found under 1 key
index     way 2 of 2: no row can match for this user
snapshot  where ("status" <> $1::public.status AND "customer_id" = $2::bigint)
          $1 = draft
          $2 = 42
where     true     row.status != "draft"   [row.status = "placed"]
allow     true     row.customer_id == user.id || user.role in row.tags
            true     row.customer_id == user.id   [row.customer_id = 42, user.id = 42]
            unknown  user.role in row.tags   [user.role = NULL, row.tags = ["a", "b"]]   user.role is NULL
verdict   YES, the user gets the row
`},
		{"no, with both parts", `--channel orders --user {"id":42,"role":"b"} --key {"id":8}`, `channel   orders of public.orders (walrelay.yaml:7:3)
user      {"id":42,"role":"b"}
plan      once per change: row.status != "draft"
          hash[customer_id] U hash[each of tags]
row       public.orders with id = 8
index     way 1 of 2: found under 1 key
index     way 2 of 2: found under 1 key
snapshot  where ("status" <> $1::public.status AND ("customer_id" = $2::bigint OR $3::text = ANY("tags")))
          $1 = draft
          $2 = 42
          $3 = b
where     false    row.status != "draft"   [row.status = "draft"]
allow     unknown  row.customer_id == user.id || user.role in row.tags   row.tags is NULL
            false    row.customer_id == user.id   [row.customer_id = 43, user.id = 42]
            unknown  user.role in row.tags   [user.role = "b", row.tags = NULL]   row.tags is NULL
verdict   NO, the user does not get the row: where is not true (row.status != "draft" is false), and allow is not true (row.customer_id == user.id is false, user.role in row.tags is unknown: row.tags is NULL)
`},
		{"refused", `--channel items/7 --user {"id":42} --key {"No":2,"order_id":7}`, `channel   items/7, which is items/{order} of public.Line Items (walrelay.yaml:12:3)
user      {"id":42}
plan      at subscribe: user.role == "admin"
          hash[order_id]
row       public.Line Items with No = 2, order_id = 7
where     row.order_id == params.order
allow     user.role == "admin"
verdict   NO, the user does not get the row, nor any other: user.role == "admin" is not true for this user: 403
`},
		{"nobody", `--channel signed --key b`, `channel   signed of public.notes (walrelay.yaml:17:3)
user      nobody is signed in
plan      all
row       public.notes with slug = b
allow     true: everybody who is signed in
verdict   NO, the user does not get the row, nor any other: nobody is signed in, and the channel is not public: 401 (name the user's claims with --user)
`},
		{"public", `--channel notes --key {"slug":"{a}"}`, `channel   notes of public.notes (walrelay.yaml:16:3)
user      nobody is signed in
plan      all
row       public.notes with slug = {a}
index     all rows that pass what is evaluated once per change
allow     public: everybody, without a session
verdict   YES, the user gets the row
`},
		{"subscribe", `--channel items/07 --user {"role":"admin"}`, `channel   items/07, which is items/{order} of public.Line Items (walrelay.yaml:12:3)
user      {"role":"admin"}
plan      at subscribe: user.role == "admin"
          hash[order_id]
where     row.order_id == params.order
allow     user.role == "admin"
param     order = 7 (bigint)
index     found under 1 key
verdict   YES, the user may subscribe; which rows come is decided for each row: name one with --key
`},
		{"not subscribe", `--channel items/7 --user {}`, `channel   items/7, which is items/{order} of public.Line Items (walrelay.yaml:12:3)
user      {}
plan      at subscribe: user.role == "admin"
          hash[order_id]
where     row.order_id == params.order
allow     user.role == "admin"
verdict   NO, the user may not subscribe: user.role == "admin" is not true for this user: 403
`},
	} {
		got := r.explained(t, strings.Split(test.args, " ")...)
		if diff := cmp.Diff(test.want, got.stdout); diff != "" || got.code != 0 || got.stderr != "" {
			t.Errorf("%s: exit code %d, %s(-want +got):\n%s", test.name, got.code, got.stderr, diff)
		}
	}
	// Values are read as replication has them, in its time zone.
	for key, verdict := range map[string]string{"7": "YES, ", "9": `NO, the user does not get the row: allow is not true (row.at < "2027-01-01 00:00:00+00" is false)`, "8": "NO, "} {
		if got := r.explained(t, "--channel", "late", "--user", "{}", "--key", key); got.code != 0 || !strings.Contains(got.stdout, "\nverdict   "+verdict) {
			t.Errorf("order %s: exit code %d, %s%s", key, got.code, got.stderr, got.stdout)
		}
	}
}

// What cannot be explained is an error in one line, with what to do.
func TestExplainErrors(t *testing.T) {
	t.Parallel()
	db, r := explains(t)
	for _, test := range []struct{ args, says string }{
		{`--key 7`, "explain: which channel? name it with --channel"},
		{`--channel order --key 7`, `walrelay.yaml has no channel "order"; did you mean "orders"?`},
		{`--channel items --key 7`, `has no channel "items"`},
		{`--channel orders --user {"id":"x"}`, "explain: --user: claim id: "},
		{`--channel orders --user 42`, "explain: --user: "},
		{`--channel items/x --user {"role":"admin"}`, `explain: channel "items/x": parameter order: `},
		{`--channel orders --user {} --key 99`, "explain: public.orders has no row with id = 99"},
		{`--channel orders --user {} --key seven`, `explain: read row id = seven of public.orders: ERROR: invalid input syntax for type bigint: "seven" (SQLSTATE 22P02); fix: correct --key`},
		{`--channel orders --user {} --key {"no":7}`, `explain: --key {"no":7}: "no" is no column of the key (id)`},
		{`--channel items/7 --user {} --key 7`, `explain: --key 7: the key has the columns No, order_id; write a JSON object, such as '{"No": 7, ...}'`},
		{`--channel items/7 --user {} --key {"No":7}`, `explain: --key {"No":7}: the column "order_id" of the key is missing`},
		{`--channel log --key 1`, "explain: table public.log has no primary key, so that --key names no row"},
	} {
		got := r.explained(t, strings.Split(test.args, " ")...)
		if got.code != 1 || !strings.Contains(got.stderr, test.says) || strings.Count(got.stderr, "\n") != 1 || got.stdout != "" {
			t.Errorf("%s: exit code %d, want 1 and %q; got %q and\n%s", test.args, got.code, test.says, got.stderr, got.stdout)
		}
	}
	role := db.role(t, "replication")
	r.as(db, role, "")
	want := "ERROR: permission denied for table orders (SQLSTATE 42501); fix: GRANT SELECT ON public.orders TO "
	if got := r.explained(t, "--channel", "orders", "--user", "{}", "--key", "7"); got.code != 1 || !strings.Contains(got.stderr, want) {
		t.Errorf("exit code %d, %s", got.code, got.stderr)
	}
	r.writeConfig(t, standard(`channels: {orders: {table: orders, allow: public, where: row.staus == "draft"}, gone: {table: gone, allow: public}}`))
	for name, want := range map[string]string{
		"orders": `walrelay.yaml:5:62: channels.orders.where: table public.orders has no column "staus"; did you mean "status"?`,
		"gone":   "channels.gone.table: there is no table public.gone",
	} {
		if got := r.explained(t, "--channel", name, "--key", "7"); got.code != 1 || !strings.Contains(got.stderr, want) {
			t.Errorf("%s: exit code %d, %s", name, got.code, got.stderr)
		}
	}
}
