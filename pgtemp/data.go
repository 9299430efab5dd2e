package pgtemp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// EnvCache names the environment variable with the directory that keeps the
// templates.
const EnvCache = "WALRELAY_CACHE"

// makeData makes the data directory, from the template if there is one, and
// configures it.
func (c *Cluster) makeData(ctx context.Context) error {
	template := c.template()
	if !c.fromTemplate(template) {
		if err := c.initdb(ctx); err != nil {
			return err
		}
		// The cluster is good without it, and the next start tries again.
		_ = c.saveTemplate(template)
	}
	return c.configure()
}

// initdbArgs is everything but the data directory; it is part of the template's
// name.
func (c *Cluster) initdbArgs() []string {
	return []string{"--username=" + c.opts.User, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"}
}

func (c *Cluster) initdb(ctx context.Context) error {
	cmd := c.command("initdb", append(c.initdbArgs(), "--pgdata="+c.DataDir())...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	err := c.run(ctx, cmd)
	if err != nil {
		return fmt.Errorf("pgtemp: run %s/initdb: %w\n%s", c.bin.Dir, err, out.String())
	}
	return nil
}

// run runs a command to its end, or kills it when ctx ends.
func (c *Cluster) run(ctx context.Context, cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	pid := cmd.Process.Pid
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() }) // fails only if it has ended
	defer stop()
	err := c.guard.Watch(pid)
	err = errors.Join(err, cmd.Wait(), c.guard.Forget(pid))
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// configure writes the configuration files over those of initdb.
func (c *Cluster) configure() error {
	conf, err := os.OpenFile(filepath.Join(c.DataDir(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("pgtemp: configure: %w", err)
	}
	_, err = conf.WriteString(c.opts.conf(c.socketDir()))
	hba := os.WriteFile(filepath.Join(c.DataDir(), "pg_hba.conf"), []byte(c.opts.hba()), 0o600)
	if err := errors.Join(err, conf.Close(), hba); err != nil {
		return fmt.Errorf("pgtemp: configure: %w", err)
	}
	return nil
}

// pickPort takes the port asked for, or a free one.
func (c *Cluster) pickPort(want int) error {
	if want != 0 {
		c.port = want
		return nil
	}
	var err error
	for range 50 {
		// Below the range from which systems take the ports of outgoing
		// connections, so that it is still free at a restart.
		c.port = 20000 + rand.IntN(12000)
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", c.port)); err == nil {
			return l.Close()
		}
	}
	return fmt.Errorf("pgtemp: find a free port: %w", err)
}

// template is the directory of the template for this cluster, or "" where there
// is no place for one.
func (c *Cluster) template() string {
	if c.opts.NoTemplate {
		return ""
	}
	cache := os.Getenv(EnvCache)
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return ""
		}
		cache = filepath.Join(user, "walrelay")
	}
	key := sha256.Sum256([]byte(strings.Join(append(c.initdbArgs(), c.bin.Version), "\x00")))
	return filepath.Join(cache, "pgtemp", fmt.Sprintf("pg%d-%s", c.bin.Major, hex.EncodeToString(key[:8])))
}

// fromTemplate makes the data directory from the template. If there is none, or
// it is damaged, it leaves nothing and is false.
func (c *Cluster) fromTemplate(template string) bool {
	if template == "" || !exists(template) {
		return false
	}
	err := copyTree(c.DataDir(), template, c.user)
	if err == nil {
		err = setSystemID(c.DataDir(), newSystemID())
	}
	if err != nil {
		_ = os.RemoveAll(c.DataDir()) // initdb complains if anything is left
		return false
	}
	return true
}

// saveTemplate keeps a copy of the fresh data directory. Whoever renames first
// wins; a loser's copy is as good and is removed.
func (c *Cluster) saveTemplate(template string) error {
	if template == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(template), 0o700); err != nil {
		return err
	}
	part, err := os.MkdirTemp(filepath.Dir(template), "part-")
	if err != nil {
		return err
	}
	if err := c.guard.Dir(part); err != nil {
		return errors.Join(err, os.RemoveAll(part))
	}
	err = copyTree(filepath.Join(part, "data"), c.DataDir(), nil)
	if err == nil {
		err = os.Rename(filepath.Join(part, "data"), template)
	}
	return errors.Join(err, os.RemoveAll(part))
}
