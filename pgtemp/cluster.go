package pgtemp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/walrelay/walrelay/pgtemp/guard"
)

// Cluster is a throw-away Postgres cluster, running or stopped.
type Cluster struct {
	opts  Options
	bin   Binaries
	user  *serverUser // nil: the server runs as this process's user
	port  int
	guard *guard.Guard

	programs string // directory of initdb and postgres that the server's user can reach

	// dir holds data/, socket/, postgres.log and, where the server's user could
	// not reach the installed one, pgsql/. Close removes it.
	dir string

	mu     sync.Mutex // serialises starting and stopping
	server *server    // nil while stopped
	closed bool
}

// startTimeout bounds a start, in case the caller's context does not.
const startTimeout = 60 * time.Second

// Start makes a cluster and starts its server. It returns when the server
// accepts connections. The caller must Close the cluster.
func Start(ctx context.Context, opts Options) (*Cluster, error) {
	opts = opts.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	bin, err := FindBinaries(ctx, opts.BinDir)
	if err != nil {
		return nil, err
	}
	user, err := findServerUser()
	if err != nil {
		return nil, err
	}
	c := &Cluster{opts: opts, bin: bin, user: user}
	if err := c.create(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if err := c.StartAgain(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// create makes the cluster's directory and its guard, the data directory and the
// configuration. The server does not run yet.
func (c *Cluster) create(ctx context.Context) error {
	if err := c.createPlace(); err != nil {
		return err
	}
	if err := c.makeData(ctx); err != nil {
		return err
	}
	return c.pickPort(c.opts.Port)
}

// createPlace makes the guard, and the cluster's directory without data.
func (c *Cluster) createPlace() error {
	var err error
	if c.guard, err = guard.New(); err != nil {
		return err
	}
	if c.dir, err = c.user.makeDir(c.opts.TempDir); err != nil {
		return err
	}
	if err := c.guard.Dir(c.dir); err != nil {
		return err
	}
	if err := c.user.mkdir(c.socketDir()); err != nil {
		return err
	}
	return c.makeReachable()
}

// Close stops the server at once (Postgres calls it an immediate shutdown) and
// removes everything the cluster has made. Calling it again does nothing.
func (c *Cluster) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err := c.stop(ctx, Immediate)
	if err != nil {
		err = errors.Join(err, c.kill(ctx))
	}
	if c.dir != "" {
		err = errors.Join(err, os.RemoveAll(c.dir))
	}
	if c.guard != nil {
		err = errors.Join(err, c.guard.Close())
	}
	if err != nil {
		return fmt.Errorf("pgtemp: close cluster in %s: %w", c.dir, err)
	}
	return nil
}

// Version is the major version of the server, such as 15.
func (c *Cluster) Version() int { return c.bin.Major }

// Binaries is the installation that the server runs from.
func (c *Cluster) Binaries() Binaries { return c.bin }

// Port is the TCP port on 127.0.0.1. It stays the same over restarts.
func (c *Cluster) Port() int { return c.port }

// SocketDir is the directory of the unix socket, for a connection string with
// host=<SocketDir>.
func (c *Cluster) SocketDir() string { return c.socketDir() }

// DataDir is the data directory. It belongs to the server's user.
func (c *Cluster) DataDir() string { return filepath.Join(c.dir, "data") }

// LogFile is the file with all that the server has written to its log.
func (c *Cluster) LogFile() string { return filepath.Join(c.dir, "postgres.log") }

func (c *Cluster) socketDir() string { return filepath.Join(c.dir, "socket") }

// makeReachable makes sure that the server's user can reach the programs. Where
// it cannot (an installation below root's home), a tree of hard links to them in
// the cluster's directory does.
func (c *Cluster) makeReachable() error {
	c.programs = c.bin.Dir
	if c.user.canReach(c.bin.Dir) {
		return nil
	}
	install := filepath.Join(c.dir, "pgsql")
	if err := linkTree(install, filepath.Dir(c.bin.Dir)); err != nil {
		return fmt.Errorf("pgtemp: make %s reachable for user %s: %w", c.bin.Dir, c.user.name, err)
	}
	c.programs = filepath.Join(install, filepath.Base(c.bin.Dir))
	return nil
}
