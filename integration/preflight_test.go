package integration

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/walrelay/walrelay/pgtemp"
)

// Tables that must not be published as they are. One run of check names all of
// them, each with its place in the configuration and the SQL that mends it; nothing
// has been changed in the database by then, so the application can write.
func TestPreflightTables(t *testing.T) {
	t.Parallel()
	db := newDatabase(t,
		"create table orders (id int primary key, status text, customer_id int)",
		"create table keyless (a int, b text); insert into keyless values (1, 'x')",
		"create table nothing (id int primary key); alter table nothing replica identity nothing; insert into nothing values (1)",
		"create unlogged table fast (id int primary key)",
		"create view seen as select * from orders",
		"create table deferred (id int primary key deferrable); insert into deferred values (1)",
		`create table lost_index (id int primary key, code int not null); create unique index lost on lost_index (code);
		 alter table lost_index replica identity using index lost; drop index lost; insert into lost_index values (1, 1)`,
		`create table other_key (id int primary key, code int not null); create unique index other_code on other_key (code);
		 alter table other_key replica identity using index other_code`,
		`create table days (id int, day int, note text) partition by range (day); alter table days replica identity full;
		 create table days_1 partition of days for values from (1) to (2); insert into days values (1, 1, 'x');
		 create table days_2 partition of days for values from (2) to (3); alter table days_2 replica identity full`,
		`create table weeks (id int, week int, note text, primary key (id, week)) partition by range (week); alter table weeks replica identity full;
		 create table weeks_1 partition of weeks for values from (1) to (2)`,
		`create table rooms (id int primary key, room int)`)
	r := newRelay(t, db, standard(`channels:
  orders: {table: public.orders, columns: [id, staus], allow: public}
  ordrs: {table: ordrs, allow: public}
  elsewhere: {table: shop.orders, allow: public}
  keyless: {table: keyless, allow: public}
  nothing: {table: nothing, allow: public}
  fast: {table: fast, allow: public}
  seen: {table: seen, allow: public}
  deferred: {table: deferred, allow: public}
  lost_index: {table: lost_index, allow: public}
  other_key: {table: other_key, allow: public}
  days: {table: days, allow: public}
  weeks: {table: weeks, allow: public}
  weeks_1: {table: weeks_1, allow: public}
  "rooms/{room}":
    table: rooms
    where: row.room == params.room
    allow: public
`))
	r.wantRefused(t,
		`walrelay.yaml:6:43: channels.orders.columns: table public.orders: it has no column "staus"; did you mean "status"\?`,
		`walrelay.yaml:7:18: channels.ordrs.table: table public.ordrs: it does not exist, or the role may not see its schema; did you mean "public.orders"\?`,
		`walrelay.yaml:8:22: channels.elsewhere.table: table shop.orders: it does not exist`,
		`walrelay.yaml:9:20: channels.keyless.table: table public.keyless: it has no primary key and so no replica identity: .*fix: ALTER TABLE public.keyless ADD PRIMARY KEY .*; or ALTER TABLE public.keyless REPLICA IDENTITY FULL;`,
		`walrelay.yaml:10:20: channels.nothing.table: table public.nothing: its replica identity is NOTHING: .*fix: ALTER TABLE public.nothing REPLICA IDENTITY DEFAULT;`,
		`walrelay.yaml:11:17: channels.fast.table: table public.fast: it is UNLOGGED: .*ALTER TABLE .* SET LOGGED`,
		`walrelay.yaml:12:17: channels.seen.table: table public.seen: it is no table \(a view`,
		`walrelay.yaml:13:21: channels.deferred.table: table public.deferred: its primary key is DEFERRABLE, .*fix: ALTER TABLE public.deferred REPLICA IDENTITY FULL;`,
		`walrelay.yaml:14:23: channels.lost_index.table: table public.lost_index: the index of its replica identity is gone: .*fix: ALTER TABLE public.lost_index REPLICA IDENTITY DEFAULT;`,
		`walrelay.yaml:15:22: channels.other_key.table: table public.other_key: its replica identity does not carry the primary key column "id", .*fix: ALTER TABLE public.other_key REPLICA IDENTITY DEFAULT;`,
		`walrelay.yaml:16:17: channels.days.table: table public.days: it has a partition \(public.days_1\) without usable replica identity: .*fix: ALTER TABLE public.days_1 REPLICA IDENTITY FULL;`,
		`walrelay.yaml:17:18: channels.weeks.table: table public.weeks: it has a partition \(public.weeks_1\) with another replica identity .*fix: ALTER TABLE public.weeks_1 REPLICA IDENTITY FULL;`,
		`walrelay.yaml:21:12: channels.rooms/\{room\}.where: table public.rooms: its replica identity does not carry column "room", .*fix: ALTER TABLE public.rooms REPLICA IDENTITY FULL;$`,
		`walrelay.yaml:18:20: channels.weeks_1.table: table public.weeks_1: it is a partition of public.weeks, which is published too`,
	)
	if n := db.value(t, "select count(*) from pg_publication"); n != "0" {
		t.Errorf("there are %s publications", n)
	}
	db.wantWritable(t, "refused")
}

