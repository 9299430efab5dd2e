package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Of the storm that walrelay and nchan go through: how long messages flow before it, how long the
// clients are away, and the flow.
const (
	peerStormCalm = time.Second
	peerStormAway = 2 * time.Second
	// peerStormOpening bounds the clients that wait for their answer. nchan takes over a minute
	// where 2000 of 5000 do.
	peerStormOpening = 256
)

var peerStormFlow = load{"flow", peerStormRate, 1}

// peerStorm lets all clients of nchan and of walrelay, in turn, lose their connections at once and
// come back with their last ids, while messages flow. Nobody may miss a message or get one twice. The
// floor keeps nothing for them.
func (l *lab) peerStorm(ctx context.Context) error {
	if err := l.enoughFiles(l.connections); err != nil {
		return fmt.Errorf("peerstorm: %w", err)
	}
	resume := slices.DeleteFunc(fanning.serverNames(), func(name string) bool { return name == "floor" })
	servers, err := l.preparePeers(ctx, resume)
	if err != nil {
		return fmt.Errorf("peerstorm: %w", err)
	}
	var storms peerStorms
	for i := range l.rounds {
		for _, server := range servers {
			f, err := l.peerStormRound(ctx, server, i)
			if err != nil {
				err = fmt.Errorf("peerstorm of %s, round %d: %w", server, i+1, err)
			}
			if err != nil && (server == "walrelay" || ctx.Err() != nil) {
				return err
			}
			if err != nil { // what a peer cannot do is a result
				fmt.Println(err)
				continue
			}
			storms = append(storms, f)
		}
	}
	fmt.Print(storms.table(l.connections, servers, fanning.foreign))
	return nil
}

// peerStormRound is one storm on a server of its own.
func (l *lab) peerStormRound(ctx context.Context, server string, round int) (f peerStormFigure, err error) {
	c, err := l.shareCPUs()
	if err != nil {
		return f, err
	}
	defer func() { err = firstOf(err, c.free()) }()
	p, err := l.startPeer(ctx, c, server, l.connections)
	if err != nil {
		return f, err
	}
	defer func() { err = p.close(err) }()
	stop := p.pump(ctx, peerStormFlow, 0)
	defer func() { err = firstOf(err, stop()) }()
	if f, err = p.storm(ctx, c); err != nil {
		return f, err
	}
	if err := pause(ctx, peerStormCalm); err != nil {
		return f, err
	}
	if err := stop(); err != nil {
		return f, err
	}
	f.server, f.round = server, round
	return f, p.complete()
}

// storm drops all clients and lets them come back. It waits until each has what was published when
// they began to.
func (p *peer) storm(ctx context.Context, c *cpus) (f peerStormFigure, err error) {
	if err := pause(ctx, peerStormCalm); err != nil {
		return f, err
	}
	if err := p.fleet.do(func() { p.fleet.most = peerStormOpening; p.fleet.drop() }); err != nil {
		return f, err
	}
	if err := pause(ctx, peerStormAway); err != nil {
		return f, err
	}
	before, err := p.clocks(c.postmaster)
	if err != nil {
		return f, err
	}
	last := p.published.Load()
	if err := p.fleet.do(func() { p.fleet.aim(func(int) int64 { return last }); p.fleet.connect() }); err != nil {
		return f, err
	}
	if err := p.fleet.await(stormPatience); err != nil {
		return f, err
	}
	after, err := p.clocks(c.postmaster)
	if err != nil {
		return f, err
	}
	f.peerClocks = after.since(before)
	return f, p.fleet.do(func() {
		times := slices.Clone(p.fleet.times)
		f.half, f.all = quantile(times, 0.5), quantile(times, 1)
	})
}
