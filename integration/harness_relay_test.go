package integration

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// standard is a whole configuration: the head that every test needs, and the
// rest (channels and whatever else) that the test brings.
func standard(rest string) string {
	return `postgres: {url: "${DATABASE_URL}", slot: "${SLOT}", publication: "${PUBLICATION}"}
log: {dir: "${LOG_DIR}"}
http: {listen: "${HTTP_LISTEN}"}
admin: {listen: "${ADMIN_LISTEN}"}
` + rest
}

// relay is a walrelay with a configuration, a data directory and ports, that may
// be started, ended and started again. process is the last one started.
type relay struct {
	*process
	config  string   // path of the YAML file; may be rewritten, see writeConfig
	logDir  string   // of the event log
	env     []string // may be appended to before start
	flags   []string // of serve, besides the configuration
	url     string   // of the public port, "http://127.0.0.1:24680"
	adminAt string   // of the admin port
}

// newRelay prepares a walrelay without starting it. The configuration may use
// ${DATABASE_URL}, ${SLOT}, ${PUBLICATION}, ${LOG_DIR}, ${HTTP_LISTEN} and
// ${ADMIN_LISTEN}; see standard.
func newRelay(t testing.TB, db *database, config string) *relay {
	t.Helper()
	dir := tempDir(t)
	public, admin := freeAddress(t), freeAddress(t)
	r := &relay{
		config:  filepath.Join(dir, "walrelay.yaml"),
		logDir:  filepath.Join(dir, "log"),
		url:     "http://" + public,
		adminAt: "http://" + admin,
	}
	r.env = append(os.Environ(),
		"DATABASE_URL="+db.url(), "SLOT="+db.name, "PUBLICATION="+db.name,
		"LOG_DIR="+r.logDir, "HTTP_LISTEN="+public, "ADMIN_LISTEN="+admin)
	r.writeConfig(t, config)
	return r
}

// startRelay starts a walrelay and waits until it is ready.
func startRelay(t testing.TB, db *database, config string) *relay {
	t.Helper()
	r := newRelay(t, db, config)
	r.start(t)
	r.waitReady(t)
	return r
}

// writeConfig replaces the configuration file.
func (r *relay) writeConfig(t testing.TB, config string) {
	t.Helper()
	if err := os.WriteFile(r.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
}

// start starts it, for the first time or again, and does not wait.
func (r *relay) start(t testing.TB) {
	t.Helper()
	r.process = startProcess(t, r.command(t, append([]string{"serve", "-c", r.config}, r.flags...)...))
}

// command is any walrelay command in this relay's environment.
func (r *relay) command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(walrelay(t), args...)
	cmd.Env = r.env
	return cmd
}

// waitReady waits until /readyz answers 200.
func (r *relay) waitReady(t testing.TB) {
	t.Helper()
	last := "no answer"
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		status, body, err := r.get(r.adminAt + "/readyz")
		switch {
		case err != nil:
			last = err.Error()
		case status == http.StatusOK:
			return
		default:
			last = fmt.Sprintf("%d %s", status, body)
		}
		select {
		case <-r.done:
			t.Fatalf("walrelay ended before it was ready: %v\n%s", r.err, r.stderr)
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Fatalf("walrelay is not ready after %v; /readyz: %s\nstderr:\n%s", patience, last, r.stderr)
}

// client keeps no connections, so that none is left when a test ends.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}

func (*relay) get(url string) (status int, body string, err error) {
	resp, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data), err
}

// admin is the answer of the admin port to GET path.
func (r *relay) admin(t testing.TB, path string) (status int, body string) {
	t.Helper()
	status, body, err := r.get(r.adminAt + path)
	if err != nil {
		t.Fatal(err)
	}
	return status, body
}

// kill9 ends it as a crash would and waits until it is gone.
func (r *relay) kill9(t testing.TB) {
	t.Helper()
	r.signal(t, syscall.SIGKILL)
	r.wait(t)
}

// terminate asks it to drain and end, and waits until it has.
func (r *relay) terminate(t testing.TB) exit {
	t.Helper()
	r.signal(t, syscall.SIGTERM)
	return r.wait(t)
}

// runWalrelay runs a command of walrelay to its end, with extra environment
// variables ("NAME=value").
func runWalrelay(t testing.TB, env []string, args ...string) exit {
	t.Helper()
	cmd := exec.Command(walrelay(t), args...)
	cmd.Env = append(os.Environ(), env...)
	return startProcess(t, cmd).wait(t)
}

// walrelay is the program under test: the one in WALRELAY_TEST_BINARY, or one
// built with the race detector, and with the places where it can be ended (package
// fault), at the first use.
func walrelay(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("WALRELAY_TEST_BINARY"); path != "" {
		return path
	}
	path, g := filepath.Join(sharedDir(t), "walrelay"), theGuard(t)
	return shared.binary.get(t, func() (string, error) {
		if err := lookAtSources(".."); err != nil {
			return "", err
		}
		build := exec.Command("go", "build", "-race", "-tags", "faults", "-o", path, ".")
		build.Dir = ".."
		build.Env = append(os.Environ(), "GOTMPDIR="+filepath.Dir(path)) // goes with it, whatever happens
		out := newTranscript()
		build.Stdout, build.Stderr = out, out
		if err := runGuarded(g, build); err != nil {
			return "", fmt.Errorf("build walrelay: %w\n%s", err, out)
		}
		return path, nil
	})
}

// lookAtSources looks at every Go file of the module, so that `go test`, which
// notes what a test has looked at, does not take an old result for a new program.
func lookAtSources(root string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		hidden := strings.HasPrefix(entry.Name(), ".")
		if entry.IsDir() && (hidden || entry.Name() == "bin") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) == ".go" {
			_, err = os.Stat(path)
		}
		// Others may be at work in the tree.
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// addresses are those that freeAddress gave out.
var addresses sync.Map

// freeAddress is an address on 127.0.0.1 that nobody listens on right now, with a
// port from a range that neither outgoing connections nor pgtemp use, and that no
// other test gets, so that it is still free when a test starts its relay again.
func freeAddress(t testing.TB) string {
	t.Helper()
	err := errors.New("all were given out")
	for range 200 {
		address := fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(10000))
		if _, taken := addresses.LoadOrStore(address, true); taken {
			continue
		}
		var l net.Listener
		if l, err = net.Listen("tcp", address); err == nil {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			return address
		}
	}
	t.Fatalf("find a free port: %v", err)
	return ""
}
