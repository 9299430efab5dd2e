package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/walrelay/walrelay/channel"
	"github.com/walrelay/walrelay/config"
	"github.com/walrelay/walrelay/eventlog"
	"github.com/walrelay/walrelay/httpapi"
	"github.com/walrelay/walrelay/replication"
	"github.com/walrelay/walrelay/snapshot"
)

func newServeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Follow the database and serve the channels (the default)",
		Long: "Follows the database and serves the channels until SIGTERM or Ctrl-C, which drain: new streams are refused, open ones get\n" +
			"an end event and come back elsewhere or later with their last id. Exits 0 after a drain, 1 on any failure.",
		Args: cobra.NoArgs,
	}
	path := configFlag(cmd)
	level := cmd.Flags().String("log-level", "info", "debug, info, warn or error")
	format := cmd.Flags().String("log-format", "text", "text or json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		log, err := newLogger(*level, *format)
		if err != nil {
			return err
		}
		cfg, err := config.Load(*path, os.LookupEnv)
		if err != nil {
			return err
		}
		return serve(cmd.Context(), cfg, log)
	}
	return cmd
}

func newLogger(level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level: %q is not a level (debug, info, warn, error)", level)
	}
	o := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(os.Stderr, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(os.Stderr, o)), nil
	}
	return nil, fmt.Errorf("--log-format: %q is not a format (text, json)", format)
}

// serve wires the daemon and runs it until ctx ends or a part fails. Parts stop in
// the order of the way of a row, from its end: streams, lanes, replication, log.
func serve(ctx context.Context, cfg *config.Config, log *slog.Logger) (err error) {
	registry := prometheus.NewRegistry()
	events, err := eventlog.Open(eventlog.Options{Dir: cfg.Log.Dir, Retention: cfg.Log.Retention, MaxBytes: cfg.Log.MaxBytes, Logger: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, events.Close()) }()
	for _, w := range cfg.Warnings {
		log.Warn(w.Error())
	}
	examined, err := examineAuth(ctx, cfg, log)
	if err != nil {
		return err
	}
	book := newRuleBook(cfg, log)
	book.examined = examined
	tables, err := snapshot.New(snapshot.Options{URL: string(cfg.Postgres.URL), Logger: log})
	if err != nil {
		return err
	}
	defer tables.Close()
	var source *replication.Source
	sessions, err := newSessions(cfg, book.unlogged(), func() bool { return source.State().Following() }, log)
	if err != nil {
		return err
	}
	hub := channel.New(channel.Options{Log: events, Rules: hubRules(book.rules, book.tables), QueueBytes: int(cfg.HTTP.Limits.Queue), MaxScans: cfg.HTTP.Limits.MaxScanAudiences,
		Snapshots: tables, Altered: book.lookAgain, Logger: log,
		Following: func() bool { return source.State().Following() }})
	replicate := replication.Options{
		Target:        targetWithout(cfg, book.unlogged()),
		WALBudget:     cfg.Postgres.WALBudget,
		MaxEventBytes: int(cfg.Log.MaxEventBytes),
		Log:           sourceLog{events},
		OnTables:      book.learn,
		Logger:        log,
	}
	if sessions != nil {
		defer sessions.Close()
		sessions.Register(registry)
		replicate.Watcher, replicate.OnMissed = sessions, sessions.Missed
	}
	source = replication.New(replicate)
	book.hub, book.source, book.sessions = hub, source, sessions
	source.Register(registry)
	options := serverOptions(cfg, hub, events, source, registry, log)
	if sessions != nil {
		options.Resolver = sessions
	}
	options.Admin.ParseClaims, options.Admin.Reload = book.parseClaims, book.reload
	server, err := httpapi.New(options)
	if err != nil {
		return err
	}
	if err := server.Listen(ctx); err != nil {
		return err
	}
	return located(cfg, run(ctx, server, hub, source, book))
}

// run runs the parts. The first failure stops all; a drain stops the server first,
// then the rest. Sessions are watched for as long as there are streams.
func run(ctx context.Context, server *httpapi.Server, hub *channel.Hub, source *replication.Source, book *ruleBook) error {
	g, failed := errgroup.WithContext(context.WithoutCancel(ctx))
	behind, stopBehind := context.WithCancel(failed) // hub and source: they outlive the streams
	defer stopBehind()
	front, stopFront := context.WithCancel(ctx)
	defer stopFront()
	context.AfterFunc(failed, stopFront)
	g.Go(func() error { return hub.Run(behind) })
	g.Go(func() error { return source.Run(behind) })
	if book.sessions != nil {
		g.Go(func() error { return book.sessions.Run(behind) })
	}
	g.Go(func() error { return book.hangups(behind) })
	g.Go(func() error { return book.watch(behind) })
	g.Go(func() error {
		defer stopBehind()
		return server.Serve(front)
	})
	return g.Wait()
}

// hangups reloads the rules at SIGHUP.
func (b *ruleBook) hangups(ctx context.Context) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-hangup:
			if _, err := b.reload(ctx); err != nil {
				b.log.Error("SIGHUP: nothing was changed", "cause", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// serverOptions translates the configuration for httpapi.
func serverOptions(cfg *config.Config, hub *channel.Hub, events *eventlog.Log, source *replication.Source, registry *prometheus.Registry, log *slog.Logger) httpapi.Options {
	h := cfg.HTTP
	o := httpapi.Options{
		Hub: httpapi.FromHub(hub), Logger: log, Registry: registry,
		Listen: h.Listen, BasePath: h.BasePath, TLSCert: h.TLS.Cert, TLSKey: h.TLS.Key, H2C: h.H2C,
		AllowedOrigins: h.AllowedOrigins, TrustedProxies: h.TrustedProxies,
		Limits:    httpapi.Limits{Connections: h.Limits.Connections, PerIP: h.Limits.PerIP, Channels: h.Limits.Channels},
		Heartbeat: h.Heartbeat, Retry: h.Retry, ShutdownTimeout: h.ShutdownTimeout,
		Admin: httpapi.AdminOptions{
			Listen: cfg.Admin.Listen,
			Checks: []httpapi.Check{func() []httpapi.Reason { return readyReasons(source) }},
			Log:    events.Bounds,
			Slot:   func() any { return newSlotState(cfg.Postgres.Slot, source.State().Slot) },
		},
	}
	if h.Upstream != nil {
		o.Upstream = h.Upstream.String()
	}
	return o
}
