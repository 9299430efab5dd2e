package auth

import (
	"errors"
	"net/http"

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

// Resolver finds the user of a request. Safe for concurrent use. It may block
// for as long as the request's context lasts.
type Resolver interface {
	Resolve(r *http.Request) (Claims, error)
}

// Anonymous is the resolver of a configuration in which every channel is public:
// it takes everybody for nobody, whatever the request carries.
type Anonymous struct{}

// Resolve returns the zero Claims; it cannot fail.
func (Anonymous) Resolve(*http.Request) (Claims, error) { return Claims{}, nil }
