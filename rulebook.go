package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"strings"
	"sync"

	"github.com/walrelay/walrelay/auth"
	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/channel"
	"github.com/walrelay/walrelay/config"
	"github.com/walrelay/walrelay/filter"
	"github.com/walrelay/walrelay/replication"
)

// ruleBook keeps the hub's rules what the configuration says of the tables that the catalog
// has. Safe for concurrent use.
type ruleBook struct {
	hub    *channel.Hub
	source *replication.Source
	// sessions know who is signed in; nil: nobody ever is.
	sessions *auth.Sessions
	// examined is what was found out of the tables of sessions at the start; nil while the
	// database was away then.
	examined *auth.Examination
	log      *slog.Logger
	env      config.Env
	// look asks for a look at the catalog, see watch.
	look chan struct{} // capacity 1

	mu  sync.Mutex
	cfg *config.Config
	// rules in force, in the order of cfg.Channels; a Program is nil until its table is known.
	rules []compiledRule
	// tables as of the last look at the catalog, or, until it was learned, as they were at the
	// end of the last run.
	tables  map[string]*replication.Table
	learned bool
}

// newRuleBook begins with what is known of the tables from before.
func newRuleBook(cfg *config.Config, log *slog.Logger) *ruleBook {
	b := &ruleBook{cfg: cfg, log: log, env: os.LookupEnv, look: make(chan struct{}, 1), tables: rememberedTables(cfg)}
	b.rules, _, _ = compileRules(cfg, b.tables)
	return b
}

// hubRules are the rules for the hub.
func hubRules(compiled []compiledRule, tables map[string]*replication.Table) []*channel.Rule {
	out := make([]*channel.Rule, len(compiled))
	for i, c := range compiled {
		out[i] = hubRule(c, tables[c.Channel.Schema+"."+c.Channel.Table])
	}
	return out
}

func hubRule(compiled compiledRule, table *replication.Table) *channel.Rule {
	c := compiled.Channel
	r := &channel.Rule{Name: c.Name, Schema: c.Schema, Table: c.Table, Program: compiled.Program, Public: c.Allow.Public, Loose: c.Loose, Compress: c.Compress,
		Style: change.Style{BigintString: c.JSON.Bigint == config.AsString, NumericString: c.JSON.Numeric == config.AsString}}
	if !c.AllColumns {
		r.Columns = c.Columns
	}
	if c.Snapshot != nil {
		r.Snapshot = c.Snapshot.MaxRows
		if table != nil {
			r.Relation = table.Relation()
		}
	}
	return r
}

// learn takes in what the catalog says of the tables. At the start a rule that does not fit is an
// error; later its channel serves nobody until the table or the rule fits again: not all that makes
// a rule unfit, such as a collation, shows in the rows. A channel whose table is not known keeps its rule.
func (b *ruleBook) learn(tables map[string]*replication.Table) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := map[string]*replication.Table{}
	maps.Copy(known, b.tables) // the source may not have heard of a reload yet
	maps.Copy(known, tables)
	tables = known
	rules, problems, _ := compileRules(b.cfg, tables)
	err := errors.Join(problems.Err(), b.learnSessions(tables))
	if err != nil && !b.learned {
		return &replication.PermanentError{Cause: err}
	}
	if err != nil {
		b.log.Error("a table was altered so that rules, or sessions, on it cannot be used", "cause", err)
	}
	for i := range rules {
		c := rules[i].Channel
		if rules[i].Program == nil && tables[c.Schema+"."+c.Table] == nil && i < len(b.rules) {
			rules[i].Program = b.rules[i].Program
		}
	}
	b.setLocked(b.cfg, rules, tables)
	return nil
}

// unlogged are tables, schema.name, in which sessions are looked up and which are not published.
func (b *ruleBook) unlogged() []string {
	if b.examined == nil {
		return nil
	}
	return b.examined.Unlogged
}

// learnSessions takes in what the catalog says of the tables of sessions and claims.
func (b *ruleBook) learnSessions(tables map[string]*replication.Table) error {
	if b.sessions == nil {
		return nil
	}
	if b.examined == nil && !b.learned { // the database was away at the start
		if _, err := examineAuth(context.Background(), b.cfg, b.log); err != nil {
			return err
		}
	}
	relations := authRelations(b.cfg, tables)
	if b.examined != nil {
		maps.Copy(relations, b.examined.Relations)
	}
	return b.sessions.Learn(relations)
}

