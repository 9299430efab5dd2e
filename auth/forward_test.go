package auth

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/walrelay/walrelay/filter"
)

// outcomeOf is what an answer comes to: "", no session, forbidden, not ready.
func outcomeOf(err error) string {
	var notReady *NotReadyError
	switch {
	case err == nil:
		return ""
	case errors.Is(err, ErrNoSession):
		return "no session"
	case errors.Is(err, ErrForbidden):
		return "forbidden"
	case errors.As(err, &notReady):
		return "not ready"
	}
	return err.Error()
}

func TestForwardAnswers(t *testing.T) {
	t.Parallel()
	paths := ForwardEntry{User: "user.id", Claims: ClaimSource{Paths: map[string]string{"id": "user.id", "org": "user.org.id", "roles": "user.roles", "teams": "user.teams"}}}
	headers := ForwardEntry{Claims: ClaimSource{Headers: map[string]string{"name": "remote-user", "roles": "Remote-Groups", "staff": "X-Staff", "flags": "X-Flags", "id": "X-Id"}}}
	bare := ForwardEntry{User: "id"}
	number := json.Number("9007199254740993")
	type header = map[string][]string
	for name, c := range map[string]struct {
		entry  ForwardEntry
		status int
		header header
		body   string
		want   string // the outcome
		user   string
		claims map[string]any
	}{
		"an object": {entry: paths, status: 200, body: `{"user":{"id":42,"org":{"id":7},"roles":["admin"],"teams":[1,2]}}`, user: "42",
			claims: map[string]any{"id": json.Number("42"), "org": json.Number("7"), "roles": []any{"admin"}, "teams": []any{json.Number("1"), json.Number("2")}}},
		"accepted":               {entry: bare, status: 202, body: `{"id":"a"}`, user: "a", claims: map[string]any{"id": "a"}},
		"digits of the user":     {entry: bare, status: 200, body: `{"id":9007199254740993}`, user: "9007199254740993", claims: map[string]any{"id": number}},
		"digits of claims":       {entry: paths, status: 200, body: `{"user":{"id":"x","org":{"id":12345678901234567890.50}}}`, user: "x", claims: map[string]any{"id": "x", "org": json.Number("12345678901234567890.50")}},
		"null claims":            {entry: paths, status: 200, body: `{"user":{"id":1,"org":null}}`, user: "1", claims: map[string]any{"id": json.Number("1")}},
		"blanks":                 {entry: bare, status: 200, body: " \n{\"id\":\"a\"}\n ", user: "a", claims: map[string]any{"id": "a"}},
		"Auth.js without user":   {entry: paths, status: 200, body: `{}`, want: "no session"},
		"better-auth's null":     {entry: paths, status: 200, body: `null`, want: "no session"},
		"a null user":            {entry: paths, status: 200, body: `{"user":null}`, want: "no session"},
		"a null id":              {entry: paths, status: 200, body: `{"user":{"id":null}}`, want: "no session"},
		"an empty id":            {entry: paths, status: 200, body: `{"user":{"id":""}}`, want: "no session"},
		"false":                  {entry: paths, status: 200, body: `{"user":false}`, want: "no session"},
		"an id of false":         {entry: paths, status: 200, body: `{"user":{"id":false}}`, want: "no session"},
		"nothing at all":         {entry: paths, status: 200, want: "no session"},
		"a list":                 {entry: paths, status: 200, body: `[]`, want: "no session"},
		"an object for a user":   {entry: ForwardEntry{User: "user"}, status: 200, body: `{"user":{"id":1}}`, want: "not ready"},
		"true for a user":        {entry: ForwardEntry{User: "user"}, status: 200, body: `{"user":true}`, want: "not ready"},
		"a page":                 {entry: paths, status: 200, body: `<!doctype html><html>`, want: "not ready"},
		"cut short":              {entry: paths, status: 200, body: `{"user":{"id":1}`, want: "not ready"},
		"two values":             {entry: paths, status: 200, body: `{"user":{"id":1}}{"user":{"id":2}}`, want: "not ready"},
		"not UTF-8":              {entry: paths, status: 200, body: "{\"user\":{\"id\":\"a\xff\"}}", want: "not ready"},
		"compressed":             {entry: paths, status: 200, header: header{"Content-Encoding": {"br"}}, body: `{"user":{"id":1}}`, want: "not ready"},
		"coded as identity":      {entry: bare, status: 200, header: header{"Content-Encoding": {"identity"}}, body: `{"id":"a"}`, user: "a", claims: map[string]any{"id": "a"}},
		"long, of blanks":        {entry: bare, status: 200, body: `{"id":"a"}` + strings.Repeat(" ", maxAnswer), want: "not ready"},
		"a name like a boolean":  {entry: headers, status: 200, header: header{"Remote-User": {"true"}}, user: `{"name":"true"}`, claims: map[string]any{"name": "true"}},
		"no content":             {entry: paths, status: 204, want: "not ready"},
		"created":                {entry: bare, status: 201, body: `{"id":1}`, want: "not ready"},
		"partial":                {entry: bare, status: 206, body: `{"id":1}`, want: "not ready"},
		"moved":                  {entry: bare, status: 301, header: header{"Location": {"/login"}}, body: `{"id":1}`, want: "no session"},
		"found":                  {entry: bare, status: 302, header: header{"Location": {"/login"}}, want: "no session"},
		"redirect without place": {entry: bare, status: 307, body: `{"id":1}`, want: "no session"},
		"unauthorized":           {entry: bare, status: 401, body: `{"id":1}`, want: "no session"},
		"forbidden":              {entry: bare, status: 403, body: `{"id":1}`, want: "forbidden"},
		"bad request":            {entry: bare, status: 400, body: `{"id":1}`, want: "not ready"},
		"not found":              {entry: bare, status: 404, body: `{"id":1}`, want: "not ready"},
		"wrong method":           {entry: bare, status: 405, want: "not ready"},
		"proxy":                  {entry: bare, status: 407, want: "not ready"},
		"too many":               {entry: bare, status: 429, want: "not ready"},
		"broken":                 {entry: bare, status: 500, body: `{"id":1}`, want: "not ready"},
		"bad gateway":            {entry: bare, status: 502, want: "not ready"},
		"unavailable":            {entry: bare, status: 503, want: "not ready"},
		"headers": {entry: headers, status: 202, header: header{"Remote-User": {"ann"}, "Remote-Groups": {"a, b ,,c"}, "X-Staff": {"true"}, "X-Flags": {"true,false", "maybe"}},
			user:   `{"flags":[true,false,"maybe"],"name":"ann","roles":["a","b","c"],"staff":true}`,
			claims: map[string]any{"name": "ann", "roles": []any{"a", "b", "c"}, "staff": true, "flags": []any{true, false, "maybe"}}},
		"headers with a user":     {entry: headers, status: 200, header: header{"X-Id": {"42"}}, body: "<html>", user: "42", claims: map[string]any{"id": "42"}},
		"no groups":               {entry: headers, status: 200, header: header{"Remote-User": {"ann"}, "Remote-Groups": {""}}, user: `{"name":"ann","roles":[]}`, claims: map[string]any{"name": "ann", "roles": []any{}}},
		"not a boolean":           {entry: headers, status: 200, header: header{"Remote-User": {"ann"}, "X-Staff": {"yes"}}, user: `{"name":"ann","staff":"yes"}`, claims: map[string]any{"name": "ann", "staff": "yes"}},
		"none of the headers":     {entry: headers, status: 202, header: header{"X-Other": {"ann"}}, want: "no session"},
		"an empty header":         {entry: headers, status: 200, header: header{"Remote-User": {""}}, want: "no session"},
		"a header twice":          {entry: headers, status: 200, header: header{"Remote-User": {"ann", "bob"}}, want: "not ready"},
		"a header of other bytes": {entry: headers, status: 200, header: header{"Remote-User": {"\xe4nn"}}, want: "not ready"},
		"headers unauthorized":    {entry: headers, status: 401, header: header{"Remote-User": {"ann"}}, want: "no session"},
		"a path and headers": {entry: ForwardEntry{User: "identity.id", Claims: ClaimSource{Headers: map[string]string{"id": "X-Kratos-Authenticated-Identity-Id"}}},
			status: 200, header: header{"X-Kratos-Authenticated-Identity-Id": {"9"}}, body: `{"identity":{"id":"9"}}`, user: "9", claims: map[string]any{"id": "9"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := serveApplication(t, func(w http.ResponseWriter, r *http.Request) {
				maps.Copy(w.Header(), c.header)
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			got, err := forwardTo(t, app.URL+"/api/me", c.entry).ask(t.Context(), visit("sid=a"), Client{})
			if outcomeOf(err) != c.want {
				t.Fatalf("%v, want %q", err, c.want)
			}
			if diff := cmp.Diff(c.claims, objectOf(t, got.claims)); diff != "" || got.user != c.user {
				t.Errorf("user %q, want %q; claims:\n%s", got.user, c.user, diff)
			}
			if len(app.asked()) != 1 {
				t.Errorf("asked %d times", len(app.asked()))
			}
		})
	}
}

// What is read from an answer is what rules read.
func TestForwardClaimsAreClaims(t *testing.T) {
	t.Parallel()
	app := serveApplication(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Remote-Groups"] = []string{"7,8"}
		w.Header().Set("X-Staff", "false")
		w.Header().Set("X-Id", "9223372036854775807")
	})
	f := forwardTo(t, app.URL, ForwardEntry{Claims: ClaimSource{Headers: map[string]string{"teams": "Remote-Groups", "staff": "X-Staff", "id": "X-Id"}}})
	got, err := f.ask(t.Context(), visit("sid=a"), Client{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := filter.ParseClaims(forwardDeclared(t), got.claims); err != nil || got.user != "9223372036854775807" {
		t.Errorf("user %q, claims %s: %v", got.user, got.claims, err)
	}
}

// Nothing of the request travels but what the entry names.
func TestForwardSendsWhatIsNamed(t *testing.T) {
	t.Parallel()
	app := serveApplication(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"id":1}`) })
	full := func() *http.Request {
		r := httptest.NewRequest("POST", "http://relay/events/orders?access_token=x", strings.NewReader("body"))
		r.Header = http.Header{
			"Cookie":     {`theme=dark; sid="a%20b"; SID=no; sid=c; xsid=no; sid.0=d; sid.x=no; sid`, "\tsid = e ;__Host-sid=no; sid="},
			"User-Agent": {"Mozilla/5.0"}, "Authorization": {"Bearer  tok.en"}, "Referer": {"http://x"}, "Origin": {"http://x"}, "X-Forwarded-For": {"6.6.6.6"},
			"X-Forwarded-User": {"admin"}, "Remote-User": {"admin"}, "Accept": {"text/event-stream"}, "Accept-Encoding": {"gzip"}, "Last-Event-Id": {"7"}, "Forwarded": {"for=6.6.6.6"},
		}
		return r
	}
	client := Client{IP: "2001:db8::1", Scheme: "https", Host: "shop.example"}
	common := http.Header{"Accept": {"application/json"}, "Accept-Encoding": {"identity"}, "User-Agent": {"Mozilla/5.0"},
		"X-Forwarded-For": {"2001:db8::1"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"shop.example"}}
	with := func(name, value string) http.Header {
		h := common.Clone()
		h[name] = []string{value}
		return h
	}
	cookies := `sid="a%20b"; sid=c; sid.0=d; sid = e; sid=`
	both := with("Cookie", cookies)
	both["Authorization"] = []string{"Bearer  tok.en"}
	for name, c := range map[string]struct {
		entry  ForwardEntry
		change func(*http.Request)
		client Client
		want   http.Header
	}{
		"cookies":       {entry: ForwardEntry{}, client: client, want: with("Cookie", cookies)},
		"other cookies": {entry: ForwardEntry{Cookies: []string{"none", "theme"}}, client: client, want: with("Cookie", "theme=dark")},
		"token":         {entry: ForwardEntry{Cookies: []string{}, Bearer: true}, client: client, want: with("Authorization", "Bearer  tok.en")},
		"both":          {entry: ForwardEntry{Bearer: true}, client: client, want: both},
		"another scheme": {entry: ForwardEntry{Bearer: true}, client: client, want: with("Cookie", cookies),
			change: func(r *http.Request) { r.Header.Set("Authorization", "Basic Zm9vOmJhcg==") }},
		"nobody known": {entry: ForwardEntry{}, change: func(r *http.Request) { r.Header.Del("User-Agent") },
			want: http.Header{"Accept": {"application/json"}, "Accept-Encoding": {"identity"}, "User-Agent": {"walrelay"}, "Cookie": {cookies}}},
	} {
		c.entry.User = "id"
		f := forwardTo(t, app.URL+"/api/me?who=1", c.entry)
		r := full()
		if c.change != nil {
			c.change(r)
		}
		if _, err := f.ask(t.Context(), r, c.client); err != nil {
			t.Fatal(name, err)
		}
		asked := app.asked()
		got := asked[len(asked)-1]
		if diff := cmp.Diff(c.want, got.Header); diff != "" || got.Method != "GET" || got.RequestURI != "/api/me?who=1" || got.ContentLength != 0 || "http://"+got.Host != app.URL {
			t.Errorf("%s: %s %s of %s with %d bytes; header:\n%s", name, got.Method, got.RequestURI, got.Host, got.ContentLength, diff)
		}
	}
}

func TestForwardPresence(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		entry          ForwardEntry
		cookies, token string
		want           bool
	}{
		"nothing":            {entry: ForwardEntry{Bearer: true}},
		"the cookie":         {cookies: "a=b; sid=x", want: true},
		"an empty cookie":    {cookies: "sid=", want: true},
		"a chunk":            {cookies: "sid.0=x", want: true},
		"another name":       {cookies: "sid2=x; SID=x; sid.json=x; __Host-sid=x"},
		"any of two":         {entry: ForwardEntry{Cookies: []string{"other", "sid"}}, cookies: "sid=x", want: true},
		"a token":            {entry: ForwardEntry{Bearer: true}, token: "bearer x", want: true},
		"a token not wanted": {token: "Bearer x"},
		"another scheme":     {entry: ForwardEntry{Bearer: true}, token: "Basic x"},
		"a bad token":        {entry: ForwardEntry{Bearer: true}, token: "Bearer x y", want: true},
	} {
		c.entry.User = "id"
		r := visit(c.cookies)
		if c.token != "" {
			r.Header.Set("Authorization", c.token)
		}
		j, err := parseCookies(r.Header["Cookie"])
		if err != nil {
			t.Fatal(err)
		}
		if got := forwardTo(t, "http://127.0.0.1:1", c.entry).present(j, r.Header); got != c.want {
			t.Errorf("%s: present is %v", name, got)
		}
	}
}

// What the application need not be asked about.
func TestForwardRefusesWithoutAsking(t *testing.T) {
	t.Parallel()
	app := serveApplication(t, func(http.ResponseWriter, *http.Request) {})
	f := forwardTo(t, app.URL, ForwardEntry{User: "id", Bearer: true})
	twice := visit("")
	twice.Header["Authorization"] = []string{"Bearer a", "Bearer b"}
	if _, err := f.ask(t.Context(), twice, Client{}); !refusedAs(err, Malformed) {
		t.Errorf("two Authorization headers: %v", err)
	}
	if _, err := f.ask(t.Context(), visit("sid="+strings.Repeat("a", maxCookieHeader)), Client{}); !refusedAs(err, TooLarge) {
		t.Errorf("a huge cookie: %v", err)
	}
	if n := len(app.asked()); n > 0 {
		t.Errorf("asked %d times", n)
	}
}

// A redirect, whoever it leads to, is the end: the cookies go nowhere else.
func TestForwardFollowsNobody(t *testing.T) {
	t.Parallel()
	elsewhere := serveApplication(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"id":1}`) })
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, to := range []string{elsewhere.URL + "/api/me", "/api/you", "//" + strings.TrimPrefix(elsewhere.URL, "http://")} {
			app := serveApplication(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/api/me" {
					_, _ = io.WriteString(w, `{"id":1}`)
					return
				}
				w.Header().Set("Location", to)
				w.WriteHeader(status)
			})
			var log logged
			f := forwardTo(t, app.URL+"/api/me", ForwardEntry{User: "id"})
			f.log = log.logger()
			for range 3 {
				if _, err := f.ask(t.Context(), visit("sid=a"), Client{}); !errors.Is(err, ErrNoSession) {
					t.Errorf("%d to %s: %v", status, to, err)
				}
			}
			if n := len(app.asked()); n != 3 {
				t.Errorf("%d to %s: asked %d times", status, to, n)
			}
			if n := strings.Count(log.String(), "the answer is a redirect"); n != 1 {
				t.Errorf("the log tells of redirects %d times: %s", n, &log)
			}
		}
	}
	if n := len(elsewhere.asked()); n > 0 {
		t.Errorf("another host was asked %d times", n)
	}
}