// A parameter needs a column whose values have one spelling.
func TestPreflightParameterType(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table prices (id int primary key, price double precision); alter table prices replica identity full; insert into prices values (1, 2)")
	r := newRelay(t, db, standard(`channels:
  "prices/{price}": {table: prices, where: row.price == params.price, allow: public}
`))
	r.wantRefused(t, `walrelay.yaml:6:57: channels.prices/\{price\}.where: params.price cannot be compared with double precision`)
	db.wantWritable(t, "refused")
}

// What check warns of, and what serve then does: the application can write to every
// table, also to those that walrelay does not know, and to a partition made later.
func TestPreflightWarnings(t *testing.T) {
	t.Parallel()
	db := newDatabase(t,
		"create table plain (id int primary key); insert into plain values (1)",
		"create table keyless (a int, b text); alter table keyless replica identity full; insert into keyless values (1, 'x')",
		"create table parents (id int primary key); create table heirs (n int) inherits (parents); insert into heirs values (1, 2)",
		"create table secure (id int primary key); alter table secure enable row level security; insert into secure values (1)",
		"create table days (id int, day int, primary key (id, day)) partition by range (day); create table days_1 partition of days for values from (1) to (2); insert into days values (1, 1)",
		"create table unknown (a int); insert into unknown values (1)")
	r := newRelay(t, db, standard(publicTables("plain", "keyless", "parents", "secure", "days")))
	r.wantCheck(t,
		`^warning  .*channels.keyless.table: table public.keyless: it has no primary key: the whole row serves as its key in events; fix: ALTER TABLE public.keyless ADD PRIMARY KEY`,
		`^warning  .*channels.parents.table: table public.parents: other tables inherit from it`,
		`^warning  .*channels.secure.table: table public.secure: it has row level security, which walrelay does not apply`,
		`^warning  .*channels.days.table: public.days is partitioned: Postgres does not publish the TRUNCATE of a single partition`,
		`^ok       Postgres \d+\.\d+.*, database `+db.name+`, role postgres$`,
		`^will do  CREATE PUBLICATION `+db.name+` FOR TABLE public.plain, public.keyless, ONLY public.parents, public.secure, public.days WITH \(publish = 'insert, update, delete, truncate', publish_via_partition_root = true(, publish_generated_columns = stored)?\);$`,
		`^will do  select pg_create_logical_replication_slot\('`+db.name+`', 'pgoutput'(, failover => true)?\);$`)
	r.start(t)
	r.waitReady(t)
	db.wantWritable(t, "served")
	db.exec(t, "create table days_2 partition of days for values from (2) to (3); insert into days values (2, 2)")
	db.wantWritable(t, "served, with a new partition")
	s := r.live(t, "plain", "parents", "days")
	s.readTo(t, endMark(t, db, "plain"))
	wantLines(t, "rows", s.told(t, db, "plain", "insert into heirs values (2, 3); insert into parents values (3); insert into unknown values (2)", "delete from days"), []string{
		`1.0 parents insert {"id":3} {"id":3}`,
		`2.0 days delete {"id":1,"day":1}`,
		`2.1 days delete {"id":2,"day":2}`,
	})
	// Nothing is left to do, and it may run beside the walrelay.
	r.wantCheck(t, `^warning`, `^warning`, `^warning`, `^warning`,
		`^note     log.dir: `+r.logDir+` is in use by a walrelay \(pid `+fmt.Sprint(r.cmd.Process.Pid)+`\): fine when that is the one of this configuration$`,
		`^note     slot `+db.name+`: it is in use by a process \(walsender PID \d+, application walrelay from 127.0.0.1\): fine when that is the walrelay of this configuration$`,
		`^ok `)
}

