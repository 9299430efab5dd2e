package integration

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// asked is a request for a stream, as an application's reverse proxy sees it.
type asked struct {
	lastID string
	status int
}

// origin is the one origin of an application and of walrelay, as a reverse proxy in front
// of both makes it. It notes the requests for streams, and spares browsers long waits: a
// retry of 5 s to 30 s passes as one of 300 ms.
type origin struct {
	server *httptest.Server

	mu       sync.Mutex
	requests []asked
	waits    []string // the long retries that it has shortened, in milliseconds
	cookie   string   // to be set by /become
}

func newOrigin(t testing.TB, app, relay string) *origin {
	t.Helper()
	o := &origin{}
	streams := reverseProxy(t, relay)
	streams.ModifyResponse = func(resp *http.Response) error {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.requests = append(o.requests, asked{resp.Request.Header.Get("Last-Event-ID"), resp.StatusCode})
		resp.Body = &hasty{resp.Body, o}
		return nil
	}
	mux := http.NewServeMux()
	mux.Handle("/", reverseProxy(t, app))
	mux.Handle("/events/", streams)
	mux.HandleFunc("/become", func(w http.ResponseWriter, _ *http.Request) {
		o.mu.Lock()
		defer o.mu.Unlock()
		w.Header().Set("Set-Cookie", o.cookie+"; Path=/; HttpOnly")
		io.WriteString(w, "{}")
	})
	o.server = httptest.NewServer(mux)
	t.Cleanup(func() {
		o.server.CloseClientConnections()
		o.server.Close()
	})
	return o
}

// hasty shortens what a browser is told to wait.
type hasty struct {
	io.ReadCloser
	origin *origin
}

var longRetry = regexp.MustCompile(`retry: ([5-9]\d{3}|[12]\d{4})\n`)

func (h *hasty) Read(to []byte) (int, error) {
	n, err := h.ReadCloser.Read(to)
	if found := longRetry.FindSubmatch(to[:n]); found != nil {
		h.origin.mu.Lock()
		h.origin.waits = append(h.origin.waits, string(found[1]))
		h.origin.mu.Unlock()
		n = copy(to, longRetry.ReplaceAll(to[:n], []byte("retry: 300\n")))
	}
	return n, err
}

func reverseProxy(t testing.TB, to string) *httputil.ReverseProxy {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	p := httputil.NewSingleHostReverseProxy(u)
	p.FlushInterval, p.ErrorLog = -1, log.New(io.Discard, "", 0)
	// The browser sees what a broken network shows, not an answer of ours.
	p.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	return p
}

// asked are the requests since from.
func (o *origin) asked(from int) []asked {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.requests[from:])
}

// wantAsked checks the statuses of the requests since from.
func (o *origin) wantAsked(t testing.TB, from int, statuses ...int) {
	t.Helper()
	var got []int
	for _, a := range o.asked(from) {
		got = append(got, a.status)
	}
	if !slices.Equal(got, statuses) {
		t.Errorf("the browser's requests for streams were answered %v, want %v", got, statuses)
	}
}

// newContext is a tab of another user of the same machine: it shares no cookies.
func newContext(t testing.TB, tab context.Context) context.Context {
	t.Helper()
	other, closeTab := chromedp.NewContext(tab, chromedp.WithNewBrowserContext())
	t.Cleanup(closeTab)
	if err := chromedp.Do(other); err != nil {
		t.Fatal(err)
	}
	return other
}

// callApp makes a request of the application, in the page.
func callApp(t testing.TB, tab context.Context, path, user string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(tab, patience)
	defer cancel()
	call := fmt.Sprintf("call(%q, {username: %q, password: %q}).then(() => true)", path, user, user+"-password")
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool](call, chromedp.EvalAwaitPromise)); err != nil {
		t.Fatalf("browser: %s: %v", path, err)
	}
}

// openApp shows the application's page, signs in and follows the notes.
func openApp(t testing.TB, tab context.Context, at, user string) {
	t.Helper()
	browse(t, tab, chromedp.Navigate(at+"/page"))
	callApp(t, tab, "/login", user)
	browse(t, tab, chromedp.Evaluate[chromedp.Void](`follow("/events/notes"); undefined`))
	waitJS(t, tab, "state.readies.length === 1")
}

// wantNotes waits until the page has exactly these notes.
func wantNotes(t testing.TB, tab context.Context, bodies ...string) {
	t.Helper()
	want := `["` + strings.Join(bodies, `","`) + `"]`
	if len(bodies) == 0 {
		want = "[]"
	}
	waitJS(t, tab, fmt.Sprintf("JSON.stringify(Object.values(state.rows)) === '%s'", want))
	if repeated := evalJS[int](t, tab, "Object.values(state.seen).filter(n => n !== 1).length"); repeated != 0 {
		t.Errorf("%d events came more than once", repeated)
	}
}

