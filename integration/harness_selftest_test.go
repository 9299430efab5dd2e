package integration

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"
	"github.com/walrelay/walrelay/pgtemp"
)

// The parser follows the standard in what servers seldom send, too.
func TestHarnessParseSSE(t *testing.T) {
	for _, test := range []struct {
		name, in string
		want     []frame
	}{
		{"event", "event: insert\nid: 1\ndata: {}\n\n", []frame{{event: "insert", id: "1", hasID: true, data: "{}", hasData: true}}},
		{"default name", "data: a\n\n", []frame{{event: "message", data: "a", hasData: true}}},
		{"several data lines", "data: a\ndata:  b\ndata\n\n", []frame{{event: "message", data: "a\n b\n", hasData: true}}},
		{"empty data is dispatched", "data\n\n", []frame{{event: "message", hasData: true}}},
		{"id only", "id: 7\n\ndata: x\n\n", []frame{{id: "7", hasID: true}, {id: "7", event: "message", data: "x", hasData: true}}},
		{"empty id resets", "id: 7\n\nid\n\n", []frame{{id: "7", hasID: true}, {hasID: true}}},
		{"id with NUL is ignored", "id: a\x00b\ndata: x\n\n", []frame{{event: "message", data: "x", hasData: true}}},
		{"retry", "retry: 1500\n\nretry: 1s\n\nretry: -1\n\n", []frame{{retry: 1500 * time.Millisecond}}},
		{"comment", ": hello\n\n", []frame{{comment: "hello"}}},
		{"nothing in it", "\n\nevent: x\n\nfoo: bar\n\n", nil},
		{"event name does not stick", "event: x\n\ndata: y\n\n", []frame{{event: "message", data: "y", hasData: true}}},
		{"cut off", "data: a\n\ndata: b\n", []frame{{event: "message", data: "a", hasData: true}}},
		{"CR", "data: a\rid: 1\r\r", []frame{{event: "message", data: "a", hasData: true, id: "1", hasID: true}}},
		{"CRLF", "data: a\r\n\r\ndata: b\r\n\r\n", []frame{{event: "message", data: "a", hasData: true}, {event: "message", data: "b", hasData: true}}},
		{"byte order mark", "\ufeffdata: a\n\n", []frame{{event: "message", data: "a", hasData: true}}},
		{"colon in data", "data:a:b\n\n", []frame{{event: "message", data: "a:b", hasData: true}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for name, in := range map[string]io.Reader{
				"at once":      strings.NewReader(test.in),
				"byte by byte": iotest.OneByteReader(strings.NewReader(test.in)),
			} {
				var got []frame
				if err := parseSSE(in, "", func(f frame) { got = append(got, f) }); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(frame{})); diff != "" {
					t.Errorf("%s: (-want +got)\n%s", name, diff)
				}
			}
		})
	}
}

// eventServer answers the n-th request (from 0) with script(n, ...) and keeps
// the Last-Event-ID of each.
type eventServer struct {
	*httptest.Server
	mu      sync.Mutex
	lastIDs []string
}

func newEventServer(t *testing.T, script func(n int, w io.Writer, r *http.Request)) *eventServer {
	t.Helper()
	s := &eventServer{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		n := len(s.lastIDs)
		s.lastIDs = append(s.lastIDs, strings.Join(r.Header.Values("Last-Event-ID"), "+"))
		s.mu.Unlock()
		w.Header().Set("Content-Type", "text/event-stream")
		script(n, flusher{w}, r)
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, `<!doctype html><script>
			const seen = [], source = new EventSource("/events");
			source.onmessage = e => seen.push(e.data + "@" + e.lastEventId);
		</script>`)
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func (s *eventServer) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lastIDs)
}

// flusher sends each write at once.
type flusher struct{ http.ResponseWriter }

func (f flusher) Write(p []byte) (int, error) {
	n, err := f.ResponseWriter.Write(p)
	f.ResponseWriter.(http.Flusher).Flush()
	return n, err
}

// Resume starts after the last frame that the test has seen, not after what
// happens to have arrived.
func TestHarnessSSE(t *testing.T) {
	server := newEventServer(t, func(n int, w io.Writer, r *http.Request) {
		fmt.Fprintf(w, "id: %d.1\ndata: a\n\nid: %d.2\n\n: c\n\nid: %d.3\ndata: b\n\n", n, n, n)
		<-r.Context().Done()
	})
	s := openSSE(t, server.URL+"/events", http.Header{"Last-Event-Id": {"start"}})
	if f := s.next(t); f.data != "a" || f.id != "0.1" {
		t.Errorf("got %+v", f)
	}
	if f := s.nextHeartbeat(t); f.id != "0.2" {
		t.Errorf("got %+v", f)
	}
	s.reconnect(t)
	if got := s.nextN(t, 2); got[0].id != "1.1" || got[1].id != "1.3" {
		t.Errorf("got %+v", got)
	}
	s.reconnect(t)
	if want := []string{"start", "0.2", "1.3"}; !slices.Equal(server.requests(), want) {
		t.Errorf("Last-Event-ID of the requests: got %q, want %q", server.requests(), want)
	}
}

