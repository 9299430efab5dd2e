package main

import (
	"context"
	"errors"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/config"
	"github.com/walrelay/walrelay/eventlog"
	"github.com/walrelay/walrelay/replication"
)

// place is a ColumnUse.Ref: where in the configuration a column is named.
type place struct {
	pos config.Pos
	key string
}

// target is what the configuration asks of the database: the tables of the channels, then
// those of sessions and claims.
func target(cfg *config.Config) replication.Target {
	t := replication.Target{URL: string(cfg.Postgres.URL), Slot: cfg.Postgres.Slot, Publication: cfg.Postgres.Publication}
	b := &targetBuilder{cfg: cfg, target: &t, index: map[[2]string]int{}}
	for i := range cfg.Channels {
		c := &cfg.Channels[i]
		spec, _ := b.table(c.Schema, c.Table, c.Key("table"))
		spec.Uses = append(spec.Uses, columnUses(cfg, c)...)
	}
	b.auth()
	return t
}

func columnUses(cfg *config.Config, c *config.Channel) []replication.ColumnUse {
	var out []replication.ColumnUse
	for _, name := range c.Columns {
		out = append(out, replication.ColumnUse{Column: name, Ref: place{cfg.Pos(c.Key("columns")), c.Key("columns")}})
	}
	return append(out, ruleUses(c)...)
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
	if b.Last == b.Floor {
		return change.Tx{}, false
	}
	batch, err := l.Next(b.Last.Prev())
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
