package integration

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestDemoLogin is `walrelay demo` in Chromium: two users side by side under two names of
// this machine, each with their own rows, and a logout that every tab of the session sees.
func TestDemoLogin(t *testing.T) {
	t.Parallel()
	address := startDemo(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	here, beside := "http://localhost:"+port+"/list", "http://127.0.0.1:"+port+"/list"
	ada := openBrowser(t)
	ada2, grace := newTab(t, ada), newTab(t, ada)

	openList(t, ada, here, "not signed in")
	signIn(t, ada, "Ada")
	openList(t, ada2, here, "live")
	openList(t, grace, beside, "not signed in")
	signIn(t, grace, "Grace")

	addToList(t, ada, "only for Ada")
	waitJS(t, ada2, onList("only for Ada"))
	// It comes after it in commit order, so that whoever was to get both has the other by now.
	addToList(t, grace, "only for Grace")
	if got := evalJS[bool](t, grace, onList("only for Ada")); got {
		t.Error("Grace got a row of Ada's")
	}
	addToList(t, ada, "after it")
	if got := evalJS[bool](t, ada, onList("only for Grace")); got {
		t.Error("Ada got a row of Grace's")
	}

	browse(t, ada, chromedp.Click("#logout"))
	for _, tab := range []context.Context{ada, ada2} {
		waitList(t, tab, "signed out: the stream has ended")
		if n := evalJS[int](t, tab, `document.querySelectorAll('#items li, #log li').length`); n != 0 {
			t.Errorf("%d rows are left on the page after the logout", n)
		}
	}
	addToList(t, grace, "still here")

	// The stream of a tab that was left is closed for good; the one who signs in again has
	// all rows.
	signIn(t, ada, "Ada")
	waitJS(t, ada, onList("only for Ada"))
	waitList(t, ada2, "signed out")
}

// startDemo starts `walrelay demo`, with its business standing still, and gives the
// address of its page.
func startDemo(t *testing.T) (address string) {
	t.Helper()
	address = freeAddress(t)
	demo := startProcess(t, (&relay{}).command(t, "demo", "--listen", address))
	t.Cleanup(func() {
		demo.signal(t, syscall.SIGTERM)
		if end := demo.wait(t); end.code != 0 && !t.Failed() {
			t.Errorf("the demo ended with status %d:\n%s%s", end.code, end.stdout, end.stderr)
		}
	})
	eventually(t, func() string {
		select {
		case <-demo.done:
			t.Fatalf("the demo has ended: %s%s", demo.stdout, demo.stderr)
		default:
		}
		resp, err := client.Get("http://" + address + "/events/list")
		if err != nil {
			return err.Error()
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			return fmt.Sprintf("/events/list answers %s to nobody, want 401", resp.Status)
		}
		return ""
	})
	if got := ask(t, "POST", "http://"+address+"/business?run=false", nil); got.status != 200 {
		t.Fatalf("stop the business: %d %s", got.status, got.body)
	}
	return address
}

// openList shows the page of the shopping list and waits for what it says of itself.
func openList(t *testing.T, tab context.Context, url, says string) {
	t.Helper()
	browse(t, tab, chromedp.Navigate(url))
	waitList(t, tab, says)
}

func waitList(t *testing.T, tab context.Context, says string) {
	t.Helper()
	waitJS(t, tab, fmt.Sprintf(`document.getElementById('line-text').textContent.startsWith(%q)`, says))
}

// signIn presses a user's button and waits for the list.
func signIn(t *testing.T, tab context.Context, name string) {
	t.Helper()
	browse(t, tab, chromedp.Click("[data-name="+name+"]"))
	waitList(t, tab, "live")
	waitJS(t, tab, fmt.Sprintf(`document.getElementById('whose').textContent.startsWith(%q)`, name))
}

// addToList adds an item on the page and waits until the stream has brought it.
func addToList(t *testing.T, tab context.Context, item string) {
	t.Helper()
	browse(t, tab, chromedp.SendKeys("#add input", item+"\r"))
	waitJS(t, tab, onList(item))
}

// onList is true when an item is on the page's list.
func onList(item string) string {
	return fmt.Sprintf(`[...document.querySelectorAll('#items .tick')].some((e) => e.textContent === %q)`, item)
}
