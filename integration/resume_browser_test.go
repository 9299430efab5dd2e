package integration

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"testing"
)

// Chromium, with a page whose stream brings nothing but id-only frames: the browser
// takes their ids and names the newest one when it comes back, after the loss of the
// connection and after that of walrelay; the stream goes on there, and the rows
// committed meanwhile come once.
func TestHeartbeatsInBrowser(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, itemsTable, "create table other (id bigint primary key)")
	r := startRelay(t, db, settings{http: "heartbeat: 200ms, retry: 200ms", channels: itemsChannels + "  other: {table: public.other, allow: public}\n"}.yaml())
	way := newRecordingProxy(t, r.url)
	tab := openBrowser(t)
	openPage(t, tab, way.server.URL, "/events/items")
	waitJS(t, tab, "state.readies.length === 1")
	if got := way.requests(); !slices.Equal(got, []string{""}) {
		t.Errorf("the first requests named the ids %q", got)
	}
	for round, kill := range []bool{false, true} {
		db.exec(t, fmt.Sprintf("insert into other values (%d)", round)) // others' rows go by
		target := db.mark(t)
		eventually(t, func() string {
			// The proxy sees them before the browser does: several, so that it has read one.
			if ids := way.beats(); len(ids) < 4 || positionOf(t, ids[len(ids)-4]).Commit < target {
				return fmt.Sprintf("the id-only frames have %v, want %s four times", ids, target)
			}
			return ""
		})
		way.cut()
		if kill {
			r.kill9(t)
		}
		id := 10 * round
		db.exec(t, insertItem(id), insertItem(id+1), fmt.Sprintf("update items set name = 'again' where id = %d", id))
		if kill {
			r.start(t)
			r.waitReady(t)
		}
		before := len(way.requests())
		way.mend()
		waitJS(t, tab, fmt.Sprintf("state.readies.length === %d", round+2))
		named := way.requests()[before]
		if !slices.Contains(way.beats(), named) || positionOf(t, named).Commit < target {
			t.Errorf("round %d: the browser came back with %q, want the id of an id-only frame from %s on", round, named, target)
		}
		ready := evalJS[struct {
			Resumed bool   `json:"resumed"`
			ID      string `json:"id"`
		}](t, tab, "state.readies.at(-1)")
		if !ready.Resumed || ready.ID != named {
			t.Errorf("round %d: ready is %+v after %q", round, ready, named)
		}
		waitJS(t, tab, fmt.Sprintf("Object.keys(state.seen).length >= %d", 3*(round+1)))
		if got := evalJS[string](t, tab, "JSON.stringify([Object.values(state.seen).filter(n => n !== 1).length, Object.keys(state.seen).length, state.resets.length])"); got != fmt.Sprintf("[0,%d,0]", 3*(round+1)) {
			t.Errorf("round %d: events more than once, events, resets: %s", round, got)
		}
	}
}

// recordingProxy stands between a browser and a relay, serves a page beside it, and
// notes the ids that pass.
type recordingProxy struct {
	server *httptest.Server

	mu     sync.Mutex
	broken bool
	asked  []string // Last-Event-ID of every request that went through
	beat   []string // ids of the frames without data
}

func newRecordingProxy(t testing.TB, relayURL string) *recordingProxy {
	t.Helper()
	to, err := url.Parse(relayURL)
	if err != nil {
		t.Fatal(err)
	}
	p := &recordingProxy{}
	relay := httputil.NewSingleHostReverseProxy(to)
	relay.FlushInterval, relay.ErrorLog = -1, log.New(io.Discard, "", 0)
	// The browser sees what a broken network shows, not an answer of ours.
	relay.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	relay.ModifyResponse = func(resp *http.Response) error {
		resp.Body = &beatReader{ReadCloser: resp.Body, proxy: p}
		return nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, browserPage)
	})
	mux.HandleFunc("/events/", func(w http.ResponseWriter, r *http.Request) {
		if !p.let(r.Header.Get("Last-Event-ID")) {
			panic(http.ErrAbortHandler)
		}
		relay.ServeHTTP(w, r)
	})
	p.server = httptest.NewServer(mux)
	t.Cleanup(func() {
		p.server.CloseClientConnections()
		p.server.Close()
	})
	return p
}

// let notes a request and tells whether it may go on.
func (p *recordingProxy) let(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.broken {
		p.asked = append(p.asked, id)
	}
	return !p.broken
}

// cut ends all connections, and every new one until mend.
func (p *recordingProxy) cut() {
	p.mu.Lock()
	p.broken = true
	p.mu.Unlock()
	p.server.CloseClientConnections()
}

func (p *recordingProxy) mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = false
}

func (p *recordingProxy) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

func (p *recordingProxy) beats() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.beat)
}

// beatReader looks for frames without data in a stream.
type beatReader struct {
	io.ReadCloser
	proxy *recordingProxy
	rest  []byte // of a frame that is not complete
}

func (b *beatReader) Read(to []byte) (int, error) {
	n, err := b.ReadCloser.Read(to)
	b.rest = append(b.rest, to[:n]...)
	for {
		frame, rest, whole := bytes.Cut(b.rest, []byte("\n\n"))
		if !whole {
			return n, err
		}
		b.rest = rest
		if id, only := bytes.CutPrefix(frame, []byte("id: ")); only && !bytes.ContainsRune(id, '\n') {
			b.proxy.mu.Lock()
			b.proxy.beat = append(b.proxy.beat, string(id))
			b.proxy.mu.Unlock()
		}
	}
}