var zeroes = make([]byte, 32<<10)

// hostileAnswers are answers that are worse than wrong. All of them hold the word "poison".
var hostileAnswers = map[string]func(w http.ResponseWriter, r *http.Request){
	"endless": func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, `{"poison":"`+strings.Repeat("poison", 10<<10)+`"},`); err != nil {
				return
			}
		}
	},
	"too long": func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"id":1,"x":"poison`+strings.Repeat(" ", maxAnswer)+`"}`)
	},
	"deep": func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"id":1,"poison":`+strings.Repeat("[", 30000)+strings.Repeat("]", 30000)+`}`)
	},
	"wide": func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"id":1,"poison":[`+strings.Repeat("0,", 20000)+`0]}`)
	},
	"gzip bomb": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, `{"id":1,"x":"poison`)
		for range 20 {
			_, _ = z.Write(zeroes)
		}
		_ = z.Close()
	},
	"slow header": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	"slow body": func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"id":1,"poison":`)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	},
	"cut off": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"id":1,"x":"poison"}`)
	},
	"no HTTP":         rawAnswer("poison poison poison\r\n\r\n"),
	"no status":       rawAnswer("HTTP/1.1 poison\r\n\r\n"),
	"wrong header":    rawAnswer("HTTP/1.1 200 OK\r\npoison\r\n\r\n{\"id\":1}"),
	"two lengths":     rawAnswer("HTTP/1.1 200 OK\r\nContent-Length: 8\r\nContent-Length: 6\r\nX: poison\r\n\r\n{\"id\":1}"),
	"wrong length":    rawAnswer("HTTP/1.1 200 OK\r\nContent-Length: poison\r\n\r\n{\"id\":1}"),
	"wrong chunk":     rawAnswer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\npoison\r\n{\"id\":1}"),
	"long header":     rawAnswer("HTTP/1.1 200 OK\r\nX: poison" + strings.Repeat("x", maxAnswerHeader) + "\r\n\r\n{\"id\":1}"),
	"closed at once":  rawAnswer(""),
	"other protocol":  rawAnswer("HTTP/1.1 101 poison\r\nUpgrade: poison\r\nConnection: upgrade\r\n\r\n{\"id\":1}"),
	"endless interim": rawAnswer(strings.Repeat("HTTP/1.1 103 poison\r\n\r\n", 5000) + "HTTP/1.1 200 OK\r\n\r\n{\"id\":1}"),
}

