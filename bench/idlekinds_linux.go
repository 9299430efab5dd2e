package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// startDaemon starts walrelay with rows of so many users, of whom the first has the public channel
// of everybody.
func (x *idle) startDaemon(ctx context.Context, name string, c relayConfig) error {
	c.slot, c.publication = name, name
	c.http += fmt.Sprintf(", heartbeat: %ds", int(idleBeat.Seconds()))
	var err error
	x.relay, err = x.startRelay(ctx, c)
	return err
}

// publish makes the table and what belongs to it. The connection is closed with the measurement.
func (x *idle) publish(ctx context.Context, name string, more ...string) error {
	conn, err := x.cluster.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = x.publishFeed(ctx, conn, name, 1, func(int) int { return 0 }, more...)
	return err
}

func (x *idle) startPublic(ctx context.Context) error {
	x.connect, x.client = x.byFleet, func(int) *client { return userClient(0) }
	if err := x.publish(ctx, "idle_public"); err != nil {
		return err
	}
	return x.startDaemon(ctx, "idle_public", relayConfig{channels: feedChannels})
}

func (x *idle) startSessions(ctx context.Context) error {
	x.connect, x.client = x.byFleet, func(i int) *client { return ownClient(i+1, sessionCookie(i+1)) }
	auth, err := x.makeSessions(ctx, x.n)
	if err != nil {
		return err
	}
	if err := x.publish(ctx, "idle_sessions", "session", "app_users"); err != nil {
		return err
	}
	return x.startDaemon(ctx, "idle_sessions", relayConfig{channels: mineChannel, more: auth})
}

func (x *idle) startH2(ctx context.Context) error {
	x.connect = x.byHTTP2
	if err := x.publish(ctx, "idle_h2c"); err != nil {
		return err
	}
	return x.startDaemon(ctx, "idle_h2c", relayConfig{channels: feedChannels, http: ", h2c: true"})
}

// startResponse starts this program again, as a server: no configuration makes walrelay carry HTTP/1
// over plain TCP by its ResponseWriter sink on Linux.
func (x *idle) startResponse(ctx context.Context) error {
	x.connect, x.client = x.byFleet, func(int) *client { return userClient(0) }
	self, err := os.Executable()
	if err != nil {
		return err
	}
	public, err := freeAddr()
	if err != nil {
		return err
	}
	admin, err := freeAddr()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(x.dir, "idle")
	if err != nil {
		return err
	}
	p := &relay{base: "http://" + public, admin: "http://" + admin, data: filepath.Join(dir, "log")}
	p.cmd = exec.CommandContext(ctx, self, responseCommand, strings.Join([]string{p.data, public, admin}, ","))
	p.cmd.Stderr = &p.stderr
	x.relay = p
	return p.cmd.Start()
}

// byFleet opens HTTP/1 connections, when the server answers.
func (x *idle) byFleet(ctx context.Context, n int) (gone func() error, err error) {
	if err := x.relay.ready(ctx); err != nil {
		return nil, err
	}
	clients := make([]*client, n)
	for i := range clients {
		clients[i] = x.client(i)
	}
	f, err := newFleet(strings.TrimPrefix(x.relay.base, "http://"), clients)
	if err != nil {
		return nil, err
	}
	f.most = idleOpening
	crowd := &readers{fleet: f}
	if err := crowd.connect(idlePatience); err != nil {
		return nil, firstOf(err, f.close())
	}
	return f.close, nil
}

// byHTTP2 opens streams that share connections.
func (x *idle) byHTTP2(ctx context.Context, n int) (gone func() error, err error) {
	if err := x.relay.ready(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	c := newChurn(x.relay, nil, nil, 0)
	var reading sync.WaitGroup
	g, opening := errgroup.WithContext(ctx)
	g.SetLimit(opensAtOnce)
	for range n {
		g.Go(func() error {
			of := userClient(0)
			s, err := overHTTP2(ctx, c, of, 0)
			for err == nil && !of.live && opening.Err() == nil {
				err = s.next()
			}
			if err != nil {
				return err
			}
			reading.Go(func() {
				defer s.close()
				for s.next() == nil {
				}
			})
			return nil
		})
	}
	gone = func() error {
		cancel()
		reading.Wait()
		c.close()
		return nil
	}
	if err := g.Wait(); err != nil {
		return nil, firstOf(err, gone())
	}
	return gone, nil
}

// ready waits until the server's channels can be read.
func (p *relay) ready(ctx context.Context) error {
	for deadline := time.Now().Add(idlePatience); ; {
		_, err := p.get(ctx, "/readyz")
		if err == nil || time.Now().After(deadline) {
			return err
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}
