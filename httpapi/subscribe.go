package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/walrelay/walrelay/auth"
)

const allowedMethods = "GET, OPTIONS"

// inBase reports whether a path is that of channels.
func (s *Server) inBase(path string) bool {
	return path == s.opt.BasePath || strings.HasPrefix(path, s.base+"/")
}

// events answers every request under the base path.
func (s *Server) events(c echo.Context) error {
	return s.carry(c, func(r *http.Request) (user, error) {
		scheme, host := s.origins.reached(r)
		return s.resolve(r, auth.Client{IP: c.RealIP(), Scheme: scheme, Host: host})
	})
}

// carry answers a request for events of the user that who finds.
func (s *Server) carry(c echo.Context, who finder) error {
	r, h := c.Request(), c.Response().Header()
	if r.Method != http.MethodGet && r.Method != http.MethodOptions {
		h.Set("Allow", allowedMethods)
		return refuse(http.StatusMethodNotAllowed, "method_not_allowed", "channels are read with GET")
	}
	if err := s.origins.admit(r, h); err != nil {
		return err
	}
	if r.Method == http.MethodOptions {
		preflight(r, h)
		return c.NoContent(http.StatusNoContent)
	}
	a, err := s.parseAsk(r)
	if err != nil {
		return err
	}
	st, err := s.open(r, c.RealIP(), a, who)
	if err != nil {
		return err
	}
	setStreamHeaders(h, a.kind)
	if s.origins.sameOrigin(r) {
		h["Set-Cookie"] = st.cookies
	}
	if a.kind == kindPoll {
		return s.poll(c, st, a)
	}
	s.sinkFor(r).carry(c.Response(), r, st)
	return nil
}

// open admits a subscription: the drain, limits, the hub, where it asks for one the user, and what
// that may have. What it takes is given back by the stream's finish, or at once when there is an
// error.
func (s *Server) open(r *http.Request, ip string, a *ask, who finder) (st *stream, err error) {
	if !s.streams.enter() {
		return nil, errDraining()
	}
	release := s.streams.leave
	defer func() {
		if st == nil {
			release()
		}
	}()
	back, err := s.limits.acquire(ip)
	if err != nil {
		return nil, err
	}
	release = func() { back(); s.streams.leave() }
	sub, u, err := s.subscribe(r, a, who)
	if err != nil {
		return nil, err
	}
	leash := &leash{Subscriber: sub}
	detach, err := attach(u, leash)
	if err != nil {
		return nil, err
	}
	return s.newStream(leash, u, ip, a, func() { detach(); release() }), nil
}

func (s *Server) newStream(sub *leash, u user, ip string, a *ask, release func()) *stream {
	t := s.metrics.traffic[a.kind]
	t.open.Inc()
	t.opened.Inc()
	since := time.Now()
	st := &stream{
		sub:      sub,
		encoding: [len(kinds)]encoding{kindSSE: sse{}, kindLines: ndjson{}}[a.kind],
		retry:    s.opt.Retry,
		life:     lifeOf(s.opt.MaxStream, u),
		drain:    s.streams.ctx.Done(),
		traffic:  t,
		release: func(reason string) {
			t.open.Dec()
			s.metrics.ends.WithLabelValues(reason).Inc()
			release()
			s.log.LogAttrs(context.Background(), slog.LevelDebug, "stream ended", slog.String("reason", reason), slog.String("transport", a.kind.String()),
				slog.Int("channels", len(a.Channels)), slog.String("client", ip), slog.Duration("after", time.Since(since)))
		},
	}
	if u != nil {
		st.cookies = u.SetCookies()
	}
	return st
}

// logRequests writes one line per request at level debug, without header values and
// the query. What the upstream answered is not known here.
func (s *Server) logRequests(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if !s.log.Enabled(r.Context(), slog.LevelDebug) {
			return next(c)
		}
		since := time.Now()
		if err := next(c); err != nil {
			c.Error(err)
		}
		attrs := []slog.Attr{slog.String("method", r.Method), slog.String("path", clip(r.URL.Path)), slog.String("proto", r.Proto),
			slog.String("client", c.RealIP()), slog.Duration("after", time.Since(since))}
		if c.Response().Committed {
			attrs = append(attrs, slog.Int("status", c.Response().Status))
		}
		s.log.LogAttrs(r.Context(), slog.LevelDebug, "request", attrs...)
		return nil
	}
}
