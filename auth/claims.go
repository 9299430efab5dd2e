package auth

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/walrelay/walrelay/filter"
)

// Claims are what is known of the user behind a request. Immutable; the zero
// value is nobody.
type Claims struct {
	// verified: a resolver of this package has checked the session. Invariant: set
	// nowhere else, so Claims that came about in any other way are nobody's.
	verified bool
	values   *filter.Claims
}

// Anonymous reports that the claims are nobody's.
func (c Claims) Anonymous() bool { return !c.verified }

// Values are the claims for rules; nil of nobody.
func (c Claims) Values() *filter.Claims {
	if !c.verified {
		return nil
	}
	return c.values
}

// Operator are claims that somebody on the admin listener wants to be: who can reach that
// may be anybody.
func Operator(values *filter.Claims) Claims { return Claims{verified: values != nil, values: values} }

// ErrNoSession says that the request carries no valid session and that asking
// again with the same cookies is useless.
var ErrNoSession = errors.New("no valid session")

// ErrForbidden says that the application knows the user and refuses it.
var ErrForbidden = errors.New("the application refuses this user")

// TooManyFailuresError says that an address has been refused too often of late.
type TooManyFailuresError struct {
	// Wait is when it may try again.
	Wait time.Duration
}

func (e *TooManyFailuresError) Error() string {
	return "too many refused sessions from this address; try again in " + e.Wait.Round(time.Second).String()
}

// LimitError says that a session or user has as many streams as it may.
type LimitError struct {
	// Key is per_session or per_user.
	Key   string
	Limit int
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%d streams are open already (http.limits.%s)", e.Limit, e.Key)
}

// NotReadyError passes: sessions cannot be looked up now. The client should come back.
type NotReadyError struct{ Cause error }

func (e *NotReadyError) Error() string { return "sessions cannot be looked up: " + e.Cause.Error() }

// Unwrap is the cause, which is for logs.
func (e *NotReadyError) Unwrap() error { return e.Cause }

// Client is who sends a request, as far as proxies that are trusted say.
type Client struct {
	// IP is its address.
	IP string
	// Scheme and Host are those that its browser sees.
	Scheme, Host string
}

// Resolver finds the session of a request. Safe for concurrent use. It may block for as
// long as the request's context lasts.
type Resolver interface {
	// Resolve errors: ErrNoSession (also of a request that carries nothing), ErrForbidden,
	// *TooManyFailuresError; any other is transient.
	Resolve(r *http.Request, c Client) (*Session, error)
}

// Anonymous is the resolver of a configuration without sessions: nobody is signed in.
type Anonymous struct{}

// Resolve returns ErrNoSession.
func (Anonymous) Resolve(*http.Request, Client) (*Session, error) { return nil, ErrNoSession }

// Fixed is a session of the given claims that nothing ends: who can reach the admin listener
// may be anybody.
func Fixed(values *filter.Claims) *Session { return &Session{claims: Operator(values)} }
