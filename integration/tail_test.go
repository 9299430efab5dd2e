package integration

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// startTail starts walrelay tail with the relay's configuration and waits until it
// is live.
func startTail(t testing.TB, r *relay, args ...string) *process {
	t.Helper()
	p := startProcess(t, r.command(t, append([]string{"tail", "-c", r.config}, args...)...))
	p.stderr.waitFor(t, "^tail: (live|resumed) at ")
	return p
}

// The walk through tail: rows as lines for people, from now or from a place, over a
// restart, up to a count.
func TestTail(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, itemsTable)
	r := startRelay(t, db, settings{channels: itemsChannels}.yaml())
	at := db.walEnd(t)
	before := r.live(t, "items")
	db.exec(t, insertItem(1))
	before.wantRow(t, "insert", "items", 1) // walrelay has passed it: a tail that starts now must not show it
	p := startTail(t, r, "items", "item/3")
	db.exec(t, insertItem(2))
	p.stdout.waitFor(t, `^\d\d:\d\d:\d\d\.\d{6} items +insert +{"id":2} {"id":2,"name":"item 2"}$`)
	r.kill9(t)
	p.stderr.waitFor(t, "^tail: no stream, trying again: ")
	db.exec(t, insertItem(3), "delete from items where id = 3")
	r.start(t)
	p.stdout.waitFor(t, `items +insert +{"id":3} {.*}\n.* item/3 +insert +{"id":3} {.*}\n.* items +delete +{"id":3}\n.* item/3 +delete +{"id":3}$`)
	p.stderr.waitFor(t, "^tail: resumed at ")
	p.signal(t, syscall.SIGINT)
	if got := p.wait(t); got.code != 0 || strings.Contains(got.stdout, "item 1") {
		t.Errorf("exit code %d after Ctrl-C: %s%s", got.code, got.stdout, got.stderr)
	}

	r.waitReady(t)
	for name, args := range map[string][]string{
		"configuration": {"tail", "-c", r.config, "items", "--json", "--count", "3", "--from", at.String()},
		"address":       {"tail", "--url", r.url + "/events", "items", "--json", "--count", "3", "--from", at.String()},
	} {
		got := startProcess(t, r.command(t, args...)).wait(t)
		var seen []string
		for _, line := range strings.Split(strings.TrimSpace(got.stdout), "\n") {
			var e wireEvent
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatalf("%s: %v: %s", name, err, line)
			}
			seen = append(seen, fmt.Sprintf("%s %s %d", e.Channel, e.Event, idOf(e)))
		}
		if got.code != 0 || strings.Join(seen, ", ") != "items insert 1, items insert 2, items insert 3" {
			t.Errorf("%s: exit code %d, %v; %s", name, got.code, seen, got.stderr)
		}
	}
	got := startProcess(t, r.command(t, "tail", "-c", r.config, "items", "--count", "1", "--from", "nonsense"))
	got.stdout.waitFor(t, `items +reset +forget the rows of this channel: unknown-id$`)
	db.exec(t, insertItem(9))
	if got := got.wait(t); got.code != 0 || !strings.Contains(got.stdout, `{"id":9}`) {
		t.Errorf("from nonsense: exit code %d: %s%s", got.code, got.stdout, got.stderr)
	}
}

