package eventlog_test

import (
	"testing"

	"github.com/walrelay/walrelay/eventlog"
)

// TestSince: where a table's changes begin outlives a restart and a promotion, and
// goes with the generation; so does the timeline that the generation was born on.
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
