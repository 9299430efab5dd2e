package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/walrelay/walrelay/auth"
	"github.com/walrelay/walrelay/config"
	"github.com/walrelay/walrelay/replication"
)

// authCheck checks what auth names: secrets, tables, claims SQL.
func authCheck(ctx context.Context, cfg *config.Config, out io.Writer) error {
	for _, w := range cfg.Warnings {
		if w.Key == "auth" || strings.HasPrefix(w.Key, "auth.") {
			fmt.Fprintf(out, "%-7s  %s\n", replication.Warning, w)
		}
	}
	conn, x, errs, err := beginCheck(ctx, cfg, out)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	found, err := authFindings(ctx, conn, cfg, x)
	if err != nil {
		return err
	}
	printFindings(out, cfg, found)
	if errs += len(found.Errors()); errs > 0 {
		return fmt.Errorf("auth check %s: %s; serve would not start", cfg.File, count(errs, "error"))
	}
	for _, e := range cfg.Auth {
		fmt.Fprintf(out, "ok       %s: %s\n", e.Key, summary(e, x.Unlogged))
	}
	return nil
}

// beginCheck looks at secrets and at what auth reads, prints what it finds and counts the errors.
// The caller closes the connection, with which it goes on.
func beginCheck(ctx context.Context, cfg *config.Config, out io.Writer) (conn *pgx.Conn, x *auth.Examination, errs int, err error) {
	secrets := secretProblems(cfg)
	printProblems(out, replication.Error, secrets)
	if conn, err = replication.Connect(ctx, string(cfg.Postgres.URL)); err != nil {
		return nil, nil, 0, err
	}
	if x, err = examineDatabase(ctx, cfg); err != nil {
		return nil, nil, 0, errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	}
	return conn, x, len(secrets) + printExamined(out, cfg, x), nil
}

// examineDatabase is what the database says of auth.
func examineDatabase(ctx context.Context, cfg *config.Config) (*auth.Examination, error) {
	if !signsIn(cfg) {
		return &auth.Examination{}, nil
	}
	return auth.Examine(ctx, string(cfg.Postgres.URL), cfg.Auth, cfg.Claims)
}

// authFindings are those that replication has of the tables of auth.
func authFindings(ctx context.Context, conn *pgx.Conn, cfg *config.Config, x *auth.Examination) (replication.Findings, error) {
	t := targetWithout(cfg, x.Unlogged)
	p, err := replication.Check(ctx, conn, t)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(p.Findings, func(f replication.Finding) bool {
		return !(f.Severity == replication.Error && strings.HasPrefix(f.Subject, "publication ")) && !slices.ContainsFunc(t.Tables, func(s replication.TableSpec) bool {
			return s.Watched && (f.Table == s.Schema+"."+s.Name || f.Subject == "table "+s.Schema+"."+s.Name)
		})
	}), nil
}

// printExamined prints what the database says of the entries, and counts the errors.
func printExamined(out io.Writer, cfg *config.Config, x *auth.Examination) (errs int) {
	for _, f := range x.Findings {
		if f.Severity == auth.Error {
			errs++
		}
		fmt.Fprintf(out, "%-7s  %s\n", f.Severity, cfg.Errorf(cfg.Pos(f.Key), f.Key, "%s", f.String()))
	}
	return errs
}

// secretProblems are the secrets that cannot be read, and what else keeps entries from being
// used before a database is asked.
func secretProblems(cfg *config.Config) []*config.Problem {
	sessions, err := newSessions(cfg, nil, nil, slog.New(slog.DiscardHandler))
	if sessions != nil {
		sessions.Close()
	}
	var errs *config.Errors
	if errors.As(err, &errs) {
		return errs.Problems
	}
	return nil
}

var keyed = regexp.MustCompile(`^(auth\.\d+(?:\.[a-z_0-9]+)*): (?:(secrets|encryption|decode|check|format): )?(.*)$`)

// locatedKeys gives the lines of an error that begin with a key their places in the file. It is
// a *config.Errors.
func locatedKeys(cfg *config.Config, err error) error {
	out := &config.Errors{}
	for line := range strings.Lines(err.Error()) {
		key, text := "auth", strings.TrimSpace(line)
		if m := keyed.FindStringSubmatch(text); m != nil {
			if key, text = m[1], m[3]; m[2] != "" {
				key += "." + m[2]
			}
		}
		out.Add(cfg.Errorf(cfg.Pos(key), key, "%s", text))
	}
	return out.Err()
}

// summary is an entry in a few words; of the stores in unlogged the WAL tells nothing.
func summary(e auth.Entry, unlogged []string) string {
	switch {
	case e.Forward != nil:
		return "forward to " + e.Forward.URL.Host
	case e.Session == nil:
		return "everybody else is nobody"
	}
	s := e.Session
	text := "cookie " + strings.Join(s.Cookies, ", ")
	if s.Bearer {
		text = "bearer token"
	}
	text += ", decode " + s.Decode
	if s.Store == nil {
		return text + ", which holds its session: a logout is noticed when the stream is renewed, after " + shortDuration(s.MaxStream) + " at most"
	}
	store := s.Store.Schema + "." + s.Store.Table
	if slices.Contains(unlogged, store) {
		return text + ", sessions in " + store + ", which is UNLOGGED: a logout is noticed within " + shortDuration(s.Revalidate)
	}
	return text + ", sessions in " + store + ": a logout ends streams at once"
}
