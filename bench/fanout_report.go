package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// peerClocks are counters at a moment, or what they rose by in a time: CPU seconds of the server,
// of this process (clients and publisher), of Postgres and of the whole machine.
type peerClocks struct {
	at                               time.Time
	seconds                          float64 // that it took
	events, bytes                    float64 // that the clients got
	server, clients, source, machine float64
}

func (c peerClocks) since(was peerClocks) peerClocks {
	return peerClocks{c.at, c.at.Sub(was.at).Seconds(), c.events - was.events, c.bytes - was.bytes,
		c.server - was.server, c.clients - was.clients, c.source - was.source, c.machine - was.machine}
}

// foreign is the CPUs that others took.
func (c peerClocks) foreign() float64 {
	return max(0, c.machine-c.server-c.clients-c.source) / c.seconds
}

func (c peerClocks) perSecond() float64 { return c.events / c.seconds }

// perCPU is events per CPU second of the server.
func (c peerClocks) perCPU() float64 {
	if c.server == 0 {
		return 0
	}
	return c.events / c.server
}

// fanoutFigure is what a server did in a round under a load.
type fanoutFigure struct {
	round        int
	load, server string
	peerClocks
}

type fanoutFigures []fanoutFigure

// of are those of a server under a load, by round.
func (fs fanoutFigures) of(load, server string) fanoutFigures {
	return slices.DeleteFunc(slices.Clone(fs), func(f fanoutFigure) bool { return f.load != load || f.server != server })
}

// pair is a figure of a server and of another one in the same round.
type pair struct{ ratio, foreign float64 }

// pairs divides a server's figures by another's of the same round.
func (fs fanoutFigures) pairs(load, server, base string, get func(peerClocks) float64) (out []pair) {
	for _, f := range fs.of(load, server) {
		for _, b := range fs.of(load, base) {
			if b.round == f.round && get(b.peerClocks) > 0 {
				out = append(out, pair{get(f.peerClocks) / get(b.peerClocks), max(f.foreign(), b.foreign())})
			}
		}
	}
	return out
}

// ratio is the median of pairs with its extremes, of those without much foreign work if there are
// any. A star marks that there are none.
func ratio(pairs []pair, foreign float64) string {
	quiet := slices.DeleteFunc(slices.Clone(pairs), func(p pair) bool { return p.foreign > foreign })
	mark := ""
	if len(quiet) == 0 {
		quiet, mark = pairs, "*"
	}
	if len(quiet) == 0 {
		return ""
	}
	var v []float64
	for _, p := range quiet {
		v = append(v, p.ratio)
	}
	return fmt.Sprintf("%.2f%s (%.2f to %.2f)", median(v), mark, slices.Min(v), slices.Max(v))
}

// median1 is the median of what get gives.
func (fs fanoutFigures) median(get func(peerClocks) float64) float64 {
	var v []float64
	for _, f := range fs {
		v = append(v, get(f.peerClocks))
	}
	return median(v)
}

// table has a row for each load and server, in Markdown.
func (fs fanoutFigures) table(n int, servers []string, foreign float64) string {
	var b strings.Builder
	b.WriteString("\n| load | server | events per server-CPU-second, of the floor's | of nchan's | events/s, of the floor's | of nchan's | events per server-CPU-second | events/s | bytes an event | CPUs: server | clients, publisher, Postgres | others |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, l := range loads {
		for _, server := range servers {
			if these := fs.of(l.name, server); len(these) > 0 {
				b.WriteString(fs.row(l.name, server, these, foreign))
			}
		}
	}
	return b.String() + fs.marks(n, foreign) + "\n"
}

func (fs fanoutFigures) row(load, server string, these fanoutFigures, foreign float64) string {
	cells := []string{load, server}
	for _, get := range []func(peerClocks) float64{peerClocks.perCPU, peerClocks.perSecond} {
		for _, base := range []string{"floor", "nchan"} {
			cell := ""
			if base != server {
				cell = ratio(fs.pairs(load, server, base, get), foreign)
			}
			cells = append(cells, cell)
		}
	}
	share := func(get func(peerClocks) float64) func(peerClocks) float64 {
		return func(c peerClocks) float64 { return get(c) / c.seconds }
	}
	cells = append(cells, fmt.Sprintf("%.0f", these.median(peerClocks.perCPU)), fmt.Sprintf("%.0f", these.median(peerClocks.perSecond)),
		fmt.Sprintf("%.0f", these.median(func(c peerClocks) float64 { return c.bytes / max(c.events, 1) })),
		fmt.Sprintf("%.2f", these.median(share(func(c peerClocks) float64 { return c.server }))),
		fmt.Sprintf("%.2f", these.median(share(func(c peerClocks) float64 { return c.clients + c.source }))),
		fmt.Sprintf("%.2f", these.median(peerClocks.foreign)))
	return "| " + strings.Join(cells, " | ") + " |\n"
}

// marks says how many measurements others disturbed.
func (fs fanoutFigures) marks(n int, foreign float64) string {
	var noisy []string
	for _, f := range fs {
		if f.foreign() > foreign {
			noisy = append(noisy, fmt.Sprintf("%s of %s in round %d (%.2f)", f.load, f.server, f.round+1, f.foreign()))
		}
	}
	out := fmt.Sprintf("\n%d clients. Ratios are of figures of the same round: median (least to most) of the rounds.", n)
	if len(noisy) > 0 {
		out += fmt.Sprintf(" Other work took more than %.2f CPUs in %d of %d measurements; ratios with them are left out, or marked * where there are no others: %s.", foreign, len(noisy), len(fs), strings.Join(noisy, ", "))
	}
	return out + "\n"
}
