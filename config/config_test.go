package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/walrelay/walrelay/filter"
	"github.com/walrelay/walrelay/nearest"
)

const minimal = `
postgres: {url: postgres://app@db/shop}
channels:
  orders: {table: orders, columns: "*", allow: public}
`

// mustParse parses a valid file.
func mustParse(t *testing.T, data string, env Env) *Config {
	t.Helper()
	c, err := Parse("walrelay.yaml", []byte(data), env)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sameConfig compares what two files say, not where.
var sameConfig = cmp.Options{
	cmpopts.IgnoreUnexported(Config{}, Expr{}),
	cmpopts.IgnoreTypes(filter.Span{}),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

func TestDefaults(t *testing.T) {
	want := defaults()
	want.File = "walrelay.yaml"
	want.Postgres.URL = "postgres://app@db/shop"
	want.Channels = []Channel{{
		Name: "orders", Pattern: []Segment{{Literal: "orders"}},
		Schema: "public", Table: "orders", AllColumns: true, Allow: Allow{Public: true},
	}}
	if diff := cmp.Diff(want, mustParse(t, minimal, nil), sameConfig); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEveryKey(t *testing.T) {
	c := mustParse(t, `
postgres: {url: "host=db user=app password='x y'", slot: relay_2, publication: "My Pub", wal_budget: 1TiB}
log: {dir: /var/lib/walrelay, retention: 7d12h, max_bytes: 512KiB, max_event_bytes: 4096}
http:
  listen: "[::1]:443"
  base_path: /api/v1/events
  tls: {cert: c.pem, key: k.pem}
  h2c: false
  allowed_origins: [https://app.example.com, "http://localhost:3000", "https://[::1]:8443"]
  trusted_proxies: [10.0.0.0/8, "fd00::/8"]
  heartbeat: 500ms
  retry: 1.5s
  shutdown_timeout: 1m30s
  limits: {connections: 1, per_user: 2, per_session: 3, per_ip: 4, queue: 64KiB, channels: 5, max_scan_audiences: 6, lookups: 7, failed_per_ip: 2/s}
  upstream: http://localhost:3000/app
admin: {listen: "localhost:9"}
claims:
  shops: uuid[]
  "e mail": {type: text, required: true}
  id: {type: "bigint", required: false}
channels:
  zebra/{shop}/{ID}/x-1:
    table: 'sales."Order ""Items"""'
    columns: [id, "Total"]
    where: params.shop == row.shop_id && row."Order ID" == params.ID
    allow: " public "
    params: {ID: order_kind, shop: uuid}
    identity: strict
    snapshot: {}
    compress: true
    json: {bigint: string, numeric: number}
  apes: {table: apes, columns: [id], allow: 'public', json: {numeric: string}, compress: false}
  mine/{shop}:
    table: mine
    where: row.state in ["a", "b"] || row.n >= 5
    allow: params.shop in user.shops && (row.owner == user."e mail" || row.id == user.id)
    identity: loose
    snapshot: {max_rows: 7}
  ours: {table: ours, allow: true}
`, nil)
	want := &Config{
		File: "walrelay.yaml",
		Postgres: Postgres{
			URL: "host=db user=app password='x y'", Slot: "relay_2", Publication: "My Pub", WALBudget: 1 << 40,
		},
		Log: Log{Dir: "/var/lib/walrelay", Retention: 180 * time.Hour, MaxBytes: 512 << 10, MaxEventBytes: 4096},
		HTTP: HTTP{
			Listen: "[::1]:443", BasePath: "/api/v1/events", TLS: TLS{"c.pem", "k.pem"},
			AllowedOrigins: []string{"https://app.example.com", "http://localhost:3000", "https://[::1]:8443"},
			TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")},
			Heartbeat:      500 * time.Millisecond, Retry: 1500 * time.Millisecond, ShutdownTimeout: 90 * time.Second,
			Limits:   Limits{Connections: 1, PerUser: 2, PerSession: 3, PerIP: 4, Queue: 64 << 10, Channels: 5, MaxScanAudiences: 6, Lookups: 7, FailedPerMinute: 120},
			Upstream: &url.URL{Scheme: "http", Host: "localhost:3000", Path: "/app"},
		},
		Admin: Admin{Listen: "localhost:9"},
		Claims: []filter.Claim{
			{Name: "shops", Type: typeOf(t, "uuid[]")},
			{Name: "e mail", Type: typeOf(t, "text"), Required: true},
			{Name: "id", Type: typeOf(t, "bigint")},
		},
		Channels: []Channel{
			{
				Name:    "zebra/{shop}/{ID}/x-1",
				Pattern: []Segment{{Literal: "zebra"}, {Param: "shop"}, {Param: "ID"}, {Literal: "x-1"}},
				Schema:  "sales", Table: `Order "Items"`, Columns: []string{"id", "Total"},
				Where:    expression(t, `params.shop == row.shop_id && row."Order ID" == params.ID`),
				Allow:    Allow{Public: true},
				Params:   []filter.Parameter{{Name: "shop", Type: typeOf(t, "uuid")}, {Name: "ID", Type: typeOf(t, "order_kind")}},
				Snapshot: &Snapshot{MaxRows: 10_000}, Compress: true,
				JSON: JSON{Bigint: AsString},
			},
			{
				Name: "apes", Pattern: []Segment{{Literal: "apes"}}, Schema: "public", Table: "apes",
				Columns: []string{"id"}, Allow: Allow{Public: true}, JSON: JSON{Numeric: AsString},
			},
			{
				Name: "mine/{shop}", Pattern: []Segment{{Literal: "mine"}, {Param: "shop"}}, Schema: "public", Table: "mine", AllColumns: true,
				Where:  expression(t, `row.state in ["a", "b"] || row.n >= 5`),
				Allow:  Allow{Expr: expression(t, `params.shop in user.shops && (row.owner == user."e mail" || row.id == user.id)`)},
				Params: []filter.Parameter{{Name: "shop"}}, Loose: true, Snapshot: &Snapshot{MaxRows: 7},
			},
			{
				Name: "ours", Pattern: []Segment{{Literal: "ours"}}, Schema: "public", Table: "ours", AllColumns: true,
				Allow: Allow{Expr: expression(t, "true")},
			},
		},
		Warnings: c.Warnings,
	}
	if diff := cmp.Diff(want, c, sameConfig); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !c.Channels[3].Allow.AnyUser() || c.Channels[2].Allow.AnyUser() || c.Channels[0].Allow.AnyUser() {
		t.Error("only ours is for any user")
	}
}

func typeOf(t *testing.T, name string) filter.Type {
	t.Helper()
	typ, err := filter.ParseType(name)
	if err != nil {
		t.Fatal(err)
	}
	return typ
}

func expression(t *testing.T, text string) *Expr {
	t.Helper()
	n, err := filter.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return &Expr{Text: text, Node: n}
}

// What a person should know of a file that is valid.
func TestWarnings(t *testing.T) {
	const head = "postgres: {url: postgres://app@db/shop}\n"
	for name, test := range map[string]struct {
		file string
		want []string
	}{
		"all is well": {head + `claims: {}
channels:
  orders: {table: orders, allow: public}`, nil},
		"nobody": {head + `auth: [{anonymous: {}}]
channels:
  orders: {table: orders, allow: true}
  news: {table: news, allow: true}`, []string{
			"walrelay.yaml:3:1: channels: no channel is public and auth has only anonymous: browsers get 401; only `walrelay tail --as` can subscribe, through the admin address",
		}},
		"some": {head + `claims: {id: bigint, role: text}
channels:
  orders: {table: orders, allow: row.customer_id == user.id}
  news: {table: news, allow: public}`, []string{
			"walrelay.yaml:3:1: channels: orders is not public and there is no auth: browsers get 401 there; only `walrelay tail --as` can subscribe, through the admin address",
			"walrelay.yaml:2:28: claims.role: no rule reads it",
		}},
		"several": {head + `channels:
  orders: {table: orders, allow: true}
  other: {table: orders, allow: true}
  news: {table: news, allow: public}`, []string{
			"walrelay.yaml:2:1: channels: orders, other are not public and there is no auth: browsers get 401 there; only `walrelay tail --as` can subscribe, through the admin address",
		}},
		"claims that nobody can have": {head + `claims: {role: text}
auth: [{anonymous: {claims: {role: anon}}}]
channels:
  orders: {table: orders, allow: user.role == "anon"}
  news: {table: news, allow: public}`, []string{
			"walrelay.yaml:4:1: channels: orders is not public and auth has only anonymous: browsers get 401 there; only `walrelay tail --as` can subscribe, through the admin address",
			"walrelay.yaml:3:9: auth.0.anonymous: no rule can read these claims: public channels know no user, and the others are for users who are signed in",
		}},
		"claims that entries do not give": {head + `claims: {id: bigint, role: text}
auth:
  - preset: rails8
  - {bearer: true, decode: jwt, algorithms: [HS256], secrets: [env:S], user: sub, claims: {id: sub}}
  - forward: {url: "http://localhost/me", cookies: [s], headers: {role: X-Role, id: X-Id}}
channels:
  orders: {table: orders, allow: user.role == "anon" && user.id == row.id}`, []string{
			"walrelay.yaml:4:5: auth.0: rules read user.role, which this entry does not give: it is null for its users; name it under claims",
			"walrelay.yaml:5:5: auth.1: rules read user.role, which this entry does not give: it is null for its users; name it under claims",
		}},
		"claims that grow old": {head + `claims: {id: bigint}
auth:
  - {preset: rails8, claims: select account as id from accounts where owner = :user}
  - {preset: laravel, claims: "select :user as id", max_stream: 5m}
  - {preset: django}
channels:
  orders: {table: orders, allow: user.id == row.id}`, []string{
			"walrelay.yaml:4:30: auth.0.claims: nothing tells when the rows change that it reads, so that open streams keep what they were allowed until max_stream (1h0m0s); name the tables under depends",
		}},
	} {
		var got []string
		for _, w := range mustParse(t, test.file, nil).Warnings {
			got = append(got, w.Error())
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestEmptyTextMeansNone(t *testing.T) {
	c := mustParse(t, minimal+`
http: {tls: {cert: "", key: ""}, upstream: "", allowed_origins: [], trusted_proxies: []}
`, nil)
	if c.HTTP.TLS.On() || c.HTTP.Upstream != nil || len(c.HTTP.AllowedOrigins) != 0 || len(c.HTTP.TrustedProxies) != 0 {
		t.Errorf("got %+v", c.HTTP)
	}
}

func TestEnvironment(t *testing.T) {
	env := testEnv("URL=postgres://app:a$b${URL}@db/shop\nPORT=9000\nON=true\nEMPTY=\nT=public.t\nCOL=a, b")
	c := mustParse(t, `
postgres: {url: "${URL}", slot: "${EMPTY:-fall}back", publication: "$$${PORT}$x$"}
log: {dir: "${UNSET:-/a:-b}/${UNSET:-}c"}
http: {listen: "127.0.0.1:${PORT}", h2c: "${ON}", limits: {connections: "${PORT}"}}
admin: {listen: ":${UNSET:-1}"}
channels:
  t: {table: "${T}", columns: ["${COL}"], allow: public}
`, env)
	got := []any{
		string(c.Postgres.URL), c.Postgres.Slot, c.Postgres.Publication, c.Log.Dir, c.HTTP.Listen, c.HTTP.H2C,
		c.HTTP.Limits.Connections, c.Admin.Listen, c.Channels[0].Schema, c.Channels[0].Columns,
	}
	want := []any{
		"postgres://app:a$b${URL}@db/shop", "fallback", "$9000$x$", "/a:-b/c", "127.0.0.1:9000", true,
		9000, ":1", "public", []string{"a, b"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAliasesOutsideOfChannels(t *testing.T) {
	c := mustParse(t, `
postgres: {url: postgres://app@db/shop, slot: &name relay, publication: *name}
http: {allowed_origins: [&o "https://a.example.com", *o], limits: &l {connections: 7}}
channels:
  orders: {table: orders, columns: "*", allow: public}
`, nil)
	if c.Postgres.Publication != "relay" || c.HTTP.AllowedOrigins[1] != "https://a.example.com" || c.HTTP.Limits.Connections != 7 {
		t.Errorf("got %+v", c)
	}
}

// Later checks report against the live catalog: they need the place of every
// key, whether the file has it or not.
func TestPos(t *testing.T) {
	c := mustParse(t, `postgres:
  url: postgres://app:hunter2@db/shop
channels:
  order/{id}:
    table: public.orders
    columns: [id, custmer_id]
    where: |
      row.ordre_id == params.id
    allow: public
`, nil)
	ch := &c.Channels[0]
	tests := []struct {
		key  string
		want Pos
	}{
		{ch.Key(), Pos{4, 3}},
		{ch.Key("table"), Pos{5, 12}},
		{ch.Key("columns"), Pos{6, 14}},
		{ch.Key("columns", "1"), Pos{6, 19}},
		{ch.Key("json", "bigint"), Pos{4, 3}},
		{"postgres.url", Pos{2, 8}},
		{"postgres.slot", Pos{1, 1}},
		{"channels", Pos{3, 1}},
		{"http.listen", Pos{1, 1}},
	}
	for _, tt := range tests {
		if got := c.Pos(tt.key); got != tt.want {
			t.Errorf("Pos(%s) = %v, want %v", tt.key, got, tt.want)
		}
	}
	compare := ch.Where.Node.(*filter.Compare)
	if got, want := ch.Where.Pos(compare.X.Pos()), (Pos{8, 7}); got != want {
		t.Errorf("the column at %v, want %v", got, want)
	}
	if got, want := ch.Where.Pos(compare.Y.Pos()), (Pos{8, 23}); got != want {
		t.Errorf("the parameter at %v, want %v", got, want)
	}
	key := ch.Key("columns", "1")
	got := c.Errorf(c.Pos(key), key, "public.orders has no column %q%s", "custmer_id", nearest.Suggest("custmer_id", []string{"id", "customer_id"})).Error()
	want := `walrelay.yaml:6:19: channels.order/{id}.columns.1: public.orders has no column "custmer_id"; did you mean "customer_id"?`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Each column that rules read, with its first place.
func TestReads(t *testing.T) {
	c := mustParse(t, `postgres: {url: postgres://app@db/shop}
claims: {id: bigint, teams: "bigint[]"}
channels:
  orders:
    table: public.orders
    where: row.status != "draft" and lower(row."E Mail") == "x" or !(row.a in [1, 2])
    allow: |
      row.status == null || row.customer_id == user.id
        || text(row.meta.region.a) == "x" && user.id in row.ids
  news: {table: news, allow: public}
`, nil)
	want := []Read{
		{"status", "channels.orders.where", Pos{6, 12}}, {"E Mail", "channels.orders.where", Pos{6, 44}}, {"a", "channels.orders.where", Pos{6, 70}},
		{"customer_id", "channels.orders.allow", Pos{8, 29}}, {"meta", "channels.orders.allow", Pos{9, 17}}, {"ids", "channels.orders.allow", Pos{9, 57}},
	}
	if diff := cmp.Diff(want, c.Channels[0].Reads()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := c.Channels[1].Reads(); got != nil {
		t.Errorf("news reads %v", got)
	}
}

func TestMatch(t *testing.T) {
	c := mustParse(t, `postgres: {url: postgres://app@db/shop}
channels:
  orders: {table: orders, allow: public}
  order/{id}: {table: orders, where: row.id == params.id, allow: public}
  "{a}/of/{b}": {table: orders, where: row.a == params.a && row.b == params.b, allow: public}
`, nil)
	for name, want := range map[string]string{
		"orders": "orders map[]", "order/7": "order/{id} map[id:7]", "order/{id}": "order/{id} map[id:{id}]", "x/of/y z": "{a}/of/{b} map[a:x b:y z]",
		"order": "", "order/": "", "/of/y": "", "x/of": "", "orders/": "", "Orders": "", "": "",
	} {
		got := ""
		if ch, params := c.Match(name); ch != nil {
			got = fmt.Sprint(ch.Name, " ", params)
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

func TestErrorfHidesPasswords(t *testing.T) {
	c := mustParse(t, minimal, nil)
	err := c.Errorf(Pos{Line: 2}, "postgres.url", "connect to %s: %v", "postgres://app:hunter2@db/shop",
		errors.New("dial http://app:hunter2@proxy: password=hunter2\nrefused"))
	want := "walrelay.yaml:2: postgres.url: connect to postgres://...: dial http://...@proxy: password=..."
	if err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
}

func TestErrorsOrder(t *testing.T) {
	var errs Errors
	if errs.Err() != nil {
		t.Error("the zero value is an error")
	}
	errs.Add(&Problem{"f", Pos{3, 1}, "b", "x"}, &Problem{"f", Pos{2, 9}, "a", "y"}, &Problem{"f", Pos{}, "", "z"}, &Problem{"f", Pos{2, 9}, "", "w"})
	want := "f: z\nf:2:9: a: y\nf:2:9: w\nf:3:1: b: x"
	if got := errs.Err().Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.yaml")
	_, err := Load(path, nil)
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte("\ufeff"+minimal), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.File != path {
		t.Errorf("File = %q", c.File)
	}
	if err := os.WriteFile(path, []byte(minimal+"x: ü\xff\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = Load(path, nil); err == nil || err.Error() != path+":5:5: the file is not UTF-8 text" {
		t.Errorf("not UTF-8: %v", err)
	}
}

func TestConnStringHidesPassword(t *testing.T) {
	for _, c := range []ConnString{
		"postgres://app:hunter2@db:6432/shop?sslmode=disable",
		"host=db port=6432 user=app password=hunter2 dbname=shop",
	} {
		const want = "postgres://app@db:6432/shop"
		var logged strings.Builder
		slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "url", c)
		asJSON, err := json.Marshal(Postgres{URL: c})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{
			c.String(), fmt.Sprint(c), fmt.Sprintf("%v %+v %#v %q %x", c, Postgres{URL: c}, Postgres{URL: c}, c, c),
			logged.String(), string(asJSON),
		} {
			if strings.Contains(s, "hunter2") || strings.Contains(s, fmt.Sprintf("%x", "hunter2")) {
				t.Errorf("shows the password: %s", s)
			}
		}
		if c.String() != want {
			t.Errorf("got %s, want %s", c, want)
		}
	}
	if got := ConnString("postgres://app:hunter2@db:x").String(); got != "postgres://..." {
		t.Errorf("invalid: got %s", got)
	}
}

// Wherever a connection string ends up, directly or through a variable, and
// however it is broken, no error shows its password.
func TestNoErrorShowsThePassword(t *testing.T) {
	const password = "hunter2"
	values := []string{
		"postgres://app:hunter2@db/shop", "postgresql://app:hunter2@db:x/shop", "postgres://app:hunter2", "postgres://app:5/hunter2@db/shop",
		"postgres://app:x@hunter2@db/shop", "postgres://app:%zzhunter2@db/shop", "postgres://db/shop?password=hunter2&sslmode=x",
		"postgres://db/shop?password=a&hunter2", "host=db password=hunter2 port=x", "host=db password=a hunter2 port=5",
		"host=db password='hunter2", "PASSWORD = hunter2", "mysql://app:hunter2@db", "http://app:hunter2@db:x/", "https://app:hunter2@db",
		"postgres://app: hunter2 @db x", "[postgres://app:hunter2@db]", "{a: postgres://app:hunter2@db}",
		"postgres://" + strings.Repeat("x", 200) + ":hunter2@db:x/", "http://" + strings.Repeat("x", 200) + ":hunter2@db:x/",
		"postgres://app:hunter2\n@db:x/", "!postgres://app:hunter2@db", "*postgres://app:hunter2@db", "&postgres://app:hunter2@db x",
	}
	r := newReader("f", nil)
	r.read(example(t))
	for key := range r.positions {
		for _, value := range values {
			quoted := fmt.Sprintf("%q", value)
			for _, v := range []string{quoted, "${SECRET}", `"x${SECRET}${UNSET}"`, value, quoted + ": 5", "? " + value} {
				env := Env(func(name string) (string, bool) { return value, name == "SECRET" })
				_, err := Parse("f", []byte(withValue(key, v)), env)
				if err != nil && strings.Contains(err.Error(), password) {
					t.Errorf("%s: %s\n%v", key, v, err)
				}
			}
		}
	}
}

// withValue is a file with one key, in block style.
func withValue(key, value string) string {
	parts := strings.Split(key, ".")
	var b strings.Builder
	for i, p := range parts {
		if i == 0 || parts[i-1] < "0" || parts[i-1] > "9" {
			b.WriteString(strings.Repeat("  ", i))
		}
		if p >= "0" && p <= "9" {
			b.WriteString("- ")
			continue
		}
		fmt.Fprintf(&b, "%q:", p)
		if i < len(parts)-1 {
			b.WriteString("\n")
		}
	}
	return b.String() + " " + value + "\n"
}

// A problem is one line, whatever it quotes.
func TestProblemIsOneLine(t *testing.T) {
	_, err := Parse("f", []byte(minimal+"\"a\\nb\\u2028c\\e[31m\": 5\n"), nil)
	if err == nil || strings.ContainsAny(err.Error(), "\n\u2028\x1b") {
		t.Errorf("got %q", err)
	}
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.txt")
	for _, file := range append(files, "../config.example.yaml") {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		_, yaml, isArchive := strings.Cut(string(data), "-- walrelay.yaml --\n")
		yaml, _, _ = strings.Cut(yaml, "\n-- ")
		if !isArchive {
			yaml = string(data)
		}
		f.Add([]byte(yaml))
	}
	f.Add([]byte(minimal))
	env := testEnv("DATABASE_URL=postgres://app@db/shop")
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("f.yaml", data, env)
		var errs *Errors
		switch {
		case err == nil:
			if len(c.Channels) == 0 || c.Postgres.URL == "" {
				t.Fatalf("not a complete configuration: %+v", c)
			}
			for i := range c.Channels {
				if ch := &c.Channels[i]; ch.Allow.Public == (ch.Allow.Expr != nil) || len(ch.Pattern) == 0 || ch.Table == "" {
					t.Fatalf("not a complete channel: %+v", ch)
				}
			}
		case c != nil || !errors.As(err, &errs):
			t.Fatalf("Parse = %v, %v", c, err)
		default:
			for _, p := range errs.Problems {
				if p.Pos.Line < 1 || p.Text == "" || strings.Contains(p.Error(), "\n") {
					t.Fatalf("problem %q at %v", p.Error(), p.Pos)
				}
			}
		}
	})
}
