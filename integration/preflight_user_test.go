package integration

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
)

// unreadableDirectory checks and starts a walrelay whose log directory is not its user's. Root
// may read everything, so as root the program runs as another user.
func unreadableDirectory(t *testing.T, db *database) {
	t.Helper()
	r := newRelay(t, db, standard(publicTables("items")))
	dir := reachableDir(t)
	private := filepath.Join(dir, "private")
	if err := os.Mkdir(private, 0o700); err != nil {
		t.Fatal(err)
	}
	r.env = append(r.env, "LOG_DIR="+filepath.Join(private, "log"))
	command := func(name string) *exec.Cmd { return r.command(t, name, "-c", r.config) }
	if os.Geteuid() != 0 {
		if err := os.Chmod(private, 0); err != nil {
			t.Fatal(err)
		}
	} else {
		const nobody = 65534
		program, config := copyFile(t, walrelay(t), dir, 0o755), copyFile(t, r.config, dir, 0o644)
		command = func(name string) *exec.Cmd {
			cmd := exec.Command(program, name, "-c", config)
			cmd.Env, cmd.Dir = r.env, dir
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
			return cmd
		}
	}
	out := startProcess(t, command("check")).wait(t)
	if !regexp.MustCompile(`^error    .*: log.dir: directory `+private+`/log: .*permission denied; fix: make it a directory that user id \d+ may read and write`).MatchString(out.stdout) || out.code != 1 {
		t.Errorf("check: exit code %d:\n%s%s", out.code, out.stdout, out.stderr)
	}
	r.process = startProcess(t, command("serve"))
	r.wantRefusal(t, `open event log `+private+`/log: .*permission denied: make the directory and its files writable for user id \d+`)
}

// reachableDir is a directory that every user may look into.
func reachableDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "walrelay-open-")
	if err != nil {
		t.Fatal(err)
	}
	if err := theGuard(t).Dir(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func copyFile(t *testing.T, from, dir string, mode os.FileMode) string {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	to := filepath.Join(dir, filepath.Base(from))
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, mode)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return to
}
