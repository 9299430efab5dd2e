package pgtemp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// StandbyOptions say what [Cluster.StartStandby] makes. The zero value is a standby
// named standby that synchronises failover slots where the version can.
type StandbyOptions struct {
	// Name is that of the standby's physical slot on the primary, and the
	// application_name of its connection there. Empty: standby.
	Name string
	// Database is the one of the primary that slot synchronisation connects to, on 17
	// and newer. Empty: postgres.
	Database string
	// Settings go to postgresql.conf after the primary's and after those that make it
	// a standby: {"sync_replication_slots": "off"}.
	Settings map[string]string
	// CopySlots names logical slots of the primary whose state is copied once, while
	// the standby is made. Tools do so (again and again) for versions before 17, which
	// do not synchronise slots.
	CopySlots []string
}

func (o StandbyOptions) withDefaults() StandbyOptions {
	if o.Name == "" {
		o.Name = "standby"
	}
	if o.Database == "" {
		o.Database = "postgres"
	}
	return o
}

// StartStandby makes a standby of the running cluster c, starts it, and returns when
// it streams from c and answers read-only queries. It is a copy of c's data
// directory, so it has c's system identifier, and a cluster of its own otherwise:
// with its own port, socket and log, ended by its own Close, before c or after.
//
// The standby holds WAL back on c with a physical slot that stays until somebody
// drops it. hot_standby_feedback is on, primary_conninfo names a database, and on
// 17 and newer sync_replication_slots is on: all that a failover slot needs.
//
// After the standby's end or c's, StartAgain brings either back as what it was.
// [Cluster.Promote] makes the standby a primary.
func (c *Cluster) StartStandby(ctx context.Context, opts StandbyOptions) (*Cluster, error) {
	opts = opts.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	s := &Cluster{opts: c.opts, bin: c.bin, user: c.user}
	s.opts.Port = 0
	err := s.createStandby(ctx, c, opts)
	if err == nil {
		err = s.StartAgain(ctx)
	}
	if err == nil {
		err = c.waitStreaming(ctx, opts.Name)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("pgtemp: start standby %s of the cluster in %s: %w", opts.Name, c.dir, err), s.Close())
	}
	return s, nil
}

// Promote makes a standby a primary on a new timeline and returns when it takes
// writes. Whether its primary still runs makes no difference to it: see to that first.
func (c *Cluster) Promote(ctx context.Context) error {
	conn, err := c.Conn(ctx)
	if err != nil {
		return fmt.Errorf("pgtemp: promote: %w", err)
	}
	var done bool
	err = conn.QueryRow(ctx, "select pg_promote(true, $1)", int(startTimeout.Seconds())).Scan(&done)
	if err == nil && !done {
		err = fmt.Errorf("not done in %s; last lines of its log:\n%s", startTimeout, c.logTail(20))
	}
	if err = errors.Join(err, conn.Close(ctx)); err != nil {
		return fmt.Errorf("pgtemp: promote: %w", err)
	}
	return nil
}

// createStandby makes s's directory with a copy of primary. The server does not run
// yet.
func (c *Cluster) createStandby(ctx context.Context, primary *Cluster, opts StandbyOptions) error {
	if err := c.createPlace(); err != nil {
		return err
	}
	if err := c.copyData(ctx, primary, opts); err != nil {
		return err
	}
	if err := c.configureStandby(primary, opts); err != nil {
		return err
	}
	return c.pickPort(0)
}

// copyData makes s's data directory from the running primary's: a base backup with
// its WAL, for which this connection must stay open from begin to end.
func (c *Cluster) copyData(ctx context.Context, primary *Cluster, opts StandbyOptions) (err error) {
	conn, err := primary.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	// First the slot: all WAL from here on stays until the standby has it.
	if _, err := conn.Exec(ctx, "select pg_create_physical_replication_slot($1, true)", opts.Name); err != nil {
		return fmt.Errorf("create its slot: %w", err)
	}
	begin, end := "select pg_backup_start('pgtemp', true)", "select labelfile from pg_backup_stop(false)"
	if c.bin.Major < 15 {
		begin, end = "select pg_start_backup('pgtemp', true, false)", "select labelfile from pg_stop_backup(false, false)"
	}
	if _, err := conn.Exec(ctx, begin); err != nil {
		return fmt.Errorf("begin base backup: %w", err)
	}
	if err := copyRunning(c.DataDir(), primary.DataDir(), opts.CopySlots, c.user); err != nil {
		return fmt.Errorf("copy data directory: %w", err)
	}
	label, err := pgxValue(ctx, conn, end)
	if err != nil {
		return fmt.Errorf("end base backup: %w", err)
	}
	return c.writeFile("backup_label", label)
}

func pgxValue(ctx context.Context, conn *pgx.Conn, sql string) (v string, err error) {
	err = conn.QueryRow(ctx, sql).Scan(&v)
	return v, err
}

// standbySignal is the file that makes a server a standby. Promotion removes it.
const standbySignal = "standby.signal"

// configureStandby adds to the copied postgresql.conf what makes a standby of it.
func (c *Cluster) configureStandby(primary *Cluster, opts StandbyOptions) error {
	settings := map[string]string{
		"unix_socket_directories": c.socketDir(),
		"primary_conninfo": fmt.Sprintf("host=127.0.0.1 port=%d user=%s dbname=%s application_name=%s sslmode=disable",
			primary.port, conninfo(c.opts.User), conninfo(opts.Database), conninfo(opts.Name)),
		"primary_slot_name":            opts.Name,
		"hot_standby_feedback":         "on",
		"wal_receiver_status_interval": "1s",
		"wal_retrieve_retry_interval":  "100ms",
	}
	if c.bin.Major >= 17 {
		settings["sync_replication_slots"] = "on"
	}
	maps.Copy(settings, opts.Settings)
	conf, err := os.OpenFile(filepath.Join(c.DataDir(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	_, err = conf.WriteString(confLines("standby", settings))
	if err := errors.Join(err, conf.Close()); err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	return c.writeFile(standbySignal, "")
}

// conninfo quotes a value of a libpq connection string.
func conninfo(value string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
}

// writeFile writes a new file of the data directory for the server's user.
func (c *Cluster) writeFile(name, text string) error {
	f, err := os.OpenFile(filepath.Join(c.DataDir(), name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, c.user.own(f), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// waitStreaming waits until the standby of this name has all WAL of c but the newest.
func (c *Cluster) waitStreaming(ctx context.Context, name string) (err error) {
	conn, err := c.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		var streams bool
		err := conn.QueryRow(ctx, "select exists (select from pg_stat_replication where application_name = $1 and state = 'streaming')", name).Scan(&streams)
		if err != nil || streams {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it does not stream: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
}
