package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/walrelay/walrelay/auth"
	"github.com/walrelay/walrelay/channel"
)

// user is what this package needs of *auth.Session, which documents the methods.
type user interface {
	Claims() auth.Claims
	MaxStream() time.Duration
	SetCookies() []string
	Attach(auth.Stream) (detach func(), err error)
}

// finder finds the user of a request. Its errors are those of auth.Resolver, and refusals.
type finder func(*http.Request) (user, error)

// resolver makes r a finder that is told who the client is.
func resolver(r auth.Resolver) func(*http.Request, auth.Client) (user, error) {
	return func(req *http.Request, c auth.Client) (user, error) {
		session, err := r.Resolve(req, c)
		if err != nil {
			return nil, err // not a user that is a nil pointer
		}
		return session, nil
	}
}

// subscribe asks the hub, and only where it wants to know also who asks: public channels need
// nobody's cookies. The user is nil then.
func (s *Server) subscribe(r *http.Request, a *ask, who finder) (Subscriber, user, error) {
	sub, err := s.opt.Hub.Subscribe(r.Context(), a.Request)
	var nobody *channel.NoUserError
	if !errors.As(err, &nobody) {
		return sub, nil, err
	}
	u, err := s.identify(r, who)
	if err != nil {
		return nil, nil, err
	}
	a.User = u.Claims().Values()
	sub, err = s.opt.Hub.Subscribe(r.Context(), a.Request)
	return sub, u, err
}

// identify asks who, which may take a while, but not when the server drains.
func (s *Server) identify(r *http.Request, who finder) (user, error) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.streams.ctx, cancel)()
	u, err := who(r.WithContext(ctx))
	switch {
	case err == nil, isAnswer(err):
		return u, err
	case ctx.Err() != nil && r.Context().Err() == nil:
		return nil, errDraining()
	}
	return nil, &auth.NotReadyError{Cause: err}
}

// isAnswer reports whether the error of a finder says something of the user. All others pass.
func isAnswer(err error) bool {
	return errors.Is(err, auth.ErrNoSession) || errors.Is(err, auth.ErrForbidden) ||
		errors.As(err, new(*auth.TooManyFailuresError)) || errors.As(err, new(*auth.NotReadyError)) || errors.As(err, new(*refusal))
}

// attach ties a subscription to its user, if it has one.
func attach(u user, sub *leash) (detach func(), err error) {
	if u == nil {
		return func() {}, nil
	}
	if detach, err = u.Attach(sub); err != nil {
		sub.Close()
	}
	return detach, err
}

// lifeOf is how long a stream lasts that its server and its user bound: the shorter time, ±10 %
// so that streams that began together do not end together; 0 for ever.
func lifeOf(most time.Duration, u user) time.Duration {
	if u != nil {
		if own := u.MaxStream(); own > 0 && (most == 0 || own < most) {
			most = own
		}
	}
	return between(most-most/10, most+most/10)
}
