package auth

import (
	"encoding/json"
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

// TestSpellingsOfPayloads: one payload is one session, two are two.
func TestSpellingsOfPayloads(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	defer w.Close()
	tags := map[tag]int{}
	for n, payload := range []map[string]any{
		nil, {}, {"a": nil}, {"a": "1"}, {"a": json.Number("1")}, {"a": json.Number("1.0")}, {"a": "\xff"}, {"a": "\ufffd"}, {"a": []byte("x")}, {"a": "eA=="},
		{"a": json.Number("NaN")}, {"a": []any{"1"}}, {"a": []any{[]byte("x")}}, {"a": []any{"eA=="}}, {"a": time.Unix(0, 0).UTC()}, {"a": "1970-01-01T00:00:00Z"}, {"a": map[string]any{"\xff": true}}, {"a": map[string]any{"\ufffd": true}},
	} {
		for m := range 2 {
			one := w.tagOfSession(&w.entries[0], tag{byte(n + 1), byte(m)}, question{cookie: "sid", key: []byte("k"), payload: payload})
			if was, known := tags[one]; known && was != n {
				t.Errorf("payloads %d and %d are one session", was, n)
			}
			tags[one] = n
		}
	}
	a, b := question{payload: map[string]any{"x": "1", "y": []any{true}}}, question{payload: map[string]any{"y": []any{true}, "x": "1"}}
	if w.tagOfSession(&w.entries[0], tag{1}, a) != w.tagOfSession(&w.entries[0], tag{2}, b) {
		t.Error("one payload is two sessions")
	}
}
