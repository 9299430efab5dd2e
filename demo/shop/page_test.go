package shop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/walrelay/walrelay/pgtemp/guard"
)

// patience bounds every wait for the page.
const patience = 20 * time.Second

// TestPage shows the page in Chromium, with the real application behind it and a
// stream of events made by hand. Each step goes on where the one before ended.
func TestPage(t *testing.T) {
	h := newShop(t)
	events := &eventStream{t: t, store: h.store, opened: make(chan *connection, 1)}
	mux := http.NewServeMux()
	mux.Handle("/", h.routes())
	mux.Handle("GET /events", events)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	p := &pageTest{T: t, shop: h, events: events, tab: openBrowser(t)}
	t.Cleanup(func() {
		if p.c != nil {
			p.c.end()
		}
	})
	p.do(chromedp.Navigate(server.URL))
	for _, step := range []struct {
		name string
		run  func(*pageTest)
	}{
		{"first rows", firstRows}, {"insert", insertArrives}, {"update", updateArrives}, {"delete", deleteArrives},
		{"in step", inStep}, {"buttons", buttons}, {"resume", resume}, {"reset", reset}, {"no stream", noStream},
		{"lost event", lostEvent}, {"no errors", noErrors},
	} {
		if !t.Run(step.name, func(t *testing.T) { p.T = t; step.run(p) }) {
			t.Fatalf("line %q, step %q, log %q", p.text("line-text"), p.text("step-text"), p.text("log"))
		}
	}
}

// pageTest is the page and what stands behind it.
type pageTest struct {
	*testing.T
	shop   *handler
	events *eventStream
	tab    context.Context
	c      *connection // the page's
}

func firstRows(p *pageTest) {
	p.c = p.events.next(p.T)
	query := p.c.request.URL.Query()
	if got := strings.Join(query["channel"], " "); got != "orders customers couriers" {
		p.Errorf("channels %q", got)
	}
	if id := query.Get("last_event_id"); !strings.HasPrefix(id, "0/") || strings.Contains(id, ".") {
		p.Errorf("last_event_id is %q, want the LSN of the rows", id)
	}
	p.c.ready(true, p.events.lsn(p.T)+".0.aaaaaa")
	p.wait(`document.querySelectorAll('.order').length === 9`)
	p.wait(`document.querySelector('[data-id="1009"]').innerText.includes('Luca Bianchi')`)
	p.wait(`document.getElementById('tile-open').textContent === '9'`)
	p.waitText("line-text", "live")
}

func insertArrives(p *pageTest) {
	p.must(p.shop.store.place(p.Context(), 1))
	p.c.change("insert", "orders", 1010)
	p.wait(`document.querySelector('#orders > :first-child').dataset.id === '1010'`)
	p.c.change("insert", "orders", 1010) // again, as after a cut
	p.c.change("update", "couriers", 1)
	p.wait(`document.querySelector('#log').innerText.includes('couriers #1')`)
	p.wait(`document.querySelectorAll('[data-id="1010"]').length === 1`)
	p.wait(`document.getElementById('tile-open').textContent === '10'`)
}

func updateArrives(p *pageTest) {
	p.must(p.shop.store.advance(p.Context(), 1001)) // the first rows have it on the way
	p.c.change("update", "orders", 1001)
	p.wait(`document.querySelector('[data-id="1001"]').dataset.status === 'delivered'`)
	p.wait(`document.querySelector('#log').innerText.includes('status on_the_way → delivered')`)
	p.c.change("update", "customers", 1)
	p.wait(`document.querySelector('[data-id="1001"] small').textContent.includes('14 pts')`)
}

func deleteArrives(p *pageTest) {
	p.must(p.shop.store.remove(p.Context(), 1001))
	p.c.change("delete", "orders", 1001)
	p.c.change("delete", "orders", 1001)
	p.wait(`document.querySelector('[data-id="1001"]') === null`)
}

func inStep(p *pageTest) {
	p.waitText("step-text", "in step with the database ✓ 9 orders, 14 customers, 3 couriers")
}

