package integration

import (
	"regexp"
	"strings"
	"testing"
)

// Somebody with the admin address can be any user: tail prints what that user gets.
func TestTailAs(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table orders (id bigint primary key, customer_id bigint, note text); alter table orders replica identity full")
	r := startRelay(t, db, standard(`claims: {id: {type: bigint, required: true}}
channels:
  orders: {table: orders, columns: [id, note], allow: row.customer_id == user.id}
  mine/{user}: {table: orders, columns: [id], allow: row.customer_id == user.id && params.user == user.id}
  all: {table: orders, columns: [id], allow: public}
`))
	p := startTail(t, r, "--as", `{"id":42}`, "orders")
	db.exec(t, "insert into orders values (1, 43, 'not his'), (2, 42, 'his')", "update orders set customer_id = 42, note = 'now his' where id = 1",
		"update orders set customer_id = 43, note = 'his no more' where id = 2", "delete from orders where id = 2", "update orders set note = 'last' where id = 1")
	p.stdout.waitFor(t, `orders +update +{"id":1} {"id":1,"note":"last"}$`)
	var got []string
	for line := range strings.Lines(p.stdout.String()) {
		got = append(got, strings.Join(strings.Fields(line)[1:], " "))
	}
	wantLines(t, "events", got, []string{
		`orders insert {"id":2} {"id":2,"note":"his"}`,
		`orders insert {"id":1} {"id":1,"note":"now his"}`,
		`orders delete {"id":2}`,
		`orders update {"id":1} {"id":1,"note":"last"}`,
	})
	for args, says := range map[string]string{
		`orders`:                             `; or be somebody, through the admin address: walrelay tail --as '{"id":42}' orders`,
		`--as {"id":"x"} orders`:             "claim id: ",
		`--as {} orders`:                     "claim id: ",
		`--as {"id":42} mine/43`:             "params.user == user.id",
		`--as {"id":42} mine/x`:              "parameter user: ",
		`--as {"id":42} order`:               `there is no channel "order"`,
		`--url http://127.0.0.1:1:1/ orders`: "not an address",
	} {
		out := startProcess(t, r.command(t, append([]string{"tail", "-c", r.config, "--count", "1"}, strings.Fields(args)...)...)).wait(t)
		if out.code != 1 || !strings.Contains(out.stderr, says) || strings.Count(out.stderr, "\n") != 1 {
			t.Errorf("tail %s: exit code %d, want %q in one line: %s", args, out.code, says, out.stderr)
		}
	}
	// What is public needs nobody.
	public := startTail(t, r, "all", "--count", "1")
	db.exec(t, "insert into orders values (5, 1, '')")
	if out := public.wait(t); out.code != 0 || !strings.Contains(out.stdout, `{"id":5}`) {
		t.Errorf("public: exit code %d, %s%s", out.code, out.stdout, out.stderr)
	}
}

// reload puts a new file in force and says so; one with mistakes changes nothing, and its
// problems are told, by whoever finds them.
func TestReloadCommand(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table orders (id bigint primary key, status text); alter table orders replica identity full")
	config := func(where string) string {
		return standard("channels:\n  orders: {table: orders, where: " + where + ", allow: public}\n")
	}
	r := startRelay(t, db, config(`row.status == "a"`))
	reload := func() exit {
		return startProcess(t, r.command(t, "reload", "-c", r.config)).wait(t)
	}
	s := r.live(t, "orders")
	for _, test := range []struct{ where, says string }{
		{`row.status = "b"`, `^walrelay: .*walrelay.yaml:6:45: channels.orders.where: unexpected "=" \(use == to compare\)\n$`},
		{`row.staus == "b"`, `^walrelay: .*walrelay.yaml:6:38: channels.orders.where: table public.orders has no column "staus"; did you mean "status"\?\n$`},
		{`row.id == "b"`, `^walrelay: .*walrelay.yaml:6:44: channels.orders.where: cannot apply == to bigint and text\n$`},
	} {
		r.writeConfig(t, config(test.where))
		if got := reload(); got.code != 1 || got.stdout != "" || !regexp.MustCompile(test.says).MatchString(got.stderr) {
			t.Errorf("%s: exit code %d, %q %q", test.where, got.code, got.stdout, got.stderr)
		}
	}
	wantLines(t, "with the old rule", s.told(t, db, "orders", "insert into orders values (1, 'a'), (2, 'b'); insert into orders values (3, 'a')"), []string{
		`1.0 orders insert {"id":1} {"id":1,"status":"a"}`,
		`1.2 orders insert {"id":3} {"id":3,"status":"a"}`,
	})
	r.writeConfig(t, config(`row.status == "b"`))
	if got := reload(); got.code != 0 || !strings.Contains(got.stdout, "1 channels in force") || got.stderr != "" {
		t.Errorf("exit code %d, %q %q", got.code, got.stdout, got.stderr)
	}
	s.wantReset(t, "view", "orders")
	r.terminate(t)
	if got := reload(); got.code != 1 || !strings.Contains(got.stderr, "fix: start walrelay, or correct admin.listen or --url") {
		t.Errorf("exit code %d, %q", got.code, got.stderr)
	}
}
