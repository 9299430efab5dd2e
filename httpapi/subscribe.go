package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/walrelay/walrelay/auth"
	"github.com/walrelay/walrelay/coding"
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
	if st.sub.Compresses() {
		chosen := coding.Negotiate(r.Header.Values("Accept-Encoding"))
		setCodingHeaders(h, chosen)
		st.encoding = s.metrics.code(st.encoding, chosen)
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
	defer func() {
		if st == nil {
			s.streams.leave()
		}
	}()
	place, err := s.limits.acquire(ip)
	if err != nil {
		return nil, err
	}
	defer func() {
		if st == nil {
			s.limits.release(place)
		}
	}()
	sub, u, err := s.subscribe(r, a, who)
	if err != nil {
		return nil, err
	}
	h := &holding{server: s, place: place, leash: leash{Subscriber: sub}}
	if h.detach, err = attach(u, &h.leash); err != nil {
		return nil, err
	}
	return h.begin(a, u), nil
}

// holding is a stream and what it holds: all of it, but for the subscription, in one piece of memory, and
// nothing of its request.
type holding struct {
	stream stream
	leash  leash
	server *Server
	// place is taken in the limits.
	place place
	// detach takes it off the user.
	detach func()
	// since is when it began, after Server.began.
	since    time.Duration
	channels int32
	kind     kind
}

func (h *holding) begin(a *ask, u user) *stream {
	s, t := h.server, h.server.metrics.traffic[a.kind]
	t.open.Inc()
	t.opened.Inc()
	h.since, h.channels, h.kind = time.Since(s.began), int32(len(a.Channels)), a.kind
	st := &h.stream
	st.sub, st.encoding, st.traffic = &h.leash, encodings[a.kind], t
	st.retry, st.life, st.drain = s.opt.Retry, lifeOf(s.opt.MaxStream, u), s.streams.ctx.Done()
	st.release = h.end
	if u != nil {
		st.cookies = u.SetCookies()
	}
	return st
}

// end gives back what the stream held.
func (h *holding) end(reason string) {
	s := h.server
	s.metrics.traffic[h.kind].open.Dec()
	s.metrics.ends.WithLabelValues(reason).Inc()
	h.detach()
	s.limits.release(h.place)
	s.streams.leave()
	if s.log.Enabled(context.Background(), slog.LevelDebug) {
		s.log.LogAttrs(context.Background(), slog.LevelDebug, "stream ended", slog.String("reason", reason), slog.String("transport", h.kind.String()),
			slog.Int("channels", int(h.channels)), slog.String("client", h.place.String()), slog.Duration("after", time.Since(s.began)-h.since))
	}
}

// encodings are those of the kinds that have one.
var encodings = [len(kinds)]encoding{kindSSE: sse{}, kindLines: ndjson{}}

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
