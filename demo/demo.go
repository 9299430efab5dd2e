package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/walrelay/walrelay/pgtemp"
	"github.com/walrelay/walrelay/pgtemp/guard"
)

// Options of Run. Zero values mean the default that the field names.
type Options struct {
	// Binary is the walrelay executable that is run for `serve` and `demo-app`;
	// required.
	Binary string
	// Listen is the address of page and streams, host:port; default :8080, or a free
	// port when that one is taken.
	Listen string
	// Out gets what the user sees; default none.
	Out io.Writer
	// In gives keys, one a line: r restarts walrelay, q ends. Its end is not the
	// demo's. Default none. The goroutine that reads it ends with the next line after
	// Run has returned.
	In io.Reader
	// Color allows ANSI colours on Out.
	Color bool
	// PGBin is the directory of the Postgres binaries; default: where pgtemp finds
	// some.
	PGBin string
	// For ends the demo after this time; default never.
	For time.Duration
}

const (
	// startTime bounds the start of each process.
	startTime = 60 * time.Second
	// downTime is between the end of a killed walrelay and its next start, so that
	// there is something to catch up.
	downTime = 2 * time.Second
	// stopTime is what a process has to end by itself.
	stopTime = 5 * time.Second
)

// Run runs the demo until ctx ends, q is pressed or o.For is over, all of which are
// no errors. Errors: a process that did not start or ended by itself (with the last
// it said), and events that were lost, came twice or not in order.
func Run(ctx context.Context, o Options) (err error) {
	if o.Out == nil {
		o.Out = io.Discard
	}
	d := &demo{options: o, screen: &screen{out: o.Out, color: o.Color}}
	defer func() { err = errors.Join(err, d.close()) }()
	err = d.start(ctx)
	if err == nil {
		d.banner()
		err = d.watch(ctx)
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// demo is the running one. Its fields belong to the goroutine of Run.
type demo struct {
	options  Options
	screen   *screen
	guard    *guard.Guard
	dir      string // of configuration and event log
	cluster  *pgtemp.Cluster
	shop     *child
	relay    *child // changes when walrelay is restarted
	address  addresses
	restarts int
}

// database is the name of the shop's.
const database = "shop"

// start starts everything, each when what it needs is ready.
func (d *demo) start(ctx context.Context) (err error) {
	if d.address, err = chooseAddresses(ctx, d.options.Listen, d.screen); err != nil {
		return err
	}
	if d.guard, err = guard.New(); err != nil {
		return err
	}
	if d.dir, err = os.MkdirTemp("", "walrelay-demo-"); err != nil {
		return fmt.Errorf("demo: make temporary directory: %w", err)
	}
	if err := d.guard.Dir(d.dir); err != nil {
		return err
	}
	d.screen.say("starting Postgres…")
	begin, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	if d.cluster, err = pgtemp.Start(begin, pgtemp.Options{BinDir: d.options.PGBin}); err != nil {
		return err
	}
	if err := d.cluster.CreateDatabase(begin, database); err != nil {
		return err
	}
	if err := d.startShop(ctx); err != nil {
		return err
	}
	return d.startRelay(ctx)
}

func (d *demo) startShop(ctx context.Context) (err error) {
	d.screen.say("starting the shop…")
	// The shop's own secret, which walrelay is given too.
	if err := os.WriteFile(d.secretFile(), []byte(rand.Text()+"\n"), 0o600); err != nil {
		return fmt.Errorf("demo: write the shop's secret: %w", err)
	}
	d.shop, err = d.run("the shop", "demo-app", "--database-url", d.cluster.URL(database), "--listen", d.address.shop, "--secret-file", d.secretFile())
	if err != nil {
		return err
	}
	return d.shop.waitFor(ctx, "http://"+d.address.shop+"/api/check")
}

func (d *demo) startRelay(ctx context.Context) (err error) {
	d.screen.say("starting walrelay…")
	if err := writeConfig(d.configFile(), d.cluster.URL(database), filepath.Join(d.dir, "log"), d.secretFile(), d.address); err != nil {
		return err
	}
	if d.relay, err = d.serve(); err != nil {
		return err
	}
	return d.relay.waitFor(ctx, "http://"+d.address.admin+"/readyz")
}

func (d *demo) configFile() string { return filepath.Join(d.dir, "walrelay.yaml") }

func (d *demo) secretFile() string { return filepath.Join(d.dir, "session-secret") }

func (d *demo) serve() (*child, error) { return d.run("walrelay", "serve", "-c", d.configFile()) }

func (d *demo) run(name string, args ...string) (*child, error) {
	return startChild(d.guard, name, d.options.Binary, args...)
}

// watch shows the changes and obeys keys until the demo ends, then checks what was
// shown.
func (d *demo) watch(ctx context.Context) error {
	t := newTail(d.address, d.screen)
	// Not ended by Ctrl-C: the subscriber goes on for the moment of the check.
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	followed := make(chan struct{})
	var failed error // of the subscriber, once followed is closed
	go func() { failed = t.follow(following); close(followed) }()
	err := d.obey(ctx, followed)
	if err == nil {
		err = d.check(following, t)
	}
	stop()
	<-followed
	return errors.Join(err, failed)
}

// obey waits for the end and does what keys say meanwhile.
func (d *demo) obey(ctx context.Context, followed <-chan struct{}) error {
	keys := readKeys(d.options.In)
	var over <-chan time.Time
	if d.options.For > 0 {
		timer := time.NewTimer(d.options.For)
		defer timer.Stop()
		over = timer.C
	}
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-over:
			return nil
		case <-followed: // its error says why
			return errors.New("demo: the terminal's subscriber has given up")
		case <-d.shop.exited:
			return d.shop.failure()
		case <-d.relay.exited:
			return d.relay.failure()
		case key := <-keys:
			switch key {
			case "q":
				return nil
			case "r":
				err = d.restart(ctx)
			}
		}
		if err != nil {
			return err
		}
	}
}

