package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/walrelay/walrelay/filter"
)

const (
	// maxAnswer is the length of an answer's body.
	maxAnswer = 64 << 10
	// forwardTimeout is that of entries that have none.
	forwardTimeout = 3 * time.Second
	// forwardConns bounds the connections to the application; more questions wait for one.
	forwardConns = 32
)

// forward asks the application who sends a request. It asks one fixed URL; what travels is
// the cookies and the token that the entry names, and who the client is. It asks again for
// every call: what is kept, and for how long, is up to the caller. Safe for concurrent use.
//
//	answer                             means
//	200, 202                           signed in, if the answer names a user
//	401, 3xx                           ErrNoSession; redirects are not followed
//	403                                ErrForbidden
//	5xx, no answer in time             *NotReadyError
//	anything else, or not to be read   *NotReadyError: a mistake of the operator, which must
//	                                   not sign users out
type forward struct {
	key    string
	entry  *ForwardEntry
	client *http.Client
	// claims are what is read from an answer; declare changes it.
	claims atomic.Pointer[[]forwardClaim]
	// timeout bounds one question, the body included.
	timeout time.Duration
	// log hears of what the operator can mend. Set before the first question.
	log     *slog.Logger
	now     func() time.Time
	trouble trouble
	hint    sync.Once
}

// forwarded is an answer of somebody who is signed in.
type forwarded struct {
	// user is the value of `user:`; without that the claim `id`, or else all claims together:
	// who has the same is the same. Invariant: not empty.
	user string
	// claims is a JSON object for filter.ParseClaims.
	claims []byte
	// setCookies are values of Set-Cookie for the browser.
	setCookies []string
}

// newForward compiles an entry. key is that of the Entry, for messages. close must be
// called after the last question.
func newForward(key string, e *ForwardEntry, declared []filter.Claim) (*forward, error) {
	f := &forward{key: key, entry: e, timeout: e.Timeout, log: slog.New(slog.DiscardHandler), now: time.Now}
	if err := errors.Join(f.check(), f.declare(declared)); err != nil {
		return nil, err
	}
	if f.timeout <= 0 {
		f.timeout = forwardTimeout
	}
	f.client = newOutbound(forwardConns, f.timeout, nil)
	return f, nil
}

// declare takes in what claims are declared, whose types say how a header is read. With an
// error it goes on as before.
func (f *forward) declare(declared []filter.Claim) error {
	claims, err := forwardClaims(f.entry, declared)
	if err != nil {
		return fmt.Errorf("%s.forward: %w", f.key, err)
	}
	f.claims.Store(&claims)
	return nil
}

func (f *forward) check() error {
	e := f.entry
	var errs []error
	switch {
	case e.URL == nil || e.URL.Host == "" || e.URL.Scheme != "http" && e.URL.Scheme != "https":
		errs = append(errs, errors.New("url: must be http://HOST/PATH or https://HOST/PATH, where the application says who is signed in"))
	case e.URL.User != nil:
		errs = append(errs, errors.New("url: holds a user name or password: the application is asked with the user's own cookies"))
	}
	if len(e.Cookies) == 0 && !e.Bearer {
		errs = append(errs, errors.New("cookies: name the session cookie of the application, or set bearer: true"))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%s.forward: %w", f.key, err)
	}
	return nil
}

// close closes idle connections.
func (f *forward) close() { f.client.CloseIdleConnections() }

// present reports whether a request has anything that the application would be asked
// about, good or bad.
func (f *forward) present(j jar, h http.Header) bool {
	if slices.ContainsFunc(j, func(c cookie) bool { return f.travels(c.name) }) {
		return true
	}
	if !f.entry.Bearer {
		return false
	}
	_, present, _ := bearerToken(h)
	return present
}

// travels reports whether a cookie is one of those that are sent on. A long one comes in
// chunks: name.0, name.1.
func (f *forward) travels(name string) bool {
	return slices.ContainsFunc(f.entry.Cookies, func(one string) bool { return name == one || chunkOf(name, one) })
}

// ask asks the application. Errors: ErrNoSession, ErrForbidden, a refusal (the request is
// one that the application is not even asked about), *NotReadyError.
func (f *forward) ask(ctx context.Context, r *http.Request, c Client) (forwarded, error) {
	bounded, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	q, err := f.question(bounded, r, c)
	if err != nil {
		return forwarded{}, err
	}
	a, err := f.exchange(q)
	if err != nil && ctx.Err() != nil {
		// The client has gone; that says nothing of the application.
		return forwarded{}, &NotReadyError{Cause: ctx.Err()}
	}
	out := forwarded{}
	if err == nil {
		out, err = f.judge(a)
	}
	return out, f.tell(err)
}

// exchange sends a question and reads all of the answer, so that the connection serves
// again.
func (f *forward) exchange(q *http.Request) (answer, error) {
	resp, err := f.client.Do(q)
	if err != nil {
		return answer{}, connectionTrouble(err, f.timeout)
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil && a.signedIn() {
		return answer{}, connectionTrouble(err, f.timeout)
	}
	return a, nil
}

// tell makes what went wrong a *NotReadyError that says where, and tells the log.
func (f *forward) tell(err error) error {
	switch {
	case err == nil, errors.Is(err, ErrNoSession), errors.Is(err, ErrForbidden):
		f.trouble.over(f.log, "the application can be asked again who is signed in")
		return err
	}
	err = fmt.Errorf("%s.forward: ask %s: %w", f.key, address(f.entry.URL), err)
	f.trouble.begin(f.log, f.now(), "the application cannot be asked who is signed in; streams are told to come back", err)
	return &NotReadyError{Cause: err}
}

// suggest tells the log once why nobody may ever be signed in.
func (f *forward) suggest(text string) {
	f.hint.Do(func() {
		f.log.Warn(strings.Join([]string{f.key, ".forward: ", text}, ""), "url", address(f.entry.URL))
	})
}