// A publication that somebody else has made is not taken as it is when clients would
// miss something or the application would fail.
func TestPreflightPublication(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, sql string
		since     int // the Postgres that knows it
		problem   string
	}{
		{"all tables", "create publication $pub for all tables", 14,
			`publication $pub: it is FOR ALL TABLES: .*fix: DROP PUBLICATION $pub;`},
		{"tables in schema", `create schema "Shop"; create publication $pub for tables in schema public, "Shop" with (publish_via_partition_root = true)`, 15,
			`publication $pub: it has TABLES IN SCHEMA "Shop", public: .*fix: ALTER PUBLICATION $pub DROP TABLES IN SCHEMA "Shop", public; walrelay adds`},
		{"tables in schema besides", "create publication $pub for table items, tables in schema public with (publish_via_partition_root = true)", 15,
			`publication $pub: it has TABLES IN SCHEMA public: .*fix: ALTER PUBLICATION $pub DROP TABLES IN SCHEMA public;`},
		{"column list", "create publication $pub for table items (id) with (publish_via_partition_root = true)", 15,
			`publication $pub: it has a column list on public.items, .*fix: ALTER PUBLICATION $pub DROP TABLE public.items;`},
		{"row filter", "create publication $pub for table items where (id > 5) with (publish_via_partition_root = true)", 15,
			`publication $pub: it has a row filter on public.items: .*fix: ALTER PUBLICATION $pub DROP TABLE public.items;`},
		{"without delete", "create publication $pub for table items with (publish = 'insert, update, truncate', publish_via_partition_root = true)", 14,
			`publication $pub: it does not publish all of insert, update, delete and truncate, .*fix: ALTER PUBLICATION $pub SET \(publish = 'insert, update, delete, truncate'\);`},
		{"without root", "create publication $pub for table days", 14,
			`publication $pub: it publishes partitions under their own names, .*fix: ALTER PUBLICATION $pub SET \(publish_via_partition_root = true\);`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if sharedCluster(t).Version() < test.since {
				return // there is no such publication
			}
			t.Parallel()
			db := newDatabase(t, "create table items (id int primary key); insert into items values (7)",
				"create table days (id int, day int, primary key (id, day)) partition by range (day)")
			db.exec(t, strings.ReplaceAll(test.sql, "$pub", db.name))
			r := newRelay(t, db, standard(publicTables("items", "days")))
			r.wantRefused(t, strings.ReplaceAll(test.problem, "$pub", db.name))
			db.wantWritable(t, "refused")
		})
	}
}

// A misspelt table must not make anybody drop the right one from the publication.
func TestPreflightMisspeltTable(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key)")
	db.exec(t, "create publication "+db.name+" for table items")
	r := newRelay(t, db, standard(publicTables("itmes")))
	out := r.command(t, "check", "-c", r.config)
	got := startProcess(t, out).wait(t)
	if got.code != 1 || !strings.Contains(got.stdout, "table public.itmes: it does not exist") || strings.Contains(got.stdout, "DROP TABLE") {
		t.Errorf("exit code %d\n%s%s", got.code, got.stdout, got.stderr)
	}
}

// A publication that lacks tables is extended; one that has others is left alone.
func TestPreflightPublicationExtended(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key)", "create table more (id int primary key)", "create table others (id int primary key)")
	db.exec(t, "create publication "+db.name+" for table items, others")
	r := newRelay(t, db, standard(publicTables("items", "more")))
	want := []string{`^warning  publication ` + db.name + `: it contains public.others, which neither channels nor auth use: .*fix: ALTER PUBLICATION ` + db.name + ` DROP TABLE public.others;`, `^ok `}
	if db.cluster.Version() >= 18 {
		want = append(want, `^will do  ALTER PUBLICATION `+db.name+` SET \(publish_generated_columns = stored\);$`)
	}
	r.wantCheck(t, append(want, `^will do  ALTER PUBLICATION `+db.name+` ADD TABLE public.more;$`, `^will do  select pg_create_logical_replication_slot`)...)
	r.start(t)
	r.waitReady(t)
	if got := db.value(t, "select string_agg(tablename, ' ' order by tablename) from pg_publication_tables where pubname = $1", db.name); got != "items more others" {
		t.Errorf("the publication has %s", got)
	}
	s := r.live(t, "items", "more")
	wantLines(t, "rows", s.told(t, db, "items", "insert into more values (1); insert into others values (2); insert into items values (3)"), []string{
		`1.0 more insert {"id":1} {"id":1}`,
		`1.2 items insert {"id":3} {"id":3}`,
	})
}

