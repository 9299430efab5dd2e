package httpapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/walrelay/walrelay/auth"
)

// Server is the public and the admin listener. Its life is New, Listen, Serve; see
// the package comment.
type Server struct {
	opt Options
	log *slog.Logger
	// base is the base path without a trailing /, empty for the root.
	base    string
	origins *origins
	limits  *limiter
	metrics *metrics
	// response carries the streams that the shards do not.
	response *responseSink
	// shards exist while Serve runs, where there are any; else nil.
	shards *shards
	// began is when the server was made.
	began time.Time
	// resolve asks Options.Resolver.
	resolve func(*http.Request, auth.Client) (user, error)
	// refused is what the log says of requests that failed.
	refused quiet
	// upstream and its transport are nil without one.
	upstream  *httputil.ReverseProxy
	transport *http.Transport

	public, admin     *http.Server
	publicLn, adminLn net.Listener // nil before Listen; adminLn also without an admin listener

	// streams counts open streams, handlers the requests of both listeners.
	streams, handlers *gate
	// base context of all requests; cut ends those that the drain did not.
	ctx context.Context
	cut context.CancelFunc
}

// New checks o and builds a server. Its error has every problem of o.
func New(o Options) (*Server, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	s := &Server{
		opt:      o,
		log:      o.Logger,
		base:     strings.TrimSuffix(o.BasePath, "/"),
		origins:  &origins{allowed: o.AllowedOrigins, proxies: o.TrustedProxies},
		limits:   newLimiter(o.Limits),
		resolve:  resolver(o.Resolver),
		began:    time.Now(),
		streams:  newGate(),
		handlers: newGate(),
	}
	s.ctx, s.cut = context.WithCancel(context.Background())
	s.response = &responseSink{heartbeat: o.Heartbeat, writeTimeout: o.WriteTimeout, ctx: s.ctx, handlers: s.handlers, log: o.Logger}
	if s.metrics, err = newMetrics(o.Registry); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	if err := s.registerReaders(); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	if o.Upstream != "" {
		if err := s.addUpstream(o.Upstream); err != nil {
			return nil, fmt.Errorf("http.upstream: %w", err)
		}
	}
	s.public = s.newHTTPServer(s.routes())
	s.public.Protocols = s.protocols()
	s.public.HTTP2 = &http.HTTP2Config{WriteByteTimeout: o.WriteTimeout, SendPingTimeout: o.Heartbeat, PingTimeout: o.WriteTimeout}
	s.admin = s.newHTTPServer(s.adminHandler())
	return s, nil
}

// registerReaders registers the metrics that are read when they are asked for.
func (s *Server) registerReaders() error {
	readers := []prometheus.Collector{hubCollector{s.opt.Hub}}
	if s.opt.Admin.Log != nil {
		readers = append(readers, logCollector{bounds: s.opt.Admin.Log, now: time.Now})
	}
	return register(s.opt.Registry, readers...)
}

// Registerer is where other packages register their metrics for /metrics.
func (s *Server) Registerer() prometheus.Registerer { return s.opt.Registry }

func (s *Server) routes() http.Handler {
	e := echo.New()
	e.HTTPErrorHandler = s.answerError
	e.IPExtractor = s.origins.proxies.extractIP()
	e.Use(s.logRequests)
	for _, method := range []string{http.MethodGet, http.MethodOptions} {
		e.Add(method, s.opt.BasePath, s.events)
		e.Add(method, s.base+"/*", s.events)
	}
	e.RouteNotFound(s.base+"/*", s.elsewhere)
	e.RouteNotFound("/*", s.elsewhere)
	return e
}

func (s *Server) protocols() *http.Protocols {
	var p http.Protocols
	p.SetHTTP1(true)
	p.SetHTTP2(s.opt.TLSCert != "")
	p.SetUnencryptedHTTP2(s.opt.H2C)
	return &p
}

// newHTTPServer has no write timeout: streams last, and set a deadline per write.
func (s *Server) newHTTPServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           s.counted(h),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          log.New(&errorLog{s.log}, "", 0),
		BaseContext:       func(net.Listener) context.Context { return s.ctx },
	}
}

// counted lets Serve wait for handlers, which http.Server does not do for hijacked
// connections nor after Close.
func (s *Server) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.handlers.enter() {
			panic(http.ErrAbortHandler) // net/http's way to drop a connection: the client comes back
		}
		defer s.handlers.leave()
		h.ServeHTTP(w, r)
	})
}

// Listen opens the listeners and reads the TLS certificate. Errors name the key of
// the configuration and what to do.
func (s *Server) Listen(ctx context.Context) error {
	if s.opt.TLSCert != "" {
		cert, err := tls.LoadX509KeyPair(s.opt.TLSCert, s.opt.TLSKey)
		if err != nil {
			return fmt.Errorf("http.tls: load cert %s and key %s: %w; name a certificate and its key, PEM files that this user may read", s.opt.TLSCert, s.opt.TLSKey, err)
		}
		s.public.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	}
	var err error
	if s.publicLn, err = listen(ctx, "http.listen", s.opt.Listen, s.opt.WriteTimeout); err != nil {
		return err
	}
	if s.opt.Admin.Listen == "" {
		return nil
	}
	if s.adminLn, err = listen(ctx, "admin.listen", s.opt.Admin.Listen, s.opt.WriteTimeout); err != nil {
		return errors.Join(err, s.publicLn.Close())
	}
	return nil
}

// Addr is the public listener's address after Listen.
func (s *Server) Addr() net.Addr { return s.publicLn.Addr() }

// AdminAddr is the admin listener's address after Listen, nil without one.
func (s *Server) AdminAddr() net.Addr {
	if s.adminLn == nil {
		return nil
	}
	return s.adminLn.Addr()
}

// Close ends everything at once: listeners, connections and requests. Serve returns
// soon after. It releases the listeners too when Serve has never run.
func (s *Server) Close() error {
	s.streams.close()
	s.cut()
	errs := []error{s.public.Close(), s.admin.Close()}
	for _, l := range []net.Listener{s.publicLn, s.adminLn} {
		if l == nil {
			continue
		}
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// errorLog takes the lines of http.Server: its panics are errors of ours, the rest
// is what clients and networks do.
type errorLog struct{ log *slog.Logger }

func (l *errorLog) Write(line []byte) (int, error) {
	level := slog.LevelDebug
	switch {
	case bytes.HasPrefix(line, []byte("http: panic")), bytes.HasPrefix(line, []byte("http2: panic")):
		level = slog.LevelError
	case bytes.HasPrefix(line, []byte("http: Accept error")):
		level = slog.LevelWarn
	}
	l.log.Log(context.Background(), level, "http server", "message", string(bytes.TrimSpace(line)))
	return len(line), nil
}
