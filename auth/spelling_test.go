package auth

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// spelled writes ada's cookie with the characters in percent-encoding that the bits of n name.
func spelled(n int) string {
	out := "sid="
	for i := range len("t-ada") {
		if n>>i&1 == 1 {
			out += fmt.Sprintf("%%%02x", "t-ada"[i])
		} else {
			out += "t-ada"[i : i+1]
		}
	}
	return out
}

// TestSpellings: however a cookie is written, it is one session, with one limit and one look-up.
func TestSpellings(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(t *testing.T, w *world) {
		first := w.enter(spelled(0))
		for n := range 32 {
			one, err := w.come(spelled(n))
			if err != nil || one != first.session {
				t.Fatalf("%s is %p, %v, not %p", spelled(n), one, err, first.session)
			}
		}
		if w.queries() != 1 || len(w.index.all) != 1 || len(w.index.cookies) != 1 {
			t.Errorf("%d look-ups, %d sessions, %d cookies", w.queries(), len(w.index.all), len(w.index.cookies))
		}
		streams := []*fakeStream{first}
		for n := range 3 {
			streams = append(streams, w.enter(spelled(n)))
		}
		one, err := w.come(spelled(31))
		if err != nil {
			t.Fatal(err)
		}
		var limit *LimitError
		if _, err := one.Attach(&fakeStream{}); !errors.As(err, &limit) || limit.Key != "per_session" {
			t.Errorf("a fifth stream: %v", err)
		}
		w.commit(deleteSession(adas))
		for _, st := range streams {
			st.is(t, "signed_out")
			st.detach()
		}
		_, err = w.come(spelled(5))
		wantError(t, err, ErrNoSession)
		w.have(adas)
		time.Sleep(time.Minute)
		w.enter(spelled(7)).is(t, "open")
	})
}