// A role may lack what walrelay needs. What somebody else has to run is printed.
func TestPreflightRole(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key); insert into items values (1)")
	role := db.role(t, "")
	r := newRelay(t, db, standard(publicTables("items")))
	r.as(db, role, "")
	r.wantRefused(t, `role `+role+`: it may not use replication; fix: ALTER ROLE `+role+` REPLICATION;`)

	db.exec(t, "alter role "+role+" replication")
	out := runWalrelay(t, r.env, "check", "-c", r.config)
	sql := between(out.stdout, "run: ", "\n")
	r.wantRefused(t, `publication `+db.name+`: it does not exist and role `+role+` may not mend that \(lacks CREATE on database `+db.name+`, ownership of table public.items\); `+
		`fix: as a superuser or the owner of the tables run: CREATE PUBLICATION `+db.name+` FOR TABLE public.items WITH \(.*\);`)
	db.wantWritable(t, "refused")

	db.exec(t, "alter database "+db.name+" owner to "+role, "alter table items owner to "+role, "alter role "+role+" set default_transaction_read_only = on")
	r.start(t)
	r.wantRefusal(t, `prepare publication `+db.name+`: .*read-only transaction.*; fix: as the owner of the tables \(or a superuser\) run: CREATE PUBLICATION`)
	db.exec(t, "alter database "+db.name+" owner to postgres", "alter table items owner to postgres")

	db.exec(t, sql) // what was printed is what it takes
	r.start(t)
	r.waitReady(t)
	s := r.live(t, "items")
	wantLines(t, "rows", s.told(t, db, "items", "insert into items values (2)"), []string{`1.0 items insert {"id":2} {"id":2}`})
	r.terminate(t)

	db.exec(t, "create table more (id int primary key)")
	r.writeConfig(t, standard(publicTables("items", "more")))
	r.wantRefused(t, `publication `+db.name+`: it lacks tables or settings and role `+role+` may not mend that \(lacks ownership of the publication, ownership of table public.more\); `+
		`fix: as a superuser or the owner of the tables run: ALTER PUBLICATION `+db.name+` ADD TABLE public.more;`)
}

// between is the text after one mark and before the next.
func between(text, after, before string) string {
	_, text, _ = strings.Cut(text, after)
	text, _, _ = strings.Cut(text, before)
	return text
}

// The owner of the tables can do all of it without being a superuser.
func TestPreflightOwner(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	role := db.role(t, "replication")
	db.exec(t, "grant create on database "+db.name+" to "+role, "create schema app authorization "+role,
		"set role "+role+"; create table app.items (id int primary key)")
	r := newRelay(t, db, standard("channels: {items: {table: app.items, allow: public}}\n"))
	r.as(db, role, "")
	r.start(t)
	r.waitReady(t)
	s := r.live(t, "items")
	wantLines(t, "rows", s.told(t, db, "items", "insert into app.items values (2)"), []string{`1.0 items insert {"id":2} {"id":2}`})
	r.terminate(t)
	if out := runWalrelay(t, r.env, "teardown", "--yes", "-c", r.config); out.code != 0 {
		t.Errorf("teardown: exit code %d: %s", out.code, out.stderr)
	}
}

