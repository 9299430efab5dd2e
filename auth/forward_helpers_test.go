package auth

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/walrelay/walrelay/filter"
)

// logged is a log that tests read. Safe for concurrent use.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// declareClaims makes claims of "name type".
func declareClaims(tb testing.TB, claims ...string) []filter.Claim {
	tb.Helper()
	var out []filter.Claim
	for _, c := range claims {
		name, typ, _ := strings.Cut(c, " ")
		parsed, err := filter.ParseType(typ)
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, filter.Claim{Name: name, Type: parsed})
	}
	return out
}

// forwardDeclared are what the entries of these tests may claim.
func forwardDeclared(tb testing.TB) []filter.Claim {
	return declareClaims(tb, "id bigint", "name text", "org bigint", "roles text[]", "teams bigint[]", "staff bool", "flags bool[]")
}

// application is a server that answers every question with f and remembers the questions.
type application struct {
	*httptest.Server
	mu        sync.Mutex
	questions []*http.Request
}

func serveApplication(tb testing.TB, f http.HandlerFunc) *application {
	tb.Helper()
	a := &application{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		a.questions = append(a.questions, r.Clone(r.Context()))
		a.mu.Unlock()
		f(w, r)
	}))
	tb.Cleanup(a.Close)
	return a
}

func (a *application) asked() []*http.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]*http.Request(nil), a.questions...)
}

// forwardTo makes the forward of an entry that asks at.
func forwardTo(tb testing.TB, at string, e ForwardEntry) *forward {
	tb.Helper()
	var err error
	if e.URL, err = url.Parse(at); err != nil {
		tb.Fatal(err)
	}
	if e.Cookies == nil {
		e.Cookies = []string{"sid"}
	}
	f, err := newForward("auth.0", &e, forwardDeclared(tb))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(f.close)
	return f
}

// visit is a request with a Cookie header.
func visit(cookies string) *http.Request {
	r := httptest.NewRequest("GET", "http://relay/events/orders?channel=orders", nil)
	if cookies != "" {
		r.Header.Set("Cookie", cookies)
	}
	return r
}

// objectOf reads claims with their digits.
func objectOf(tb testing.TB, text []byte) map[string]any {
	tb.Helper()
	if text == nil {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var out map[string]any
	if err := dec.Decode(&out); err != nil {
		tb.Fatalf("claims %q: %v", text, err)
	}
	return out
}
