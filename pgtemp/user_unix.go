//go:build linux || darwin

package pgtemp

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// serverUser is the unprivileged user that the server runs as when this process
// is root. nil stands for this process's own user.
type serverUser struct {
	name     string
	uid, gid uint32
}

const (
	interruptSignal = syscall.SIGINT
	quitSignal      = syscall.SIGQUIT
)

// findServerUser is nil unless this process is root.
func findServerUser() (*serverUser, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil || uid == 0 {
			continue
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			continue
		}
		return &serverUser{name: name, uid: uint32(uid), gid: uint32(gid)}, nil
	}
	return nil, errors.New("pgtemp: Postgres does not run as root, and there is neither a user postgres nor a user nobody to run it as; run this as another user")
}

// sysProcAttr makes a process run as u, in a session of its own.
func (u *serverUser) sysProcAttr() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true}
	if u != nil {
		attr.Credential = &syscall.Credential{Uid: u.uid, Gid: u.gid}
	}
	return attr
}

// mkdir makes a directory that only u may enter.
func (u *serverUser) mkdir(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil || u == nil {
		return err
	}
	return os.Chown(path, int(u.uid), int(u.gid))
}

// own gives an open file to u.
func (u *serverUser) own(f *os.File) error {
	if u == nil {
		return nil
	}
	return f.Chown(int(u.uid), int(u.gid))
}

// canReach tells whether u may enter dir and all directories above it.
func (u *serverUser) canReach(dir string) bool {
	if u == nil {
		return true
	}
	for ; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil || !u.mayEnter(info) {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}

func (u *serverUser) mayEnter(info os.FileInfo) bool {
	bit := os.FileMode(0o001)
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		switch {
		case stat.Uid == u.uid:
			bit = 0o100
		case stat.Gid == u.gid:
			bit = 0o010
		}
	}
	return info.Mode()&bit != 0
}

// makeDir makes the cluster's directory below parent, or below the first usable
// of the usual places if parent is empty.
func (u *serverUser) makeDir(parent string) (string, error) {
	parents := []string{os.TempDir(), "/tmp", "/var/tmp"}
	if parent != "" {
		parents = []string{parent}
	}
	for _, p := range parents {
		p, err := filepath.Abs(p)
		if err != nil {
			return "", fmt.Errorf("pgtemp: make cluster directory: %w", err)
		}
		// Real paths: the server would refuse nothing, but a link may lead through
		// a directory that u cannot enter.
		if real, err := filepath.EvalSymlinks(p); err == nil && u.canReach(real) {
			return u.mkdirTemp(real)
		}
	}
	who := "this user"
	if u != nil {
		who = "user " + u.name
	}
	return "", fmt.Errorf("pgtemp: make cluster directory: %s cannot reach %s; choose another directory with Options.TempDir or TMPDIR", who, parents[0])
}

// maxSocketDir keeps the path of the unix socket within what sockaddr_un holds on
// all systems (104 bytes).
const maxSocketDir = 104 - len("/socket/.s.PGSQL.65535.lock")

func (u *serverUser) mkdirTemp(parent string) (string, error) {
	dir, err := os.MkdirTemp(parent, "walrelay-pg-")
	if err != nil {
		return "", fmt.Errorf("pgtemp: make cluster directory: %w", err)
	}
	if len(dir) > maxSocketDir {
		return dir, fmt.Errorf("pgtemp: make cluster directory: %s is too long for a unix socket; choose a shorter TMPDIR", dir)
	}
	if u != nil {
		err = os.Chown(dir, int(u.uid), int(u.gid))
	}
	if err != nil {
		return dir, fmt.Errorf("pgtemp: make cluster directory: %w", err)
	}
	return dir, nil
}