// restart kills walrelay and starts it again, at once when the demo is to end: the
// check needs it.
func (d *demo) restart(ctx context.Context) error {
	d.screen.note(warn, "kill -9 %d (walrelay); it starts again in %s", d.relay.cmd.Process.Pid, downTime)
	d.relay.kill()
	d.restarts++
	select {
	case <-ctx.Done():
	case <-time.After(downTime):
	}
	relay, err := d.serve()
	if err == nil {
		d.relay = relay
	}
	return err
}

// check compares what was shown with the database, which stands still for it.
func (d *demo) check(ctx context.Context, t *tail) error {
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	d.screen.say("")
	if err := pauseShop(ctx, d.address.shop); err != nil {
		return err
	}
	equal := t.inStep(ctx)
	shown, wrong := t.account()
	if wrong != nil {
		return wrong
	}
	over := ""
	if d.restarts > 0 {
		over = ", over " + plural(d.restarts, "restart") + " of walrelay"
	}
	d.screen.note(good, "%s shown, each once and in commit order%s", plural(shown, "row change"), over)
	if equal == nil {
		return errors.New("demo: the rows made from the events are not those of the database")
	}
	d.screen.note(good, "in step with the database: %s, compared row by row", equal)
	return nil
}

// close stops everything in the order in which rows travel, and removes it.
func (d *demo) close() error {
	var errs []error
	for _, c := range []*child{d.shop, d.relay} {
		if c != nil {
			c.stop()
		}
	}
	if d.cluster != nil {
		errs = append(errs, d.cluster.Close())
	}
	if d.dir != "" {
		errs = append(errs, os.RemoveAll(d.dir))
	}
	if d.guard != nil {
		errs = append(errs, d.guard.Close())
	}
	if d.cluster != nil {
		d.screen.say("everything is stopped and removed")
	}
	return errors.Join(errs...)
}
