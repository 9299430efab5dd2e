package demo

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/walrelay/walrelay/pgtemp/guard"
)

// shell starts a shell script as a child.
func shell(t *testing.T, script string) *child {
	t.Helper()
	g, err := guard.New()
	if err != nil {
		t.Fatal(err)
	}
	c, err := startChild(g, "the script", "/bin/sh", "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.kill()
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestChildThatFails(t *testing.T) {
	c := shell(t, `echo first >&2; printf 'cannot listen: port taken\n\n' >&2; exit 3`)
	err := c.waitFor(t.Context(), "http://127.0.0.1:1/")
	if want := "demo: the script has ended by itself (exit status 3: cannot listen: port taken)"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %q", err, want)
	}
}

func TestChildStops(t *testing.T) {
	for name, script := range map[string]string{
		"by itself":        `echo up >&2; sleep 60 & wait`,
		"after its signal": `trap 'kill $!; exit 0' TERM; echo up >&2; sleep 60 & wait`,
	} {
		t.Run(name, func(t *testing.T) {
			c := shell(t, script)
			for c.said.String() == "" {
				time.Sleep(time.Millisecond)
			}
			c.stop()
			if err := syscall.Kill(c.cmd.Process.Pid, 0); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("process is still there: %v", err)
			}
			_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL) // its sleep
		})
	}
}

func TestWaitFor(t *testing.T) {
	answers := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if answers++; answers < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	c := shell(t, `sleep 60`)
	if err := c.waitFor(t.Context(), server.URL); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.waitFor(ctx, server.URL); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestLastLines(t *testing.T) {
	var l lastLines
	for range 1000 {
		if _, err := l.Write([]byte("some line of a log\n")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Write([]byte("the last\n\n")); err != nil {
		t.Fatal(err)
	}
	if got := l.String(); got != "the last" || len(l.buf) > keptBytes {
		t.Errorf("%q, %d bytes kept", got, len(l.buf))
	}
	if empty := (&lastLines{}).String(); empty != "" || strings.Contains(empty, "\n") {
		t.Errorf("nothing said: %q", empty)
	}
}
