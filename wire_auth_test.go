package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/channel"
	"github.com/walrelay/walrelay/config"
	"github.com/walrelay/walrelay/replication"
)

func parsed(t *testing.T, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("f", []byte("postgres: {url: \"postgres://app@127.0.0.1:1/shop\"}\n"+text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// Tables of sessions are private; those that claims read too, unless a channel shows them.
func TestTargetOfAuth(t *testing.T) {
	t.Parallel()
	cfg := parsed(t, `claims: {id: bigint}
auth:
  - {preset: rails8, claims: "select id from users join members using (id) where id = :user", depends: [{table: users, key: id}, {table: members, key: user_id}]}
  - {preset: express-passport, store: {where: {kind: web}}}
  - {cookie: c, decode: plain, store: {table: other.t, key: k, expires: {column: at, plus: 1h}, watch: [org]}, user: u, claims: "select :user as id, :session"}
  - {bearer: true, decode: jwt, algorithms: [HS256], secrets: [env:S], from: sid, store: {table: other.u, key: k}, user: sub}
  - forward: {url: "http://localhost/me", cookies: [s], user: id}
  - anonymous: {}
channels:
  orders: {table: orders, columns: [id], allow: row.owner == user.id}
  people: {table: users, columns: [name], allow: true}
`)
	var got []string
	for _, spec := range target(cfg).Tables {
		line := fmt.Sprintf("%s.%s private=%t watched=%t", spec.Schema, spec.Name, spec.Private, spec.Watched)
		for _, use := range spec.Uses {
			if p, ok := use.Ref.(place); use.Watched && (!ok || p.pos.Line == 0) {
				t.Errorf("%s: no place", use.Column)
			}
			line += fmt.Sprintf(" %s:%t", use.Column, use.Watched)
		}
		got = append(got, line)
	}
	want := []string{
		"public.orders private=false watched=false id:false owner:false",
		"public.users private=false watched=true name:false id:true",
		"public.sessions private=true watched=true id:true user_id:true",
		"public.members private=true watched=true user_id:true",
		"public.session private=true watched=true sid:true kind:true expire:true sess:true",
		"other.t private=true watched=true k:true at:true u:true org:true",
		"other.u private=true watched=true k:true",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	bare := targetWithout(cfg, []string{"public.session", "public.users", "public.orders"})
	if slices.ContainsFunc(bare.Tables, func(s replication.TableSpec) bool { return s.Name == "session" }) || len(bare.Tables) != len(want)-1 {
		t.Errorf("without an unlogged store: %+v", bare.Tables)
	}
	relations := authRelations(cfg, map[string]*replication.Table{"public.orders": {Name: "orders"}, "public.users": {Schema: "public", Name: "users"}, "public.session": nil,
		"public.members": {Schema: "public", Name: "members", Unfit: "it has no primary key"}})
	for name, rel := range relations {
		if (rel != nil) != (name == "public.users") {
			t.Errorf("%s: %v", name, rel)
		}
	}
	if _, told := relations["public.session"]; !told || len(relations) != len(want)-1 {
		t.Errorf("relations %v", relations)
	}
}

// Nobody is asked where nothing signs in.
func TestNoSessions(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "auth: [{anonymous: {}}]\n"} {
		cfg := parsed(t, text+"channels: {orders: {table: orders, allow: public}}")
		if s, err := newSessions(cfg, nil, nil, slog.New(slog.DiscardHandler)); s != nil || err != nil {
			t.Errorf("%q: %v, %v", text, s, err)
		}
		if x, err := examineAuth(t.Context(), cfg, slog.New(slog.DiscardHandler)); x == nil || err != nil || len(x.Findings) > 0 {
			t.Errorf("%q: %v, %v", text, x, err)
		}
	}
}

// What keeps entries from being used has its place in the file, all of it at once.
func TestSecretProblems(t *testing.T) {
	t.Parallel()
	cfg := parsed(t, `claims: {id: bigint}
auth:
  - preset: rails8
    secrets: [env:WALRELAY_TEST_UNSET]
  - {cookie: c, decode: laravel, secrets: ["file:/nowhere"], store: {table: t, key: k}, user: u}
channels: {orders: {table: orders, allow: public}}
`)
	var got []string
	for _, p := range secretProblems(cfg) {
		got = append(got, p.Error())
	}
	if len(got) != 2 || !strings.HasPrefix(got[0], "f:5:14: auth.0.secrets: secret 1: the environment variable WALRELAY_TEST_UNSET is not set") ||
		!strings.HasPrefix(got[1], "f:6:43: auth.1.secrets: secret 1: read a secret: open /nowhere") {
		t.Errorf("%q", got)
	}
	_, err := newSessions(cfg, nil, nil, slog.New(slog.DiscardHandler))
	if err == nil || err.Error() != strings.Join(got, "\n") {
		t.Errorf("serve says\n%v", err)
	}
}

// A reload keeps the entries that are in force, and says so; no channel comes upon their store.
func TestReloadKeepsAuth(t *testing.T) {
	t.Parallel()
	const head = "claims: {id: bigint}\nauth: [{preset: authjs}]\n"
	old := parsed(t, head+"channels: {orders: {table: orders, allow: public}}")
	read := parsed(t, "claims: {id: bigint}\nauth: [{preset: authjs, timezone: Europe/Berlin}]\nchannels: {orders: {table: orders, allow: public}}")
	if got := waitingForRestart(old, read); !slices.Equal(got, []string{"auth"}) {
		t.Errorf("waiting for a restart: %v", got)
	}
	if got := waitingForRestart(old, parsed(t, head+"channels: {other: {table: orders, allow: public}}")); got != nil {
		t.Errorf("the same auth is waiting for a restart: %v", got)
	}
	kept := keepSettings(old, read)
	if kept.Auth[0].Session.Timezone != "UTC" || storeChannel(kept) != nil {
		t.Errorf("kept %+v, %v", kept.Auth[0].Session, storeChannel(kept))
	}
	bad := keepSettings(old, parsed(t, "channels:\n  mine: {table: sessions, allow: public}"))
	if err := storeChannel(bad); err == nil || !strings.HasPrefix(err.Error(), "f:3:17: channels.mine.table: public.sessions is where sessions are kept") {
		t.Errorf("a channel on the store in force: %v", err)
	}
}

// A database that is away is looked at later; one that tables of auth do not fit stops the start.
func TestLearnSessions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "walrelay.yaml")
	text := "postgres: {url: \"postgres://app@127.0.0.1:1/x\"}\nlog: {dir: " + dir + "}\nclaims: {id: text}\nauth: [{preset: authjs}]\nchannels: {docs: {table: docs, allow: public}}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	if x, err := examineAuth(t.Context(), cfg, log); x != nil || err != nil {
		t.Errorf("the database is away: %v, %v", x, err)
	}
	table := func(name string, columns ...string) *replication.Table {
		out := &replication.Table{OID: uint32(len(name)), Schema: "public", Name: name, Kind: 'r', Identity: 'd', Key: columns[:1], IdentityColumns: columns[:1]}
		for _, c := range columns {
			typ := &change.Type{OID: 25, Name: "text"}
			if c == "expires" {
				typ = &change.Type{OID: 1184, Name: "timestamp with time zone", Kind: change.KindTimestampTZ}
			}
			out.Columns = append(out.Columns, replication.TableColumn{Name: c, TypeOID: typ.OID, Type: typ, NotNull: true, Published: true})
		}
		return out
	}
	sessions, err := newSessions(cfg, nil, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	defer sessions.Close()
	book := newRuleBook(cfg, log)
	book.hub, book.sessions = channel.New(channel.Options{}), sessions
	unfit := map[string]*replication.Table{"public.docs": table("docs", "id"), "public.sessions": table("sessions", "id", "sessionToken", "expires")}
	if err := book.learn(unfit); !errors.As(err, new(*replication.PermanentError)) || !strings.Contains(err.Error(), `no column "userId"`) {
		t.Errorf("at the start, without the column of the user: %v", err)
	}
	fit := map[string]*replication.Table{"public.docs": table("docs", "id"), "public.sessions": table("sessions", "id", "sessionToken", "userId", "expires")}
	if err := book.learn(fit); err != nil {
		t.Fatal(err)
	}
	if err := book.learn(unfit); err != nil {
		t.Errorf("later: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sessions.Run(ctx); err != nil {
		t.Error(err)
	}
}
