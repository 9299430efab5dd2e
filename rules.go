package main

import (
	"slices"

	"github.com/walrelay/walrelay/config"
	"github.com/walrelay/walrelay/filter"
	"github.com/walrelay/walrelay/replication"
)

// compiledRule is a channel with its rule, checked against the catalog.
type compiledRule struct {
	Channel *config.Channel
	// Program is nil when the rule has errors or its table is missing.
	Program *filter.Program
}

// compileRules checks the rules of all channels against the tables as the catalog has
// them, by schema.name; nil where a table is missing, which the preflight reports. There is
// one rule for each channel, in the order of the file.
func compileRules(cfg *config.Config, tables map[string]*replication.Table) ([]compiledRule, *config.Errors, []*config.Problem) {
	rules := make([]compiledRule, len(cfg.Channels))
	problems := &config.Errors{}
	var warnings []*config.Problem
	for i := range cfg.Channels {
		c := &cfg.Channels[i]
		rules[i].Channel = c
		name := c.Schema + "." + c.Table
		if tables[name] == nil {
			continue
		}
		program, found := filter.Compile(ruleSource(cfg, c, filterTable(name, tables[name])))
		usable := true
		for _, p := range found {
			if p.Warning {
				warnings = append(warnings, ruleProblem(cfg, c, p))
				continue
			}
			usable = false
			problems.Add(ruleProblem(cfg, c, p))
		}
		if usable {
			rules[i].Program = program
		}
	}
	return rules, problems, warnings
}

// ruleSource is a channel's rule as package filter wants it.
func ruleSource(cfg *config.Config, c *config.Channel, t *filter.Table) filter.Source {
	s := filter.Source{Public: c.Allow.Public, Table: t, Claims: cfg.Claims, Params: c.Params}
	if c.Where != nil {
		s.Where = c.Where.Node
	}
	if c.Allow.Expr != nil {
		s.Allow = c.Allow.Expr.Node
	}
	return s
}

// filterTable is a table of the catalog as rules see it.
func filterTable(name string, t *replication.Table) *filter.Table {
	out := &filter.Table{Name: name, Columns: make([]filter.Column, len(t.Columns))}
	for i, c := range t.Columns {
		out.Columns[i] = filter.Column{Name: c.Name, Type: c.Type, NotNull: c.NotNull, Loose: c.Loose,
			Identity: slices.Contains(t.IdentityColumns, c.Name)}
	}
	return out
}

// ruleProblem puts the place in the file to what filter.Compile has found.
func ruleProblem(cfg *config.Config, c *config.Channel, p filter.Problem) *config.Problem {
	expr, key := c.Where, c.Key("where")
	if p.Part == filter.Allow {
		expr, key = c.Allow.Expr, c.Key("allow")
	}
	if expr == nil {
		return cfg.Errorf(cfg.Pos(c.Key()), c.Key(), "%s", p.Msg)
	}
	return cfg.Errorf(expr.Pos(p.Pos), key, "%s", p.Msg)
}

// ruleUses are the columns that a channel's rules read, for the preflight. Under identity:
// loose nobody needs their old values.
func ruleUses(c *config.Channel) []replication.ColumnUse {
	var uses []replication.ColumnUse
	for _, r := range c.Reads() {
		uses = append(uses, replication.ColumnUse{Column: r.Column, Read: true, Compared: !c.Loose, Ref: place{r.Pos, r.Key}})
	}
	return uses
}

// quotedTable is a channel's table in SQL.
func quotedTable(c *config.Channel) string {
	return replication.QuoteIdent(c.Schema) + "." + replication.QuoteIdent(c.Table)
}