func buttons(p *pageTest) {
	p.do(chromedp.Click("#new"))
	p.waitOrder(1011, "placed")
	p.c.change("insert", "orders", 1011)
	p.do(chromedp.Click(`[data-id="1011"] .next`))
	p.waitOrder(1011, "paid")
	p.c.change("update", "orders", 1011)
	p.do(chromedp.Click(`[data-id="1011"] .stop`))
	p.waitOrder(1011, "cancelled")
	p.c.change("update", "orders", 1011)
	p.wait(`document.querySelector('[data-id="1011"] .stop').title === 'Remove'`)
	p.do(chromedp.Click(`[data-id="1011"] .stop`))
	p.waitOrder(1011, "gone")
	p.c.change("delete", "orders", 1011)
	p.do(chromedp.Click("#pause"))
	p.wait(`document.getElementById('pause').textContent === 'Pause business'`)
}

// resume cuts the connection, lets two changes happen, and goes on.
func resume(p *pageTest) {
	last := p.c.last
	p.c.end()
	p.wait(`/waiting… (0\.[2-9]|[1-9])/.test(document.getElementById("line-text").textContent)`) // it counts
	p.must(p.shop.store.advance(p.Context(), 1009))
	p.must(p.shop.store.cancel(p.Context(), 1008))
	p.c = p.events.next(p.T)
	if id := p.c.request.Header.Get("Last-Event-ID"); id != last {
		p.Errorf("the browser came back with Last-Event-ID %q, want %q", id, last)
	}
	p.c.ready(true, last)
	p.c.change("update", "orders", 1009)
	p.c.change("update", "orders", 1008)
	p.waitText("line-text", ": 2 events caught up, nothing lost")
	at, _, _ := strings.Cut(last, ".0.")
	p.waitText("line-text", "resumed at "+at)
	p.waitText("log", "connection lost")
	p.waitText("step-text", "in step with the database ✓")
}

// reset brings the page back with rows that it cannot know from events.
func reset(p *pageTest) {
	p.c.end()
	p.waitText("line-text", "connection lost, waiting…")
	p.must(p.shop.store.place(p.Context(), 3))
	p.c = p.events.next(p.T)
	p.c.ready(false, p.events.lsn(p.T)+".0.bbbbbb")
	for _, name := range []string{"orders", "customers", "couriers"} {
		p.c.send("reset", p.events.lsn(p.T)+".0.bbbbbb", map[string]any{"channel": name, "reason": "expired"})
	}
	// While the page fetches.
	p.must(p.shop.store.place(p.Context(), 1))
	p.c.change("insert", "orders", 1015)
	p.waitText("line-text", "reset (expired): fetched again")
	p.wait(`document.querySelectorAll('.order:not(.leaving)').length === 13`)
	p.waitText("step-text", "in step with the database ✓ 13 orders")
}

// noStream answers with a status at which the browser gives up.
func noStream(p *pageTest) {
	last := p.c.last
	p.events.missing.Store(true)
	p.c.end()
	p.waitText("line-text", "connection lost, waiting…")
	p.waitFor("a request that gets 404", func() bool { return p.events.refused.Load() > 0 })
	p.events.missing.Store(false)
	p.c = p.events.next(p.T)
	if id := p.c.request.URL.Query().Get("last_event_id"); id != last {
		p.Errorf("the page came back with last_event_id %q, want %q", id, last)
	}
	p.c.ready(true, last)
	p.waitText("line-text", "no event missed, nothing lost")
}

// lostEvent is what must not happen: a change that is not sent.
func lostEvent(p *pageTest) {
	p.must(p.shop.store.cancel(p.Context(), 1015))
	p.waitText("step-text", "differs from the database ✗")
	p.c.change("update", "orders", 1015)
	p.waitText("step-text", "in step with the database ✓")
}

func noErrors(p *pageTest) {
	if errs := eval[[]string](p, `window.testErrors`); len(errs) > 0 {
		p.Errorf("errors on the page: %q", errs)
	}
}

