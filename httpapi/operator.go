package httpapi

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/walrelay/walrelay/auth"
)

// operatorRoutes are what an operator can do on the admin listener: be any user on a stream,
// to see what that user sees, and reload the rules.
func (s *Server) operatorRoutes() http.Handler {
	e := echo.New()
	e.HTTPErrorHandler = s.answerError
	e.IPExtractor = echo.ExtractIPDirect()
	e.Use(s.logRequests, s.byAddress, ownPagesOnly)
	for _, path := range []string{s.opt.BasePath, s.base + "/*"} {
		e.GET(path, s.eventsAs)
	}
	e.POST("/reload", s.reload)
	return e
}

// byAddress refuses names that lead here, but the configured one: a page that has its own name
// resolve to this machine would be of the same origin.
func (s *Server) byAddress(next echo.HandlerFunc) echo.HandlerFunc {
	own := hostOf(s.opt.Admin.Listen)
	return func(c echo.Context) error {
		host := hostOf(c.Request().Host)
		if _, err := netip.ParseAddr(host); err != nil && host != "localhost" && host != own {
			return refuse(http.StatusForbidden, "host_refused", "the admin listener is asked by its IP address or as localhost, not as %q", clip(host))
		}
		return next(c)
	}
}

// hostOf is an address without its port.
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	return host
}

// ownPagesOnly refuses what pages of other origins ask, also those of http.allowed_origins: a page that
// may read what its user sees must not be everybody in the browser of an operator.
func ownPagesOnly(next echo.HandlerFunc) echo.HandlerFunc {
	own := &origins{} // no foreign origin, and no proxy that speaks for one
	return func(c echo.Context) error {
		if r := c.Request(); !own.sameOrigin(r) {
			return refuse(http.StatusForbidden, "origin_refused", "pages of other origins may not ask the admin listener")
		}
		return next(c)
	}
}

// eventsAs answers a request for events of the user in ?as=. Mistakes in that are told for public
// channels too.
func (s *Server) eventsAs(c echo.Context) error {
	session, err := s.asUser(c.Request())
	if err != nil && !errors.Is(err, auth.ErrNoSession) {
		return err
	}
	return s.carry(c, func(*http.Request) (user, error) { return session, err })
}

// asUser takes the user from ?as=, the claims as JSON. Without it nobody is signed in.
func (s *Server) asUser(r *http.Request) (*auth.Session, error) {
	as := r.URL.Query().Get("as")
	if as == "" {
		return nil, auth.ErrNoSession
	}
	if s.opt.Admin.ParseClaims == nil {
		return nil, refuse(http.StatusBadRequest, "bad_claims", "this walrelay has no claims")
	}
	user, err := s.opt.Admin.ParseClaims([]byte(as))
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "bad_claims", "as: %s", clip(err.Error()))
	}
	return auth.Fixed(user), nil
}

// reload answers 200 when the rules of the file are in force, and 422 with the reasons when nothing
// was changed.
func (s *Server) reload(c echo.Context) error {
	if s.opt.Admin.Reload == nil {
		return refuse(http.StatusNotImplemented, "no_reload", "this walrelay cannot reload its rules")
	}
	// Whoever asks may go away: a reload is done or not, never half.
	report, err := s.opt.Admin.Reload(context.WithoutCancel(c.Request().Context()))
	if err != nil {
		return refuse(http.StatusUnprocessableEntity, "refused", "%s", err)
	}
	return c.JSON(http.StatusOK, map[string]string{"message": report})
}
