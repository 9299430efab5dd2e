package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// browserFlags keep Chromium from doing anything but showing the page: no
// sandbox (it refuses one as root), nothing sent or fetched on its own.
var browserFlags = []chromedp.ExecAllocatorOption{
	chromedp.Flag("headless", true),
	chromedp.Flag("no-sandbox", true),
	chromedp.Flag("disable-gpu", true),
	chromedp.Flag("disable-quic", true),
	chromedp.Flag("no-first-run", true),
	chromedp.Flag("disable-background-networking", true),
	chromedp.Flag("disable-component-update", true),
	chromedp.Flag("disable-sync", true),
}

// openBrowser starts a Chromium with a profile of its own and gives the context
// of its tab for chromedp.Run. It ends with the test.
func openBrowser(t testing.TB) context.Context {
	t.Helper()
	path, err := findBrowser()
	if err != nil {
		t.Fatal(err)
	}
	profile := tempDir(t)
	options := append([]chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path),
		chromedp.UserDataDir(profile),
		chromedp.Env("TMPDIR=" + profile), // for its sockets
		chromedp.WSURLReadTimeout(patience),
	}, browserFlags...)
	// Not the test's context: chromedp would end the browser before the cleanup.
	allocator, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	tab, closeTab := chromedp.NewContext(allocator, chromedp.WithErrorf(t.Logf))
	t.Cleanup(func() {
		if err := chromedp.Cancel(tab); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("close Chromium: %v", err)
		}
		closeTab()
		stop()
	})
	// The browser lives as long as the context of this first call, so that has no
	// timeout; the allocator has one (WSURLReadTimeout).
	if err := chromedp.Do(tab); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return tab
}

func findBrowser() (string, error) {
	if path := os.Getenv("WALRELAY_TEST_CHROMIUM"); path != "" {
		return path, nil
	}
	for _, name := range []string{
		"chromium", "chromium-browser", "google-chrome-stable", "google-chrome",
		"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
		"/Applications/Chromium.app/Contents/MacOS/Chromium",
	} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	hint := "sudo apt-get install chromium"
	if runtime.GOOS == "darwin" {
		hint = "brew install --cask chromium"
	}
	return "", fmt.Errorf("no Chromium or Chrome on this machine; install one with `%s`, or set WALRELAY_TEST_CHROMIUM to its path", hint)
}

// browse runs chromedp actions and fails the test if they do not succeed in
// time.
func browse(t testing.TB, tab context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(tab, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatalf("browser: %v", err)
	}
}

// evalJS is the value of a JavaScript expression in the page.
func evalJS[T any](t testing.TB, tab context.Context, expression string) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(tab, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("browser: evaluate %s: %v", expression, err)
	}
	return value
}

// waitJS waits until a JavaScript expression is true. The page must stay the same
// meanwhile.
func waitJS(t testing.TB, tab context.Context, expression string) {
	t.Helper()
	browse(t, tab, chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(patience)))
}
