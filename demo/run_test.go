package demo

import (
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// running is a demo that runs in this process.
type running struct {
	*testing.T
	out   *lockedBuffer
	keys  *io.PipeWriter
	stop  context.CancelFunc
	ended chan error
}

func startDemo(t *testing.T, binary string) *running {
	t.Helper()
	address, err := freeAddress(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	in, keys := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	d := &running{T: t, out: &lockedBuffer{}, keys: keys, stop: stop, ended: make(chan error, 1)}
	go func() { d.ended <- Run(ctx, Options{Binary: binary, Listen: address, Out: d.out, In: in}) }()
	t.Cleanup(func() {
		stop()
		keys.Close()
		if t.Failed() {
			t.Log(d.out.String())
		}
	})
	return d
}

// waitFor waits until the output matches a pattern and gives the first match.
func (d *running) waitFor(pattern string) string {
	d.Helper()
	re := regexp.MustCompile(pattern)
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if m := re.FindStringSubmatch(d.out.String()); m != nil {
			return m[len(m)-1]
		}
		select {
		case err := <-d.ended:
			d.Fatalf("the demo has ended before %q: %v", pattern, err)
		default:
		}
		if time.Now().After(end) {
			d.Fatalf("no %q", pattern)
		}
	}
}

func (d *running) wait() error {
	d.Helper()
	select {
	case err := <-d.ended:
		return err
	case <-time.After(30 * time.Second):
		d.Fatal("the demo does not end")
		return nil
	}
}

func (d *running) press(key string) {
	d.Helper()
	if _, err := io.WriteString(d.keys, key+"\n"); err != nil {
		d.Fatal(err)
	}
}

// TestRun is the demo with the real walrelay, killed once.
func TestRun(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "walrelay")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "..").CombinedOutput(); err != nil {
		t.Fatalf("build walrelay: %v\n%s", err, out)
	}
	d := startDemo(t, binary)
	page := d.waitFor(`http://(\S+)/\n`)
	database := d.waitFor(`psql postgres://postgres@([^/]+)/`)
	file := d.waitFor(`(/\S+/walrelay\.yaml)`)
	d.waitFor(`(?:.*  (?:insert|update|delete)  .*\n){4}`)
	d.press("r")
	d.waitFor(`── resumed at .*: [1-9]\d* events? caught up, nothing lost`)
	d.waitFor(`nothing lost.*\n(?:.*\n){3}`)
	d.press("q")
	if err := d.wait(); err != nil {
		t.Error(err)
	}
	d.waitFor(`row changes shown, each once and in commit order, over 1 restart of walrelay\n`)
	d.waitFor(`in step with the database: .*, compared row by row\n`)
	if _, err := os.Stat(filepath.Dir(file)); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", filepath.Dir(file), err)
	}
	for _, address := range []string{page, database} {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			t.Errorf("somebody still listens on %s", address)
		}
	}
}

// script writes an executable that stands for walrelay.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "walrelay")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRunTellsWhatFailed(t *testing.T) {
	d := startDemo(t, script(t, "echo 'walrelay: no disk' >&2; exit 1"))
	err := d.wait()
	if want := "the shop has ended by itself (exit status 1: walrelay: no disk)"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
}

// TestRunCanceled is Ctrl-C while everything is starting.
func TestRunCanceled(t *testing.T) {
	d := startDemo(t, script(t, "exec sleep 60"))
	d.waitFor("starting the shop…")
	d.stop()
	if err := d.wait(); err != nil {
		t.Error(err)
	}
	d.waitFor("everything is stopped and removed")
}