// rawAnswer writes text to the connection, and that is all.
func rawAnswer(text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, text)
		_ = conn.Close()
	}
}

// Hostile answers sign nobody in and nobody out, and nothing of them is shown.
func TestForwardHostileAnswers(t *testing.T) {
	t.Parallel()
	for name, h := range hostileAnswers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log logged
			f := forwardTo(t, serveApplication(t, h).URL+"/api/me?key=poison", ForwardEntry{User: "id", Bearer: true, Timeout: 300 * time.Millisecond})
			f.log = log.logger()
			r := visit("sid=poison")
			r.Header.Set("Authorization", "Bearer poison")
			got, err := f.ask(t.Context(), r, Client{IP: "192.0.2.1"})
			if outcomeOf(err) != "not ready" || got.user != "" || got.claims != nil {
				t.Fatalf("%+v, %v", got, err)
			}
			if strings.Contains(err.Error(), "poison") || strings.Contains(log.String(), "poison") {
				t.Errorf("shown: %v; log: %s", err, &log)
			}
			if !strings.Contains(log.String(), "auth.0.forward: ask http://127.0.0.1:") {
				t.Errorf("the log does not say where: %s", &log)
			}
		})
	}
}

// A body that hangs after a 401 changes nothing.
func TestForwardSlowBodyOfA401(t *testing.T) {
	t.Parallel()
	app := serveApplication(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(401)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	f := forwardTo(t, app.URL, ForwardEntry{User: "id", Timeout: 100 * time.Millisecond})
	if _, err := f.ask(t.Context(), visit("sid=a"), Client{}); !errors.Is(err, ErrNoSession) {
		t.Error(err)
	}
}

// counted is a body without end.
type counted struct{ read int }

func (c *counted) Read(p []byte) (int, error) {
	c.read += len(p)
	return len(p), nil
}

func (c *counted) Close() error { return nil }

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Of an answer that does not end 64 KiB are read, whatever its status.
func TestForwardReadsNoMore(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{200: "not ready", 401: "no session", 500: "not ready"} {
		body := &counted{}
		f := forwardTo(t, "http://127.0.0.1:1", ForwardEntry{User: "id"})
		f.client.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Body: body}, nil
		})
		if _, err := f.ask(t.Context(), visit("sid=a"), Client{}); outcomeOf(err) != want || body.read > maxAnswer+1 {
			t.Errorf("%d: %v after %d bytes", status, err, body.read)
		}
	}
}

