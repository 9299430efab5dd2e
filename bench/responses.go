package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"golang.org/x/sync/errgroup"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/channel"
	"github.com/walrelay/walrelay/eventlog"
	"github.com/walrelay/walrelay/filter"
	"github.com/walrelay/walrelay/httpapi"
)

// responseCommand makes this program the server of idle's kind response.
const responseCommand = "response-server"

// idleBeat is the heartbeat of idle connections.
const idleBeat = 5 * time.Second

// serveResponses serves the public channel of a feed by the ResponseWriter sink, without replication,
// until it is interrupted. where is "directory of the log,public address,admin address".
func serveResponses(where string) error {
	at := strings.Split(where, ",")
	if len(at) != 3 {
		return fmt.Errorf("%s: %q is not DIR,PUBLIC,ADMIN", responseCommand, where)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	events, err := eventlog.Open(eventlog.Options{Dir: at[0]})
	if err != nil {
		return err
	}
	if err := events.Begin(ctx, eventlog.Lineage{SystemID: "bench", Timeline: 1}, change.LSN(0x100), ""); err != nil {
		return errors.Join(err, events.Close())
	}
	hub := channel.New(channel.Options{Log: events})
	if err := setFeedRule(hub); err != nil {
		return errors.Join(err, events.Close())
	}
	server, err := httpapi.New(httpapi.Options{Hub: httpapi.FromHub(hub), Listen: at[1], Heartbeat: idleBeat, ResponseSink: true,
		Limits: httpapi.Limits{PerIP: 1_000_000}, Admin: httpapi.AdminOptions{Listen: at[2]}})
	if err == nil {
		err = server.Listen(ctx)
	}
	if err != nil {
		return errors.Join(err, events.Close())
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return hub.Run(ctx) })
	g.Go(func() error { return server.Serve(ctx) })
	return errors.Join(g.Wait(), events.Close())
}

// setFeedRule is feedChannels' user/{user_id}, of a table that nobody looks up.
func setFeedRule(hub *channel.Hub) error {
	where, err := filter.Parse("row.user_id == params.user_id")
	if err != nil {
		return err
	}
	id, err := filter.ParseType("bigint")
	if err != nil {
		return err
	}
	program, problems := filter.Compile(filter.Source{Where: where, Public: true, Params: []filter.Parameter{{Name: "user_id", Type: id}},
		Table: &filter.Table{Name: "public.feed", Columns: []filter.Column{{Name: "user_id", Type: &change.Type{OID: pgtype.Int4OID, Name: "integer", Kind: change.KindInt}, NotNull: true, Identity: true}}}})
	for i := range problems {
		if !problems[i].Warning {
			return &problems[i].Error
		}
	}
	hub.SetRules([]*channel.Rule{{Name: "user/{user_id}", Schema: "public", Table: "feed", Program: program, Public: true}})
	return nil
}
