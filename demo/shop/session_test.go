package shop

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// browser calls the shop as a browser does: with the cookies that it was given.
type browser struct {
	*testing.T
	shop   *handler
	cookie *http.Cookie
}

func (b *browser) call(method, path string, fields url.Values) (int, string) {
	b.Helper()
	r := httptest.NewRequestWithContext(b.Context(), method, path, strings.NewReader(fields.Encode()))
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if b.cookie != nil {
		r.AddCookie(b.cookie)
	}
	w := httptest.NewRecorder()
	b.shop.routes().ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if b.cookie = c; c.MaxAge < 0 {
			b.cookie = nil
		}
	}
	return w.Code, w.Body.String()
}

func (b *browser) login(name, password string) int {
	b.Helper()
	status, _ := b.call("POST", "/login", url.Values{"name": {name}, "password": {password}})
	return status
}

// me is the name of the user, empty for nobody.
func (b *browser) me() string {
	b.Helper()
	status, body := b.call("GET", "/api/me", nil)
	var u user
	if err := json.Unmarshal([]byte(body), &u); err != nil || (status != 200) != (u.Name == "") {
		b.Fatalf("/api/me: %d %s (%v)", status, body, err)
	}
	return u.Name
}

func TestSessions(t *testing.T) {
	h := newShop(t)
	ada, second, grace := &browser{T: t, shop: h}, &browser{T: t, shop: h}, &browser{T: t, shop: h}
	if status := ada.login("Ada", "hopper"); status != 401 || ada.cookie != nil {
		t.Errorf("a wrong password: %d, cookie %v", status, ada.cookie)
	}
	if status := ada.login("A\x00da", "lovelace"); status != 401 {
		t.Errorf("a name that is no text: %d", status)
	}
	if ada.login("ada", "lovelace") != 200 || second.login("Ada", "lovelace") != 200 || grace.login("Grace", "hopper") != 200 {
		t.Fatal("right passwords are refused")
	}
	if got := ada.me() + " " + second.me() + " " + grace.me(); got != "Ada Ada Grace" {
		t.Errorf("signed in: %q", got)
	}
	former := *ada.cookie
	ada.call("POST", "/logout", nil)
	again := &browser{T: t, shop: h, cookie: &former}
	if ada.cookie != nil || again.me() != "" || second.me() != "Ada" {
		t.Errorf("after logout: cookie %v, with its copy %q, elsewhere %q", ada.cookie, again.me(), second.me())
	}
	ada.login("Ada", "lovelace")
	ada.call("POST", "/logout?everywhere=true", nil)
	if second.me() != "" || grace.me() != "Grace" {
		t.Errorf("after logout everywhere: Ada's other session %q, Grace %q", second.me(), grace.me())
	}
	former = *grace.cookie
	grace.login("Ada", "lovelace")
	if again := (&browser{T: t, shop: h, cookie: &former}); again.me() != "" {
		t.Error("a login leaves the session that was there before")
	}
	if _, err := h.store.pool.Exec(t.Context(), `update sessions set expires_at = now()`); err != nil {
		t.Fatal(err)
	}
	if grace.me() != "" {
		t.Error("an expired session is good")
	}
}

// TestCookies shows cookies that the shop has not made.
func TestCookies(t *testing.T) {
	c := cookies{[]byte("right")}
	mac := c.mac("id")
	for name, v := range map[string]struct{ value, want string }{
		"good":         {"s:id." + mac, "id"},
		"other secret": {"s:id." + cookies{[]byte("wrong")}.mac("id"), ""},
		"other id":     {"s:di." + mac, ""},
		"unsigned":     {"s:id", ""},
		"empty":        {"", ""},
		"no text":      {"%zz", ""},
	} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		if name != "no text" {
			v.value = url.QueryEscape(v.value)
		}
		r.AddCookie(&http.Cookie{Name: sessionCookie, Value: v.value})
		if got := c.session(r); got != v.want {
			t.Errorf("%s: session %q, want %q", name, got, v.want)
		}
	}
}

func TestLists(t *testing.T) {
	h := newShop(t)
	ada, grace := &browser{T: t, shop: h}, &browser{T: t, shop: h}
	ada.login("Ada", "lovelace")
	grace.login("Grace", "hopper")
	for _, s := range []struct {
		who          *browser
		method, path string
		item         string
		status       int
		grace        string // her list after it
	}{
		{grace, "POST", "/list", "", 400, "sourdough✓ olives cider"},
		{grace, "POST", "/list", strings.Repeat("x", 61), 400, "sourdough✓ olives cider"},
		{grace, "POST", "/list", "tea", 200, "sourdough✓ olives cider tea"},
		{grace, "POST", "/list/5/toggle", "", 200, "sourdough✓ olives✓ cider tea"},
		{grace, "POST", "/list/5/toggle", "", 200, "sourdough✓ olives cider tea"},
		{grace, "DELETE", "/list/6", "", 200, "sourdough✓ olives tea"},
		{grace, "DELETE", "/list/6", "", 404, "sourdough✓ olives tea"},
		{grace, "DELETE", "/list/x", "", 400, "sourdough✓ olives tea"},
		{ada, "POST", "/list/5/toggle", "", 404, "sourdough✓ olives tea"},
		{ada, "DELETE", "/list/5", "", 404, "sourdough✓ olives tea"},
		{&browser{T: t, shop: h}, "DELETE", "/list/5", "", 401, "sourdough✓ olives tea"},
		{&browser{T: t, shop: h}, "POST", "/list", "tea", 401, "sourdough✓ olives tea"},
	} {
		if status, body := s.who.call(s.method, s.path, url.Values{"item": {s.item}}); status != s.status {
			t.Errorf("%s %s %q: %d %s, want %d", s.method, s.path, s.item, status, body, s.status)
		}
		if got := list(t, h, "Grace"); got != s.grace {
			t.Errorf("%s %s %q: Grace's list is %q, want %q", s.method, s.path, s.item, got, s.grace)
		}
	}
	for range maxItems {
		grace.call("POST", "/list", url.Values{"item": {"more"}})
	}
	if got := strings.Count(list(t, h, "Grace"), " ") + 1; got != maxItems {
		t.Errorf("the list has %d items, want %d at the most", got, maxItems)
	}
}

// list is somebody's list in one line.
func list(t *testing.T, h *handler, name string) (items string) {
	t.Helper()
	err := h.store.pool.QueryRow(t.Context(), `select coalesce(string_agg(item || case when done then '✓' else '' end, ' ' order by i.id), '')
		from list_items i join users u on u.id = i.user_id where u.name = $1`, name).Scan(&items)
	if err != nil {
		t.Fatal(err)
	}
	return items
}

// TestShelve lets the business work on the lists alone.
func TestShelve(t *testing.T) {
	h := newShop(t)
	for range 200 {
		if err := h.business.shelve(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var items, last int
	if err := h.store.pool.QueryRow(t.Context(), `select count(*), max(id) from list_items`).Scan(&items, &last); err != nil {
		t.Fatal(err)
	}
	if items > 2*fewItems || last < 20 {
		t.Errorf("after 200 steps: %d items, the last has number %d", items, last)
	}
}
