package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/walrelay/walrelay/config"
)

// The schema of a shop as one finds it, with everything that is in the way of a simple
// list of tables.
var shopSchema = []string{
	"create extension citext", // has no table; one that has is not at hand everywhere
	"create type order_status as enum ('cart', 'placed', 'paid', 'shipped')",
	"create table users (id bigint generated always as identity primary key, email citext unique not null, name text, password_digest text, reset_token text)",
	"create table accounts (id uuid primary key, name text)",
	`create table addresses (id bigint primary key, user_id bigint not null references users, street text, city text)`,
	`create table orders (id bigint primary key, courier_id bigint references users, user_id bigint not null references users, status order_status not null default 'cart',
		total numeric(12, 2), net numeric(12, 2) generated always as (total / 1.19) stored, meta jsonb, created_at timestamptz not null default now())`,
	`create table order_items (order_id bigint references orders, line int, sku text not null, quantity int not null, primary key (order_id, line))`,
	`create table "Gift Cards" ("Code" text primary key, "User Id" bigint references users, "api_key" text, "$v: #1" text)`,
	"create table messages (id bigint primary key, sender bigint not null references users, recipient bigint not null references users, body text)",
	"alter table messages enable row level security, replica identity full",
	"create table carts (id bigint primary key, user_id bigint not null)", // no foreign key
	"create table visits (at timestamptz, user_id bigint references users, path text)",
	"create unlogged table sessions (id text primary key, user_id bigint references users)",
	"create table gift_cards (id bigint primary key)", // its channel's name is taken
	`create table events (id bigint, day date not null, user_id bigint references users, kind text, primary key (id, day)) partition by range (day);
	 create table events_2026 partition of events for values from ('2026-01-01') to ('2027-01-01')`,
	"create view open_orders as select * from orders where status = 'placed'",
	"create table schema_migrations (version text primary key)",
	`create schema "Lager"; create table "Lager".stock (sku text primary key, quantity int); create table "Lager"."a` + "\n" + `b" ("order" int primary key)`,
}

// What init writes names every table once, guesses whose rows they are, has no password and
// does not let walrelay start before a person has decided.
func TestInit(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, shopSchema...)
	dir := tempDir(t)
	path := filepath.Join(dir, "walrelay.yaml")
	url := strings.Replace(db.url(), "postgres@", "postgres:hunter2@", 1)
	got := runWalrelay(t, nil, "init", url, "-o", path)
	if got.code != 0 || got.stdout != "wrote "+path+" with 12 channels; next: decide who may see each (allow), then walrelay check -c "+path+"\n" {
		t.Fatalf("exit code %d: %s%s", got.code, got.stdout, got.stderr)
	}
	written, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(written), db.name, "shop")
	if strings.Contains(text, "hunter2") {
		t.Error("the password is in the file")
	}
	_, text, _ = strings.Cut(text, "\nclaims:")
	want := shopConfig
	if db.cluster.Version() >= 18 { // which publishes stored generated columns
		want = strings.Replace(want, "total, meta", "total, net, meta", 1)
	}
	if diff := cmp.Diff(want, text); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	initAgain(t, path, url, string(written))
	r := newRelay(t, db, string(written))
	missing := startProcess(t, r.command(t, "check", "-c", r.config)).wait(t)
	if n := strings.Count(missing.stderr, ".allow: missing; say who may see the channel"); n != 12 || missing.code != 1 {
		t.Errorf("exit code %d, %d missing rules; %s", missing.code, n, missing.stderr)
	}
	initDecided(t, db, r, string(written))
}

// initDecided does what the file says, as a person would.
func initDecided(t *testing.T, db *database, r *relay, written string) {
	t.Helper()
	decided := regexp.MustCompile(`(?m)^(    )# (allow: .*)$`).ReplaceAllString(written, "$1$2")
	if _, err := config.Parse("walrelay.yaml", []byte(decided), r.lookup); err != nil {
		t.Fatalf("%v\n%s", err, decided)
	}
	r.writeConfig(t, decided)
	got := startProcess(t, r.command(t, "check", "-c", r.config)).wait(t)
	if n := strings.Count(got.stdout, "its replica identity does not carry column"); n != strings.Count(decided, "needs more than there is") || n == 0 || n != strings.Count(got.stdout, "\nerror ") {
		t.Errorf("%d tables need another identity\n%s", n, got.stdout)
	}
	for _, sql := range regexp.MustCompile(`ALTER TABLE \S+ (?:Cards" )?REPLICA IDENTITY FULL;`).FindAllString(got.stdout, -1) {
		db.exec(t, sql)
	}
	db.exec(t, "alter table events_2026 replica identity full")
	if got := startProcess(t, r.command(t, "check", "-c", r.config)).wait(t); got.code != 0 {
		t.Errorf("exit code %d, %s\n%s", got.code, got.stderr, got.stdout)
	}
}