func TestForwardWithoutApplication(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := "http://" + l.Addr().String()
	_ = l.Close()
	_, err = forwardTo(t, at, ForwardEntry{User: "id"}).ask(t.Context(), visit("sid=a"), Client{})
	if outcomeOf(err) != "not ready" || !strings.Contains(err.Error(), "connection refused") {
		t.Error(err)
	}
	tls := httptest.NewUnstartedServer(http.NotFoundHandler())
	tls.Config.ErrorLog = slog.NewLogLogger((&logged{}).logger().Handler(), slog.LevelError)
	tls.StartTLS()
	t.Cleanup(tls.Close)
	_, err = forwardTo(t, tls.URL, ForwardEntry{User: "id"}).ask(t.Context(), visit("sid=a"), Client{})
	if outcomeOf(err) != "not ready" || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody knows: %v", err)
	}
}

// A client that goes away says nothing of the application.
func TestForwardClientGone(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	app := serveApplication(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	var log logged
	f := forwardTo(t, app.URL, ForwardEntry{User: "id", Timeout: time.Minute})
	f.log = log.logger()
	if _, err := f.ask(ctx, visit("sid=a"), Client{}); outcomeOf(err) != "not ready" || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if log.String() != "" {
		t.Errorf("logged: %s", &log)
	}
}

// The log hears of a trouble when it begins and when it is over.
func TestForwardTrouble(t *testing.T) {
	t.Parallel()
	var status atomic.Int64
	app := serveApplication(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) })
	var log logged
	f := forwardTo(t, app.URL, ForwardEntry{User: "id"})
	now := time.Unix(1800000000, 0)
	f.log, f.now = log.logger(), func() time.Time { return now }
	for i, step := range []struct {
		status int
		after  time.Duration
		lines  int
	}{
		{401, 0, 0}, {404, 0, 1}, {404, time.Second, 1}, {500, time.Second, 1}, {500, time.Minute, 2}, {500, time.Minute, 2}, {500, 10 * time.Minute, 3},
		{401, 0, 4}, {403, 0, 4}, {500, time.Second, 4}, {401, 0, 4}, {500, time.Minute, 5}, {200, 0, 6},
	} {
		now = now.Add(step.after)
		status.Store(int64(step.status))
		_, _ = f.ask(t.Context(), visit("sid=a"), Client{})
		if n := strings.Count(log.String(), "\n"); n != step.lines {
			t.Fatalf("step %d: %d lines, want %d:\n%s", i, n, step.lines, &log)
		}
	}
}

