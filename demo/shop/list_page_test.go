package shop

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestListPage shows the list's page in Chromium, with the real application behind it and
// a stream made by hand that asks for the session as walrelay does.
func TestListPage(t *testing.T) {
	h := newShop(t)
	events := &eventStream{t: t, store: h.store, opened: make(chan *connection, 1)}
	mux := http.NewServeMux()
	mux.Handle("/", h.routes())
	mux.HandleFunc("GET /events/list", func(w http.ResponseWriter, r *http.Request) {
		if _, err := h.store.who(r.Context(), h.cookies.session(r)); err != nil {
			http.Error(w, `{"error":"unauthenticated"}`, http.StatusUnauthorized)
			return
		}
		events.ServeHTTP(w, r)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	p := &pageTest{T: t, shop: h, events: events, tab: openBrowser(t)}
	t.Cleanup(func() {
		if p.c != nil {
			p.c.end()
		}
	})
	p.do(chromedp.Navigate(server.URL + "/list"))
	p.waitText("line-text", "not signed in")

	p.do(chromedp.Click(`[data-name=Ada]`))
	p.beginList(`{"user_id":1,"id":1,"item":"figs","done":true}`, `{"user_id":1,"id":2,"item":"honey","done":false}`)
	p.waitText("whose", "Ada’s shopping list")
	p.wait(`document.querySelectorAll('#items .done').length === 1`)
	p.do(chromedp.SendKeys(`#add input`, "tea\r"))
	p.waitFor("tea on the list in the database", func() bool { return list(t, h, "Ada") == "figs✓ honey goat cheese tea" })
	p.c.frames <- "id: 0/10.0.aaaaaa\nevent: insert\ndata: {\"channel\":\"list\",\"op\":\"insert\",\"key\":{\"user_id\":1,\"id\":7},\"row\":{\"user_id\":1,\"id\":7,\"item\":\"tea\",\"done\":false}}\n\n"
	p.waitText("items", "tea")
	p.waitText("log", "list #7")

	// A logout deletes the row; what ends the page's list is the stream alone.
	p.do(chromedp.Click(`#logout`))
	p.waitFor("no session in the database", func() bool { return p.sessions("Ada") == 0 })
	if state := eval[string](p, `document.body.dataset.state`); state != "live" {
		t.Errorf("the page is %q before the stream has ended", state)
	}
	p.c.frames <- "event: end\ndata: {\"reason\":\"signed_out\"}\n\n"
	p.waitText("line-text", "signed out: the stream has ended, ")
	p.wait(`document.getElementById('items').children.length + document.getElementById('log').children.length === 0`)
	p.c.end()
	p.wait(`document.querySelector('.outside').offsetHeight > 0`)

	p.do(chromedp.SendKeys(`[name=name]`, "grace"), chromedp.SendKeys(`[name=password]`, "hopper\r"))
	p.beginList(`{"user_id":2,"id":4,"item":"sourdough","done":true}`)
	p.waitText("whose", "Grace’s shopping list")

	// The application gives the session a new id: the stream ends, and the browser comes
	// back with the new cookie.
	p.do(chromedp.Evaluate[chromedp.Void](`fetch('/login', {method: 'POST', body: new URLSearchParams({name: 'Ada', password: 'lovelace'})}).then(() => { window.loggedIn = true; })`))
	p.waitFor("Ada's session instead of Grace's", func() bool { return p.sessions("Ada") == 1 && p.sessions("Grace") == 0 })
	p.wait(`window.loggedIn === true`)
	p.c.frames <- "event: end\ndata: {\"reason\":\"signed_out\"}\n\n"
	p.c.end()
	p.waitText("line-text", "signed out")
	back := p.events.next(t) // by itself: the page takes it for a sign, and begins anew
	back.ready(true, "0/10.0.aaaaaa")
	p.beginList(`{"user_id":1,"id":2,"item":"honey","done":false}`)
	back.end()
	p.waitText("whose", "Ada’s shopping list")
	p.waitText("items", "honey")
	noErrors(p)
}

// beginList takes the page's next connection and sends these rows.
func (p *pageTest) beginList(rows ...string) {
	p.Helper()
	p.c = p.events.next(p.T)
	if id := p.c.request.Header.Get("Last-Event-ID"); id != "" {
		p.Errorf("the page begins with Last-Event-ID %q, want none", id)
	}
	p.c.frames <- "event: ready\ndata: {\"resumed\":false,\"channels\":[\"list\"],\"position\":\"0/8\"}\n\n"
	text := ""
	for i, row := range rows {
		if i > 0 {
			text += ","
		}
		text += row
	}
	p.c.frames <- "id: 0/8.0.aaaaaa\nevent: snapshot\ndata: {\"channel\":\"list\",\"rows\":[" + text + "],\"first\":true,\"last\":true}\n\n"
	p.waitText("line-text", "live")
}

// sessions counts a user's in the database.
func (p *pageTest) sessions(user string) (n int) {
	p.Helper()
	err := p.shop.store.pool.QueryRow(p.Context(), `select count(*) from sessions s join users u on u.id = s.user_id where u.name = $1`, user).Scan(&n)
	if err != nil {
		p.Fatal(err)
	}
	return n
}
