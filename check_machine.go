package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/walrelay/walrelay/config"
	"github.com/walrelay/walrelay/replication"
)

// machine is what check finds on this machine. It makes and changes nothing there.
type machine struct {
	cfg      *config.Config
	findings replication.Findings
	// notes are fine when the walrelay of this configuration is running.
	notes []string
}

func checkMachine(cfg *config.Config) *machine {
	m := &machine{cfg: cfg}
	m.checkLogDir()
	m.checkTLS()
	return m
}

func (m *machine) add(s replication.Severity, key, subject, problem, fix string) {
	m.findings = append(m.findings, replication.Finding{Severity: s, Subject: subject, Problem: problem, Fix: fix, Ref: place{m.cfg.Pos(key), key}})
}

// checkLogDir looks whether serve could make the directory, or write in it.
func (m *machine) checkLogDir() {
	dir := m.cfg.Log.Dir
	err := accessible(dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = accessible(existingParent(dir))
	}
	if err == nil {
		err = m.checkLock(dir)
	}
	if err != nil {
		m.add(replication.Error, "log.dir", "directory "+dir, err.Error(),
			fmt.Sprintf("make it a directory that user id %d may read and write, or name another", os.Geteuid()))
	}
}

// accessible reports why files cannot be made in a directory.
func accessible(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return &fs.PathError{Op: "use", Path: dir, Err: unix.ENOTDIR}
	}
	if err := unix.Access(dir, unix.R_OK|unix.W_OK|unix.X_OK); err != nil {
		return &fs.PathError{Op: "write in", Path: dir, Err: err}
	}
	return nil
}

// existingParent is the directory in which dir, or what is above it, would be made.
func existingParent(dir string) string {
	dir = filepath.Clean(dir)
	for {
		up := filepath.Dir(dir)
		if _, err := os.Stat(up); up == dir || !errors.Is(err, fs.ErrNotExist) {
			return up
		}
		dir = up
	}
}

// checkLock notes that another process has the log open. It shares the lock for a
// moment, which the holder does not feel.
func (m *machine) checkLock(dir string) (err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		pid, err := io.ReadAll(io.LimitReader(f, 32))
		if err != nil {
			return err
		}
		m.notes = append(m.notes, fmt.Sprintf("log.dir: %s is in use by a walrelay (pid %s): fine when that is the one of this configuration", dir, strings.TrimSpace(string(pid))))
	}
	return nil
}

// checkTLS reads the certificate and its key as serve does.
func (m *machine) checkTLS() {
	t := m.cfg.HTTP.TLS
	if !t.On() {
		return
	}
	const fix = "name a certificate and its key, PEM files that this user may read"
	cert, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	switch {
	case err != nil:
		m.add(replication.Error, "http.tls", "cert "+t.Cert+" and key "+t.Key, err.Error(), fix)
	case cert.Leaf != nil && time.Now().After(cert.Leaf.NotAfter):
		m.add(replication.Warning, "http.tls", "cert "+t.Cert, "it has expired on "+cert.Leaf.NotAfter.UTC().Format(time.DateOnly)+", so browsers refuse it", "renew it")
	}
}
