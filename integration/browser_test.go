package integration

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/jackc/pgx/v5"
)

// browserPage keeps the rows of the channels that its query names, as an
// application's page would, and what happened on the way.
const browserPage = `<!doctype html><title>rows</title><script>
const state = {rows: {}, seen: {}, readies: [], resets: [], ends: [], errors: 0, closed: false};
const source = new EventSource(new URLSearchParams(location.search).get("stream"), {withCredentials: true});
const on = (name, f) => source.addEventListener(name, e => f(JSON.parse(e.data), e));
const rows = channel => state.rows[channel] ??= {};
for (const op of ["insert", "update", "delete"]) on(op, (d, e) => {
	const what = [d.channel, op, d.tx.xid, JSON.stringify(d.key)].join(" ");
	state.seen[what] = (state.seen[what] ?? 0) + 1;
	state.last = e.lastEventId;
	if (op === "delete") delete rows(d.channel)[d.key.id];
	else rows(d.channel)[d.key.id] = d.row.name;
});
on("ready", (d, e) => state.readies.push({resumed: d.resumed, position: d.position, id: e.lastEventId, channels: d.channels}));
on("reset", d => { state.resets.push(d); state.rows[d.channel] = {}; });
on("end", d => state.ends.push(d.reason));
source.onerror = () => { state.errors++; state.closed = source.readyState === EventSource.CLOSED; };
</script>`

// newPageServer serves browserPage as an application of its own origin.
func newPageServer(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, browserPage)
	}))
	t.Cleanup(server.Close)
	return server
}

// newTab is another tab of the same browser.
func newTab(t *testing.T, tab context.Context) context.Context {
	t.Helper()
	other, closeTab := chromedp.NewContext(tab)
	t.Cleanup(closeTab)
	if err := chromedp.Do(other); err != nil {
		t.Fatal(err)
	}
	return other
}

// openPage shows the page of an application with a stream.
func openPage(t *testing.T, tab context.Context, app, stream string) {
	t.Helper()
	browse(t, tab, chromedp.Navigate(app+"/page?stream="+url.QueryEscape(stream)))
}

// A page with a native EventSource, as an application would write it.
func TestBrowser(t *testing.T) {
	t.Parallel()
	app, friend, stranger := newPageServer(t), newPageServer(t), newPageServer(t)
	db := newDatabase(t, itemsTable, "create table other (id bigint primary key)")
	r := startRelay(t, db, settings{
		http:     fmt.Sprintf("upstream: %q, allowed_origins: [%q], heartbeat: 200ms, retry: 200ms", app.URL, friend.URL),
		channels: itemsChannels + "  other: {table: public.other, allow: public}\n"}.yaml())
	tab := openBrowser(t)
	restart := func() { r.start(t) } // not of a subtest, with which it would end

	t.Run("rows arrive", func(t *testing.T) {
		openPage(t, tab, r.url, "/events/items")
		waitJS(t, tab, "state.readies.length === 1")
		db.exec(t, insertItem(1), insertItem(2), "update items set name = 'Größe' where id = 1", "delete from items where id = 2")
		waitJS(t, tab, `JSON.stringify(state.rows) === '{"items":{"1":"Größe"}}'`)
		if got := evalJS[int](t, tab, "Object.keys(state.seen).length"); got != 4 {
			t.Errorf("the page saw %d events, want 4", got)
		}
	})

	// What the page has seen last is a row; what it comes back with is the place that
	// heartbeats have told since.
	t.Run("heartbeats move the last event id", func(t *testing.T) {
		last := positionOf(t, evalJS[string](t, tab, "state.last"))
		db.exec(t, "insert into other values (1)")
		target := db.mark(t)
		beats := r.metric(t, "walrelay_heartbeats_total")
		r.waitMetric(t, "walrelay_heartbeats_total", func(v float64) bool { return v >= beats+3 })
		r.kill9(t)
		restart()
		waitJS(t, tab, "state.readies.length === 2")
		ready := evalJS[struct {
			Resumed bool   `json:"resumed"`
			ID      string `json:"id"`
		}](t, tab, "state.readies[1]")
		if at := positionOf(t, ready.ID); !ready.Resumed || !last.Less(at) || at.Commit < target {
			t.Errorf("the page came back with %s (resumed %v); its last row was at %v, the mark at %v", ready.ID, ready.Resumed, last, target)
		}
		r.waitReady(t)
	})

	t.Run("nothing is lost or repeated over kills", func(t *testing.T) { browserKills(t, db, r, restart, tab) })

	t.Run("404 closes the stream for good", func(t *testing.T) {
		openPage(t, tab, r.url, "/events/nope")
		waitJS(t, tab, "state.closed")
		if got := evalJS[int](t, tab, "state.readies.length"); got != 0 {
			t.Errorf("%d ready events", got)
		}
	})

	t.Run("pages of other origins", func(t *testing.T) {
		openPage(t, tab, friend.URL, r.streamURL("items"))
		waitJS(t, tab, "state.readies.length === 1")
		db.exec(t, insertItem(1000))
		waitJS(t, tab, `state.rows.items?.["1000"] === "item 1000"`)
		openPage(t, tab, stranger.URL, r.streamURL("items"))
		waitJS(t, tab, "state.closed")
		db.exec(t, insertItem(1001))
		if got := evalJS[int](t, tab, "state.readies.length + Object.keys(state.rows).length"); got != 0 {
			t.Error("a page of an origin that is not listed got events")
		}
	})
}

