package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/walrelay/walrelay/config"
	"github.com/walrelay/walrelay/replication"
)

func newCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration against the live database",
		Long: "Checks the configuration file, the files and directories that it names, and everything that replication needs of the database,\n" +
			"and prints each finding with its fix. Changes nothing. Exits 1 when there are errors. May be run beside walrelay.",
		Args: cobra.NoArgs,
	}
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
	t := target(cfg)
	here := checkMachine(cfg)
	for _, f := range here.findings {
		fmt.Fprintf(out, "%-7s  %s\n", f.Severity, describe(cfg, f))
	}
	conn, err := replication.Connect(ctx, t.URL)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	p, err := replication.Check(ctx, conn, t)
	if err != nil {
		return err
	}
	problems := paramProblems(cfg, p.Tables)
	_, wrong, warnings := compileRules(cfg, p.Tables)
	problems.Add(wrong.Problems...)
	for _, f := range p.Findings {
		fmt.Fprintf(out, "%-7s  %s\n", f.Severity, describe(cfg, f))
	}
	for _, problem := range append(cfg.Warnings, warnings...) {
		fmt.Fprintf(out, "%-7s  %s\n", replication.Warning, problem)
	}
	for _, problem := range problems.Problems {
		fmt.Fprintf(out, "%-7s  %s\n", replication.Error, problem)
	}
	if n := len(here.findings.Errors()) + len(p.Findings.Errors()) + len(problems.Problems); n > 0 {
		return fmt.Errorf("check %s: %s; serve would not start", cfg.File, count(n, "error"))
	}
	for _, note := range append(here.notes, p.Notes()...) {
		fmt.Fprintf(out, "%-7s  %s\n", "note", note)
	}
	fmt.Fprintf(out, "ok       Postgres %s, database %s, role %s\n", p.Server.VersionText, p.Server.Database, p.Server.Role)
	for _, step := range p.Plan(t) {
		fmt.Fprintf(out, "will do  %s\n", step)
	}
	return nil
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