// initAgain: a file is not overwritten, and the database can come from the environment.
func initAgain(t *testing.T, path, url, written string) {
	t.Helper()
	got := runWalrelay(t, nil, "init", url, "-o", path)
	if got.code != 1 || !strings.Contains(got.stderr, "init: "+path+" exists and is not overwritten; fix: name another file with -o, or remove it") {
		t.Errorf("exit code %d, %s", got.code, got.stderr)
	}
	if got := runWalrelay(t, []string{"DATABASE_URL=" + url}, "init", "-o", "-"); got.code != 0 || got.stdout != written {
		t.Errorf("exit code %d, %s, the file was\n%s", got.code, got.stdout, written)
	}
	if got := runWalrelay(t, []string{"DATABASE_URL="}, "init"); got.code != 1 || !strings.Contains(got.stderr, "init: which database?") {
		t.Errorf("exit code %d, %s", got.code, got.stderr)
	}
	if got := runWalrelay(t, nil, "init", "-o", "-", "postgres://app:hunter2@127.0.0.1:1/x"); got.code != 1 || strings.Contains(got.stderr, "hunter2") || strings.Count(got.stderr, "\n") != 1 {
		t.Errorf("exit code %d, %s", got.code, got.stderr)
	}
}

// lookup is the environment of a relay.
func (r *relay) lookup(name string) (string, bool) {
	for _, v := range r.env {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value, true
		}
	}
	return "", false
}

// A database without anything that looks like users, or without tables.
func TestInitBare(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, "create table users (a int, b int, primary key (a, b))", "create table things (id int primary key)")
	got := runWalrelay(t, nil, "init", db.url(), "-o", "-")
	for _, want := range []string{"There is no table that looks like one of users: correct the type.\nclaims: {id: bigint}\n", "  things:\n    table: public.things\n    columns: [id]\n    # allow: true # decide"} {
		if got.code != 0 || !strings.Contains(got.stdout, want) {
			t.Errorf("exit code %d, %s%s", got.code, got.stderr, got.stdout)
		}
	}
	empty := newDatabase(t)
	if got := runWalrelay(t, nil, "init", empty.url(), "-o", "-"); got.code != 0 || !strings.HasSuffix(got.stdout, "\nchannels:\n") {
		t.Errorf("exit code %d, %s%s", got.code, got.stderr, got.stdout)
	}
}

