package auth

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"
)

// maxAnswerHeader bounds the header of an answer. Frameworks set cookies of some KiB.
const maxAnswerHeader = 64 << 10

// newOutbound makes a client that asks one server: no redirects, no cookies of its own, no
// compression, at most conns connections. Its transport is its own, so that closing idle
// connections concerns nobody else. proxy is nil or what the environment says.
func newOutbound(conns int, timeout time.Duration, proxy func(*http.Request) (*url.URL, error)) *http.Client {
	// A dial outlives the request that wanted it, so it needs an end of its own.
	dialer := &net.Dialer{Timeout: timeout}
	return &http.Client{
		CheckRedirect: stayHere,
		Transport: &http.Transport{
			Proxy:                  proxy,
			DialContext:            dialer.DialContext,
			TLSHandshakeTimeout:    timeout,
			ForceAttemptHTTP2:      true,
			MaxConnsPerHost:        conns,
			MaxIdleConns:           conns,
			MaxIdleConnsPerHost:    conns,
			MaxResponseHeaderBytes: maxAnswerHeader,
			DisableCompression:     true,
			// Less than what servers wait: Node.js closes after 5 seconds.
			IdleConnTimeout: 4 * time.Second,
		},
	}
}

// stayHere keeps a client from following redirects: it answers with the 3xx itself.
func stayHere(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// connectionTrouble says why there was no answer, for the log of the operator. Package
// net/http quotes what it could not read, so only errors that cannot hold any of it are
// shown.
func connectionTrouble(err error, timeout time.Duration) error {
	var connection *net.OpError
	var certificate *tls.CertificateVerificationError
	var other net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &other) && other.Timeout():
		return errors.New("there is no answer within " + timeout.String())
	case errors.As(err, &connection):
		return connection
	case errors.As(err, &certificate):
		return certificate
	}
	return errors.New("the connection broke, or what came is not an HTTP answer")
}

// address is a URL as messages may show it: its query and its user may be secrets.
func address(u *url.URL) string {
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	return shown.String()
}
