package main

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tailOf runs a tailer against a server that answers the n-th request with the n-th
// script, and gives what was printed and the ids that were asked for.
func tailOf(t *testing.T, tail *tailer, scripts ...string) (out, status string, asked []string, err error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := len(asked)
		asked = append(asked, r.Header.Get("Last-Event-ID"))
		if n >= len(scripts) {
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"error":"unknown_channel","message":"no more"}`)
			return
		}
		if scripts[n] == "starting" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, scripts[n])
	}))
	defer server.Close()
	var o, s strings.Builder
	tail.base, tail.out, tail.status = server.URL, &o, &s
	err = tail.run(t.Context())
	return o.String(), s.String(), asked, err
}

const (
	lineReady = `{"event":"ready","id":"0/10.0.aaaaaa","resumed":false,"channels":["a"],"position":"0/10"}` + "\n"
	lineAgain = `{"event":"ready","id":"0/10.0.aaaaaa","resumed":true,"channels":["a"],"position":"0/10"}` + "\n"
	lineOne   = `{"event":"insert","id":"0/20.0.aaaaaa","channel":"a","op":"insert","key":{"id":1},"row":{"id":1},"tx":{"xid":7,"at":"2026-11-20T21:00:00.123456+00:00"}}` + "\n"
	lineTwo   = `{"event":"insert","id":"0/30.0.aaaaaa","channel":"a","op":"insert","key":{"id":2},"row":{"id":2},"tx":{"xid":8,"at":"2026-11-20T21:00:01+00:00"}}` + "\n"
	lineHead  = `{"event":"delete","channel":"a","op":"delete","key":{"id":2},"tx":{"xid":9,"at":"2026-11-20T21:00:02+00:00"}}` + "\n" // its position goes on
	lineRest  = `{"event":"insert","id":"0/40.0.aaaaaa","channel":"a","op":"insert","key":{"id":3},"row":{"id":3},"tx":{"xid":9,"at":"2026-11-20T21:00:02+00:00"}}` + "\n"
	lineReset = `{"event":"reset","id":"0/50.0.bbbbbb","channel":"a","reason":"view"}` + "\n"
	lineBeat  = `{"event":"heartbeat","id":"0/25.0.aaaaaa"}` + "\n"
	lineMute  = `{"event":"heartbeat"}` + "\n"
	lineEnd   = `{"event":"end","reason":"draining","retry":700}` + "\n"
)

func TestTailGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		scripts []string
		out     string
		asked   []string
	}{
		{"ready names a place", []string{lineReady}, "", []string{"", "0/10.0.aaaaaa"}},
		{"after an event", []string{lineReady + lineOne}, lineOne, []string{"", "0/20.0.aaaaaa"}},
		{"after a heartbeat", []string{lineReady + lineOne + lineBeat}, lineOne, []string{"", "0/25.0.aaaaaa"}},
		{"a heartbeat without an id takes nothing back", []string{lineReady + lineOne + lineMute}, lineOne, []string{"", "0/20.0.aaaaaa"}},
		{"cut within a position", []string{lineReady + lineHead, lineAgain + lineHead + lineRest}, lineHead + lineRest, []string{"", "0/10.0.aaaaaa", "0/40.0.aaaaaa"}},
		{"cut within a line", []string{lineReady + lineOne[:50], lineAgain + lineOne}, lineOne, []string{"", "0/10.0.aaaaaa", "0/20.0.aaaaaa"}},
		{"reset", []string{lineReady + lineReset + lineTwo}, lineReset + lineTwo, []string{"", "0/30.0.aaaaaa"}},
		{"end", []string{lineReady + lineOne + lineEnd, lineAgain + lineTwo}, lineOne + lineTwo, []string{"", "0/20.0.aaaaaa", "0/30.0.aaaaaa"}},
		{"starting", []string{lineReady + lineOne, "starting", lineAgain + lineTwo}, lineOne + lineTwo, []string{"", "0/20.0.aaaaaa", "0/20.0.aaaaaa", "0/30.0.aaaaaa"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			out, _, asked, err := tailOf(t, &tailer{json: true, channels: []string{"a", "b"}}, test.scripts...)
			if diff := cmp.Diff(test.out, out); diff != "" {
				t.Errorf("printed (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.asked, asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
			if err == nil || err.Error() != "tail a b: no more" {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestTailCount(t *testing.T) {
	for count, want := range map[int]string{
		1: lineOne,
		2: lineOne + lineReset + lineTwo,
		3: lineOne + lineReset + lineTwo + lineHead + lineRest, // never half a position
	} {
		out, _, _, err := tailOf(t, &tailer{json: true, count: count, channels: []string{"a"}},
			lineReady+lineOne+lineReset+lineTwo, lineAgain+lineHead+lineRest+lineOne)
		if err != nil || out != want {
			t.Errorf("--count %d: %v, printed\n%s", count, err, out)
		}
	}
}

// What people see: a line an event, and a line when something happens to the
// stream, not one a try.
func TestTailForPeople(t *testing.T) {
	t.Parallel()
	message := `{"event":"message","id":"0/60.0.aaaaaa","channel":"a","op":"message","data":{"n":1},"tx":{"xid":9,"at":"2026-11-20T21:00:02+00:00"}}` + "\n"
	out, status, _, _ := tailOf(t, &tailer{channels: []string{"a"}}, lineReady+lineOne+lineHead+lineRest+message+lineEnd, "starting", "starting", lineAgain)
	want := `21:00:00.123456 a                    insert   {"id":1} {"id":1}
21:00:02.000000 a                    delete   {"id":2}
21:00:02.000000 a                    insert   {"id":3} {"id":3}
21:00:02.000000 a                    message  {"n":1}
`
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
	want = `tail: live at 0/10
tail: stream ended by walrelay: draining
tail: resumed at 0/10.0.aaaaaa
tail: no stream, trying again: EOF
`
	if diff := cmp.Diff(want, status); diff != "" {
		t.Errorf("said (-want +got):\n%s", diff)
	}
}

// A tail that took the address from the configuration trusts that certificate alone.
func TestTailOverTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, lineReady+lineOne) }))
	defer server.Close()
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	file := filepath.Join(t.TempDir(), "cert.pem")
	for _, test := range []struct {
		name string
		cert []byte
		want string // of the error
	}{
		{"its own", server.Certificate().Raw, ""},
		{"another", []byte("another"), "does not show the certificate of " + file},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: test.cert}), 0o600); err != nil {
			t.Fatal(err)
		}
		client, err := pinned(file)
		if err != nil {
			t.Fatal(err)
		}
		err = (&tailer{base: server.URL, client: client, channels: []string{"a"}, count: 1, out: io.Discard, status: io.Discard}).run(t.Context())
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
		client.CloseIdleConnections()
	}
	err := (&tailer{base: server.URL, channels: []string{"a"}, out: io.Discard, status: io.Discard}).run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "fix: ") {
		t.Errorf("unknown authority: %v", err)
	}
}

// With --as it asks the admin server, with the claims.
func TestTailAs(t *testing.T) {
	t.Parallel()
	var asked string
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.RequestURI()
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, `{"error":"forbidden","message":"not allowed"}`)
	}))
	defer admin.Close()
	file := filepath.Join(t.TempDir(), "walrelay.yaml")
	text := "postgres: {url: postgres://app@db/shop}\nadmin: {listen: \"" + strings.TrimPrefix(admin.URL, "http://") + "\"}\n" +
		"http: {base_path: /live, tls: {cert: /nowhere, key: /nowhere}}\nclaims: {id: bigint}\nauth: [{anonymous: {}}]\nchannels: {orders: {table: orders, allow: row.a == user.id}}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := runCommand(t, "tail", "-c", file, "--as", `{"id": 42}`, "orders")
	if err == nil || err.Error() != "tail orders: not allowed" || asked != "/live?as=%7B%22id%22%3A+42%7D&channel=orders" {
		t.Errorf("asked for %s, error %v", asked, err)
	}
	for _, as := range []string{"42", "[42]", "{id: 42}", "null"} {
		if _, err := runCommand(t, "tail", "-c", file, "--as", as, "orders"); err == nil || !strings.Contains(err.Error(), "--as "+as+": must be a JSON object") {
			t.Errorf("--as %s: %v", as, err)
		}
	}
}

// Who is refused because nobody is signed in learns of --as.
func TestTailUnauthorized(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, `{"error":"unauthenticated","message":"no session"}`)
	}))
	defer server.Close()
	_, err := runCommand(t, "tail", "--url", server.URL, "orders")
	if err == nil || err.Error() != `tail orders: no session; or be somebody, through the admin address: walrelay tail --as '{"id":42}' orders` {
		t.Error(err)
	}
}
