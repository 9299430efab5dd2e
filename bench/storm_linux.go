package main

import (
	"context"
	"fmt"
	"syscall"
)

// shape says who listens to what.
type shape struct {
	name, says string
	// channel is the user whose rows client i gets.
	channel func(i int) int
	// pick is the user of the n-th row.
	pick func(n int) int
}

func (s settings) shapes() []shape {
	n, every := s.connections, max(s.missed/max(s.shared, 1), 1)
	return []shape{
		{"own", "each client has a channel of its own", func(i int) int { return i }, func(k int) int { return k % n }},
		{"shared", fmt.Sprintf("all clients have the same channel, with one row in %d", every), func(int) int { return 0 }, func(k int) int {
			if k%every == 0 {
				return 0
			}
			return 1 + k%max(n-1, 1)
		}},
	}
}

// storm lets many clients lose their connections at once, adds rows, lets all come
// back at once while more rows flow, and compares with one client.
func (l *lab) storm(ctx context.Context) error {
	if err := l.enoughFiles(l.connections); err != nil {
		return err
	}
	if err := l.cluster.Exec(ctx, feedTable, `create publication storm for table feed`); err != nil {
		return err
	}
	fmt.Printf("storm  %d clients, %d changes while they are away, %d rows/s all the time\n", l.connections, l.missed, l.rate)
	for _, sh := range l.shapes() {
		var rs rounds
		for i := range l.rounds {
			r := &stormRound{lab: l, shape: sh, number: i}
			if err := r.run(ctx); err != nil {
				return fmt.Errorf("storm %s, round %d: %w", sh.name, i+1, err)
			}
			rs = append(rs, r)
		}
		reportStorm(sh, rs)
	}
	return nil
}

// enoughFiles checks the limit, which walrelay inherits.
func (l *lab) enoughFiles(connections int) error {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return fmt.Errorf("read RLIMIT_NOFILE: %w", err)
	}
	if need := uint64(connections + 200); r.Max < need {
		return fmt.Errorf("%d connections need %d open files, and %d are allowed; raise it (ulimit -Hn) or pass fewer -connections", connections, need, r.Max)
	}
	return nil
}
