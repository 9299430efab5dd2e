package auth

import (
	"net/http"
	"strings"
)

// bearerToken is the token of the Authorization header, as a candidate for the decoder;
// its name is empty, as no cookie has brought it. Not present: no such header, no token in
// it, or another scheme. A refusal means present, and useless. Tokens in a query string are
// not looked for: they get into logs and histories.
func bearerToken(h http.Header) (c cookie, present bool, err error) {
	values := h["Authorization"]
	if len(values) > 1 {
		return cookie{}, true, refuse(Malformed, "the request has more than one Authorization header")
	}
	if len(values) == 0 {
		return cookie{}, false, nil
	}
	scheme, token, _ := strings.Cut(strings.TrimLeft(values[0], " \t"), " ")
	token = strings.Trim(token, " \t")
	switch {
	case !strings.EqualFold(scheme, "Bearer") || token == "":
		return cookie{}, false, nil
	case len(token) > maxCookie:
		return cookie{}, true, refuse(TooLarge, "the bearer token is longer than 16 KiB")
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return cookie{}, true, refuse(Malformed, "the bearer token has blanks or control characters in it")
	}
	return cookie{value: token}, true, nil
}