// An application that is slow is not asked by everybody at once.
func TestForwardConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var open, dials atomic.Int64
		f := forwardTo(t, "http://127.0.0.1:1", ForwardEntry{User: "id"})
		f.client.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			open.Add(1)
			dials.Add(1)
			go func() {
				_, _ = io.Copy(io.Discard, there)
				open.Add(-1)
			}()
			return here, nil
		}
		errs := make(chan error, 3*forwardConns)
		for range cap(errs) {
			go func() {
				_, err := f.ask(t.Context(), visit("sid=a"), Client{})
				errs <- err
			}()
		}
		synctest.Wait()
		if n := dials.Load(); n != forwardConns {
			t.Errorf("%d connections at once, want %d", n, forwardConns)
		}
		for range cap(errs) {
			if err := <-errs; outcomeOf(err) != "not ready" {
				t.Error(err)
			}
		}
		f.close()
		synctest.Wait()
		if n := open.Load(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

func TestForwardSetCookies(t *testing.T) {
	t.Parallel()
	sent := []string{"sid=b; Path=/; HttpOnly", "xsrf=c", "no cookie", "=x", "a=b\tc"}
	app := serveApplication(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Set-Cookie"] = sent
		_, _ = io.WriteString(w, `{"id":1}`)
	})
	for pass, want := range map[bool][]string{true: {sent[0], sent[1], sent[4]}, false: nil} {
		got, err := forwardTo(t, app.URL, ForwardEntry{User: "id", PassSetCookie: pass}).ask(t.Context(), visit("sid=a"), Client{})
		if err != nil || !slices.Equal(got.setCookies, want) {
			t.Errorf("pass_set_cookie %v: %q, %v", pass, got.setCookies, err)
		}
	}
	if got := settable([]string{"a=b\r\nX: y", "a=b\x00", "a=\x7f", "a=ä"}); !slices.Equal(got, []string{"a=ä"}) {
		t.Errorf("%q can be set", got)
	}
}

