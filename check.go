package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/walrelay/walrelay/config"
	"github.com/walrelay/walrelay/replication"
)

func newCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration against the live database",
		Long: "Checks the configuration file, the files and directories that it names, everything that replication needs of the database, and\n" +
			"the rules of every channel. Prints what each channel does, and each finding with its fix. Changes nothing. Exits 1 when there\n" +
			"are errors. May be run beside walrelay.",
		Args: cobra.NoArgs,
	}
	return checking(cmd, check)
}

// checking makes a command of a check of the configured file.
func checking(cmd *cobra.Command, check func(context.Context, *config.Config, io.Writer) error) *cobra.Command {
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := config.Load(*path, os.LookupEnv)
		if err != nil {
			return err
		}
		return check(cmd.Context(), cfg, cmd.OutOrStdout())
	}
	return cmd
}

func check(ctx context.Context, cfg *config.Config, out io.Writer) error {
	here := checkMachine(cfg)
	printFindings(out, cfg, here.findings)
	conn, examined, errs, err := beginCheck(ctx, cfg, out)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	t := targetWithout(cfg, examined.Unlogged)
	p, err := replication.Check(ctx, conn, t)
	if err != nil {
		return err
	}
	views, problems, warnings, err := checkChannels(ctx, conn, cfg, t, p)
	if err != nil {
		return err
	}
	for _, v := range views {
		v.print(out)
	}
	printFindings(out, cfg, p.Findings)
	printProblems(out, replication.Warning, warnings)
	printProblems(out, replication.Error, problems.Problems)
	if n := errs + len(here.findings.Errors()) + len(p.Findings.Errors()) + len(problems.Problems); n > 0 {
		return fmt.Errorf("check %s: %s; serve would not start", cfg.File, count(n, "error"))
	}
	printPlan(out, append(here.notes, p.Notes()...), p, t)
	return nil
}

func printFindings(out io.Writer, cfg *config.Config, findings replication.Findings) {
	for _, f := range findings {
		fmt.Fprintf(out, "%-7s  %s\n", f.Severity, describe(cfg, f))
	}
}

// printProblems prints problems of the file in its order.
func printProblems(out io.Writer, severity replication.Severity, problems []*config.Problem) {
	sorted := slices.Clone(problems)
	slices.SortStableFunc(sorted, func(a, b *config.Problem) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
	for _, problem := range sorted {
		fmt.Fprintf(out, "%-7s  %s\n", severity, problem)
	}
}

// printPlan says what serve would do in the database.
func printPlan(out io.Writer, notes []string, p *replication.Preflight, t replication.Target) {
	for _, note := range notes {
		fmt.Fprintf(out, "%-7s  %s\n", "note", note)
	}
	fmt.Fprintf(out, "ok       Postgres %s, database %s, role %s\n", p.Server.VersionText, p.Server.Database, p.Server.Role)
	for _, step := range p.Plan(t) {
		fmt.Fprintf(out, "will do  %s\n", step)
	}
}

// specOf is the table of a channel in a target.
func specOf(t *replication.Target, c *config.Channel) *replication.TableSpec {
	for i := range t.Tables {
		if spec := &t.Tables[i]; spec.Schema == c.Schema && spec.Name == c.Table {
			return spec
		}
	}
	return &replication.TableSpec{}
}

// checkChannels checks the rules of all channels and looks at what they cost.
func checkChannels(ctx context.Context, conn *pgx.Conn, cfg *config.Config, t replication.Target, p *replication.Preflight) (
	views []*channelView, problems *config.Errors, warnings []*config.Problem, err error) {
	if len(p.Tables) == 0 { // a server that cannot be used
		return nil, &config.Errors{}, cfg.Warnings, nil
	}
	rules, problems, warnings := compileRules(cfg, p.Tables)
	warnings = append(warnings, cfg.Warnings...)
	for _, rule := range rules {
		c := rule.Channel
		v := &channelView{cfg: cfg, c: c, program: rule.Program, table: p.Tables[c.Schema+"."+c.Table], spec: specOf(&t, c)}
		if err := v.look(ctx, conn); err != nil {
			return nil, nil, nil, err
		}
		warnings = append(warnings, v.warnings...)
		views = append(views, v)
	}
	return views, problems, warnings, nil
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