func (b *ruleBook) setLocked(cfg *config.Config, rules []compiledRule, tables map[string]*replication.Table) {
	b.cfg, b.rules, b.tables, b.learned = cfg, rules, tables, true
	b.hub.SetRules(hubRules(rules, tables))
	if err := rememberTables(cfg, tables); err != nil {
		b.log.Warn("what is known of the tables cannot be kept: after a restart without Postgres, channels with rules on columns wait for it", "cause", err)
	}
}

// parseClaims reads claims as they are declared now.
func (b *ruleBook) parseClaims(text []byte) (*filter.Claims, error) {
	b.mu.Lock()
	declared := b.cfg.Claims
	b.mu.Unlock()
	return filter.ParseClaims(declared, text)
}

// reload reads the file again and puts its rules in force, or changes nothing and says why.
func (b *ruleBook) reload(ctx context.Context) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	read, err := config.Load(b.cfg.File, b.env)
	if err != nil {
		return "", err
	}
	cfg := keepSettings(b.cfg, read)
	if err := storeChannel(cfg); err != nil {
		return "", err
	}
	tables, err := b.examine(ctx, cfg)
	if err != nil {
		return "", fmt.Errorf("reload %s: %w", cfg.File, err)
	}
	rules, problems, _ := compileRules(cfg, tables)
	if err := problems.Err(); err != nil {
		return "", err
	}
	if err := b.source.Retarget(ctx, targetWithout(cfg, b.unlogged())); err != nil {
		return "", fmt.Errorf("reload %s: %w", cfg.File, located(cfg, err))
	}
	waits := waitingForRestart(b.cfg, read)
	secrets := b.renewSessions(cfg)
	b.setLocked(cfg, rules, tables)
	report := fmt.Sprintf("%s: %d channels in force", cfg.File, len(rules))
	if len(waits) > 0 {
		report += "; changed, but only a restart applies it: " + strings.Join(waits, ", ")
	}
	if secrets != nil {
		report += "; secrets stay as they were: " + strings.ReplaceAll(secrets.Error(), "\n", "; ")
		b.log.Error("secrets cannot be read again; those from before stay in force", "cause", secrets)
	}
	for _, w := range cfg.Warnings {
		b.log.Warn(w.Error())
	}
	b.log.Info("rules reloaded", "channels", len(rules), "waiting_for_restart", waits)
	return report, nil
}

// renewSessions gives sessions the claims as they are declared now, and reads the secrets
// again; the error says which could not be read.
func (b *ruleBook) renewSessions(cfg *config.Config) error {
	if b.sessions == nil {
		return nil
	}
	b.sessions.SetDeclared(cfg.Claims)
	return b.sessions.SetSecrets()
}

// examine looks at the database with the eyes of a configuration.
func (b *ruleBook) examine(ctx context.Context, cfg *config.Config) (map[string]*replication.Table, error) {
	t := targetWithout(cfg, b.unlogged())
	conn, err := replication.Connect(ctx, t.URL)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	p, err := replication.Check(ctx, conn, t)
	if err != nil {
		return nil, err
	}
	if bad := p.Findings.Errors(); len(bad) > 0 {
		return nil, located(cfg, &replication.PreflightError{Findings: bad})
	}
	return p.Tables, nil
}

// restartOnly are the sections that only a restart applies.
var restartOnly = []string{"Postgres", "Log", "HTTP", "Admin", "Auth"}

// waitingForRestart are those of them that differ.
func waitingForRestart(old, cfg *config.Config) []string {
	var out []string
	was, is := reflect.ValueOf(old).Elem(), reflect.ValueOf(cfg).Elem()
	for _, name := range restartOnly {
		if !reflect.DeepEqual(was.FieldByName(name).Interface(), is.FieldByName(name).Interface()) {
			out = append(out, strings.ToLower(name))
		}
	}
	return out
}

// keepSettings is the new configuration with the settings that are in force.
func keepSettings(old, cfg *config.Config) *config.Config {
	kept := *cfg
	kept.Postgres, kept.Log, kept.HTTP, kept.Admin, kept.Auth = old.Postgres, old.Log, old.HTTP, old.Admin, old.Auth
	return &kept
}

// lookAgain asks for a look at the catalog: a table is not what it was.
func (b *ruleBook) lookAgain() {
	select {
	case b.look <- struct{}{}:
	default:
	}
}

// watch looks at the catalog when somebody asks for it, until ctx ends.
func (b *ruleBook) watch(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-b.look:
		}
		b.mu.Lock()
		cfg := b.cfg
		b.mu.Unlock()
		tables, err := b.examine(ctx, cfg)
		if err == nil {
			err = b.learn(tables)
		}
		if err != nil && ctx.Err() == nil {
			b.log.Warn("altered tables cannot be looked at", "cause", err)
		}
	}
}