// An id is spelled as it is declared, unless JavaScript may have rounded it.
func TestForwardIDs(t *testing.T) {
	t.Parallel()
	for declared, cases := range map[string]map[string]string{
		"id text":    {`42`: `{"id":"42"}`, `"42"`: `{"id":"42"}`, `-9007199254740991`: `{"id":"-9007199254740991"}`, `9007199254740992`: `{"id":9007199254740992}`, `1.5`: `{"id":1.5}`},
		"id bigint":  {`42`: `{"id":42}`, `"42"`: `{"id":"42"}`, `9007199254740992`: `{"id":9007199254740992}`},
		"other text": {`42`: `{"id":"42"}`},
	} {
		f := forwardTo(t, "http://127.0.0.1:1", ForwardEntry{User: "user.id"})
		if err := f.declare(declareClaims(t, declared)); err != nil {
			t.Fatal(err)
		}
		for id, want := range cases {
			got, err := f.judge(answer{status: 200, body: []byte(`{"user":{"id":` + id + `}}`)})
			if err != nil || string(got.claims) != want || got.user != strings.Trim(id, `"`) {
				t.Errorf("%s, %s: user %q, claims %s, %v; want %s", declared, id, got.user, got.claims, err, want)
			}
		}
	}
}

// Claims that an entry names are handed on as they are: what does not fit is refused.
func TestForwardClaimsAreNotConverted(t *testing.T) {
	t.Parallel()
	f := forwardTo(t, "http://127.0.0.1:1", ForwardEntry{User: "id", Claims: ClaimSource{Paths: map[string]string{"name": "id"}}})
	got, err := f.judge(answer{status: 200, body: []byte(`{"id":42}`)})
	if err != nil || string(got.claims) != `{"name":42}` {
		t.Errorf("%s, %v", got.claims, err)
	}
}

