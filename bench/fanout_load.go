package main

import "time"

// load is how messages are published.
type load struct {
	name string
	// rate is messages a second, in groups of burst: rows of one transaction for walrelay. Rate 0
	// publishes as fast as messages are delivered.
	rate, burst int
}

// loads are those of the measurement, by their names in -loads.
var loads = []load{{"single", 50, 1}, {"burst", 60, 10}, {"saturated", 0, 0}}

// mostFixed is the largest number of events a second at which loads of a fixed rate say
// something: above it the floor, which takes 4 to 6 us for one, has no CPU time left.
const mostFixed = 120_000

// fits reports whether a load measures something with n clients.
func (l load) fits(n int) bool { return l.rate*n <= mostFixed }

// due is when a group of a fixed rate is published, after the beginning.
func (l load) due(group int) time.Duration {
	return time.Duration(group) * time.Second * time.Duration(l.burst) / time.Duration(l.rate)
}

// room is how many messages may be published now, where window of them may be on their way to any of
// n clients, which have got delivered of the published messages' copies.
func room(window, n, published, delivered int64) int64 {
	return (window*n - (published*n - delivered)) / n
}
