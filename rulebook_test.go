package main

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/channel"
	"github.com/walrelay/walrelay/config"
	"github.com/walrelay/walrelay/replication"
)

// TestLearnUnfit: a rule that the table of now does not fit is not in force, also where its rows look
// as before.
func TestLearnUnfit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "walrelay.yaml")
	text := "postgres: {url: postgres://localhost/x}\nlog: {dir: " + dir + "}\nchannels:\n  docs:\n    table: public.docs\n    columns: [id]\n    where: row.status != \"secret\"\n    allow: public\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	book := newRuleBook(cfg, slog.New(slog.DiscardHandler))
	book.hub = channel.New(channel.Options{})
	table := func(loose bool) map[string]*replication.Table {
		return map[string]*replication.Table{"public.docs": {OID: 1, Schema: "public", Name: "docs", Kind: 'r', Identity: 'f', Key: []string{"id"}, IdentityColumns: []string{"id", "status"}, Columns: []replication.TableColumn{
			{Name: "id", TypeOID: 20, Type: &change.Type{OID: 20, Name: "bigint", Kind: change.KindInt}, NotNull: true, Published: true},
			{Name: "status", TypeOID: 25, Type: &change.Type{OID: 25, Name: "text"}, NotNull: true, Published: true, Loose: loose}}}}
	}
	for i, step := range []struct{ loose, fits bool }{{false, true}, {true, false}, {false, true}} {
		if err := book.learn(table(step.loose)); err != nil {
			t.Fatal(err)
		}
		if fits := book.rules[0].Program != nil; fits != step.fits {
			t.Errorf("step %d: in force %v", i, fits)
		}
	}
	if err := book.learn(map[string]*replication.Table{"public.docs": nil}); err != nil || book.rules[0].Program == nil {
		t.Errorf("table not known: %v, rule %v", err, book.rules[0].Program)
	}
	fresh := newRuleBook(cfg, slog.New(slog.DiscardHandler))
	fresh.hub = channel.New(channel.Options{})
	if err := fresh.learn(table(true)); !errors.As(err, new(*replication.PermanentError)) {
		t.Errorf("at the start: %v", err)
	}
}