// A server that cannot be used as it is.
func TestPreflightServer(t *testing.T) {
	t.Parallel()
	cluster := newCluster(t, pgtemp.Options{
		Settings: map[string]string{"wal_level": "replica"},
		HBA:      []string{"host all app 127.0.0.1/32 scram-sha-256", "host all stranger 127.0.0.1/32 reject"},
	})
	db := newDatabaseOn(t, cluster, "create table items (id int primary key); insert into items values (1)",
		"create role app login replication password 'right'", "create role stranger login replication")
	r := newRelay(t, db, standard(publicTables("items")))
	for _, test := range []struct{ name, url, problem string }{
		{"wrong password", cluster.UserURL(db.name, "app", "s3cret"),
			`connect to Postgres at 127.0.0.1:\d+ as app: password authentication failed for user "app"; fix: correct the password in postgres.url`},
		{"unknown database", cluster.URL("nowhere"),
			`connect to Postgres at 127.0.0.1:\d+ as postgres: database "nowhere" does not exist; fix: correct the database name in postgres.url`},
		{"unknown role", cluster.UserURL(db.name, "nobody", ""),
			`connect to Postgres at 127.0.0.1:\d+ as nobody: role "nobody" does not exist; fix: .*correct postgres.url`},
		{"kept out", cluster.UserURL(db.name, "stranger", ""),
			`connect to Postgres at 127.0.0.1:\d+ as stranger: pg_hba.conf rejects connection for host .*; fix: allow the role and host in pg_hba.conf`},
		{"no URL", "postgres://:::", `postgres.url`},
	} {
		env := append(r.env, "DATABASE_URL="+test.url)
		for _, command := range []string{"check", "serve", "teardown --yes"} {
			out := runWalrelay(t, env, append(strings.Fields(command), "-c", r.config)...)
			wantProblems(t, out, test.problem)
			if strings.Contains(out.stderr, "s3cret") {
				t.Errorf("%s, %s: the password is in the output: %s", test.name, command, out.stderr)
			}
		}
	}
	r.wantRefused(t, `wal_level: it is "replica", logical replication needs logical; fix: ALTER SYSTEM SET wal_level = logical; then restart Postgres`)
	db.wantWritable(t, "refused")
	// What is printed mends it.
	db.exec(t, "alter system set wal_level = logical")
	if err := cluster.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.env = append(r.env, "DATABASE_URL="+cluster.UserURL(db.name, "app", "right"))
	db.exec(t, "alter table items owner to app", "grant create on database "+db.name+" to app")
	r.start(t)
	r.waitReady(t)
}

// What belongs to this machine: the log's directory and the ports.
func TestPreflightMachine(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key); insert into items values (1)")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, test := range []struct{ env, problem string }{
		{"LOG_DIR=" + file, `open event log ` + file + `: .*not a directory`},
		{"LOG_DIR=" + filepath.Join(file, "log"), `open event log .*/file/log: .*not a directory`},
		{"HTTP_LISTEN=" + taken.Addr().String(), `http.listen.*` + taken.Addr().String() + `.*address already in use`},
		{"ADMIN_LISTEN=" + taken.Addr().String(), `admin.listen.*` + taken.Addr().String() + `.*address already in use`},
	} {
		r := newRelay(t, db, standard(publicTables("items")))
		r.env = append(r.env, test.env)
		r.start(t)
		r.wantRefusal(t, test.problem)
	}
	unreadableDirectory(t, db)
	checkMachine(t, db, file)
	if n := db.value(t, "select count(*) from pg_replication_slots where slot_name = $1", db.name); n != "0" {
		t.Error("a slot was created")
	}
	db.wantWritable(t, "refused")
}