// Commands that cannot do what was asked say so in one line and exit 1.
func TestCommandErrors(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, itemsTable)
	r := startRelay(t, db, settings{channels: itemsChannels}.yaml())
	for _, test := range []struct {
		args string
		says string
	}{
		{"tail -c CONFIG nope", `tail nope: there is no channel "nope"`},
		{"tail -c CONFIG items nope", `tail items nope: there is no channel "nope"`},
		{"tail -c CONFIG item/x", `parameter id: it is not a bigint`},
		{"tail --url http://127.0.0.1:1:1/ items", "tail http://127.0.0.1:1:1/: "},
		{"tail -c CONFIG", "requires at least 1 arg"},
		{"tail -c /nowhere.yaml items", "/nowhere.yaml"},
		{"serve -c /nowhere.yaml", "/nowhere.yaml"},
		{"serve -c CONFIG --log-level loud", `--log-level: "loud" is not a level (debug, info, warn, error)`},
		{"serve -c CONFIG --log-format xml", `--log-format: "xml" is not a format (text, json)`},
		{"serve -c CONFIG extra", `unknown command "extra"`},
		{"--nonsense", "unknown flag: --nonsense"},
		{"tail --nonsense items", "unknown flag: --nonsense"},
		{"version --nonsense", "unknown flag: --nonsense"},
		{"serv", `unknown command "serv"`},
		{"teardown -c CONFIG", "not confirmed"},
		{"teardown -c CONFIG --yes", db.name},
	} {
		cmd := r.command(t, strings.Fields(strings.ReplaceAll(test.args, "CONFIG", r.config))...)
		got := startProcess(t, cmd).wait(t)
		if got.code != 1 || !strings.Contains(got.lastLine, test.says) || strings.Count(got.stderr, "\n") != 1 || !strings.HasPrefix(got.stderr, "walrelay: ") {
			t.Errorf("walrelay %s: exit code %d, want 1 and one line that says %q; got:\n%s", test.args, got.code, test.says, got.stderr)
		}
	}
	got := runWalrelay(t, nil, "version")
	if got.code != 0 || !regexp.MustCompile(`^walrelay \S+\n$`).MatchString(got.stdout) || got.stderr != "" {
		t.Errorf("version: exit code %d: %q %q", got.code, got.stdout, got.stderr)
	}
	for _, args := range [][]string{{"--help"}, {"help", "tail"}, {"serve", "-h"}} {
		if got := runWalrelay(t, nil, args...); got.code != 0 || !strings.Contains(got.stdout, "Usage:") {
			t.Errorf("%v: exit code %d: %s", args, got.code, got.stdout)
		}
	}
}

// What the configuration says of a parameter's type must be so.
func TestDeclaredParameterTypes(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, `create type mood as enum ('sad', 'ok')`, `create schema s`, `create type s."Size" as enum ('s', 'm')`, `create domain nr as int`,
		`create table things (id bigint primary key, n nr, t varchar(10), u uuid, b bool, m mood, z s."Size")`, "alter table things replica identity full")
	channels := func(types string) string {
		return settings{channels: `  "thing/{n}/{t}/{u}/{b}/{m}/{z}":
    table: public.things
    where: row.n == params.n && row.t == params.t && row.u == params.u && row.b == params.b && row.m == params.m && row.z == params.z
    params: {` + types + `}
    allow: public
`}.yaml()
	}
	r := newRelay(t, db, channels(`n: bigint, t: text, u: uuid, b: bool, m: mood, z: 's."Size"'`))
	if got := startProcess(t, r.command(t, "check", "-c", r.config)).wait(t); got.code != 0 {
		t.Errorf("right types: %s", got.stderr)
	}
	r.writeConfig(t, channels(`n: uuid, t: bigint, u: text, b: numeric, m: 's."Size"', z: mood`))
	for _, command := range []string{"check", "serve"} {
		got := startProcess(t, r.command(t, command, "-c", r.config)).wait(t)
		if got.code != 1 {
			t.Errorf("%s with wrong types: exit code %d: %s", command, got.code, got.stderr)
		}
		for at, types := range map[int][2]string{12: {"integer", "uuid"}, 33: {"character varying", "bigint"}, 54: {"uuid", "text"}, 75: {"boolean", "numeric"}, 96: {"mood", `s."Size"`}, 117: {`s."Size"`, "mood"}} {
			want := fmt.Sprintf("walrelay.yaml:8:%d: channels.thing/{n}/{t}/{u}/{b}/{m}/{z}.where: cannot apply == to %s and %s\n", at, types[0], types[1])
			if !strings.Contains(got.stdout+got.stderr, want) {
				t.Errorf("%s does not say %q:\n%s%s", command, want, got.stdout, got.stderr)
			}
		}
	}
}