// shopConfig is what init writes of shopSchema, from the claims on.
const shopConfig = ` {id: bigint}

# Who is signed in, from the application's own session: uncomment the line of its framework.
# config.example.yaml has every key, docs/sessions/ a page for each framework, and
# "walrelay auth explain" prints what a preset fills in. The table of the sessions cannot have
# a channel: remove it below.
auth:
  # - {preset: express-passport, secrets: [env:SESSION_SECRET]}
  # - {preset: django, secrets: [env:DJANGO_SECRET_KEY]}
  # - {preset: rails8, secrets: [env:SECRET_KEY_BASE]}
  # - {preset: devise, cookie: _APP_session, secrets: [env:SECRET_KEY_BASE]}
  # - {preset: laravel, cookie: laravel_session, secrets: [env:APP_KEY]}
  # - {preset: phoenix, cookie: _APP_key, salt: SIGNING_SALT, secrets: [env:SECRET_KEY_BASE]}
  # - {preset: authjs}
  # - {preset: better-auth, secrets: [env:BETTER_AUTH_SECRET]}
  # - forward: {url: "http://127.0.0.1:3000/api/me", cookies: [COOKIE], user: id}
  - anonymous: {} # without a session: public channels only; until another line is there, that is everybody

channels:
  gift_cards_2:
    table: public."Gift Cards"
    columns: ['Code', 'User Id', '$$v: #1'] # without api_key
    # The allow below needs more than there is: its replica identity does not carry column "User Id", which a rule compares: a row that leaves the channel could not be told; fix: ALTER TABLE public."Gift Cards" REPLICA IDENTITY FULL; or, where api_key, $v: #1 may be large, which FULL writes to the WAL with every UPDATE: ALTER TABLE public."Gift Cards" ALTER COLUMN "User Id" SET NOT NULL; CREATE UNIQUE INDEX CONCURRENTLY "Gift Cards_identity" ON public."Gift Cards" ("Code", "User Id"); ALTER TABLE public."Gift Cards" REPLICA IDENTITY USING INDEX "Gift Cards_identity";
    # allow: row."User Id" == user.id # decide: only the user that it points to?

  accounts:
    table: public.accounts
    columns: [id, name]
    # allow: true # decide: public (everybody), true (any signed-in user), or a rule such as row.team_id in user.teams

  addresses:
    table: public.addresses
    columns: [id, user_id, street, city]
    # The allow below needs more than there is: its replica identity does not carry column "user_id", which a rule compares: a row that leaves the channel could not be told; fix: ALTER TABLE public.addresses REPLICA IDENTITY FULL; or, where street, city may be large, which FULL writes to the WAL with every UPDATE: CREATE UNIQUE INDEX CONCURRENTLY addresses_identity ON public.addresses (id, user_id); ALTER TABLE public.addresses REPLICA IDENTITY USING INDEX addresses_identity;
    # allow: row.user_id == user.id # decide: only the user that it points to?

  carts:
    table: public.carts
    columns: [id, user_id]
    # The allow below needs more than there is: its replica identity does not carry column "user_id", which a rule compares: a row that leaves the channel could not be told; fix: ALTER TABLE public.carts REPLICA IDENTITY FULL;
    # allow: row.user_id == user.id # decide: only the user that it points to?

  events:
    table: public.events
    columns: [id, day, user_id, kind]
    # The allow below needs more than there is: its replica identity does not carry column "user_id", which a rule compares: a row that leaves the channel could not be told; fix: ALTER TABLE public.events REPLICA IDENTITY FULL;
    # allow: row.user_id == user.id # decide: only the user that it points to?

  gift_cards:
    table: public.gift_cards
    columns: [id]
    # allow: true # decide: public (everybody), true (any signed-in user), or a rule such as row.team_id in user.teams

  messages:
    table: public.messages
    columns: [id, sender, recipient, body]
    # It has row level security, which walrelay does not apply: allow must say what its policies say.
    # allow: row.sender == user.id # decide: only this user? There are also recipient

  order_items:
    table: public.order_items
    columns: [order_id, line, sku, quantity]
    # allow: true # decide: public (everybody), true (any signed-in user), or a rule such as row.team_id in user.teams

  orders:
    table: public.orders
    columns: [id, courier_id, user_id, status, total, meta, created_at]
    # The allow below needs more than there is: its replica identity does not carry column "user_id", which a rule compares: a row that leaves the channel could not be told; fix: ALTER TABLE public.orders REPLICA IDENTITY FULL; or, where meta may be large, which FULL writes to the WAL with every UPDATE: CREATE UNIQUE INDEX CONCURRENTLY orders_identity ON public.orders (id, user_id); ALTER TABLE public.orders REPLICA IDENTITY USING INDEX orders_identity;
    # allow: row.user_id == user.id # decide: only this user? There are also courier_id

  # public.sessions cannot have a channel: it is UNLOGGED: its changes are not in the WAL (ALTER TABLE … SET LOGGED makes them so)
  # sessions:
  #   table: public.sessions
  #   columns: [id, user_id]
  #   # allow: row.user_id == user.id # decide: only the user that it points to?

  users:
    table: public.users
    columns: [id, email, name] # without password_digest, reset_token
    # allow: row.id == user.id # decide: may users see each other?

  # public.visits cannot have a channel: it has no primary key and so no replica identity: once it is published, Postgres refuses the application's UPDATE and DELETE; fix: ALTER TABLE public.visits ADD PRIMARY KEY (…); or ALTER TABLE public.visits REPLICA IDENTITY FULL;
  # visits:
  #   table: public.visits
  #   columns: [at, user_id, path]
  #   # allow: row.user_id == user.id # decide: only the user that it points to?

  lager/a_b:
    table: "\"Lager\".\"a\nb\""
    columns: [order]
    # allow: true # decide: public (everybody), true (any signed-in user), or a rule such as row.team_id in user.teams

  lager/stock:
    table: '"Lager".stock'
    columns: [sku, quantity]
    # allow: true # decide: public (everybody), true (any signed-in user), or a rule such as row.team_id in user.teams
`
