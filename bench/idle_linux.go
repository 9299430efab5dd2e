package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// idleOptions are the flags of idle.
type idleOptions struct {
	connections int
	kinds       string
}

// idling are those of the command line.
var idling idleOptions

func (o *idleOptions) flags(f *flag.FlagSet) {
	f.IntVar(&o.connections, "idle", 10_000, "connections that are idle")
	f.StringVar(&o.kinds, "idle-kinds", "public,response,h2c,sessions", "which connections those are, one kind after the other")
}

func (o *idleOptions) check() error {
	if o.connections < 100 {
		return errors.New("-idle must be at least 100")
	}
	for kind := range strings.SplitSeq(o.kinds, ",") {
		if !slices.ContainsFunc(idleKinds, func(k idleKind) bool { return k.name == kind }) {
			return fmt.Errorf("-idle-kinds: %q is none of public, response, h2c and sessions", kind)
		}
	}
	return nil
}

const (
	// idleFor is how long connections are looked at.
	idleFor      = 3 * idleBeat
	idlePatience = 2 * time.Minute
	// idleFirst connections come and go before memory is read for the first time, so that what
	// walrelay allocates once is there.
	idleFirst = 50
	// idleOpening is how many clients wait for their answer at a time. Go keeps the memory of many
	// requests at once for a while, which is no property of idle connections.
	idleOpening = 256
)

// idleKind is a kind of connection.
type idleKind struct {
	name, says string
	// most is the limit, bytes of PSS a connection; 0: there is none.
	most  float64
	start func(*idle, context.Context) error
}

var idleKinds = []idleKind{
	{"public", "a public channel, writer shards", 4 << 10, (*idle).startPublic},
	{"response", "a public channel, ResponseWriter sink over HTTP/1, hub and HTTP server without replication", 20 << 10, (*idle).startResponse},
	{"h2c", "a public channel, ResponseWriter sink over HTTP/2, up to 250 streams on a connection", 20 << 10, (*idle).startH2},
	{"sessions", "a session, a cookie and an audience each: row.user_id == user.id, writer shards", 0, (*idle).startSessions},
}

// idle is one kind of connection with a walrelay of its own.
type idle struct {
	*lab
	kind  idleKind
	n     int
	relay *relay
	// connect opens n connections, which live until gone is called.
	connect func(ctx context.Context, n int) (gone func() error, err error)
	// client is the i-th.
	client func(i int) *client
}

// run measures the kinds, one after the other.
func (o *idleOptions) run(l *lab, ctx context.Context) error {
	if err := l.enoughFiles(o.connections); err != nil {
		return err
	}
	var over []error
	for _, k := range idleKinds {
		if !slices.Contains(strings.Split(o.kinds, ","), k.name) {
			continue
		}
		each, err := (&idle{lab: l, kind: k, n: o.connections}).measure(ctx)
		if err != nil {
			return fmt.Errorf("idle %s: %w", k.name, err)
		}
		if k.most > 0 && each > k.most {
			over = append(over, fmt.Errorf("idle %s: %.1f KB of PSS a connection, at most %.0f KB are wanted", k.name, each/1024, k.most/1024))
		}
	}
	return errors.Join(over...)
}

// measure gives the bytes of PSS a connection.
func (x *idle) measure(ctx context.Context) (each float64, err error) {
	defer func() { err = firstOf(err, x.dropSlot(context.WithoutCancel(ctx), "idle_"+x.kind.name)) }()
	if err := x.kind.start(x, ctx); err != nil {
		return 0, err
	}
	defer func() { err = x.relay.end(err) }()
	if err := x.warm(ctx); err != nil {
		return 0, err
	}
	before, err := x.settled(ctx)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	gone, err := x.connect(ctx, x.n)
	if err != nil {
		return 0, err
	}
	defer func() { err = firstOf(err, gone()) }()
	took := time.Since(began)
	if err := x.rest(ctx); err != nil {
		return 0, err
	}
	after, err := x.read(ctx)
	if err != nil {
		return 0, err
	}
	each = (after.pss - before.pss) / float64(x.n)
	clean, err := x.settled(ctx)
	if err != nil {
		return 0, err
	}
	x.report(took, before, after, clean)
	return each, x.profile(ctx)
}

