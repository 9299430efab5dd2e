package main

import (
	"context"
	"errors"
	"math"
	"strings"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/channel"
	"github.com/walrelay/walrelay/config"
	"github.com/walrelay/walrelay/eventlog"
	"github.com/walrelay/walrelay/replication"
)

// rules translates the configured channels.
func rules(cfg *config.Config) []*channel.Rule {
	var out []*channel.Rule
	for i := range cfg.Channels {
		c := &cfg.Channels[i]
		r := &channel.Rule{Name: c.Name, Schema: c.Schema, Table: c.Table,
			Style: change.Style{BigintString: c.JSON.Bigint == config.AsString, NumericString: c.JSON.Numeric == config.AsString}}
		if !c.AllColumns {
			r.Columns = c.Columns
		}
		for _, b := range c.Bindings {
			r.Bindings = append(r.Bindings, channel.Binding{Column: b.Column, Param: b.Param})
		}
		out = append(out, r)
	}
	return out
}

// place is a ColumnUse.Ref: where in the configuration a column is named.
type place struct {
	pos config.Pos
	key string
}

// target is what the configuration asks of the database.
func target(cfg *config.Config) replication.Target {
	t := replication.Target{URL: string(cfg.Postgres.URL), Slot: cfg.Postgres.Slot, Publication: cfg.Postgres.Publication}
	index := map[[2]string]int{}
	for i := range cfg.Channels {
		c := &cfg.Channels[i]
		name := [2]string{c.Schema, c.Table}
		n, ok := index[name]
		if !ok {
			n = len(t.Tables)
			index[name] = n
			t.Tables = append(t.Tables, replication.TableSpec{Schema: c.Schema, Name: c.Table, Ref: place{cfg.Pos(c.Key("table")), c.Key("table")}})
		}
		t.Tables[n].Uses = append(t.Tables[n].Uses, columnUses(cfg, c)...)
	}
	return t
}

func columnUses(cfg *config.Config, c *config.Channel) []replication.ColumnUse {
	var out []replication.ColumnUse
	for _, name := range c.Columns {
		out = append(out, replication.ColumnUse{Column: name, Ref: place{cfg.Pos(c.Key("columns")), c.Key("columns")}})
	}
	for _, b := range c.Bindings {
		out = append(out, replication.ColumnUse{Column: b.Column, Compared: true, Ref: place{c.Where.Pos(b.Pos), c.Key("where")}})
	}
	return out
}

// learn checks the channels' parameters against the catalog's types and gives the
// hub what it needs of them.
func learn(cfg *config.Config, hub *channel.Hub, tables map[string]*replication.Table) error {
	problems := paramProblems(cfg, tables)
	if err := problems.Err(); err != nil {
		return &replication.PermanentError{Cause: err}
	}
	for i := range cfg.Channels {
		c := &cfg.Channels[i]
		if t := tables[c.Schema+"."+c.Table]; t != nil {
			types := map[string]*change.Type{}
			for _, col := range t.Columns {
				types[col.Name] = col.Type
			}
			hub.LearnTable(c.Schema, c.Table, types)
		}
	}
	return nil
}

// paramProblems finds parameters bound to columns whose type cannot be one.
func paramProblems(cfg *config.Config, tables map[string]*replication.Table) *config.Errors {
	problems := &config.Errors{}
	for i := range cfg.Channels {
		c := &cfg.Channels[i]
		t := tables[c.Schema+"."+c.Table]
		if t == nil {
			continue
		}
		for _, b := range c.Bindings {
			for _, col := range t.Columns {
				if col.Name != b.Column {
					continue
				}
				if err := channel.CanBind(col.Type); err != nil {
					problems.Add(cfg.Errorf(c.Where.Pos(b.Pos), c.Key("where"), "%s.%s: %v", c.Schema+"."+c.Table, b.Column, err))
				} else if declared := declaredType(c, b.Param); !isType(declared, col.Type) {
					key := c.Key("params", b.Param)
					problems.Add(cfg.Errorf(cfg.Pos(key), key, "is %s, but %s.%s, to which it is bound, is %s; remove it, or name the column's type",
						declared, c.Schema+"."+c.Table, b.Column, col.Type.Name))
				}
			}
		}
	}
	return problems
}

// declaredType is what the configuration says of a parameter, empty for nothing.
func declaredType(c *config.Channel, param string) string {
	for _, p := range c.Params {
		if p.Name == param {
			return p.Type
		}
	}
	return ""
}

// isType reports whether a column's type is what the configuration calls declared,
// see config.Param; nothing declared is any type.
func isType(declared string, t *change.Type) bool {
	name := t.BaseName()
	switch declared {
	case "":
		return true
	case "bool":
		return t.Kind == change.KindBool
	case "bigint":
		return t.Kind == change.KindInt
	case "numeric":
		return t.Kind == change.KindNumeric
	case "uuid":
		return name == "uuid"
	case "text":
		return name == "text" || strings.HasPrefix(name, "character varying")
	}
	// Postgres leaves public out where the search path has it, and adds quotes.
	bare := strings.TrimPrefix(strings.ReplaceAll(name, `"`, ""), "public.")
	return len(t.Labels) > 0 && bare == strings.TrimPrefix(declared, "public.")
}

// located puts the places in the configuration to the findings of a preflight.
func located(cfg *config.Config, err error) error {
	var preflight *replication.PreflightError
	if !errors.As(err, &preflight) {
		return err
	}
	lines := make([]error, len(preflight.Findings))
	for i, f := range preflight.Findings {
		lines[i] = errors.New(describe(cfg, f))
	}
	return errors.Join(lines...)
}

// describe is one finding as a line.
func describe(cfg *config.Config, f replication.Finding) string {
	p, ok := f.Ref.(place)
	if !ok {
		return f.String()
	}
	return cfg.Errorf(p.pos, p.key, "%s", f.String()).Error()
}

// sourceLog is the event log as replication sees it.
type sourceLog struct{ *eventlog.Log }

// Append makes errors that do not pass permanent.
func (l sourceLog) Append(ctx context.Context, b *change.Batch) error {
	err := l.Log.Append(ctx, b)
	if err == nil || ctx.Err() != nil || errors.Is(err, eventlog.ErrUnavailable) {
		return err
	}
	return &replication.PermanentError{Op: "write event log", Cause: err, Fix: "look at the disk of log.dir; with a new, empty log.dir walrelay starts afresh and clients get reset"}
}

func (l sourceLog) Head() (change.Position, change.LSN) {
	b := l.Bounds()
	return b.Last, b.Durable
}

// LastTx reads the batch that ends the log.
func (l sourceLog) LastTx() (change.Tx, bool) {
	b := l.Bounds()
	before := change.Position{Commit: b.Last.Commit - 1, Index: math.MaxUint64}
	if b.Last.Index > 0 {
		before = change.Position{Commit: b.Last.Commit, Index: b.Last.Index - 1}
	}
	if b.Last == b.Floor {
		return change.Tx{}, false
	}
	batch, err := l.Next(before)
	if err != nil || batch == nil {
		return change.Tx{}, false
	}
	var r change.Reader
	var c change.Change
	r.Reset(batch)
	for r.Next(&c) {
	}
	return c.Tx, r.Err() == nil && c.Position == b.Last
}

func (l sourceLog) Identity() (string, uint32) {
	lin := l.Bounds().Lineage
	return lin.SystemID, lin.Timeline
}

func (l sourceLog) Begin(ctx context.Context, systemID string, timeline uint32, floor change.LSN, reason string) error {
	return l.Log.Begin(ctx, eventlog.Lineage{SystemID: systemID, Timeline: timeline}, floor, reason)
}