// A reload may declare other types; what does not fit any more changes nothing.
func TestForwardDeclaredAnew(t *testing.T) {
	t.Parallel()
	f := forwardTo(t, "http://127.0.0.1:1", ForwardEntry{Claims: ClaimSource{Headers: map[string]string{"roles": "X-Roles"}}})
	for _, step := range []struct{ declared, want string }{{"roles text[]", `{"roles":["a","b"]}`}, {"roles text", `{"roles":"a,b"}`}, {"other text", `{"roles":"a,b"}`}} {
		err := f.declare(declareClaims(t, step.declared))
		if (err != nil) != (step.declared == "other text") {
			t.Errorf("%s: %v", step.declared, err)
		}
		got, err := f.judge(answer{status: 200, header: http.Header{"X-Roles": {"a,b"}}})
		if err != nil || string(got.claims) != step.want {
			t.Errorf("%s: %s, %v", step.declared, got.claims, err)
		}
	}
}

func TestForwardEntries(t *testing.T) {
	t.Parallel()
	good := func() ForwardEntry {
		return ForwardEntry{URL: &url.URL{Scheme: "http", Host: "app:3000", Path: "/api/me"}, Cookies: []string{"sid"}, User: "id"}
	}
	for want, change := range map[string]func(*ForwardEntry){
		"url: must be http://":  func(e *ForwardEntry) { e.URL = nil },
		"url: must be":          func(e *ForwardEntry) { e.URL.Scheme = "ftp" },
		"https://HOST/PATH":     func(e *ForwardEntry) { e.URL.Host = "" },
		"holds a user name":     func(e *ForwardEntry) { e.URL.User = url.UserPassword("poison", "poison") },
		"cookies: name":         func(e *ForwardEntry) { e.Cookies = nil },
		"user: is missing":      func(e *ForwardEntry) { e.User = "" },
		"claims: must be paths": func(e *ForwardEntry) { e.Claims.SQL = "select 1" },
		"or headers": func(e *ForwardEntry) {
			e.Claims = ClaimSource{Paths: map[string]string{"id": "a"}, Headers: map[string]string{"id": "a"}}
		},
		"claims.rolse: is not declared": func(e *ForwardEntry) { e.Claims.Paths = map[string]string{"id": "a", "rolse": "b"} },
	} {
		e := good()
		change(&e)
		f, err := newForward("auth.2", &e, forwardDeclared(t))
		if f != nil || err == nil || !strings.HasPrefix(err.Error(), "auth.2.forward: ") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "poison") {
			t.Errorf("%v, want %s", err, want)
		}
	}
	e := good()
	f, err := newForward("auth.0", &e, forwardDeclared(t))
	if err != nil {
		t.Fatal(err)
	}
	transport := f.client.Transport.(*http.Transport)
	if transport.Proxy != nil || !transport.DisableCompression || f.timeout != forwardTimeout || f.client.Jar != nil {
		t.Errorf("the environment's proxy is asked, or answers are unpacked, or timeout %v, or cookies are kept", f.timeout)
	}
}

// close leaves nothing. The test must not be parallel.
func TestForwardLeavesNothing(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"id":1}`) }))
	defer app.Close()
	before := goleak.IgnoreCurrent()
	u, err := url.Parse(app.URL)
	if err != nil {
		t.Fatal(err)
	}
	f, err := newForward("auth.0", &ForwardEntry{URL: u, Cookies: []string{"sid"}, User: "id"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := f.ask(t.Context(), visit("sid=a"), Client{}); err != nil {
			t.Error(err)
		}
	}
	f.close()
	goleak.VerifyNone(t, before)
}