// A paused subscriber blocks the server; resumed, it gets all.
func TestHarnessPause(t *testing.T) {
	const line = 1 << 10
	written := make(chan int, 1<<20)
	server := newEventServer(t, func(_ int, w io.Writer, r *http.Request) {
		fmt.Fprint(w, "data: first\n\n")
		defer close(written)
		for i := range 1 << 14 { // 16 MiB
			if _, err := fmt.Fprintf(w, "id: %d\ndata: %s\n\n", i, strings.Repeat("x", line)); err != nil {
				return
			}
			written <- i
		}
	})
	s := openSlowSSE(t, server.URL+"/events", nil)
	s.next(t)
	s.pause()
	waitBlocked(t, written)
	s.resume()
	frames := s.waitEnd(t)
	if last := frames[len(frames)-1]; len(frames) != 1<<14 || last.id != fmt.Sprint(1<<14-1) {
		t.Errorf("got %d frames, the last with id %s", len(frames), last.id)
	}
}

// waitBlocked waits until nothing has been written for a while.
func waitBlocked(t *testing.T, written <-chan int) {
	t.Helper()
	for {
		select {
		case _, ok := <-written:
			if !ok {
				t.Fatal("the server was not blocked")
			}
		case <-time.After(200 * time.Millisecond):
			return
		}
	}
}

// What heartbeats rely on: a frame with an id and no data dispatches nothing,
// yet a browser comes back with that id.
func TestHarnessBrowserIDOnlyFrames(t *testing.T) {
	server := newEventServer(t, func(n int, w io.Writer, r *http.Request) {
		switch n {
		case 0:
			io.WriteString(w, "retry: 20\nid: 1\ndata: a\n\n: comment\n\nid: 2\n\n")
		case 1:
			io.WriteString(w, "id: 3\n\ndata: b\n\n")
		default:
			io.WriteString(w, "data: c\n\n")
			<-r.Context().Done()
		}
	})
	tab := openBrowser(t)
	browse(t, tab, chromedp.Navigate(server.URL))
	waitJS(t, tab, "seen.length >= 3")
	seen := evalJS[[]string](t, tab, "seen")
	if want := []string{"a@1", "b@3", "c@3"}; !slices.Equal(seen, want) {
		t.Errorf("the page saw %q, want %q", seen, want)
	}
	if want := []string{"", "2", "3"}; !slices.Equal(server.requests(), want) {
		t.Errorf("Last-Event-ID of the requests: got %q, want %q", server.requests(), want)
	}
}

func TestHarnessDatabase(t *testing.T) {
	a := newDatabase(t, "create table t (n int)", "insert into t values (1)")
	b := newDatabase(t, "create table t (n int)")
	if a.name == b.name {
		t.Errorf("both are called %s", a.name)
	}
	if got := a.value(t, "select n + $1::int from t", 41); got != "42" {
		t.Errorf("got %s", got)
	}
	if got := b.value(t, "insert into t values (7) returning n"); got != "7" {
		t.Errorf("got %s", got)
	}
	// The cleanup must cope with a slot and an open connection.
	b.exec(t, "select pg_create_logical_replication_slot('"+b.name+"', 'pgoutput')")
	if err := b.conn(t).Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestHarnessOwnCluster(t *testing.T) {
	cluster := newCluster(t, pgtemp.Options{Settings: map[string]string{"wal_level": "replica"}})
	db := newDatabaseOn(t, cluster)
	if got := db.value(t, "show wal_level"); got != "replica" {
		t.Errorf("wal_level is %s", got)
	}
	if err := cluster.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := cluster.StartAgain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := db.value(t, "select 1"); got != "1" {
		t.Errorf("got %s", got)
	}
}

func TestHarnessProcess(t *testing.T) {
	p := startProcess(t, exec.Command("sh", "-c", "echo out; echo one >&2; echo two >&2; exit 3"))
	p.stderr.waitFor(t, "^two$")
	got := p.wait(t)
	want := exit{code: 3, stdout: "out\n", stderr: "one\ntwo\n", lastLine: "two"}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if lines := p.stderr.lines(); !slices.Equal(lines, []string{"one", "two"}) {
		t.Errorf("lines: %q", lines)
	}
}

// A relay is started, crashes, is started again and drains.
func TestHarnessRelay(t *testing.T) {
	db := newDatabase(t, "create table t (id int primary key)")
	r := startRelay(t, db, standard(`channels: {t: {table: public.t, columns: "*", allow: public}}`))
	s := openSSE(t, r.url+"/events/t", nil)
	if f := s.next(t); f.event != "ready" {
		t.Errorf("got %+v", f)
	}
	r.kill9(t)
	s.waitEnd(t)
	r.start(t)
	r.waitReady(t)
	s.reconnect(t)
	db.exec(t, "insert into t values (7)")
	var data struct{ Row struct{ ID int } }
	f := s.nextN(t, 2)[1] // after ready
	if f.decode(t, &data); f.event != "insert" || data.Row.ID != 7 {
		t.Errorf("got %+v", f)
	}
	if status, body := r.admin(t, "/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: %d %s", status, body)
	}
	if got := r.terminate(t); got.code != 0 {
		t.Errorf("exit code %d: %s", got.code, got.lastLine)
	}
	r.writeConfig(t, "colour: blue\n")
	r.start(t)
	if got := r.wait(t); got.code != 1 || !strings.Contains(got.lastLine, "colour") {
		t.Errorf("got exit code %d, %q", got.code, got.lastLine)
	}
	if got := runWalrelay(t, nil, "version"); got.code != 0 || !strings.HasPrefix(got.stdout, "walrelay ") {
		t.Errorf("got %+v", got)
	}
}
