package integration

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"syscall"
	"testing"
)

// newAcceptProxy is a proxy before walrelay that says what clients accept.
func newAcceptProxy(t *testing.T, r *relay, accept string) *httptest.Server {
	t.Helper()
	where, err := url.Parse(r.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(where)
		p.Out.Host = p.In.Host
		p.Out.Header.Set("Accept-Encoding", accept)
	}}
	server := httptest.NewServer(proxy)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server
}

// A native EventSource gets compressed events one by one, as they are committed, goes on where it was after
// the end of a stream, and is told of that end: in each coding. Chromium asks for gzip and zstd itself, and gets gzip.
func TestCompressBrowser(t *testing.T) {
	t.Parallel()
	app := newPageServer(t)
	db := newDatabase(t, itemsTable)
	config := settings{http: fmt.Sprintf("upstream: %q, heartbeat: 200ms, retry: 200ms", app.URL),
		channels: "  items: {table: public.items, allow: public, compress: true}\n"}.yaml()
	r := startRelay(t, db, config)
	tab := openBrowser(t)
	restart := func() { r.start(t) } // not of a subtest, with which it would end
	id := 0
	follow := func(t *testing.T, coding, where string) {
		openPage(t, tab, where, "/events/items")
		waitJS(t, tab, "state.readies.length === 1")
		one := func() {
			id++
			db.exec(t, insertItem(id))
			waitJS(t, tab, fmt.Sprintf(`state.rows.items?.[%d] === "item %d"`, id, id))
		}
		before := r.metric(t, fmt.Sprintf("walrelay_compressed_bytes_total{coding=%q}", coding))
		one()
		one()
		beats := r.metric(t, "walrelay_heartbeats_total")
		r.waitMetric(t, "walrelay_heartbeats_total", func(v float64) bool { return v >= beats+2 })
		one()
		db.exec(t, fmt.Sprintf("insert into items select i, repeat('many ', 20) || i from generate_series(%d, %d) i", id+1, id+2000))
		id += 2000
		waitJS(t, tab, fmt.Sprintf("state.rows.items?.[%d] !== undefined && Object.keys(state.rows.items).length === 2003", id)) // no row is lost
		one()
		if after := r.metric(t, fmt.Sprintf("walrelay_compressed_bytes_total{coding=%q}", coding)); after <= before {
			t.Errorf("%v bytes were written with %s, and %v before", after, coding, before)
		}
		if got := evalJS[int](t, tab, "state.errors"); got != 0 {
			t.Errorf("%d errors", got)
		}
		r.terminate(t)
		waitJS(t, tab, `state.ends.length === 1 && state.ends[0] === "draining"`)
		restart()
		waitJS(t, tab, "state.readies.length === 2 && state.readies[1].resumed")
		one()
	}
	t.Run("gzip", func(t *testing.T) { follow(t, "gzip", r.url) })
	t.Run("zstd", func(t *testing.T) { follow(t, "zstd", newAcceptProxy(t, r, "zstd").URL) })
}

// codingOf is what the answer to a client with this header says of its coding.
func codingOf(t *testing.T, where, accept string) (coding, vary string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, where, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", accept)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.Header.Get("Content-Encoding"), resp.Header.Get("Vary")
}

// One channel that does not say so keeps a stream from being compressed, and so does a reload that takes it back.
func TestCompressChannels(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, itemsTable, "create table other (id bigint primary key)")
	channels := func(compress bool) string {
		return settings{channels: fmt.Sprintf("  items: {table: public.items, allow: public, compress: %v}\n  other: {table: public.other, allow: public}\n", compress)}.yaml()
	}
	r := startRelay(t, db, channels(true))
	for _, tt := range []struct {
		channels     []string
		coding, vary string
	}{
		{[]string{"items"}, "gzip", "Origin, Cookie, Authorization, Accept-Encoding"},
		{[]string{"other"}, "", "Origin, Cookie, Authorization"},
		{[]string{"items", "other"}, "", "Origin, Cookie, Authorization"},
	} {
		if coding, vary := codingOf(t, r.streamURL(tt.channels...), "gzip"); coding != tt.coding || vary != tt.vary {
			t.Errorf("%v: coding %q, Vary %q", tt.channels, coding, vary)
		}
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // which asks for gzip, and takes it apart
	s := open(t, client, r.streamURL("items"), nil)
	if f := s.next(t); f.event != "ready" || !s.stream.resp.Uncompressed {
		t.Fatalf("got %s %s, compressed %v", f.event, f.data, s.stream.resp.Uncompressed)
	}
	db.exec(t, insertItem(1))
	s.wantRow(t, "insert", "items", 1)
	if got := r.metric(t, `walrelay_compressed_runs_total{coding="gzip"}`); got == 0 {
		t.Error("nothing was compressed")
	}
	r.writeConfig(t, channels(false))
	r.signal(t, syscall.SIGHUP)
	s.wantEnd(t, "rules_changed")
	if coding, _ := codingOf(t, r.streamURL("items"), "gzip"); coding != "" {
		t.Errorf("after the reload coding %q", coding)
	}
	r.resumed(t, s.lastID, "items")
}