// checkMachine runs check where serve would not start because of this machine's files:
// all is told at once, also when Postgres cannot be asked. Nothing is made.
func checkMachine(t *testing.T, db *database, file string) {
	t.Helper()
	r := newRelay(t, db, strings.Replace(standard(publicTables("items")), "http: {", `http: {tls: {cert: "${CERT}", key: "${CERT}"}, `, 1))
	for _, test := range []struct{ dir, cert, problem string }{
		{file, "", `log.dir: directory ` + file + `: use ` + file + `: not a directory; fix: make it a directory that user id \d+ may read and write, or name another`},
		{filepath.Join(file, "log"), "", `log.dir: directory .*/file/log: .*not a directory; fix:`},
		{filepath.Join(t.TempDir(), "a", "b"), file, `http.tls: cert ` + file + ` and key ` + file + `: .*PEM.*; fix: name a certificate and its key`},
		{filepath.Join(t.TempDir(), "a", "b"), file + "2", `http.tls: cert .*no such file or directory; fix:`},
	} {
		for _, url := range []string{db.url(), "postgres://127.0.0.1:1/nowhere"} {
			out := runWalrelay(t, append(r.env, "LOG_DIR="+test.dir, "CERT="+test.cert, "DATABASE_URL="+url), "check", "-c", r.config)
			if re := regexp.MustCompile(`(?m)^error    .*walrelay.yaml:\d+:\d+: ` + test.problem); out.code != 1 || len(re.FindAllString(out.stdout, -1)) != 1 || strings.Count(out.stdout, "error  ") != 1 {
				t.Errorf("check: exit code %d, want 1 and %s:\n%s%s", out.code, re, out.stdout, out.stderr)
			}
		}
		if _, err := os.Stat(filepath.Dir(test.dir)); err == nil && strings.HasSuffix(test.dir, "a/b") {
			t.Errorf("check made %s", filepath.Dir(test.dir))
		}
	}
}

// teardown leaves nothing behind, not while walrelay runs, and what it did can be
// done again.
func TestPreflightTeardown(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key)")
	r := newRelay(t, db, standard(publicTables("items")))
	teardown := func() exit { return runWalrelay(t, r.env, "teardown", "--yes", "-c", r.config) }
	traces := func() string {
		return db.value(t, "select count(*) || ' ' || (select count(*) from pg_publication) from pg_replication_slots where slot_name = $1", db.name)
	}
	if out := teardown(); out.code != 0 || out.stdout != "slot "+db.name+" does not exist\npublication "+db.name+" does not exist\n" {
		t.Errorf("before the first start: exit code %d, %s%s", out.code, out.stdout, out.stderr)
	}
	r.start(t)
	r.waitReady(t)
	id := r.live(t, "items").lastID
	wantProblems(t, teardown(), `replication slot "`+db.name+`" is in use by another process \(walsender PID \d+, application walrelay from 127.0.0.1\); `+
		`fix: stop walrelay, then run teardown again; to end another process: select pg_terminate_backend\(\d+\);`)
	if got := traces(); got != "1 1" {
		t.Errorf("while it runs: %s slots and publications", got)
	}
	out := runWalrelay(t, r.env, "teardown", "-c", r.config) // without a terminal to ask on
	wantProblems(t, out, `teardown: not confirmed, nothing was changed; answer y or use --yes`)
	r.terminate(t)
	if out := teardown(); out.code != 0 || out.stdout != "slot "+db.name+" dropped\npublication "+db.name+" dropped\n" {
		t.Errorf("exit code %d, %s%s", out.code, out.stdout, out.stderr)
	}
	if got := traces(); got != "0 0" {
		t.Errorf("afterwards: %s slots and publications", got)
	}
	r.wantCheck(t, `^ok `, `^will do  CREATE PUBLICATION`, `^will do  select pg_create_logical_replication_slot`)
	r.start(t)
	r.waitReady(t)
	s := r.wantResetTo(t, id, "gap", "items")
	wantLines(t, "rows", s.told(t, db, "items", "insert into items values (1)"), []string{`1.0 items insert {"id":1} {"id":1}`})
}

// The names of slot and publication go into replication commands; a publication may
// be called anything.
func TestPreflightPublicationName(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table items (id int primary key)")
	const name = `Relay, "it's" ü; --`
	r := newRelay(t, db, standard(publicTables("items")))
	r.env = append(r.env, "PUBLICATION="+name)
	r.start(t)
	r.waitReady(t)
	s := r.live(t, "items")
	wantLines(t, "rows", s.told(t, db, "items", "insert into items values (1)"), []string{`1.0 items insert {"id":1} {"id":1}`})
	if got := db.value(t, "select pubname from pg_publication"); got != name {
		t.Errorf("the publication is called %s", got)
	}
	r.wantCheck(t, `^note`, `^note`, `^ok `)
	r.terminate(t)
	if out := runWalrelay(t, r.env, "teardown", "--yes", "-c", r.config); out.code != 0 || db.value(t, "select count(*) from pg_publication") != "0" {
		t.Errorf("teardown: exit code %d, %s%s", out.code, out.stdout, out.stderr)
	}
}
