package shop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Options say where the shop runs.
type Options struct {
	// DatabaseURL is the Postgres database that holds its tables; they are made when
	// they are missing.
	DatabaseURL string
	// Listen is the address of its pages, host:port.
	Listen string
	// Secret signs the cookies of sessions. Required.
	Secret []byte
	// Pace is the mean time between two steps of the business; default 300 ms.
	Pace time.Duration
	// Logger gets a line for each failure; default none.
	Logger *slog.Logger
}

const (
	defaultPace = 300 * time.Millisecond
	// startTime bounds the wait for a database that is just starting.
	startTime = 30 * time.Second
	// stopTime bounds the wait for requests that are under way at the end.
	stopTime = 2 * time.Second
)

// Run migrates the database, serves the pages and runs the business until ctx
// ends. Nothing of it is left when it returns; the tables stay.
func Run(ctx context.Context, o Options) error {
	if o.Pace <= 0 {
		o.Pace = defaultPace
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if len(o.Secret) == 0 {
		return errors.New("shop: no secret to sign cookies with")
	}
	pool, err := pgxpool.New(ctx, o.DatabaseURL)
	if err != nil {
		return fmt.Errorf("shop: database URL: %w", err)
	}
	defer pool.Close()
	if err := prepare(ctx, pool); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("shop: %w; choose another address", err)
	}
	b := &business{store: &store{pool}, log: o.Logger, pace: o.Pace}
	b.running.Store(true)
	return serve(ctx, listener, b, cookies{o.Secret})
}

// prepare migrates, as soon as the database accepts connections.
func prepare(ctx context.Context, pool *pgxpool.Pool) error {
	for end := time.Now().Add(startTime); ; {
		err := pool.Ping(ctx)
		if err == nil {
			break
		}
		if time.Now().After(end) || ctx.Err() != nil || refused(err) {
			return fmt.Errorf("shop: connect to the database: %w", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
	if err := migrate(ctx, pool); err != nil {
		return fmt.Errorf("shop: migrate the database: %w", err)
	}
	return nil
}

// refused tells an answer that will not change from a database that is not up yet.
func refused(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code != "57P03" // cannot_connect_now
}

// serve answers requests and trades until ctx ends.
func serve(ctx context.Context, listener net.Listener, b *business, c cookies) error {
	ctx, cancel := context.WithCancel(ctx)
	traded := make(chan struct{})
	go func() { b.run(ctx); close(traded) }()
	defer func() { cancel(); <-traded }()

	h := &handler{store: b.store, business: b, cookies: c, log: b.log}
	server := &http.Server{Handler: h.routes(), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	b.log.Info("shop: open", "address", listener.Addr().String())
	select {
	case err := <-served:
		return fmt.Errorf("shop: serve: %w", err)
	case <-ctx.Done():
	}
	stop, done := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer done()
	err := server.Shutdown(stop)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	<-served
	return err
}
