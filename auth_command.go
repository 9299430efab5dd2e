package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/walrelay/walrelay/auth"
	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/config"
	"github.com/walrelay/walrelay/replication"
)

func newAuthCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "auth",
		Short: "Check and explain how users are known",
		Long:  "Checks and explains the configuration's auth: what its presets fill in, whether the database fits, and why a cookie is accepted or refused.",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAuthCheckCommand(), newAuthExplainCommand())
	return cmd
}

func newAuthCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check auth against the environment and the live database",
		Long: "Checks the secrets that auth names, the tables of sessions and claims, and the claims SQL, as walrelay check does among the rest.\n" +
			"Changes nothing. Exits 1 when there are errors.",
		Args: cobra.NoArgs,
	}
	return checking(cmd, authCheck)
}

func newAuthExplainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Print what auth comes to, and why a cookie is accepted or refused",
		Long: "Prints every entry of auth with its preset and defaults filled in. With a request in files it says step by step why\n" +
			"the session in it is accepted or refused. Cookies and tokens come from files only, so that no list of processes has\n" +
			"them, and neither they nor secrets nor session ids are printed.",
		Example: "  walrelay auth explain --cookie-file cookies.txt      # a Cookie header, or curl's cookie jar (curl -c)\n" +
			"  walrelay auth explain --header-file headers.txt      # Authorization: Bearer …",
		Args: cobra.NoArgs,
	}
	path := configFlag(cmd)
	cookies := cmd.Flags().String("cookie-file", "", "`file` with a Cookie header, with or without its name, or a cookie jar; - is the standard input")
	headers := cmd.Flags().String("header-file", "", "`file` with headers of the request, one on a line, such as Authorization; - is the standard input")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := config.Load(*path, os.LookupEnv)
		if err != nil {
			return err
		}
		if *cookies == "-" && *headers == "-" {
			return errors.New("auth explain: only one of --cookie-file and --header-file can be the standard input")
		}
		request, err := readRequest(cmd.InOrStdin(), *cookies, *headers)
		if err != nil {
			return fmt.Errorf("auth explain: %w", err)
		}
		return authExplain(cmd.Context(), cfg, request, cmd.OutOrStdout())
	}
	return cmd
}

// authExplain prints the entries, and what becomes of a request; nil for none.
func authExplain(ctx context.Context, cfg *config.Config, request *http.Request, out io.Writer) error {
	printAuth(out, cfg, os.LookupEnv)
	if request == nil {
		return nil
	}
	fmt.Fprintln(out)
	if !signsIn(cfg) {
		fmt.Fprintln(out, "no entry reads a session: every request is nobody's, and gets 401 but for public channels")
		return nil
	}
	catalog, trouble := readCatalog(ctx, cfg)
	sessions, err := newSessions(cfg, catalog.unlogged, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer sessions.Close()
	if trouble == nil {
		trouble = sessions.Learn(catalog.relations)
	}
	if trouble != nil {
		printStep(out, auth.Step{Name: "database", Text: trouble.Error()})
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { // it fetches key sets
		defer close(ended)
		_ = sessions.Run(ctx)
	}()
	defer func() { cancel(); <-ended }()
	for _, step := range sessions.Explain(ctx, request.WithContext(ctx), auth.Client{IP: "127.0.0.1", Scheme: "http", Host: "localhost"}) {
		printStep(out, step)
	}
	return nil
}

// catalog is what sessions must know of their tables.
type catalog struct {
	unlogged  []string
	relations map[string]*change.Relation
}

// readCatalog asks the database.
func readCatalog(ctx context.Context, cfg *config.Config) (c catalog, err error) {
	conn, err := replication.Connect(ctx, string(cfg.Postgres.URL))
	if err != nil {
		return c, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	x, err := examineDatabase(ctx, cfg)
	if err != nil {
		return c, err
	}
	p, err := replication.Check(ctx, conn, targetWithout(cfg, x.Unlogged))
	if err != nil {
		return c, err
	}
	c = catalog{unlogged: x.Unlogged, relations: authRelations(cfg, p.Tables)}
	maps.Copy(c.relations, x.Relations)
	return c, nil
}

func printStep(out io.Writer, s auth.Step) {
	verdict := "ok"
	if !s.OK {
		verdict = "no"
	}
	where := s.Entry
	if where == "" {
		where = "request"
	}
	fmt.Fprintf(out, "%-2s  %-8s %-9s %s\n", verdict, where, s.Name, comment(strings.ReplaceAll(s.Text, "\n", "; ")))
}