func (p *pageTest) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

func (p *pageTest) do(steps ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.tab, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.Fatal("browser: ", err)
	}
}

// wait waits until an expression is true in the page.
func (p *pageTest) wait(expression string) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.tab, patience)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingInterval(20*time.Millisecond))); err != nil {
		p.Fatalf("wait for %s: %v", expression, err)
	}
}

// waitText waits until an element's text contains a part.
func (p *pageTest) waitText(id, part string) {
	p.Helper()
	p.wait(fmt.Sprintf(`document.getElementById(%q).textContent.includes(%q)`, id, part))
}

func (p *pageTest) text(id string) string {
	return eval[string](p, fmt.Sprintf(`document.getElementById(%q).innerText`, id))
}

// waitOrder waits until the database holds an order with a status.
func (p *pageTest) waitOrder(id int64, status string) {
	p.Helper()
	p.waitFor(fmt.Sprintf("order %d is %s", id, status), func() bool {
		now, _ := order(p.T, p.shop, id)
		return now == status
	})
}

// waitFor waits until something is so outside of the page.
func (p *pageTest) waitFor(what string, so func() bool) {
	p.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			p.Fatal("waited in vain for: ", what)
		}
	}
}

func eval[T any](p *pageTest, expression string) T {
	ctx, cancel := context.WithTimeout(p.tab, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.Errorf("browser: evaluate %s: %v", expression, err)
	}
	return v
}

// catchErrors runs before the page's own scripts.
const catchErrors = `window.testErrors = [];
addEventListener('error', (e) => testErrors.push(e.message || 'not loaded: ' + e.target.src), true);
addEventListener('unhandledrejection', (e) => testErrors.push(String(e.reason)));
addEventListener('securitypolicyviolation', (e) => testErrors.push('CSP: ' + e.violatedDirective));`

// openBrowser starts a Chromium that ends with the test.
func openBrowser(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(findBrowser(t)), chromedp.UserDataDir(newProfile(t)), chromedp.WindowSize(1280, 800),
		chromedp.Flag("no-sandbox", true)) // which it refuses to root
	// Not the test's context: it ends before the cleanup.
	allocator, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	tab, closeTab := chromedp.NewContext(allocator, chromedp.WithErrorf(t.Logf))
	t.Cleanup(func() {
		if err := chromedp.Cancel(tab); err != nil && !errors.Is(err, context.Canceled) {
			t.Error("close Chromium: ", err)
		}
		closeTab()
		stop()
	})
	err := chromedp.Do(tab, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: catchErrors})
		return err
	}))
	if err != nil {
		t.Fatal("start Chromium: ", err)
	}
	return tab
}

func findBrowser(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("WALRELAY_TEST_CHROMIUM"); path != "" {
		return path
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome-stable", "google-chrome",
		"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("no Chromium or Chrome on this machine; install one (apt-get install chromium) or set WALRELAY_TEST_CHROMIUM to its path")
	return ""
}

// newProfile is a directory that Chromium's last processes may write to for a moment
// after their end, which t.TempDir would not forgive.
func newProfile(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "walrelay-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	g, err := guard.New()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Dir(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := os.RemoveAll(dir)
		for end := time.Now().Add(patience); err != nil && time.Now().Before(end); err = os.RemoveAll(dir) {
			time.Sleep(20 * time.Millisecond)
		}
		if err := errors.Join(err, g.Close()); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// rowOf is a row as the stream would carry it.
func (s *eventStream) rowOf(t *testing.T, table string, id int64) json.RawMessage {
	t.Helper()
	var row json.RawMessage
	sql := map[string]string{
		"orders":    `select to_jsonb(t) from orders t where id = $1`,
		"customers": `select to_jsonb(t) - 'email' from customers t where id = $1`,
		"couriers":  `select to_jsonb(t) from couriers t where id = $1`,
	}[table]
	if err := s.store.pool.QueryRow(t.Context(), sql, id).Scan(&row); err != nil {
		t.Fatal(err)
	}
	return row
}
