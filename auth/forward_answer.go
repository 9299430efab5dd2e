package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// answer is what the application says, read to its end or to one byte beyond maxAnswer.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// signedIn reports whether the status is one of those that may name a user.
func (a answer) signedIn() bool { return a.status == http.StatusOK || a.status == http.StatusAccepted }

// What is wrong with an answer. Like those of refusals, the texts are constants: no byte of
// an answer can be in them.
var (
	errAnswerFailed   = errors.New("the application has failed itself: its own log says why")
	errAnswerNotFound = errors.New("url: there is nothing; name the path where the application says who is signed in")
	errAnswerMethod   = errors.New("url: is not for GET requests")
	errAnswerBusy     = errors.New("the application limits its requests: except walrelay from that")
	errAnswerStatus   = errors.New("url: 200 or 202 is signed in, 401 or a redirect is not, 403 is refused; this status means nothing")
	errAnswerLong     = errors.New("url: the answer is longer than 64 KiB; name a path that answers with the user only")
	errAnswerCoded    = errors.New("url: the answer is compressed, which nobody has asked for")
	errAnswerJSON     = errors.New("url: the answer is not JSON within 64 levels, 16384 values; name a path of the application's API, not of a page")
	errAnswerUser     = errors.New("user: leads to an object, a list or true in the answer; name the user's id itself")
	errAnswerHeader   = errors.New("claims.headers: a header of the answer is not UTF-8 or comes twice")
)

// judge says what an answer means.
func (f *forward) judge(a answer) (forwarded, error) {
	switch {
	case a.signedIn():
		return f.read(a)
	case a.status == http.StatusUnauthorized:
		return forwarded{}, ErrNoSession
	case a.status == http.StatusForbidden:
		return forwarded{}, ErrForbidden
	case a.status >= 300 && a.status < 400:
		f.suggest("the answer is a redirect, which is taken for not signed in. If users are signed in, name the URL that it leads to")
		return forwarded{}, ErrNoSession
	}
	return forwarded{}, fmt.Errorf("the answer is %d: %w", a.status, badStatus(a.status))
}

func badStatus(status int) error {
	switch {
	case status >= 500:
		return errAnswerFailed
	case status == http.StatusNotFound || status == http.StatusGone:
		return errAnswerNotFound
	case status == http.StatusMethodNotAllowed:
		return errAnswerMethod
	case status == http.StatusTooManyRequests:
		return errAnswerBusy
	}
	return errAnswerStatus
}

// read finds the user and the claims.
func (f *forward) read(a answer) (forwarded, error) {
	payload, err := f.payload(a)
	if err != nil {
		return forwarded{}, err
	}
	user, err := f.user(payload)
	if err != nil {
		return forwarded{}, err
	}
	claims, err := f.claimsOf(payload, a.header)
	if err != nil {
		return forwarded{}, err
	}
	text, err := json.Marshal(claims)
	out := forwarded{claims: text, user: userOf(user, claims["id"], string(text))}
	if f.entry.PassSetCookie {
		out.setCookies = settable(a.header["Set-Cookie"])
	}
	return out, err
}

// userOf is the first value that is a text.
func userOf(values ...any) string {
	for _, v := range values {
		if text, ok := textOf(v); ok && text != "" {
			return text
		}
	}
	return ""
}

// payload is the JSON of the body; nil where nothing is read from it, and of an empty one,
// with which Express answers res.json(undefined).
func (f *forward) payload(a answer) (any, error) {
	switch {
	case f.entry.User == "" && len(f.entry.Claims.Paths) == 0:
		return nil, nil
	case len(a.body) > maxAnswer:
		return nil, errAnswerLong
	case len(bytes.TrimSpace(a.body)) == 0:
		return nil, nil
	case !uncoded(a.header["Content-Encoding"]):
		return nil, errAnswerCoded
	}
	payload, err := parseJSON(a.body)
	if err != nil {
		return nil, errAnswerJSON
	}
	return payload, nil
}

func uncoded(codings []string) bool {
	for _, one := range codings {
		if one != "" && !strings.EqualFold(one, "identity") {
			return false
		}
	}
	return true
}

// user is the value of `user:`, a string or a number; nil of entries without. Auth.js answers
// {} and better-auth null, with 200, when nobody is signed in.
func (f *forward) user(payload any) (any, error) {
	if f.entry.User == "" {
		return nil, nil
	}
	v, _ := at(payload, f.entry.User)
	if v == nil || v == false || v == "" {
		return nil, ErrNoSession
	}
	if _, ok := textOf(v); !ok {
		return nil, errAnswerUser
	}
	return v, nil
}
