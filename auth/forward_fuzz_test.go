package auth

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"testing"
)

// FuzzForwardAnswer gives any answer to the reader of answers: somebody is signed in by 200
// and 202 only, with claims that are JSON, and errors are made of constants.
func FuzzForwardAnswer(f *testing.F) {
	for _, body := range []string{`{"user":{"id":42,"roles":["a"]}}`, `{}`, `null`, ``, `[`, `{"user":{"id":true}}`, `{"user.id":"x","name":1e400}`, "{\"user\":{\"id\":\"\xff\"}}"} {
		f.Add(200, body, "true", "a, b")
	}
	f.Add(401, "", "", "")
	f.Add(307, "x", "a", ",")
	entries := map[string]*forward{
		"paths":   forwardTo(f, "http://127.0.0.1:1", ForwardEntry{User: "user.id", Claims: ClaimSource{Paths: map[string]string{"id": "user.id", "name": "name", "roles": "user.roles"}}}),
		"headers": forwardTo(f, "http://127.0.0.1:1", ForwardEntry{Claims: ClaimSource{Headers: map[string]string{"staff": "X-Staff", "id": "X-Id", "roles": "X-Roles"}}}),
		"bare":    forwardTo(f, "http://127.0.0.1:1", ForwardEntry{User: "id"}),
	}
	f.Fuzz(func(t *testing.T, status int, body, scalar, list string) {
		h := http.Header{"X-Staff": {scalar}, "X-Id": {scalar}, "X-Roles": {list, scalar}}
		for name, one := range entries {
			got, err := one.judge(answer{status: status, header: h, body: []byte(body)})
			if err != nil {
				checkAnswerError(t, status, err)
				continue
			}
			if status != 200 && status != 202 || !json.Valid(got.claims) || got.user == "" {
				t.Errorf("%s: status %d gives %+v with claims %s", name, status, got, got.claims)
			}
		}
	})
}

var answerStatus = regexp.MustCompile(`^the answer is -?\d+: `)

func checkAnswerError(t *testing.T, status int, err error) {
	t.Helper()
	if errors.Is(err, ErrNoSession) != (err == ErrNoSession) || errors.Is(err, ErrForbidden) && status != 403 {
		t.Errorf("status %d: %v", status, err)
	}
	text := answerStatus.ReplaceAllString(err.Error(), "")
	for _, one := range []error{ErrNoSession, ErrForbidden, errAnswerFailed, errAnswerNotFound, errAnswerMethod, errAnswerBusy, errAnswerStatus,
		errAnswerLong, errAnswerCoded, errAnswerJSON, errAnswerUser, errAnswerHeader} {
		if text == one.Error() {
			return
		}
	}
	t.Errorf("an error that is no constant: %v", err)
}