// warm lets a few connections come and go.
func (x *idle) warm(ctx context.Context) error {
	gone, err := x.connect(ctx, idleFirst)
	if err != nil {
		return err
	}
	if err := gone(); err != nil {
		return err
	}
	for deadline := time.Now().Add(idlePatience); ; {
		r, err := x.relay.read(ctx)
		if err != nil || r.streams == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d streams are open %v after all clients have gone", r.streams, idlePatience)
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// rest waits until everybody has had two heartbeats, as the server counts them.
func (x *idle) rest(ctx context.Context) error {
	before, err := x.read(ctx)
	if err != nil {
		return err
	}
	if err := pause(ctx, idleFor); err != nil {
		return err
	}
	for deadline := time.Now().Add(idlePatience); ; {
		now, err := x.read(ctx)
		if err != nil {
			return err
		}
		if now.beats-before.beats >= float64(2*x.n) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%.0f heartbeats for %d connections in %v", now.beats-before.beats, x.n, idlePatience)
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
}

// held is where the memory of the server is, in bytes.
type held struct {
	pss, anon, heap, stacks, idle, other float64
	beats                                float64
	goroutines                           int
}

func (x *idle) read(ctx context.Context) (h held, err error) {
	m, err := x.relay.metrics(ctx)
	if err != nil {
		return h, err
	}
	mem, err := memoryOf(x.relay.cmd.Process.Pid)
	if err != nil {
		return h, err
	}
	h = held{pss: float64(mem.pss), anon: float64(mem.anon), heap: m["go_memstats_heap_inuse_bytes"], stacks: m["go_memstats_stack_inuse_bytes"],
		idle: m["go_memstats_heap_idle_bytes"] - m["go_memstats_heap_released_bytes"], goroutines: int(m["go_goroutines"])}
	for _, name := range []string{"mspan_inuse", "mcache_inuse", "gc_sys", "other_sys", "buck_hash_sys"} {
		h.other += m["go_memstats_"+name+"_bytes"]
	}
	for name, v := range m {
		if strings.HasPrefix(name, "walrelay_heartbeats_total{") {
			h.beats += v
		}
	}
	return h, nil
}

// settled reads after a collection.
func (x *idle) settled(ctx context.Context) (held, error) {
	if _, err := x.relay.get(ctx, "/debug/pprof/heap?gc=1"); err != nil {
		return held{}, err
	}
	return x.read(ctx)
}

// report prints what a connection takes: as it is after heartbeats, and after a collection.
func (x *idle) report(took time.Duration, before, after, clean held) {
	kb := func(now, was float64) float64 { return (now - was) / float64(x.n) / 1024 }
	limit := ""
	if x.kind.most > 0 {
		limit = fmt.Sprintf(" (at most %.0f)", x.kind.most/1024)
	}
	fmt.Printf("idle   %s: %s\n", x.kind.name, x.kind.says)
	fmt.Printf("idle     %d connections in %.1f s: %.2f KB of PSS each%s; after a collection heap %.2f KB, stacks %.2f KB, the runtime's own %.2f KB, PSS %.2f KB; %d goroutines more\n",
		x.n, took.Seconds(), kb(after.pss, before.pss), limit, kb(clean.heap, before.heap), kb(clean.stacks, before.stacks), kb(clean.other, before.other), kb(clean.pss, before.pss), clean.goroutines-before.goroutines)
	fmt.Printf("idle     before: PSS %.1f MB, of no file %.1f MB, free pages that Go has not given back %.1f MB; with them %.1f, %.1f and %.1f MB\n",
		before.pss/1e6, before.anon/1e6, before.idle/1e6, after.pss/1e6, after.anon/1e6, after.idle/1e6)
}

// profileLines are those of the heap's profile that are printed.
const profileLines = 14

// profile prints where the bytes of the heap are. With -profiles the profile is kept.
func (x *idle) profile(ctx context.Context) error {
	body, err := x.relay.get(ctx, "/debug/pprof/heap?gc=1")
	if err != nil {
		return err
	}
	dir := x.profiles
	if dir == "" {
		dir = x.dir
	}
	file := filepath.Join(dir, "idle-"+x.kind.name+".pprof")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-sample_index=inuse_space", fmt.Sprintf("-nodecount=%d", profileLines), file).Output()
	if err != nil {
		return fmt.Errorf("go tool pprof: %w", err)
	}
	_, table, _ := strings.Cut(string(out), "flat%")
	for line := range strings.Lines(table) {
		if f := strings.Fields(line); len(f) >= 6 {
			fmt.Printf("idle     %10s %6s  %s\n", f[0], f[1], strings.Join(f[5:], " "))
		}
	}
	return nil
}