// browserKills has two tabs follow a table while walrelay ends and comes back.
func browserKills(t *testing.T, db *database, r *relay, restart func(), tab context.Context) {
	const keys = 30
	db.exec(t, "delete from items")
	second := newTab(t, tab)
	many := "/events?channel=items&channel=other"
	for id := range keys {
		many += fmt.Sprintf("&channel=item/%d", id)
	}
	openPage(t, tab, r.url, "/events/items")
	openPage(t, second, r.url, many)
	for _, tab := range []context.Context{tab, second} {
		waitJS(t, tab, "state.readies.length === 1")
	}
	if got := evalJS[int](t, second, "state.readies[0].channels.length"); got != keys+2 {
		t.Errorf("the second tab's stream has %d channels, want %d", got, keys+2)
	}

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	conn := db.conn(t)
	random := rand.New(rand.NewPCG(testSeed(t), 0))
	wrote := make(chan error, 1)
	go func() { wrote <- writeItems(ctx, t.Context(), conn, random, keys) }()
	for n := range 4 {
		readies := evalJS[int](t, tab, "state.readies.length")
		if n == 2 {
			r.terminate(t)
		} else {
			r.kill9(t)
		}
		restart()
		for _, tab := range []context.Context{tab, second} {
			waitJS(t, tab, fmt.Sprintf("state.readies.length > %d", readies))
		}
	}
	stop()
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
	db.exec(t, insertItem(keys)) // the last row; the second tab has it in one channel only
	want := db.value(t, "select json_object_agg(id, name order by id)::text from items")
	for name, tab := range map[string]context.Context{"first": tab, "second": second} {
		waitJS(t, tab, fmt.Sprintf("state.rows.items?.[%d] !== undefined", keys))
		same := fmt.Sprintf("JSON.stringify(state.rows.items) === JSON.stringify(%s)", want)
		if !evalJS[bool](t, tab, same) {
			t.Errorf("%s tab: it has %s, the table %s", name, evalJS[string](t, tab, "JSON.stringify(state.rows.items)"), want)
		}
		if repeated := evalJS[[]string](t, tab, "Object.keys(state.seen).filter(what => state.seen[what] !== 1)"); len(repeated) != 0 {
			t.Errorf("%s tab: seen more than once: %v", name, repeated)
		}
		if evalJS[bool](t, tab, "state.resets.length > 0 || state.readies.slice(1).some(r => !r.resumed)") {
			t.Errorf("%s tab: not resumed: %s", name, evalJS[string](t, tab, "JSON.stringify([state.resets, state.readies])"))
		}
		t.Logf("%s tab: %d events, %d streams, ended %v", name, evalJS[int](t, tab, "Object.keys(state.seen).length"),
			evalJS[int](t, tab, "state.readies.length"), evalJS[[]string](t, tab, "state.ends"))
	}
	// Row by row the many channels have the same.
	if diff := evalJS[[]string](t, second, fmt.Sprintf(`Array.from({length: %d}, (_, id) => "" + id)
		.filter(id => state.rows.items[id] !== state.rows["item/" + id]?.[id])`, keys)); len(diff) != 0 {
		t.Errorf("second tab: channels of single rows differ: %v", diff)
	}
}

// writeItems commits random changes of the table items, one a transaction, until ctx
// ends.
func writeItems(ctx, commands context.Context, conn *pgx.Conn, random *rand.Rand, keys int) error {
	for n := 0; ctx.Err() == nil; n++ {
		id := random.IntN(keys)
		sql := fmt.Sprintf("insert into items values (%d, 'v%d') on conflict (id) do update set name = excluded.name", id, n)
		if random.IntN(4) == 0 {
			sql = fmt.Sprintf("delete from items where id = %d", id)
		}
		if _, err := conn.Exec(commands, sql); err != nil {
			return err
		}
		time.Sleep(time.Duration(random.IntN(4)) * time.Millisecond) // a rate that a busy machine can follow
	}
	return nil
}
