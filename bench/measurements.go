package main

import (
	"context"
	"flag"
	"slices"
	"strings"
)

// measurement is what -only names.
type measurement struct {
	name string
	// usual: it runs where -only is not given.
	usual bool
	// options are flags of its own; nil where those in settings do.
	options options
	run     func(*lab, context.Context) error
}

// options are the flags of one measurement.
type options interface {
	flags(*flag.FlagSet)
	// check finds values that would measure nothing, or something else. It is called for
	// measurements that run.
	check() error
}

// measurements in the order in which they run.
var measurements = slices.Concat([]measurement{
	{"bulk", true, nil, (*lab).bulk},
	{"small", true, nil, (*lab).small},
	{"latency", true, nil, (*lab).latencies},
	{"users", true, nil, (*lab).manyUsers},
	{"revoke", true, nil, (*lab).revoke},
}, onLinux, peersOnLinux)

// names are those of measurements, as -only takes them.
func names(which func(measurement) bool) string {
	var out []string
	for _, m := range measurements {
		if which(m) {
			out = append(out, m.name)
		}
	}
	return strings.Join(out, ",")
}
