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

	"github.com/walrelay/walrelay/auth"
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

// serve runs the daemon until ctx ends or a part fails.
func serve(ctx context.Context, cfg *config.Config, log *slog.Logger) (err error) {
	for _, w := range cfg.Warnings {
		log.Warn(w.Error())
	}
	d := &daemon{cfg: cfg, log: log, registry: prometheus.NewRegistry()}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.build(ctx); err != nil {
		return err
	}
	return located(cfg, d.run(ctx))
}

// daemon is all parts of walrelay, in the order of the way of a row.
type daemon struct {
	cfg      *config.Config
	log      *slog.Logger
	registry *prometheus.Registry

	book   *ruleBook
	source *replication.Source
	events *eventlog.Log
	hub    *channel.Hub
	tables *snapshot.Reader
	// sessions is nil when nobody is ever signed in.
	sessions *auth.Sessions
	server   *httpapi.Server
}

// build makes the parts and opens the listeners. After an error close closes what there is.
func (d *daemon) build(ctx context.Context) (err error) {
	cfg := d.cfg
	if d.events, err = eventlog.Open(eventlog.Options{Dir: cfg.Log.Dir, Retention: cfg.Log.Retention, MaxBytes: cfg.Log.MaxBytes, Logger: d.log}); err != nil {
		return err
	}
	examined, err := examineAuth(ctx, cfg, d.log)
	if err != nil {
		return err
	}
	d.book = newRuleBook(cfg, d.log)
	d.book.examined = examined
	if d.tables, err = snapshot.New(snapshot.Options{URL: string(cfg.Postgres.URL), Logger: d.log}); err != nil {
		return err
	}
	if d.sessions, err = newSessions(cfg, d.book.unlogged(), d.following, d.log); err != nil {
		return err
	}
	d.hub = channel.New(channel.Options{Log: d.events, Rules: hubRules(d.book.rules, d.book.tables), QueueBytes: int(cfg.HTTP.Limits.Queue), MaxScans: cfg.HTTP.Limits.MaxScanAudiences,
		Snapshots: d.tables, Altered: d.book.lookAgain, Logger: d.log, Following: d.following})
	d.source = replication.New(d.replicate())
	d.source.Register(d.registry)
	d.book.hub, d.book.source, d.book.sessions = d.hub, d.source, d.sessions
	if d.server, err = httpapi.New(d.serverOptions()); err != nil {
		return err
	}
	return d.server.Listen(ctx)
}

// following may be asked once the parts are built.
func (d *daemon) following() bool { return d.source.State().Following() }

// replicate are the options of replication.
func (d *daemon) replicate() replication.Options {
	o := replication.Options{
		Target:        targetWithout(d.cfg, d.book.unlogged()),
		WALBudget:     d.cfg.Postgres.WALBudget,
		MaxEventBytes: int(d.cfg.Log.MaxEventBytes),
		Log:           sourceLog{d.events},
		OnTables:      d.book.learn,
		Logger:        d.log,
	}
	if d.sessions != nil {
		d.sessions.Register(d.registry)
		o.Watcher, o.OnMissed = d.sessions, d.sessions.Missed
	}
	return o
}

// run runs the parts. The first failure stops all; a drain stops the server first, then the
// rest, in the order of the way of a row from its end. Sessions are watched for as long as
// there are streams.
func (d *daemon) run(ctx context.Context) error {
	g, failed := errgroup.WithContext(context.WithoutCancel(ctx))
	behind, stopBehind := context.WithCancel(failed) // hub and source: they outlive the streams
	defer stopBehind()
	front, stopFront := context.WithCancel(ctx)
	defer stopFront()
	context.AfterFunc(failed, stopFront)
	g.Go(func() error { return d.hub.Run(behind) })
	g.Go(func() error { return d.source.Run(behind) })
	if d.sessions != nil {
		g.Go(func() error { return d.sessions.Run(behind) })
	}
	g.Go(func() error { return d.book.hangups(behind) })
	g.Go(func() error { return d.book.watch(behind) })
	g.Go(func() error {
		defer stopBehind()
		return d.server.Serve(front)
	})
	return g.Wait()
}

// close closes what was built and does not end with run.
func (d *daemon) close() error {
	if d.sessions != nil {
		d.sessions.Close()
	}
	if d.tables != nil {
		d.tables.Close()
	}
	if d.events == nil {
		return nil
	}
	return d.events.Close()
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
func (d *daemon) serverOptions() httpapi.Options {
	cfg, source, h := d.cfg, d.source, d.cfg.HTTP
	o := httpapi.Options{
		Hub: httpapi.FromHub(d.hub), Logger: d.log, Registry: d.registry,
		Listen: h.Listen, BasePath: h.BasePath, TLSCert: h.TLS.Cert, TLSKey: h.TLS.Key, H2C: h.H2C,
		AllowedOrigins: h.AllowedOrigins, TrustedProxies: h.TrustedProxies,
		Limits:    httpapi.Limits{Connections: h.Limits.Connections, PerIP: h.Limits.PerIP, Channels: h.Limits.Channels},
		Heartbeat: h.Heartbeat, Retry: h.Retry, ShutdownTimeout: h.ShutdownTimeout,
		Admin: httpapi.AdminOptions{
			Listen:      cfg.Admin.Listen,
			Checks:      []httpapi.Check{func() []httpapi.Reason { return readyReasons(source) }},
			Log:         d.events.Bounds,
			Slot:        func() any { return newSlotState(cfg.Postgres.Slot, source.State().Slot) },
			ParseClaims: d.book.parseClaims, Reload: d.book.reload,
		},
	}
	if h.Upstream != nil {
		o.Upstream = h.Upstream.String()
	}
	if d.sessions != nil {
		o.Resolver = d.sessions
	}
	return o
}
