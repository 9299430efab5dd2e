package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// peer is a server that runs, with its publisher and its clients: the floor, nchan or walrelay.
type peer struct {
	name, addr string
	pid        int
	publisher  publisher
	// client makes one that has not connected yet.
	client func() *client
	// end ends the process, with what was made for it, and gives what it has said.
	end func() (said string, err error)

	fleet *fleet
	// published is the number of the last message, also of one that is being published.
	published atomic.Int64
}

// startPeer starts a server on the CPU for servers and connects n clients.
func (l *lab) startPeer(ctx context.Context, c *cpus, name string, n int) (p *peer, err error) {
	starts := map[string]func() (*peer, error){
		"floor":    func() (*peer, error) { return l.startFloor(ctx) },
		"nchan":    func() (*peer, error) { return l.startNchan(ctx, fileLimit()) },
		"walrelay": func() (*peer, error) { return l.startRelayPeer(ctx) },
	}
	start, ok := starts[name]
	if !ok {
		return nil, fmt.Errorf("-servers: %q is none of floor, nchan, walrelay", name)
	}
	if err := c.start(func() (err error) {
		p, err = start()
		return err
	}); err != nil {
		return nil, err
	}
	if err := p.gather(n); err != nil {
		return nil, p.close(fmt.Errorf("connect %d clients: %w", n, err))
	}
	return p, nil
}

// peerSlot is the slot of walrelay beside its peers.
const peerSlot = "peer"

// startRelayPeer starts walrelay with a publisher that inserts rows.
func (l *lab) startRelayPeer(ctx context.Context) (*peer, error) {
	conn, err := l.cluster.Conn(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := newRowPublisher(ctx, conn)
	if err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	if err := l.dropSlot(ctx, peerSlot); err != nil {
		return nil, errors.Join(err, rows.close())
	}
	if err := l.newSlot(ctx, peerSlot); err != nil {
		return nil, errors.Join(err, rows.close())
	}
	r, err := l.startRelay(ctx, relayConfig{slot: peerSlot, publication: "fanout", channels: fanoutChannel})
	if err != nil {
		return nil, errors.Join(err, rows.close())
	}
	p := &peer{name: "walrelay", addr: strings.TrimPrefix(r.base, "http://"), pid: r.cmd.Process.Pid, publisher: rows,
		client: func() *client { return newClient("fanout", fanoutPrefix) },
		end: func() (string, error) {
			r.stop()
			return r.stderr.String(), l.dropSlot(context.WithoutCancel(ctx), peerSlot)
		}}
	if err := r.awaitReady(ctx); err != nil {
		return nil, p.close(fmt.Errorf("start: %w", err))
	}
	return p, nil
}

// awaitReady waits until walrelay says that it is ready.
func (p *relay) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		_, err := p.get(ctx, "/readyz")
		if err == nil {
			return nil
		}
		if pause(ctx, 10*time.Millisecond) != nil {
			return err
		}
	}
}

// gather connects n clients.
func (p *peer) gather(n int) (err error) {
	clients := make([]*client, n)
	for i := range clients {
		clients[i] = p.client()
	}
	if p.fleet, err = newFleet(p.addr, clients); err != nil {
		return err
	}
	if err := p.fleet.do(func() { p.fleet.aim(func(int) int64 { return 0 }); p.fleet.connect() }); err != nil {
		return err
	}
	return p.fleet.await(stormPatience)
}

// complete waits until all clients have all that has been published.
func (p *peer) complete() error { return p.await(p.published.Load(), stormPatience) }

// await waits until all clients have the message with that number.
func (p *peer) await(last int64, timeout time.Duration) error {
	if err := p.fleet.do(func() { p.fleet.aim(func(int) int64 { return last }) }); err != nil {
		return err
	}
	return p.fleet.await(timeout)
}

// close ends the clients, the publisher and the server. err is what went wrong before; the
// result says so with what the server has said.
func (p *peer) close(err error) error {
	if p.fleet != nil {
		err = firstOf(err, p.fleet.close())
	}
	err = firstOf(err, p.publisher.close())
	said, ended := p.end()
	if err = firstOf(err, ended); err != nil {
		return fmt.Errorf("%s: %w\n%s said:\n%s", p.name, err, p.name, said)
	}
	return nil
}

// postmaster is the process of the lab's Postgres that starts the others.
func (l *lab) postmaster() (int, error) {
	b, err := os.ReadFile(l.cluster.DataDir() + "/postmaster.pid")
	if err != nil {
		return 0, fmt.Errorf("find Postgres' process: %w", err)
	}
	first, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		return 0, fmt.Errorf("postmaster.pid: %w", err)
	}
	return pid, nil
}
