package httpapi

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/walrelay/walrelay/auth"
	"github.com/walrelay/walrelay/channel"
)

// refusal is an answer that is not events. Its code is what clients, tests and the
// metric walrelay_rejected_total know it by; its message is for people and says what
// to do where there is something to do.
type refusal struct {
	status  int
	code    string
	message string
	// transient: the same request may succeed later. An event stream gets it as 200
	// and end{code} then, the other transports as status with Retry-After.
	transient bool
	// wait is for Retry-After where it is not left to comeBackAfter.
	wait time.Duration
	// cause is for the log: why it is that; nil: nothing worth telling.
	cause error
}

func (e *refusal) Error() string { return e.code + ": " + e.message }

func refuse(status int, code, format string, args ...any) *refusal {
	return &refusal{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

func comeBack(status int, code, format string, args ...any) *refusal {
	e := refuse(status, code, format, args...)
	e.transient = true
	return e
}

// Codes of refusals that are transient; they are the reasons of end events as well.
const (
	codeDraining = "draining"
	codeStarting = "starting"
	codeLimit    = "limit"
	codeInternal = "internal"
	// codeUnavailable: it cannot be found out who asks.
	codeUnavailable = "unavailable"
)

func errUnauthenticated() *refusal {
	return refuse(http.StatusUnauthorized, "unauthenticated", "the request carries no valid session; sign in to the application first")
}

func errDraining() *refusal {
	return comeBack(http.StatusServiceUnavailable, codeDraining, "walrelay is shutting down; try again after the time in Retry-After")
}

// comeBackAfter is what a client of a transient refusal is told to wait. The spread
// keeps a crowd from coming back at once.
func comeBackAfter(code string) time.Duration {
	switch code {
	case codeDraining, codeStarting: // over in moments; a page would stand still for the rest
		return between(500*time.Millisecond, 5*time.Second)
	}
	return between(5*time.Second, 30*time.Second)
}

// refusalOf translates what Resolve, Attach and Subscribe may answer.
func (s *Server) refusalOf(err error) *refusal {
	var (
		own     *refusal
		unknown *channel.UnknownChannelError
		param   *channel.ParamError
		nobody  *channel.NoUserError
		refused *channel.RefusedError
		scans   *channel.ScanLimitError
		limit   *auth.LimitError
		failed  *auth.TooManyFailuresError
		blind   *auth.NotReadyError
		router  *echo.HTTPError
	)
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &unknown):
		return refuse(http.StatusNotFound, "unknown_channel",
			"there is no channel %q; channels are defined under channels: in walrelay's configuration", clip(unknown.Channel))
	case errors.As(err, &param):
		return refuse(http.StatusBadRequest, "bad_parameter", "channel %q: parameter %s: %s", clip(param.Channel), param.Param, clip(param.Reason))
	case errors.As(err, &nobody):
		return refuse(http.StatusUnauthorized, "unauthenticated", "channel %q is for signed-in users, and the request carries no valid session; sign in to the application first", clip(nobody.Channel))
	case errors.As(err, &refused):
		return refuse(http.StatusForbidden, "forbidden", "channel %q is not for this user: %s is not true", clip(refused.Channel), refused.Expr)
	case errors.As(err, &scans):
		return comeBack(http.StatusServiceUnavailable, codeLimit, "%s", scans)
	case errors.Is(err, auth.ErrNoSession):
		return errUnauthenticated()
	case errors.Is(err, auth.ErrForbidden):
		return refuse(http.StatusForbidden, "forbidden", "the application refuses this user")
	case errors.As(err, &failed):
		return tooManyFailures(failed)
	case errors.As(err, &limit):
		return comeBack(http.StatusTooManyRequests, codeLimit, "%s", limit)
	case errors.As(err, &blind):
		e := comeBack(http.StatusServiceUnavailable, codeUnavailable, "it cannot be found out just now who is signed in; try again after the time in Retry-After")
		e.cause = blind.Cause
		return e
	case errors.Is(err, channel.ErrStarting):
		return comeBack(http.StatusServiceUnavailable, codeStarting, "walrelay is starting; try again after the time in Retry-After")
	case errors.Is(err, channel.ErrDraining):
		return errDraining()
	case errors.As(err, &router):
		return refuse(router.Code, "not_found", "nothing is here; channels are under %s", s.opt.BasePath)
	}
	e := comeBack(http.StatusInternalServerError, codeInternal, "walrelay failed; its log has the cause")
	e.cause = err
	return e
}

// tooManyFailures is a status for event streams too: whoever tries cookies is not asked back.
func tooManyFailures(err *auth.TooManyFailuresError) *refusal {
	e := refuse(http.StatusTooManyRequests, "too_many_failures", "%s", err)
	e.wait = max(err.Wait, time.Second)
	return e
}

// clip shortens text that came from the client, for messages.
func clip(text string) string {
	const most = 200
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}

// answerError is Echo's error handler: the one place where refusals are written.
func (s *Server) answerError(err error, c echo.Context) {
	if c.Response().Committed || c.Request().Context().Err() != nil {
		return // the client has gone, or the sink has said what there was to say
	}
	e := s.refusalOf(err)
	s.metrics.rejected.WithLabelValues(e.code).Inc()
	s.tell(e)
	c.Response().Header().Del("Set-Cookie")
	werr := http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(s.opt.WriteTimeout))
	switch {
	case werr != nil:
	case e.transient && asksForStream(c.Request()):
		werr = s.writeTransientEnd(c, e)
	default:
		werr = s.writeRefusal(c, e)
	}
	if werr != nil {
		s.log.Debug("answer not written", "code", e.code, "cause", werr)
	}
}

// writeTransientEnd answers an event stream that cannot be had now, in the way that
// brings an EventSource back.
func (s *Server) writeTransientEnd(c echo.Context, e *refusal) error {
	h := c.Response().Header()
	setStreamHeaders(h, kindSSE)
	if e.code == codeDraining {
		h.Set("Connection", "close") // so that the next attempt finds another process
	}
	body := appendEndSSE(nil, e.code, comeBackAfter(e.code))
	return c.Blob(http.StatusOK, kindSSE.contentType(), body)
}

func (s *Server) writeRefusal(c echo.Context, e *refusal) error {
	h := c.Response().Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if e.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Session")
	}
	if e.transient {
		e.wait = comeBackAfter(e.code)
	}
	if e.wait > 0 {
		h.Set("Retry-After", strconv.FormatFloat(math.Ceil(e.wait.Seconds()), 'f', 0, 64))
	}
	if e.code == codeDraining {
		h.Set("Connection", "close")
	}
	body, err := appendPlainJSON(nil, struct {
		Error   string `json:"error"`
		Message string `json:"message"`
	}{e.code, e.message})
	if err != nil {
		return err
	}
	return c.Blob(e.status, "application/json", body)
}
