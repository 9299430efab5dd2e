package httpapi

import (
	"crypto/tls"
	"errors"
	"html/template"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"
)

// addUpstream proxies to the application, so that in development the page, its
// cookies and the streams have one origin. WebSockets pass too.
func (s *Server) addUpstream(target string) error {
	u, err := url.Parse(target)
	if err != nil {
		return err
	}
	// Without the environment's proxies: the application is near.
	s.transport = &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true}
	s.upstream = &httputil.ReverseProxy{
		Transport: s.transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(u)
			if u.RawQuery == "" { // as it is: ReverseProxy leaves out what it cannot parse
				r.Out.URL.RawQuery = r.In.URL.RawQuery
			}
			r.Out.Host = r.In.Host // the application makes its links and cookies by it
			if s.origins.proxies.trust(r.In.RemoteAddr) {
				r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
			}
			r.SetXForwarded()
			scheme, host := s.origins.reached(r.In) // by them the application knows what its cookies are for
			r.Out.Header.Set("X-Forwarded-Proto", scheme)
			r.Out.Header.Set("X-Forwarded-Host", host)
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) { s.upstreamDown(w, r, u, err) },
		ErrorLog:     log.New(&errorLog{s.log}, "", 0),
	}
	return nil
}

// redact hides the password of a URL that New has checked.
func redact(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return "(malformed)"
	}
	return u.Redacted()
}

var upstreamDownPage = template.Must(template.New("").Parse(`<!doctype html><title>502</title>
<p>The app at <a href="{{.URL}}">{{.URL}}</a> is not answering: {{.Cause}}</p>
<p>Start it, or change http.upstream in walrelay's configuration.</p>
`))

// upstreamCause is what may be told of an error. One of what the application answered quotes it,
// and with it perhaps a cookie.
func upstreamCause(err error) string {
	var network *net.OpError
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &network) || errors.As(err, &certificate) || errors.Is(err, io.EOF) {
		return err.Error()
	}
	return "its answer cannot be read"
}

func (s *Server) upstreamDown(w http.ResponseWriter, r *http.Request, u *url.URL, err error) {
	if r.Context().Err() != nil {
		return
	}
	cause := upstreamCause(err)
	s.log.Debug("upstream does not answer", "url", u.Redacted(), "cause", cause)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusBadGateway)
	page := struct{ URL, Cause string }{u.Redacted(), cause}
	if err := upstreamDownPage.Execute(w, page); err != nil {
		s.log.Debug("answer not written", "cause", err)
	}
}

// elsewhere answers what the routes do not: other methods on channels, odd spellings
// of their paths, and everything outside the base path.
func (s *Server) elsewhere(c echo.Context) error {
	switch {
	case s.inBase(c.Request().URL.Path):
		return s.events(c)
	case s.upstream != nil:
		// Not c.Response() itself: it takes 103 Early Hints for the answer.
		s.upstream.ServeHTTP(c.Response().Writer, c.Request())
		return nil
	}
	return refuse(http.StatusNotFound, "not_found", "nothing is here; channels are under %s", s.opt.BasePath)
}
