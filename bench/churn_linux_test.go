package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// visitFake gives somebody whose walrelay is a fake one, over HTTP/1 and HTTP/2.
func visitFake(t *testing.T, h http.Handler, rows int64) *visitor {
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	f := &feed{rows: slices.Repeat([]int64{rows}, soakUsers+1)}
	c := newChurn(&relay{base: "http://" + s.Listener.Addr().String()}, f, nil, 0)
	c.patience = testPatience
	t.Cleanup(func() { c.close(); s.CloseClientConnections(); s.Close() })
	return &visitor{churn: c}
}

// rowsTo serves the rows up to last that come after the client's id, without skip.
func rowsTo(last, skip int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		from := 0
		id := r.Header.Get("Last-Event-ID")
		_, _ = fmt.Sscanf(id, "0/100.%d.", &from)
		fmt.Fprint(w, readyFrame(id != "", fmt.Sprintf("0/100.%d.k7x2mq", from)))
		for n := from + 1; n <= last; n++ {
			if n != skip {
				fmt.Fprint(w, rowFrame(n, fmt.Sprintf("0/100.%d.k7x2mq", n)))
			}
		}
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

var transports = map[string]transport{"HTTP/1": overHTTP1, "HTTP/2": overHTTP2}

// A visit ends when its time is over; who is patient has everything then.
func TestStay(t *testing.T) {
	t.Parallel()
	for name, by := range transports {
		v := visitFake(t, rowsTo(10, 0), 10)
		c := userClient(7)
		if err := v.stay(t.Context(), by, c, time.Nanosecond, true); err != nil || c.row != 10 {
			t.Errorf("%s: row %d, %v", name, c.row, err)
		}
		if err := v.stay(t.Context(), by, c, time.Nanosecond, true); err != nil || !c.resumes {
			t.Errorf("%s: back with an id (%t): %v", name, c.resumes, err)
		}
		if err := v.stay(t.Context(), by, userClient(7), 50*time.Millisecond, false); err != nil {
			t.Errorf("%s: in a hurry: %v", name, err)
		}
		fresh := userClient(7)
		fresh.anyRow = true
		if err := v.stay(t.Context(), by, fresh, time.Nanosecond, true); err != nil || !fresh.live {
			t.Errorf("%s: from now on: %v", name, err)
		}
	}
}

// What a client finds fails the visit, and so do rows that do not come and a server that hangs up.
func TestStayFails(t *testing.T) {
	t.Parallel()
	for name, by := range transports {
		v := visitFake(t, rowsTo(10, 4), 10)
		if err := v.stay(t.Context(), by, userClient(7), time.Hour, true); err == nil || !strings.Contains(err.Error(), "row 5 after row 3") {
			t.Errorf("%s: a missing row: %v", name, err)
		}
		v = visitFake(t, rowsTo(5, 0), 10)
		v.patience = 100 * time.Millisecond
		if err := v.stay(t.Context(), by, userClient(7), time.Nanosecond, true); err == nil || !strings.Contains(err.Error(), "row 5 of 10") {
			t.Errorf("%s: rows that do not come: %v", name, err)
		}
		v = visitFake(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, readyFrame(false, "0/100.0.k7x2mq"))
			_ = http.NewResponseController(w).Flush()
		}), 10)
		if err := v.stay(t.Context(), by, userClient(7), time.Hour, false); err == nil {
			t.Errorf("%s: a server that hangs up is none", name)
		}
		v = visitFake(t, http.NotFoundHandler(), 10)
		if err := v.stay(t.Context(), by, userClient(7), time.Hour, false); err == nil || !strings.Contains(err.Error(), "404") {
			t.Errorf("%s: refused: %v", name, err)
		}
	}
}

// Only a refusal is one.
func TestRefused(t *testing.T) {
	t.Parallel()
	v := visitFake(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cookie") == "over=1" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		rowsTo(1, 0)(w, r)
	}), 1)
	if err := v.refused(t.Context(), ownClient(7, "over=1")); err != nil {
		t.Error(err)
	}
	v.patience = 50 * time.Millisecond
	if err := v.refused(t.Context(), ownClient(7, "valid=1")); err == nil || !strings.Contains(err.Error(), "got in again") {
		t.Errorf("a session that goes on: %v", err)
	}
}

// Long polls check their rows.
func TestPoll(t *testing.T) {
	t.Parallel()
	row := func(user, n int) string {
		return fmt.Sprintf(`{"event":"insert","id":"0/100.%d.k7x2mq","channel":"user/7","op":"insert","key":{"user_id":%d,"n":%d}}`, n, user, n)
	}
	for name, test := range map[string]struct{ answer, want string }{
		"rows":      {`{"events":[` + row(7, 4) + `,` + row(7, 5) + `],"last_event_id":"0/100.5.k7x2mq"}`, ""},
		"nothing":   {`{"events":[],"last_event_id":"0/100"}`, ""},
		"gap":       {`{"events":[` + row(7, 5) + `],"last_event_id":"0/100.5.k7x2mq"}`, "row 5 after row 3"},
		"another's": {`{"events":[` + row(8, 4) + `],"last_event_id":"0/100.4.k7x2mq"}`, "of user 8"},
		"end":       {`{"events":[{"event":"end","reason":"draining"}],"last_event_id":"0/100"}`, "event end draining"},
		"bad id":    {`{"events":[],"last_event_id":"x"}`, "not of the form"},
		"id behind": {`{"events":[],"last_event_id":"0/80.1.k7x2mq"}`, "is behind"},
		"no JSON":   {`<html>`, "invalid character"},
	} {
		v := visitFake(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept") != "application/json" || r.Header.Get("Last-Event-ID") != "0/100" {
				w.WriteHeader(http.StatusTeapot)
			}
			fmt.Fprint(w, test.answer)
		}), 5)
		c := userClient(7)
		c.row, c.id, c.at = 3, []byte("0/100"), position{0x100, 0}
		err := v.poll(t.Context(), c)
		if test.want == "" && (err != nil || name == "rows" && (c.row != 5 || string(c.id) != "0/100.5.k7x2mq")) || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: row %d, id %s, %v", name, c.row, c.id, err)
		}
	}
}

// The first failure ends all visits, and stop gives it.
func TestComing(t *testing.T) {
	t.Parallel()
	c := newChurn(&relay{}, nil, nil, 0)
	bad := errors.New("something is wrong")
	var visits int
	c.habits = []*habit{{name: "fail", people: 1, visit: func(v *visitor, _ context.Context) error {
		if visits++; visits == 2 {
			return bad
		}
		return nil
	}}, {name: "wait", people: 3, visit: func(_ *visitor, ctx context.Context) error { return pause(ctx, time.Hour) }}}
	come := c.start(t.Context())
	select {
	case <-come.failed:
	case <-time.After(testPatience):
		t.Fatal("the failure is not told")
	}
	if err := come.stop(); !errors.Is(err, bad) || !strings.Contains(err.Error(), `"fail"`) {
		t.Errorf("stop: %v", err)
	}
	if c.String() != "fail 1, wait 0" || c.people() != 4 {
		t.Errorf("%s of %d people", c, c.people())
	}
}
