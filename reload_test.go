package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// What the admin server answers is printed; a refusal is an error with a line for each
// problem.
func TestReloadCommand(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status    int
		body      string
		out, fail string
	}{
		"taken":        {200, `{"message":"2 channels changed"}`, "2 channels changed\n", ""},
		"refused":      {409, `{"error":"invalid","message":"w.yaml:3:1: channels: a\nw.yaml:4:1: channels: b\n"}`, "", "w.yaml:3:1: channels: a\nw.yaml:4:1: channels: b"},
		"text":         {200, " done \n", "done\n", ""},
		"nothing said": {404, "", "", "404 Not Found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodPost || r.URL.Path != "/reload" {
					t.Errorf("%s %s", r.Method, r.URL.Path)
				}
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.body)) // the client is this test
			}))
			defer admin.Close()
			out, err := runCommand(t, "reload", "--url", admin.URL+"/")
			if out != test.out || (err == nil) != (test.fail == "") || err != nil && err.Error() != test.fail {
				t.Errorf("printed %q, error %v", out, err)
			}
		})
	}
	if _, err := runCommand(t, "reload", "--url", "http://127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "fix: start walrelay") {
		t.Errorf("nobody there: %v", err)
	}
	if _, err := runCommand(t, "reload", "-c", "/nowhere.yaml"); err == nil || !strings.Contains(err.Error(), "/nowhere.yaml") {
		t.Errorf("no file: %v", err)
	}
}

// runCommand runs a command of this program in this process.
func runCommand(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	var out strings.Builder
	root := newRootCommand()
	root.SetArgs(args)
	root.SetOut(&out)
	err = root.ExecuteContext(t.Context())
	return out.String(), err
}
