package main

import (
	"fmt"
	"slices"
	"strings"
)

// peerStormRate is the messages a second that flow all the time.
const peerStormRate = 10

// peerStormFigure is what a storm took.
type peerStormFigure struct {
	server string
	round  int
	// half and all are the milliseconds until so many clients had everything.
	half, all float64
	// peerClocks are those of the time from the first reconnect until all had.
	peerClocks
}

type peerStorms []peerStormFigure

func (fs peerStorms) of(server string) peerStorms {
	return slices.DeleteFunc(slices.Clone(fs), func(f peerStormFigure) bool { return f.server != server })
}

// againstNchan divides a server's figures by nchan's of the same round.
func (fs peerStorms) againstNchan(server string, get func(peerStormFigure) float64) (out []pair) {
	for _, f := range fs.of(server) {
		for _, b := range fs.of("nchan") {
			if server != "nchan" && b.round == f.round && get(b) > 0 {
				out = append(out, pair{get(f) / get(b), max(f.foreign(), b.foreign())})
			}
		}
	}
	return out
}

func (fs peerStorms) median(get func(peerStormFigure) float64) float64 {
	var v []float64
	for _, f := range fs {
		v = append(v, get(f))
	}
	return median(v)
}

// table has a row for each server, in Markdown.
func (fs peerStorms) table(n int, servers []string, foreign float64) string {
	all := func(f peerStormFigure) float64 { return f.all }
	half := func(f peerStormFigure) float64 { return f.half }
	cpu := func(f peerStormFigure) float64 { return f.peerClocks.server }
	var b strings.Builder
	fmt.Fprintf(&b, "\npeerstorm: %d clients come back at once, %d messages/s flow; 0 gaps, 0 duplicates\n\n", n, peerStormRate)
	b.WriteString("| server | all caught up, of nchan's time | half of them | server CPU, of nchan's | all caught up after | half of them | server CPU | CPUs of others |\n|---|---|---|---|---|---|---|---|\n")
	for _, server := range servers {
		these := fs.of(server)
		if len(these) == 0 {
			continue
		}
		cells := []string{server}
		for _, get := range []func(peerStormFigure) float64{all, half, cpu} {
			cells = append(cells, ratio(fs.againstNchan(server, get), foreign))
		}
		cells = append(cells, fmt.Sprintf("%.0f ms", these.median(all)), fmt.Sprintf("%.0f ms", these.median(half)), fmt.Sprintf("%.2f s", these.median(cpu)),
			fmt.Sprintf("%.2f", these.median(func(f peerStormFigure) float64 { return f.foreign() })))
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	return b.String() + "\n"
}
