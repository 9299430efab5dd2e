package config

import (
	"errors"
	"regexp"
	"time"

	"github.com/walrelay/walrelay/auth"
)

const defaultForwardTimeout = 3 * time.Second

// forward reads an entry that asks the application.
func (r *reader) forward(s *section) *auth.ForwardEntry {
	e := &auth.ForwardEntry{PassSetCookie: true, Timeout: defaultForwardTimeout, MaxStream: statelessMaxStream}
	if s == nil {
		return e
	}
	s.require("url", "give the address that answers who the user is: url: http://127.0.0.1:3000/api/me")
	read(s, "url", &e.URL, absoluteURL)
	readSome(s, "cookies", &e.Cookies, cookieName)
	read(s, "bearer", &e.Bearer, boolean)
	read(s, "user", &e.User, text)
	e.Claims.Paths = r.claimMap(s.section("claims"), text)
	e.Claims.Headers = r.claimMap(s.section("headers"), headerName)
	read(s, "pass_set_cookie", &e.PassSetCookie, boolean)
	read(s, "timeout", &e.Timeout, duration)
	read(s, "max_stream", &e.MaxStream, duration)
	s.done()
	r.checkForward(s.key, e)
	return e
}

func (r *reader) checkForward(key string, e *auth.ForwardEntry) {
	if len(e.Cookies) == 0 && !e.Bearer {
		r.complain(join(key, "cookies"), "missing; name the cookies to send on, or write bearer: true: nothing else of a request reaches the application")
	}
	if len(e.Claims.Paths) > 0 && len(e.Claims.Headers) > 0 {
		r.complain(join(key, "headers"), "stands beside claims; write one of them")
	}
	switch {
	case !none(e.Claims):
	case e.User == "":
		r.complain(join(key, "user"), "missing; name the path of the user in the answer, such as user.id, or write claims or headers")
	case !r.declared["id"]:
		r.complain(join(key, "user"), "without claims here the user is the claim id, which is not declared: add claims: {id: bigint} (or its other type) to the file, or claims to this entry")
	}
}

var headerForm = regexp.MustCompile(`^[A-Za-z0-9-]+$`)

// headerName is the name of a header.
func headerName(v scalar) (string, error) {
	if !headerForm.MatchString(v.text) {
		return "", errors.New("must be the name of a header such as X-Auth-Request-User")
	}
	return v.text, nil
}
