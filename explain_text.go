package main

import (
	"fmt"
	"strings"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/filter"
)

// line prints a labelled line; of several texts only the first has the label.
func (e *explainer) line(label string, texts ...string) {
	for _, text := range texts {
		fmt.Fprintf(e.out, "%-8s  %s\n", label, text)
		label = ""
	}
}

// printHead shows what is asked.
func (e *explainer) printHead() {
	c := e.channel
	name := e.name
	if c.Name != e.name {
		name += ", which is " + c.Name
	}
	e.line("channel", fmt.Sprintf("%s of %s.%s (%s:%s)", name, c.Schema, c.Table, e.cfg.File, e.cfg.Pos(c.Key())))
	user := "nobody is signed in"
	if e.claims != nil {
		user = e.user
	}
	e.line("user", user)
	e.line("plan", e.program.Plan()...)
}

// printExpressions shows the rule without values.
func (e *explainer) printExpressions() {
	if e.channel.Where != nil {
		e.line("where", e.channel.Where.Node.String())
	}
	e.line("allow", allowText(e.channel))
}

// printSubscription tells what holds before there is a row.
func (e *explainer) printSubscription(b *filter.Binding, refused string) {
	e.printExpressions()
	if b == nil {
		e.line("verdict", "NO, the user may not subscribe: "+refused)
		return
	}
	e.printBinding(b)
	e.line("verdict", "YES, the user may subscribe; which rows come is decided for each row: name one with --key")
}

// printBinding shows what the subscription is bound to.
func (e *explainer) printBinding(b *filter.Binding) {
	for _, p := range b.Params() {
		e.line("param", p.Name+" = "+p.Text+" ("+p.Type.Name+")")
	}
	ways := e.program.Disjuncts()
	for i := range ways {
		way := ""
		if ways > 1 {
			way = fmt.Sprintf("way %d of %d: ", i+1, ways)
		}
		e.line("index", way+indexText(b, i))
	}
	if e.channel.Snapshot == nil {
		return
	}
	condition, args := b.SQL()
	e.line("snapshot", "where "+condition)
	for i, arg := range args {
		e.line("", fmt.Sprintf("$%d = %s", i+1, arg))
	}
}

// indexText says how rows find the subscription.
func indexText(b *filter.Binding, disjunct int) string {
	switch keys := b.Postings(disjunct); {
	case len(keys) == 0:
		return "no row can match for this user"
	case keys[0] != "":
		return "found under " + count(len(keys), "key")
	case b.Scan():
		return "every row is tried"
	}
	return "all rows that pass what is evaluated once per change"
}

// printRow shows each part of the rule for the row, and the verdict.
func (e *explainer) printRow(b *filter.Binding, refused string, row []change.Value) error {
	if b == nil {
		e.printExpressions()
		e.line("verdict", "NO, the user does not get the row, nor any other: "+refused)
		return nil
	}
	layout, err := e.program.For(e.table.Relation())
	if err != nil {
		return fmt.Errorf("explain: %w", err)
	}
	im := e.program.NewImage()
	im.Load(layout, row)
	e.printBinding(b)
	steps := b.Explain(im)
	for _, s := range steps {
		if e.channel.Allow.AnyUser() && s.Part == filter.Allow {
			continue
		}
		label := ""
		if s.Depth == 0 {
			label = partName(s.Part)
		}
		e.line(label, strings.Repeat("  ", s.Depth)+stepText(s))
	}
	if e.channel.Allow.Expr == nil || e.channel.Allow.AnyUser() {
		e.line("allow", allowText(e.channel))
	}
	e.line("verdict", verdict(b.Eval(im), steps))
	return nil
}

func partName(p filter.Part) string {
	if p == filter.Allow {
		return "allow"
	}
	return "where"
}

// stepText is one part with its value.
func stepText(s filter.Step) string {
	text := fmt.Sprintf("%-7s  %s", truthName(s.Truth), s.Expr)
	if len(s.Values) > 0 {
		text += "   [" + strings.Join(s.Values, ", ") + "]"
	}
	if s.Reason != "" {
		text += "   " + s.Reason
	}
	return text
}

func truthName(t filter.Truth) string {
	switch t {
	case filter.True:
		return "true"
	case filter.False:
		return "false"
	}
	return "unknown"
}

// verdict says it in words, with the comparisons that decided.
func verdict(t filter.Truth, steps []filter.Step) string {
	if t == filter.True {
		return "YES, the user gets the row"
	}
	var because []string
	for i, s := range steps {
		if s.Depth == 0 && s.Truth != filter.True {
			because = append(because, partName(s.Part)+" is not true ("+strings.Join(failures(steps[i:]), ", ")+")")
		}
	}
	return "NO, the user does not get the row: " + strings.Join(because, ", and ")
}

// failures are the comparisons that are not true in the part with which steps begins.
func failures(steps []filter.Step) []string {
	var out []string
	for i, s := range steps {
		if i > 0 && s.Depth == 0 {
			break
		}
		joins := i+1 < len(steps) && steps[i+1].Depth > s.Depth
		if joins || s.Truth == filter.True {
			continue
		}
		text := s.Expr + " is " + truthName(s.Truth)
		if s.Reason != "" {
			text += ": " + s.Reason
		}
		out = append(out, text)
	}
	return out
}