// TestAuthBrowser: Chromium, on pages of the Express application behind one origin.
func TestAuthBrowser(t *testing.T) {
	t.Parallel()
	db := newDatabase(t, expressSchema)
	secret, old := newToken(), newToken()
	leaks.secret(t, "secret of Express", secret, old)
	leaks.secret(t, "password", "ada-lovelace-password", "alan-turing-password")
	app := startExpress(t, db, secret)
	newVisitor(t, app).do(t, "visit")
	way := newDoor(t)
	way.leadTo(db)
	r := newAuthRelay(t, db, expressAuth.with(func(s *authSettings) { s.http = fmt.Sprintf("upstream: %q", app) }).yaml(),
		"SESSION_SECRET="+secret, "SESSION_SECRET_OLD="+old, "DATABASE_URL="+way.url(t, db))
	r.startAuth(t)
	behind := newOrigin(t, app, r.url)
	ada := openBrowser(t)
	alan := newContext(t, ada)

	browse(t, ada, chromedp.Navigate(behind.server.URL+"/page"), chromedp.Evaluate[chromedp.Void](`follow("/events/notes"); undefined`))
	waitJS(t, ada, "closed()")
	time.Sleep(time.Second) // three times what it would wait before it comes back
	behind.wantAsked(t, 0, http.StatusUnauthorized)

	// Two users see their own rows.
	openApp(t, ada, behind.server.URL, "ada-lovelace")
	openApp(t, alan, behind.server.URL, "alan-turing")
	db.exec(t, insertNote(1, "for ada"), insertNote(2, "for alan"), insertNote(1, "for ada, too"))
	wantNotes(t, ada, "for ada", "for ada, too")
	wantNotes(t, alan, "for alan")

	// Signing out ends it, and the browser does not come back for ever.
	before := len(behind.asked(0))
	callApp(t, ada, "/logout", "ada-lovelace")
	db.exec(t, insertNote(1, "too late"), insertNote(2, "alan, still"))
	waitJS(t, ada, "closed()")
	if got := evalJS[string](t, ada, "JSON.stringify([state.ends, Object.values(state.rows)])"); got != `[["signed_out"],["for ada","for ada, too"]]` {
		t.Errorf("the page of who signed out has %s", got)
	}
	wantNotes(t, alan, "for alan", "alan, still")
	time.Sleep(time.Second)
	behind.wantAsked(t, before, http.StatusUnauthorized)

	t.Run("behind walrelay", func(t *testing.T) {
		openApp(t, ada, r.url, "ada-lovelace")
		db.exec(t, insertNote(1, "through http.upstream"))
		wantNotes(t, ada, "through http.upstream")
		callApp(t, ada, "/destroy", "ada-lovelace")
		waitJS(t, ada, `closed() && state.ends.length === 1 && state.ends[0] === "signed_out"`)
	})

	// The browser comes back with another user's cookie: it is that user, and told to
	// forget what it had.
	t.Run("another cookie", func(t *testing.T) {
		openApp(t, ada, behind.server.URL, "ada-lovelace")
		db.exec(t, insertNote(1, "ada again"))
		wantNotes(t, ada, "ada again")
		guest := newVisitor(t, app)
		guest.logIn(t, "login", "alan-turing")
		behind.mu.Lock()
		behind.cookie = guest.header().Get("Cookie")
		behind.mu.Unlock()
		callApp(t, ada, "/become", "nobody")
		behind.server.CloseClientConnections()
		waitJS(t, ada, "state.readies.length === 2 && state.resets.length === 1")
		if got := evalJS[string](t, ada, "state.resets[0]"); got != "view" {
			t.Errorf("reset %s", got)
		}
		db.exec(t, insertNote(1, "not for who is alan now"), insertNote(2, "for alan twice"))
		wantNotes(t, ada, "for alan twice")
		wantNotes(t, alan, "for alan", "alan, still", "for alan twice")
	})

	// Sessions cannot be looked up: the browser is told to come back, and does, by itself.
	t.Run("database away", func(t *testing.T) {
		r.kill9(t)
		way.shut()
		before := len(behind.asked(0))
		r.start(t)
		eventually(t, func() string {
			behind.mu.Lock()
			defer behind.mu.Unlock()
			if len(behind.waits) < 4 {
				return fmt.Sprintf("the pages were told to come back %d times", len(behind.waits))
			}
			return ""
		})
		db.exec(t, insertNote(2, "while it was away"))
		way.leadTo(db)
		wantNotes(t, alan, "for alan", "alan, still", "for alan twice", "while it was away")
		if got := evalJS[string](t, alan, "JSON.stringify([closed(), state.resets, state.readies.at(-1).resumed])"); got != "[false,[],true]" {
			t.Errorf("closed, resets, resumed: %s", got)
		}
		requests := behind.asked(before)
		for _, a := range requests {
			if a.status != http.StatusOK || a.lastID == "" {
				t.Errorf("a request with the id %q was answered %d", a.lastID, a.status)
			}
		}
		if !evalJS[bool](t, alan, "state.ends.length >= 1 && state.ends.every(reason => reason === 'unavailable')") {
			t.Errorf("the page was told %s", evalJS[string](t, alan, "JSON.stringify(state.ends)"))
		}
	})
}
