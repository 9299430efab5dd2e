package eventlog_test

import (
	"os"
	"testing"

	"github.com/walrelay/walrelay/change"
	"github.com/walrelay/walrelay/eventlog"
	"github.com/walrelay/walrelay/eventlog/enginetest"
)

// TestSince: where a table's changes begin outlives a restart and a promotion, and a new
// generation when that begins before it; with the generation goes the timeline that the generation was born on.
func TestSince(t *testing.T) {
	dir := t.TempDir()
	open := func() *eventlog.Log {
		l, err := eventlog.Open(eventlog.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	l := open()
	must(l.Begin(ctx, lineage, genesis, ""))
	must(l.SetMembers(ctx, map[string]string{"public.orders": "7"}))
	must(l.SetSince(ctx, "public.orders", genesis+8))
	must(l.SetSince(ctx, "public.later", genesis+65))
	must(l.SetTimeline(ctx, 2))
	must(l.Close())
	l = open()
	if got := l.Since("public.orders"); got != genesis+8 {
		t.Errorf("after a restart: %s", got)
	}
	if got := l.Members()["public.orders"]; got != "7" {
		t.Errorf("members after a restart: %q", got)
	}
	if got := l.Since("public.other"); got != 0 {
		t.Errorf("another table: %s", got)
	}
	if lin := l.Bounds().Lineage; lin.Timeline != 2 || lin.Born != 1 || lin.Generation != 1 {
		t.Errorf("%+v", lin)
	}
	next := lineage
	next.Timeline = 3
	must(l.Begin(ctx, next, genesis+64, "gap"))
	if got := l.Since("public.orders"); got != 0 || l.Members() != nil {
		t.Errorf("in a new generation: %s %v", got, l.Members())
	}
	if got := l.Since("public.later"); got != genesis+65 {
		t.Errorf("beyond the beginning of a new generation: %s", got)
	}
	if lin := l.Bounds().Lineage; lin.Born != 3 || lin.Generation != 2 {
		t.Errorf("%+v", lin)
	}
	must(l.Close())
	l = open()
	defer func() { must(l.Close()) }()
	if got, lin := l.Since("public.orders"), l.Bounds().Lineage; got != 0 || lin.Born != 3 {
		t.Errorf("after another restart: %s %+v", got, lin)
	}
}

// TestNonce: no two generations have the same name, also not of logs that count alike: one
// that was made anew, or an older copy that goes on. A generation keeps its name over
// restarts and promotions, and one that was begun without has none.
func TestNonce(t *testing.T) {
	nonces := map[string]bool{}
	count := func(lin eventlog.Lineage) {
		t.Helper()
		if lin.Nonce == "" || nonces[lin.Nonce] {
			t.Errorf("%+v has none, or another's", lin)
		}
		nonces[lin.Nonce] = true
	}
	for range 2 {
		o := eventlog.Options{Dir: t.TempDir()}
		l, err := eventlog.Open(o)
		must(t, err)
		must(t, l.Begin(ctx, lineage, genesis, ""))
		first := l.Bounds().Lineage
		count(first)
		must(t, l.SetTimeline(ctx, 2))
		must(t, l.Close())
		older := eventlog.Options{Dir: t.TempDir()}
		must(t, os.CopyFS(older.Dir, os.DirFS(o.Dir)))
		for _, o := range []eventlog.Options{o, older} {
			l := open(t, o)
			if got := l.Bounds().Lineage.Nonce; got != first.Nonce {
				t.Errorf("%q after a restart, %q before", got, first.Nonce)
			}
			must(t, l.Begin(ctx, lineage, genesis, "gap"))
			count(l.Bounds().Lineage)
			if got := l.History()[0].Lineage.Nonce; got != first.Nonce {
				t.Errorf("the ended generation is %q, was %q", got, first.Nonce)
			}
		}
	}

	e := new(enginetest.Memory).Open()
	must(t, e.Begin(ctx, sealed(`{"format":1,"lineage":{"system_id":"7","timeline":1,"born":1,"generation":1}}`), change.Before(genesis), genesis))
	l := open(t, eventlog.Options{Engine: e})
	must(t, l.SetTimeline(ctx, 2))
	if got := l.Bounds().Lineage; got != (eventlog.Lineage{SystemID: "7", Timeline: 2, Born: 1, Generation: 1}) {
		t.Errorf("of an older version: %+v", got)
	}
}
