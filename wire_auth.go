package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
	_ "time/tzdata" // timezone: also where the machine has no database of them

	"github.com/walrelay/walrelay/auth"
	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/config"
	"github.com/walrelay/walrelay/replication"
)

// newSessions makes what finds out who is signed in; nil when nobody ever is. unlogged are the
// stores that the WAL tells nothing of.
func newSessions(cfg *config.Config, unlogged []string, following func() bool, log *slog.Logger) (*auth.Sessions, error) {
	if !signsIn(cfg) {
		return nil, nil
	}
	l := cfg.HTTP.Limits
	sessions, err := auth.New(auth.Options{
		Entries: cfg.Auth, Declared: cfg.Claims, URL: string(cfg.Postgres.URL), Unlogged: unlogged, Following: following, Logger: log,
		Limits: auth.Limits{PerSession: l.PerSession, PerUser: l.PerUser, Lookups: l.Lookups, FailedPerMinute: l.FailedPerMinute},
	})
	if err != nil {
		return nil, locatedKeys(cfg, err)
	}
	return sessions, nil
}

// examinePatience is how long the start waits for a database to examine the tables of auth.
const examinePatience = 5 * time.Second

// examineAuth looks at the tables and queries of auth before anybody is looked up; warnings are
// logged, errors stop. While the database is away nothing is known: nil, and learnSessions looks
// later.
func examineAuth(ctx context.Context, cfg *config.Config, log *slog.Logger) (*auth.Examination, error) {
	if !signsIn(cfg) {
		return &auth.Examination{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, examinePatience)
	defer cancel()
	x, err := auth.Examine(ctx, string(cfg.Postgres.URL), cfg.Auth, cfg.Claims)
	if err != nil {
		log.Warn("the tables of sessions cannot be examined yet", "cause", err)
		return nil, nil
	}
	var problems []error
	for _, f := range x.Findings {
		p := cfg.Errorf(cfg.Pos(f.Key), f.Key, "%s", f.String())
		if f.Severity == auth.Error {
			problems = append(problems, p)
			continue
		}
		log.Warn(p.Error())
	}
	return x, errors.Join(problems...)
}

// signsIn reports whether an entry of auth can say who somebody is.
func signsIn(cfg *config.Config) bool {
	for _, e := range cfg.Auth {
		if e.Session != nil || e.Forward != nil {
			return true
		}
	}
	return false
}

// targetBuilder collects the tables of a configuration, each once.
type targetBuilder struct {
	cfg    *config.Config
	target *replication.Target
	index  map[[2]string]int
}

// table is the spec of a table; key is where the configuration names it first.
func (b *targetBuilder) table(schema, name, key string) (spec *replication.TableSpec, added bool) {
	at, ok := b.index[[2]string{schema, name}]
	if !ok {
		at = len(b.target.Tables)
		b.index[[2]string{schema, name}] = at
		b.target.Tables = append(b.target.Tables, replication.TableSpec{Schema: schema, Name: name, Ref: b.place(key)})
	}
	return &b.target.Tables[at], !ok
}

func (b *targetBuilder) place(key string) place { return place{b.cfg.Pos(key), key} }

// watched adds a table that auth follows. Rows of one that no channel shows are nobody's
// business.
func (b *targetBuilder) watched(schema, name, key string) *replication.TableSpec {
	spec, added := b.table(schema, name, key)
	spec.Watched = true
	spec.Private = spec.Private || added
	return spec
}

// auth adds the tables of sessions and claims, after those of the channels.
func (b *targetBuilder) auth() {
	for _, e := range b.cfg.Auth {
		if e.Session == nil {
			continue
		}
		if s := e.Session.Store; s != nil {
			spec := b.watched(s.Schema, s.Table, e.Key+".store.table")
			spec.Uses = append(spec.Uses, b.storeUses(e.Key, e.Session)...)
		}
		for i, d := range e.Session.Depends {
			key := fmt.Sprintf("%s.depends.%d", e.Key, i)
			spec := b.watched(d.Schema, d.Table, key+".table")
			spec.Uses = append(spec.Uses, b.use(d.Key, key+".key"))
		}
	}
}

func (b *targetBuilder) use(column, key string) replication.ColumnUse {
	return replication.ColumnUse{Column: column, Watched: true, Ref: b.place(key)}
}

// storeUses are the columns of a store that are certain to be columns: a name can also be a
// path in the payload, where there is one.
func (b *targetBuilder) storeUses(key string, e *auth.SessionEntry) []replication.ColumnUse {
	s, at := e.Store, key+".store."
	uses := []replication.ColumnUse{b.use(s.Key, at+"key")}
	for _, w := range s.Where {
		uses = append(uses, b.use(w.Column, at+"where."+w.Column))
	}
	if s.Expires != nil {
		uses = append(uses, b.use(s.Expires.Column, at+"expires"))
	}
	if s.Data != nil {
		return append(uses, b.use(s.Data.Column, at+"data.column"))
	}
	if e.From != "" { // the cookie has a payload
		return uses
	}
	uses = append(uses, b.use(e.User, key+".user"))
	for _, name := range s.Watch {
		uses = append(uses, b.use(name, at+"watch"))
	}
	for claim, name := range e.Claims.Paths {
		uses = append(uses, b.use(name, key+".claims."+claim))
	}
	return uses
}

// targetWithout is the target without tables that cannot be published, because they are
// UNLOGGED: sessions there are polled. Of a channel's table the preflight says so.
func targetWithout(cfg *config.Config, unlogged []string) replication.Target {
	t := target(cfg)
	t.Tables = slices.DeleteFunc(t.Tables, func(s replication.TableSpec) bool {
		return s.Private && slices.Contains(unlogged, s.Schema+"."+s.Name)
	})
	return t
}

// authRelations are the tables of sessions and claims as the catalog has them, by schema.name;
// nil where there is none, or it is not fit to be followed.
func authRelations(cfg *config.Config, tables map[string]*replication.Table) map[string]*change.Relation {
	out := map[string]*change.Relation{}
	for _, spec := range target(cfg).Tables {
		name := spec.Schema + "." + spec.Name
		switch t := tables[name]; {
		case !spec.Watched:
		case t == nil || t.Unfit != "":
			out[name] = nil
		default:
			out[name] = t.Relation()
		}
	}
	return out
}

// storeChannel refuses a channel, of a file read anew, on a table in which the entries that are
// in force keep sessions: they change at a restart only.
func storeChannel(cfg *config.Config) error {
	for _, e := range cfg.Auth {
		if e.Session == nil || e.Session.Store == nil {
			continue
		}
		for i := range cfg.Channels {
			c := &cfg.Channels[i]
			if c.Schema == e.Session.Store.Schema && c.Table == e.Session.Store.Table {
				return cfg.Errorf(cfg.Pos(c.Key("table")), c.Key("table"), "%s.%s is where sessions are kept as long as walrelay is not restarted: its rows are live credentials, which no channel may send",
					c.Schema, c.Table)
			}
		}
	}
	return nil
}
