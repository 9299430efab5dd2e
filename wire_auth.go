package main

import (
	"fmt"
	"log/slog"
	_ "time/tzdata" // timezone: also where the machine has no database of them

	"github.com/walrelay/walrelay/auth"
	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/config"
	"github.com/walrelay/walrelay/replication"
)

// newSessions makes what finds out who is signed in; nil when nobody ever is.
func newSessions(cfg *config.Config, following func() bool, log *slog.Logger) (*auth.Sessions, error) {
	if !signsIn(cfg) {
		return nil, nil
	}
	l := cfg.HTTP.Limits
	return auth.New(auth.Options{
		Entries: cfg.Auth, Declared: cfg.Claims, URL: string(cfg.Postgres.URL), Following: following, Logger: log,
		Limits: auth.Limits{PerSession: l.PerSession, PerUser: l.PerUser, Lookups: l.Lookups, FailedPerMinute: l.FailedPerMinute},
	})
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

// authRelations are the tables of sessions and claims as the catalog has them, by schema.name.
func authRelations(cfg *config.Config, tables map[string]*replication.Table) map[string]*change.Relation {
	out := map[string]*change.Relation{}
	for _, spec := range target(cfg).Tables {
		name := spec.Schema + "." + spec.Name
		if t := tables[name]; spec.Watched && t != nil {
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
